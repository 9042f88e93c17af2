"""A recipe and those that go on from it, one after the other, each from the kernel of the one before."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from ..core.errors import DivergedError
from ..core.interfaces import OperatorParameterPrior
from ..core.result import Result
from ..core.solver import after_interrupt
from ..numerics.geometry import size_of
from .assemble import Assembly
from .selection import Judge, Scoring
from .stages import Stage, Watch, later_place, placed

__all__ = ["Chain", "Outcome"]

REFUSED = {"kept": False}  # what is told of a stage on trial that has diverged
LEAST = 30.0  # seconds, or half of the time limit if that is more: what the last stage gets of a limit in any case


@dataclass(frozen=True)
class Outcome:
    """What the stages have given, None for those that were skipped.

    Attributes:
        stages: all of them, the first never skipped.
        solved: one for each.
        stop: how the first that did not reach its end was stopped; None where all did.
        facts: what else the result's details are to say.
        aside: seconds spent on what was not kept.
    """

    stages: Sequence[Stage]
    solved: Sequence[Result | None]
    stop: str | None
    facts: Mapping[str, Any] = field(default_factory=dict)
    aside: float = 0.0

    @property
    def last(self) -> tuple[Stage, Result]:
        """The last stage that was not skipped."""
        return [(stage, result) for stage, result in zip(self.stages, self.solved, strict=True) if result][-1]

    def result(self) -> Result:
        """Image and kernel of the last stage, history, iterations and seconds of all of them."""
        done, (_, last) = [result for result in self.solved if result], self.last
        told = [stage.told(result) for stage, result in zip(self.stages, self.solved, strict=True)]
        return replace(
            last,
            history=tuple(loss for result in done for loss in result.history),
            stopped=self.stop or last.stopped,
            iterations=sum(result.iterations for result in done),
            seconds=self.aside + sum(result.seconds for result in done),
            details={**({"stages": told} if len(told) > 1 else {}), **self.facts},
        )


@dataclass
class Chain:
    """The stages of a recipe on the way, each from the kernel of the one before.

    Once one was stopped early, by the time limit or by Ctrl-C, the last is still solved if its kernel is known: an
    image from the kernel so far is what people want. The others are skipped.

    A stage whose recipe has selection is on trial: its kernel and the one it was given are judged, and the better of them
    is gone on from; where it diverges, that is the one it was given.

    Attributes:
        stages: of `plan`; their noise levels change with the kernels found.
        device: where to solve.
        judge: what shows how good a kernel is.
        watch: observers and time limit. A later stage gets what is left of the limit; the last one gets at least
            `LEAST` seconds, or half of the limit if that is more.
        interrupted: set by Ctrl-C.
        patient: whether the last stage gets so much.
        begun: when, on the monotonic clock.
        solved: one result for each stage so far, None for those that were skipped.
        stop: how the first that did not reach its end was stopped.
    """

    stages: list[Stage]
    device: torch.device
    judge: Judge
    watch: Watch
    interrupted: threading.Event
    patient: bool = True
    begun: float = field(default_factory=time.monotonic)
    solved: list[Result | None] = field(default_factory=list)
    stop: str | None = None

    def to_the_end(self, first: Assembly, resume: Mapping[str, Any] | None = None) -> Outcome:
        """Solve all of them; raises `InvkitError` where a stage failed, saying which.

        Args:
            first: the first stage, assembled.
            resume: the state of the first stage to go on from.
        """
        self.solve(0, first, self.watch.time_limit, resume)
        for index in range(1, len(self.stages)):
            self.go_on(index, later_place(index))
        return Outcome(self.stages, tuple(self.solved), self.stop)

    def go_on(self, index: int, place: str) -> None:
        """Solve a later stage from the kernel so far, or skip it; ``place`` is where it stands in its recipe."""
        last, limit = index == len(self.stages) - 1, self.limit(index)
        if self.is_over(limit) and not last:
            self.solved.append(None)
            return
        before, is_on_trial = self.found, self.stages[index].recipe.is_on_trial
        try:
            with placed(place):
                self.solve_from(torch.as_tensor(before.kernel), index, limit)
        except DivergedError:
            if not is_on_trial:
                raise
            self.solved.append(replace(before, history=(), iterations=0, seconds=0.0, details=REFUSED))
            return
        if self.solved[-1] and is_on_trial:
            self.solved[-1] = self.on_trial(index, place, before, self.found)

    def solve_from(self, kernel: Tensor, index: int, limit: float | None) -> None:
        """Solve a stage from a kernel (1, 1, h, w); skip it where there is no time left to find another."""
        self.stages[index] = self.stages[index].knowing(kernel)
        assembly = self.stages[index].assembled(size_of(kernel), kernel)
        if self.stop and not is_known(assembly.problem.kernel_prior):
            self.solved.append(None)
        else:
            self.solve(index, assembly, limit)

    def is_over(self, limit: float | None) -> bool:
        """Whether nothing more is to be begun that has so many seconds; notes why."""
        if self.interrupted.is_set():
            self.stop = self.stop or "interrupted"
        elif limit is not None and limit <= 0:
            self.stop = self.stop or "time limit"
        return self.stop is not None

    @property
    def found(self) -> Result:
        """What the last stage that was not skipped gave."""
        return [result for result in self.solved if result][-1]

    def on_trial(self, index: int, place: str, before: Result, after: Result) -> Result:
        """What a stage gave, with the kernel before it where that is better or there was no time to compare them."""
        begun, judged = time.monotonic(), [self.judged(result, index) for result in (before, after)]
        told, is_better = {}, False
        if all(judged):
            with placed(place):
                selection = Scoring.of(self.stages[index], self.judge.stage.data)([one for one in judged if one])
            is_better = selection[1]["sum"] < selection[0]["sum"]
            told = {"selection": {name: round(selection[1][name] - selection[0][name], 5) + 0.0 for name in selection[0]}}
        kernel = after.kernel if is_better else before.kernel
        seconds = after.seconds + time.monotonic() - begun
        return replace(after, kernel=kernel, seconds=seconds, details={**after.details, "kept": is_better, **told})

    def judged(self, found: Result, index: int) -> Result | None:
        """What the judge makes of a kernel that a stage gave; None where there is no time for it."""
        limit = self.limit(0)
        if self.is_over(limit):
            return None
        title = f"{self.stages[0].recipe.name}: {self.judge.stage.recipe.solver.name}"
        result = self.judge(torch.as_tensor(found.kernel), lambda: self.watch.of(index, title), limit)
        if result.is_complete:
            return result
        self.stop = self.stop or result.stopped
        return None

    def limit(self, index: int) -> float | None:
        """Seconds that a later stage may take."""
        whole = self.watch.time_limit
        if whole is None:
            return None
        left = whole - (time.monotonic() - self.begun)
        return max(left, LEAST, whole / 2) if self.patient and index == len(self.stages) - 1 else left

    def solve(
        self, index: int, assembly: Assembly, limit: float | None, resume: Mapping[str, Any] | None = None
    ) -> None:
        """Solve a stage; also where Ctrl-C has stopped those before, as the last is solved all the same."""
        with after_interrupt() if self.stop == "interrupted" else nullcontext():
            solved = assembly.solver.solve(
                assembly.problem.to(self.device),
                observers=self.watch.of(index, self.title(index)),
                time_limit=limit,
                resume=resume,
            )
        self.solved.append(solved)
        if not solved.is_complete:
            self.stop = self.stop or solved.stopped

    def title(self, index: int) -> str:
        """What a progress bar says: the recipe, and of several stages the solver."""
        name = self.stages[0].recipe.name
        return name if len(self.stages) == 1 else f"{name}: {self.stages[index].recipe.solver.name}"


def is_known(prior: OperatorParameterPrior) -> bool:
    """Whether a kernel prior leaves nothing to be found."""
    return next(prior.parameters(), None) is None
