"""A recipe and those that go on from it: each stage starts from the kernel that the one before has found."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from . import choices
from .assembly import Assembly, assemble
from .choices import Choices, Color
from .errors import InvkitError
from .estimation.window import informative_window
from .geometry import centre, size_of
from .interfaces import KernelPrior
from .media.colour import to_luma_chroma
from .misfit import misfit
from .recipe import Recipe
from .result import Result
from .solver import Observer

__all__ = ["Chain", "Outcome", "Stage", "Watch", "check_stages", "plan", "with_colors"]

ENDS = ("finished", "converged")
LEAST = 30.0  # seconds, or half of the time limit if that is more: what the last stage gets of a limit in any case


@dataclass(frozen=True)
class Stage:
    """One recipe of a chain and the data it is solved on.

    Attributes:
        recipe: the method.
        color: of a colour image, what it restores.
        data: (B, C, H, W) in [0, 1]: the picture, or its luma.
        chroma: (B, 2, H, W) kept aside, or None where every channel is restored.
        sigma: standard deviation of the noise of the data; None for an image too small to tell.
        estimated: whether sigma was, and not given.
        seed: of every random number.
        starts: the stages of each recipe that it is to start from; only the first of a chain has any.
    """

    recipe: Recipe
    color: Color
    data: Tensor
    chroma: Tensor | None
    sigma: float | None
    estimated: bool
    seed: int
    starts: tuple[tuple[Stage, ...], ...] = ()

    def knowing(self, kernel: Tensor) -> Stage:
        """The stage for a kernel (1, 1, h, w): an estimated noise level becomes what the model misses with it, if more.

        Only where the kernel is taken as it is, and a weight depends on the noise level.
        """
        if not (
            self.recipe.is_nonblind
            and self.estimated
            and self.sigma is not None
            and choices.depends_on_noise(self.recipe)
        ):
            return self
        return replace(self, sigma=max(self.sigma, misfit(self.data, kernel)))

    def assembled(self, kernel_size: tuple[int, int], kernel: Tensor | None) -> Assembly:
        """Problem and solver; arguments and errors as `assemble`, but for no kernel where there are starts.

        What is to start from a kernel that is not known yet is built for one that does nothing.
        """
        kernel = still(kernel_size) if self.starts and kernel is None else kernel
        return assemble(self.recipe, self.data, kernel_size, kernel=kernel, sigma=self.sigma or 0.0, seed=self.seed)

    def told(self, solved: Result | None) -> dict[str, Any]:
        """What result.json says of it; None for a stage that was skipped."""
        return {
            "name": self.recipe.name,
            "solver": self.recipe.solver.name,
            "noise_sigma": self.sigma,
            "iterations": 0 if solved is None else solved.iterations,
            "seconds": 0.0 if solved is None else round(solved.seconds, 3),
            "stopped": "skipped" if solved is None else solved.stopped,
        }


def plan(recipe: Recipe, picture: Tensor, chosen: Choices) -> tuple[Stage, ...]:
    """The stages of a recipe; of those that go on, and of starts, ``measurement`` gives the colour only.

    Args:
        recipe: the first.
        picture: (B, C, H, W) in [0, 1], C being 1 or 3.
        chosen: the user's options; the colour is that of the last stage, whose image is given back.

    Raises:
        InputError: the noise level cannot be told, and a stage needs it.
    """
    return stages_of(recipe, Sight(picture, recipe, chosen), chosen.color)


@dataclass(frozen=True)
class Sight:
    """What stages see of a picture, each colour of it made and its noise estimated once.

    Attributes:
        picture: (B, C, H, W) in [0, 1].
        recipe: the whole, which may need the noise level.
        chosen: the user's options.
        seen: data, chroma and noise level by colour.
    """

    picture: Tensor
    recipe: Recipe
    chosen: Choices
    seen: dict[Color, tuple[Tensor, Tensor | None, float | None]] = field(default_factory=dict)

    def of(self, color: Color) -> tuple[Tensor, Tensor | None, float | None]:
        """Data, chroma and noise level of a colour; raises `InputError` where the level cannot be told."""
        if color not in self.seen:
            data, chroma = view(self.picture, color)
            given = self.chosen.sigma
            self.seen[color] = data, chroma, choices.noise_level(self.recipe, data) if given is None else given
        return self.seen[color]

    def through(self, side: int | None) -> Sight:
        """The most informative part of the picture, a square of that side; the same for None."""
        return self if side is None else replace(self, picture=windowed(self.picture, side), seen={})


def windowed(picture: Tensor, side: int) -> Tensor:
    """The most informative part of a picture."""
    return picture[(..., *informative_window(picture, side))]


def stages_of(recipe: Recipe, sight: Sight, color: Color | None) -> tuple[Stage, ...]:
    """As `plan`, of what is seen of a picture; the colour of the last stage, None for the recipe's own."""
    *before, last = recipe.links()
    colors = [*(link.measurement.color for link in before), color or last.measurement.color]
    part = sight.through(recipe.measurement.window)
    estimated, seed = sight.chosen.sigma is None, sight.chosen.seed
    return tuple(
        Stage(link, own, *seen.of(own), estimated, seed, tuple(stages_of(start, part, None) for start in link.starts))
        for link, seen, own in zip((*before, last), [*(part for _ in before), sight], colors, strict=True)
    )


def view(picture: Tensor, color: Color) -> tuple[Tensor, Tensor | None]:
    """What is restored of a picture, and the chroma that is kept."""
    return to_luma_chroma(picture) if color == "luma" and picture.shape[1] == 3 else (picture, None)


def still(kernel_size: tuple[int, int]) -> Tensor:
    """The kernel (1, 1, h, w) that does nothing."""
    kernel = torch.zeros(1, 1, *kernel_size)
    kernel[(..., *centre(kernel_size))] = 1
    return kernel


def check_stages(
    stages: Sequence[Stage], kernel_size: tuple[int, int], kernel: Tensor | None, device: torch.device
) -> Assembly:
    """Build every stage, those of starts too; what goes on from a kernel, for one that does nothing.

    Returns:
        The first stage.

    Raises:
        InvkitError: as `assemble`, saying of which stage.
    """
    first, *later = stages
    assembly = checked(first.assembled(kernel_size, kernel), device)
    for index, start in enumerate(first.starts):
        with placed(f"starts.{index}"):
            check_stages(start, kernel_size, None, device)
    for depth, stage in enumerate(later, start=1):
        with placed(later_place(depth)):
            checked(stage.assembled(kernel_size, still(kernel_size)), device)
    return assembly


def checked(assembly: Assembly, device: torch.device) -> Assembly:
    """What has been built, if its kernels are kernels and its image fits in memory; raises `InvkitError`."""
    choices.check_kernel_prior(assembly.problem.kernel_prior)
    choices.check_memory(assembly.problem.image_prior, device)
    return assembly


def later_place(depth: int) -> str:
    """Where in a recipe one of those that go on stands; the first of them is 1."""
    return ".".join(["then"] * depth)


@contextmanager
def placed(place: str) -> Iterator[None]:
    """Say of an error to which part of a recipe it belongs."""
    try:
        yield
    except InvkitError as error:
        raise type(error)(f"{place}: {error}") from error


def with_colors(document: Mapping[str, Any], stages: Sequence[Stage]) -> dict[str, Any]:
    """A resolved recipe with the colour of every stage, by which it can be made again."""
    first, *later = stages
    starts = [with_colors(*pair) for pair in zip(document["starts"], first.starts, strict=True)]
    then = with_colors(document["then"], later) if later else None
    measurement = {"color": first.color, "window": first.recipe.measurement.window}
    return {**document, "measurement": measurement, "starts": starts, "then": then}


@dataclass(frozen=True)
class Watch:
    """Who watches the stages, and for how long they may take.

    Attributes:
        observers: watchers of every stage, one after the other.
        first: watchers of the first stage alone, as what writes its checkpoints.
        progress: makes a watcher for each stage from a title.
        time_limit: seconds of all stages together, None for no limit.
    """

    observers: Sequence[Observer] = ()
    first: Sequence[Observer] = ()
    progress: Callable[[str], Observer] | None = None
    time_limit: float | None = None

    def of(self, index: int, title: str) -> list[Observer]:
        """The watchers of one stage."""
        bars = [] if self.progress is None else [self.progress(title)]
        return [*bars, *self.observers, *(self.first if index == 0 else ())]


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

    Attributes:
        stages: of `plan`; their noise levels change with the kernels found.
        device: where to solve.
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
            with placed(later_place(index)):
                self.go_on(index)
        return Outcome(self.stages, tuple(self.solved), self.stop)

    def go_on(self, index: int) -> None:
        """Solve a later stage from the kernel so far, or skip it."""
        last, limit = index == len(self.stages) - 1, self.limit(index)
        if self.interrupted.is_set():
            self.stop = self.stop or "interrupted"
        elif limit is not None and limit <= 0:
            self.stop = self.stop or "time limit"
        if self.stop and not last:
            self.solved.append(None)
            return
        kernel = torch.as_tensor([result for result in self.solved if result][-1].kernel)
        self.stages[index] = self.stages[index].knowing(kernel)
        assembly = self.stages[index].assembled(size_of(kernel), kernel)
        if self.stop and not is_known(assembly.problem.kernel_prior):
            self.solved.append(None)
        else:
            self.solve(index, assembly, limit)

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
        """Solve a stage."""
        solved = assembly.solver.solve(
            assembly.problem.to(self.device),
            observers=self.watch.of(index, self.title(index)),
            time_limit=limit,
            resume=resume,
        )
        self.solved.append(solved)
        if solved.stopped not in ENDS:
            self.stop = self.stop or solved.stopped

    def title(self, index: int) -> str:
        """What a progress bar says: the recipe, and of several stages the solver."""
        name = self.stages[0].recipe.name
        return name if len(self.stages) == 1 else f"{name}: {self.stages[index].recipe.solver.name}"


def is_known(prior: KernelPrior) -> bool:
    """Whether a kernel prior leaves nothing to be found."""
    return next(prior.parameters(), None) is None
