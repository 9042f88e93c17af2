"""The stages of a recipe solved one after the other, each from the kernel of the stage before."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from ..core.errors import DivergedError
from ..core.interfaces import OperatorParameterPrior
from ..core.result import Array, Result
from ..core.solver import Observer, after_interrupt
from ..numerics.geometry import size_of
from .assemble import Assembly
from .selection import ComparedKernel, Selection
from .stages import RunControl, Stage, at_place, next_place

__all__ = ["Outcome", "Referee", "StageSequence", "is_known"]

REJECTED = {"accepted": False}  # the details of an improvement that diverged
MIN_LAST_STAGE_SECONDS = 30.0  # or half of the time limit, if that is more
SELECTION_NOISE_FACTOR = 2.5  # times the noise level; of 1, 2.5, 5 and 10 the best on blurred Kodak photographs


@dataclass(frozen=True)
class Outcome:
    """The results of the stages; None for a stage that was skipped.

    Attributes:
        stages: all of them; the first is never skipped.
        solved: one result for each.
        stop: how the first incomplete stage was stopped; None if all were completed.
        facts: further entries of the result's details.
        extra_seconds: spent on results that were not used.
        compared: the kernels that the selection has compared; empty without one.
    """

    stages: Sequence[Stage]
    solved: Sequence[Result | None]
    stop: str | None
    facts: Mapping[str, Any] = field(default_factory=dict)
    extra_seconds: float = 0.0
    compared: Sequence[ComparedKernel] = ()

    @property
    def last(self) -> tuple[Stage, Result]:
        """The last stage that was not skipped."""
        return [(stage, result) for stage, result in zip(self.stages, self.solved, strict=True) if result][-1]

    @property
    def kernel(self) -> Tensor:
        """The kernel of the last stage that was not skipped, (1, 1, h, w)."""
        return torch.as_tensor(self.last[1].kernel)

    def with_kernel(self, kernel: Tensor) -> Outcome:
        """The outcome with another kernel (1, 1, h, w) of the last stage that was not skipped."""
        last = self.last[1]
        solved = [replace(one, kernel=kernel, variances={}) if one is last else one for one in self.solved]
        return replace(self, solved=solved)

    @property
    def variances(self) -> Mapping[str, Array]:
        """The posterior variances of the stage that found the kernel; later ones have only used it."""
        for stage, result in zip(reversed(self.stages), reversed(self.solved), strict=True):
            if result and (result.variances or not stage.recipe.keeps_kernel):
                return result.variances
        return {}

    def result(self) -> Result:
        """Image and kernel of the last stage; history, iterations and seconds of all stages."""
        done, (_, last) = [result for result in self.solved if result], self.last
        summaries = [stage.summary(result) for stage, result in zip(self.stages, self.solved, strict=True)]
        return replace(
            last,
            history=tuple(loss for result in done for loss in result.history),
            stopped=self.stop or last.stopped,
            iterations=sum(result.iterations for result in done),
            seconds=self.extra_seconds + sum(result.seconds for result in done),
            variances=self.variances,
            details={**({"stages": summaries} if len(summaries) > 1 else {}), **self.facts},
        )


@dataclass
class Referee:
    """Restores the data of the first stage with any kernel, by one recipe and at one noise level, for selection.

    The recipe is the referee of the first stage's recipe; without one, it is the last stage's.

    The level is `SELECTION_NOISE_FACTOR` times the level of this recipe for the first kernel, and is then fixed. At a
    level of its own, a wrong kernel would give a smoother image and win for being wrong; and in an image made for the
    eye, the remaining noise would count more than the error of the kernel.

    Attributes:
        stage: the recipe on the data of the first; once a kernel has been restored, at the fixed level.
        device: where to solve.
        place: of the recipe in the first stage's, for errors.
        restored: the restorations so far.
        fixed: whether the noise level is.
    """

    stage: Stage
    device: torch.device
    place: str
    restored: dict[tuple[tuple[int, ...], bytes], Result] = field(default_factory=dict)
    fixed: bool = False

    @classmethod
    def of(cls, stages: Sequence[Stage], device: torch.device) -> Referee:
        """The referee of a sequence of stages."""
        first, own = stages[0], stages[0].recipe.referee
        place = "referee" if own else next_place(len(stages) - 1)
        return cls(first.restoring(own or stages[-1].recipe), device, place)

    def __call__(self, kernel: Tensor, observers: Callable[[], Sequence[Observer]], limit: float | None) -> Result:
        """The restoration with a kernel (1, 1, h, w), kept if it was completed.

        Args:
            kernel: of any size.
            observers: gives the observers of the solve, if there is one.
            limit: seconds that it may take.

        Raises:
            InvkitError: as a stage of the recipe.
        """
        if not self.fixed:
            known = self.stage.knowing(kernel)
            level = known.sigma and SELECTION_NOISE_FACTOR * known.sigma
            self.stage = replace(known, sigma=level, estimated=False)
            self.fixed = True
        key = tuple(kernel.shape), kernel.numpy().tobytes()
        if key in self.restored:
            return self.restored[key]
        with at_place(self.place):
            assembly = self.stage.assembled(size_of(kernel), kernel)
            result = assembly.solver.solve(assembly.problem.to(self.device), observers=observers(), time_limit=limit)
        if result.is_complete:
            self.restored[key] = result
        return result


@dataclass
class StageSequence:
    """The stages of a recipe in progress, each from the kernel of the one before.

    After a stage is stopped early by the time limit or by Ctrl-C, the following ones are skipped, but the last is still
    solved if its kernel is known: users want an image from the kernel so far.

    A stage with a selection must improve its kernel: its kernel and the one it started from are compared, and the
    better one is kept. If it diverges, the one it started from is kept.

    Attributes:
        stages: of `plan_stages`; their noise levels change with the kernels found.
        device: where to solve.
        referee: restores images for the comparison of kernels.
        control: observers and time limit. A later stage has the rest of the limit; the last stage has at least
            `MIN_LAST_STAGE_SECONDS`, or half of the limit if that is more.
        interrupted: set by Ctrl-C.
        guarantees_last: whether the last stage has that much.
        started: on the monotonic clock.
        solved: one result for each stage so far; None for a stage that was skipped.
        stop: how the first incomplete stage was stopped.
    """

    stages: list[Stage]
    device: torch.device
    referee: Referee
    control: RunControl
    interrupted: threading.Event
    guarantees_last: bool = True
    started: float = field(default_factory=time.monotonic)
    solved: list[Result | None] = field(default_factory=list)
    stop: str | None = None

    def solve_all(self, first: Assembly, resume: Mapping[str, Any] | None = None) -> Outcome:
        """Solve all stages; raises `InvkitError` that names the stage that failed.

        Args:
            first: the first stage, assembled.
            resume: a saved state of the first stage to continue from.
        """
        self.solve(0, first, self.control.time_limit, resume)
        for index in range(1, len(self.stages)):
            self.solve_next(index, next_place(index))
        return Outcome(self.stages, tuple(self.solved), self.stop)

    def solve_next(self, index: int, place: str) -> None:
        """Solve a later stage from the kernel so far, or skip it; ``place`` is its place in its recipe."""
        last, limit = index == len(self.stages) - 1, self.limit(index)
        if self.is_over(limit) and not last:
            self.solved.append(None)
            return
        before, must_improve = self.latest, self.stages[index].recipe.needs_improvement
        try:
            with at_place(place):
                self.solve_from(torch.as_tensor(before.kernel), index, limit)
        except DivergedError:
            if not must_improve:
                raise
            self.solved.append(replace(before, history=(), iterations=0, seconds=0.0, details=REJECTED))
            return
        if self.solved[-1] and must_improve:
            self.solved[-1] = self.if_improved(index, place, before, self.latest)

    def solve_from(self, kernel: Tensor, index: int, limit: float | None) -> None:
        """Solve a stage from a kernel (1, 1, h, w); skip a blind stage if no time is left.

        Args:
            kernel: to start from.
            index: of the stage.
            limit: seconds that it may take.
        """
        self.stages[index] = self.stages[index].knowing(kernel)
        assembly = self.stages[index].assembled(size_of(kernel), kernel)
        if self.stop and not is_known(assembly.problem.kernel_prior):
            self.solved.append(None)
        else:
            self.solve(index, assembly, limit)

    def is_over(self, limit: float | None) -> bool:
        """Whether no further solve may start within this many seconds; records why."""
        if self.interrupted.is_set():
            self.stop = self.stop or "interrupted"
        elif limit is not None and limit <= 0:
            self.stop = self.stop or "time limit"
        return self.stop is not None

    @property
    def latest(self) -> Result:
        """The result of the last stage that was not skipped."""
        return [result for result in self.solved if result][-1]

    def if_improved(self, index: int, place: str, before: Result, after: Result) -> Result:
        """The result of a stage; with the kernel before it unless a comparison prefers the new one.

        Args:
            index: of the stage.
            place: of the stage in its recipe.
            before: the result it started from.
            after: its result.
        """
        started, restored = time.monotonic(), [self.restoration(result, index) for result in (before, after)]
        scores_gained, is_better = {}, False
        if all(restored):
            stage = self.stages[index]
            with at_place(place):
                select = Selection.of(stage.recipe, stage.seed, self.referee.stage.data)
                scores = select([one for one in restored if one])
            is_better = scores[1]["sum"] < scores[0]["sum"]
            gained = {name: round(scores[1][name] - scores[0][name], 5) + 0.0 for name in scores[0]}
            scores_gained = {"scores": gained}
        kernel = after.kernel if is_better else before.kernel
        seconds = after.seconds + time.monotonic() - started
        details = {**after.details, "accepted": is_better, **scores_gained}
        return replace(after, kernel=kernel, seconds=seconds, details=details)

    def restoration(self, found: Result, index: int) -> Result | None:
        """The referee's restoration with the kernel of a result; None if there is no time for it."""
        limit = self.limit(0)
        if self.is_over(limit):
            return None
        title = f"{self.stages[0].recipe.name}: {self.referee.stage.recipe.solver.name}"
        observers = lambda: self.control.observers_of(index, title)  # noqa: E731
        result = self.referee(torch.as_tensor(found.kernel), observers, limit)
        if result.is_complete:
            return result
        self.stop = self.stop or result.stopped
        return None

    def limit(self, index: int) -> float | None:
        """Seconds that a later stage may take."""
        whole = self.control.time_limit
        if whole is None:
            return None
        left = whole - (time.monotonic() - self.started)
        is_guaranteed = self.guarantees_last and index == len(self.stages) - 1
        return max(left, MIN_LAST_STAGE_SECONDS, whole / 2) if is_guaranteed else left

    def solve(
        self, index: int, assembly: Assembly, limit: float | None, resume: Mapping[str, Any] | None = None
    ) -> None:
        """Solve a stage, also after Ctrl-C has stopped an earlier one: the last stage is solved all the same.

        Args:
            index: of the stage.
            assembly: its problem and solver.
            limit: seconds that it may take.
            resume: a saved state to continue from.
        """
        with after_interrupt() if self.stop == "interrupted" else nullcontext():
            solved = assembly.solver.solve(
                assembly.problem.to(self.device),
                observers=self.control.observers_of(index, self.title(index)),
                time_limit=limit,
                resume=resume,
            )
        self.solved.append(solved)
        if not solved.is_complete:
            self.stop = self.stop or solved.stopped

    def title(self, index: int) -> str:
        """The title of a progress bar: the recipe, and of several stages the solver."""
        name = self.stages[0].recipe.name
        return name if len(self.stages) == 1 else f"{name}: {self.stages[index].recipe.solver.name}"


def is_known(prior: OperatorParameterPrior) -> bool:
    """Whether a prior has nothing to estimate."""
    return next(prior.parameters(), None) is None
