"""Several recipes to start from: each finds a kernel, and the one whose restoration scores best is gone on from."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from .assembly import Assembly
from .errors import DivergedError
from .geometry import resize_kernel_support, size_of, visible_part
from .interfaces import Score
from .recipe import Recipe, check_parameters
from .result import Result
from .solver import deferred_interrupt
from .stages import Chain, Outcome, Stage, Watch, placed

__all__ = ["solve_stages"]


def solve_stages(
    stages: Sequence[Stage],
    first: Assembly,
    device: torch.device,
    watch: Watch,
    resume: Mapping[str, Any] | None = None,
) -> Outcome:
    """Solve stage after stage, from the best of the starts where there are several.

    A first Ctrl-C ends the stage it meets, and what is left is solved as `Chain` and `_Starts` say. A second acts as
    usual.

    Args:
        stages: of `plan`.
        first: the first of them, assembled; where there are starts, for a kernel of the size to be found.
        device: where to solve.
        watch: observers and time limit.
        resume: the state of the first stage to go on from; where there are starts, none can be.

    Raises:
        InvkitError: a stage failed; says which.
    """
    with deferred_interrupt() as interrupted:
        if stages[0].starts:
            size = size_of(first.problem.kernel_prior())
            return _Starts(stages, size, device, watch, interrupted).to_the_end()
        return Chain(list(stages), device, watch, interrupted).to_the_end(first, resume)


@dataclass(frozen=True)
class Tried:
    """One start, and what became of its kernel.

    Attributes:
        name: of its recipe.
        stages: its own that find a kernel, and those up to the last that went on from it.
        solved: what they gave, None for those that were skipped.
        kernel: the one found, (1, 1, h, w).
        image: what the last recipe makes of it under the noise level that is the same for all, (1, C, H, W).
        seconds: all of it together.
    """

    name: str
    stages: Sequence[Stage]
    solved: Sequence[Result | None]
    kernel: Tensor
    image: Tensor
    seconds: float


@dataclass
class _Starts:
    """The starts of one solve.

    They are tried in their order. Each kernel goes through the stages that follow; its restoration by the last is what
    is scored, of the data that the kernels were found from and under one noise level. The last stage is then solved
    once more, as it is meant, from the best kernel.

    Once Ctrl-C or the time limit has stopped one of them, no other is begun, and the best of those that were tried to
    their end is gone on from. One that diverges is left out, unless none is left.
    """

    stages: Sequence[Stage]
    kernel_size: tuple[int, int]
    device: torch.device
    watch: Watch
    interrupted: threading.Event
    begun: float = field(default_factory=time.monotonic)
    tried: list[Tried] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    stop: str | None = None

    def to_the_end(self) -> Outcome:
        """Try all, choose, and solve the last stage."""
        for index in range(len(self.stages[0].starts)):
            if self.tried and self.is_over():
                break
            with placed(f"starts.{index}"):
                self.attempt(index)
        scores = self.scores()
        best = int(scores["sum"].argmin())
        return self.finished(best, self.told(scores, best))

    def is_over(self) -> bool:
        """Whether there is no time for another start; notes why."""
        left = self.left()
        if self.interrupted.is_set():
            self.stop = self.stop or "interrupted"
        elif left is not None and left < max(one.seconds for one in self.tried):
            self.stop = self.stop or "time limit"
        return self.stop is not None

    def left(self) -> float | None:
        """Seconds until the time limit."""
        limit = self.watch.time_limit
        return None if limit is None else max(limit - (time.monotonic() - self.begun), 0.0)

    def attempt(self, index: int) -> None:
        """Try one start, and keep what it gives if it came to its end, or is the first."""
        begun, own = time.monotonic(), kernel_stages(self.stages[0].starts[index])
        try:
            found = solve_stages(own, own[0].assembled(self.kernel_size, None), self.device, self.part(index))
            kernel = torch.as_tensor(found.last[1].kernel)
            self.stop = self.stop or found.stop
            if self.stop and self.tried:
                return
            gone_on = self.gone_on(kernel, index)
        except DivergedError as error:
            self.failed[own[0].recipe.name] = str(error)
            if not self.tried and index == len(self.stages[0].starts) - 1:
                raise
            return
        judged = gone_on.last[1]
        image = visible_part(torch.as_tensor(judged.image), size_of(self.judge.data), size_of(kernel))
        self.tried.append(
            Tried(
                own[0].recipe.name,
                [*found.stages, *gone_on.stages[:-1]],
                [*found.solved, *gone_on.solved[:-1]],
                torch.as_tensor(judged.kernel),
                image,
                time.monotonic() - begun,
            )
        )

    @property
    def judge(self) -> Stage:
        """The last stage, for the data that the kernels are found from and for one noise level."""
        first, last = self.stages[0], self.stages[-1]
        return replace(first, recipe=last.recipe, estimated=False, starts=())

    def gone_on(self, kernel: Tensor, index: int) -> Outcome:
        """The stages that follow, from the kernel of a start, the last as `judge`."""
        following = [replace(stage, starts=()) for stage in self.stages[:-1]]
        chain = [*following, self.judge]
        first = chain[0].assembled(size_of(kernel), kernel)
        return Chain(chain, self.device, self.part(index), self.interrupted, patient=False).to_the_end(first)

    def part(self, index: int) -> Watch:
        """The watch of one start: what is left of the time, its place in the bars' titles, and no checkpoints."""
        make, many = self.watch.progress, len(self.stages[0].starts)
        name = f"{self.stages[0].recipe.name} {index + 1} of {many}"
        progress = None if make is None else lambda title: make(f"{name}: {title}")
        return replace(self.watch, first=(), progress=progress, time_limit=self.left())

    @torch.no_grad()
    def scores(self) -> dict[str, Tensor]:
        """Each score of those that were tried, (N,), by name, and the weighted "sum"."""
        recipe = self.stages[0].recipe
        found = {"sum": torch.zeros(len(self.tried))}
        if len(self.tried) == 1:
            return found
        size = (max(one.kernel.shape[-2] for one in self.tried), max(one.kernel.shape[-1] for one in self.tried))
        images = torch.cat([one.image for one in self.tried])
        kernels = torch.cat([resize_kernel_support(one.kernel, size) for one in self.tried])
        for spec, score in zip(recipe.scores, build_scores(recipe), strict=True):
            found[spec.name] = score(self.judge.data, images, kernels)
            found["sum"] = found["sum"] + spec.weight * found[spec.name]
        return found

    def told(self, scores: Mapping[str, Tensor], best: int) -> list[dict[str, Any]]:
        """What the result's details say of each start."""
        tried = [
            {
                "name": one.name,
                "chosen": i == best,
                "seconds": round(one.seconds, 3),
                "scores": {name: round(float(value[i]), 5) for name, value in scores.items()},
            }
            for i, one in enumerate(self.tried)
        ]
        return [*tried, *({"name": name, "chosen": False, "failed": why} for name, why in self.failed.items())]

    def finished(self, best: int, told: Sequence[Mapping[str, Any]]) -> Outcome:
        """The last stage from the best kernel, and all that led to it."""
        chosen = self.tried[best]
        kernel = chosen.kernel
        last = replace(self.stages[-1], starts=()).knowing(kernel)
        limit = replace(self.watch, first=(), time_limit=self.left())
        chain = Chain([last], self.device, limit, self.interrupted)
        chain.solve(0, last.assembled(size_of(kernel), kernel), chain.limit(0))
        kept = sum(result.seconds for result in chosen.solved if result)
        return Outcome(
            [*chosen.stages, last],
            [*chosen.solved, *chain.solved],
            self.stop or chain.stop,
            {"starts": list(told)},
            sum(one.seconds for one in self.tried) - kept,
        )


def kernel_stages(stages: Sequence[Stage]) -> Sequence[Stage]:
    """The stages of a start without those at its end that leave the kernel as it is."""
    own = list(stages)
    while len(own) > 1 and own[-1].recipe.is_nonblind:
        own.pop()
    return own


def build_scores(recipe: Recipe) -> list[Score]:
    """The scores of a recipe, as checked before."""
    checked = check_parameters(recipe, seed=0)
    return [checked[f"scores.{i}"].build({}) for i in range(len(recipe.scores))]
