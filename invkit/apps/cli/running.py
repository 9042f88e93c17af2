"""A restoration from the command line: the output folder, progress, and how it ended."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import typer
from rich.console import Console

if TYPE_CHECKING:
    from ...core.result import Result
    from ...core.solver import Observer
    from ...pipeline.inputs import Measured
    from ...pipeline.job import Job

__all__ = ["Debug", "Debugging", "Run", "err", "out"]

out = Console()
err = Console(stderr=True)


class Debugging:
    """One switch of the process: whether an error is to show its traceback."""

    on: ClassVar[bool] = False

    @classmethod
    def set(cls, value: bool) -> bool:
        """Turn it on where asked to, before or behind a command; gives back what was asked."""
        cls.on = cls.on or value
        return value


Debug = Annotated[
    bool, typer.Option("--debug", help="Show the traceback of an error.", callback=Debugging.set, is_eager=True)
]


@dataclass(frozen=True)
class Run:
    """Where a restoration's files go, when it stops, who watches it, and whether a script reads how it went."""

    output: Path
    time_limit: float | None
    checkpoint_every: float
    resume: bool
    overwrite: bool
    observe: Sequence[str] = ()
    as_json: bool = False

    def go(self, image: Measured | None, recipe: str | None, choices: dict[str, Any]) -> None:
        """Check everything, compute, write the results and say how it went."""
        from ...media.output import CHECKPOINT, check_inputs, check_output
        from ...pipeline.job import prepare

        check_output(self.output, overwrite=self.overwrite, resume=self.resume)
        observers = self.observers(choices["seed"])
        job = prepare(image, recipe=recipe, time_limit=self.time_limit, **choices)
        check_inputs(self.output, job.inputs)
        if "recipe_picked" in job.facts:
            err.print(f"recipe {job.facts['recipe_picked']}", markup=False, highlight=False, soft_wrap=True)
        try:
            with self.folder():
                result = self.compute(job, observers)
        except KeyboardInterrupt:  # the second one: the first is heard by the solver
            kept = " with the last checkpoint kept; --resume continues" if (self.output / CHECKPOINT).exists() else ""
            err.print(f"stopped at once, without a result{kept}")
            raise typer.Exit(130) from None
        tell = report_json if self.as_json else report
        tell(result, self.output, resumable=(self.output / CHECKPOINT).exists())

    @contextmanager
    def folder(self) -> Iterator[None]:
        """The output folder, rid of the run it is to replace; gone again if an error leaves it empty."""
        from ...media.output import clear_run

        new = not self.output.exists()
        if self.overwrite:
            clear_run(self.output)
        self.output.mkdir(parents=True, exist_ok=True)
        try:
            yield
        finally:
            if new and not any(self.output.iterdir()):
                self.output.rmdir()

    def observers(self, seed: int) -> Sequence[Observer]:
        """Those that are asked for; raises `InvkitError` as `watchers.observers_of`."""
        from ...pipeline.observers import observers_of

        return observers_of(self.observe, self.output, seed)

    def compute(self, job: Job, observers: Sequence[Observer]) -> Result:
        """Run the job with a progress bar and checkpoints, and save what it gives."""
        from ...core.runtime.workers import dismiss
        from ...media.output import CHECKPOINT
        from ...pipeline.api import progress_bar

        checkpoint = self.output / CHECKPOINT
        result = job.run(
            time_limit=self.time_limit,
            observers=observers,
            progress=progress_bar,
            checkpoint=checkpoint,
            checkpoint_every=self.checkpoint_every,
            resume=self.resume,
        )
        dismiss()  # there is no next photograph, and they end while this one is written
        result.save(self.output, overwrite=True)
        if result.is_complete:
            checkpoint.unlink(missing_ok=True)
        return result


def report_json(result: Result, output: Path, resumable: bool) -> None:
    """Say the same to a script: what result.json holds."""
    from ...media.output import strict_json

    typer.echo(strict_json(result.summary()), nl=False)


def report(result: Result, output: Path, resumable: bool) -> None:
    """Say in a few lines how a run ended and where to look."""
    how = result.stopped
    if not result.is_complete:
        how = f"stopped early ({how}), result so far{'; --resume continues' if resumable else ''}"
    lines = [f"{how}: {result.iterations} iterations in {result.seconds:.1f} s"]
    if "psnr" in result.details:
        psnr = result.details["psnr"]
        lines.append(f"PSNR {psnr['before']:.2f} dB before, {psnr['after']:.2f} dB after")
    for doubt in result.details.get("doubts", ()):
        lines.append(f"doubtful: {doubt}")
    if "doubts" in result.details:
        lines.append(f"the photograph as it was is beside it, {output / 'photograph.png'}")
    for line in [*lines, f"see {output / 'overview.png'}"]:
        out.print(line, markup=False, highlight=False, soft_wrap=True)
