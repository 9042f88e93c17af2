"""How fast this machine is: ``invkit bench speed``."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

import typer

from .bench_output import save
from .shared import err, out

if TYPE_CHECKING:
    from ...benchmark.speed.turns import Progress

__all__ = ["add_to"]

SizeName: TypeAlias = Literal["paper", "small"]


def add_to(app: typer.Typer) -> None:
    """Add the command to the ``bench`` group."""
    app.command()(speed)


def speed(
    size: Annotated[
        SizeName, typer.Option(help="Of the network: the paper's 128 channels, or 32 for a quick look.")
    ] = "paper",
    rounds: Annotated[int, typer.Option(min=1, metavar="N", help="Runs of each version that count.")] = 5,
    threads: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Threads on the processor; default: torch's choice.")
    ] = None,
    device: Annotated[str, typer.Option(help="As for deblur: auto, cpu, cuda, cuda:1, ...")] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="For scripts: the figures instead of the table.")] = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write the figures there too, as JSON.")
    ] = None,
) -> None:
    """Measure what a restoration takes on this machine, stage by stage, and how near that is to what it can do.

    An iteration of selfdeblur, on 255x255 pixels with a 27x27 kernel, in plain PyTorch and in invkit's float32 and
    bfloat16, on a GPU also replayed from a graph; and a run of fast on as many pixels. Versions take turns. Ctrl-C
    keeps the rounds that were done.

    [bold]Examples[/bold]

      invkit bench speed

      invkit bench speed --size small --rounds 3

      invkit bench speed --device cuda --output speed.json
    """
    from ...benchmark.speed.figures import figures_of
    from ...benchmark.speed.setting import SIZES, Setting
    from ...benchmark.speed.table import as_table
    from ...benchmark.speed.turns import take_turns
    from ...media.output import strict_json

    setting = Setting(SIZES[size], device, threads)
    try:
        with shown(rounds) as progress:
            measured = take_turns(setting, rounds, progress)
    except KeyboardInterrupt:
        err.print("interrupted before a round was done; nothing is kept")
        raise typer.Exit(130) from None
    figures = {"command": shlex.join(["invkit", *sys.argv[1:]]), **figures_of(measured, setting, rounds)}
    if as_json:
        typer.echo(strict_json(figures), nl=False)
    else:
        out.print(as_table(figures), highlight=False)
    if output is not None:  # last: a place that cannot be written should not cost the figures
        save(output, strict_json(figures))
    if measured.interrupted:
        raise typer.Exit(130)


@contextmanager
def shown(rounds: int) -> Iterator[Progress]:
    """A bar with the time left, or a line for each round where the standard error is no terminal."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    words = [TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()]
    with Progress(*words, TextColumn("{task.fields[left]}"), console=err, disable=not err.is_terminal) as bar:
        task = bar.add_task("starting", total=rounds, left="")

        def tell(what: str, done: int, seconds: float | None) -> None:
            left = "" if seconds is None else f"{timedelta(seconds=round(seconds))} left"
            bar.update(task, description=what, completed=done, left=left)
            if bar.disable and what == "done":
                err.print(f"round {done} of {rounds}, {left}", highlight=False)

        yield tell
