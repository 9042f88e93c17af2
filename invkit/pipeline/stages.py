"""A recipe, its starts and those that go on from it, each with what it sees of the picture."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from ..core import registry
from ..core.errors import InputError, InvkitError
from ..core.interfaces import Blur, KernelPrior
from ..core.result import Result
from ..core.runtime.threads import threads_worth
from ..core.solver import Observer
from ..media.colour import to_luma_chroma
from ..numerics.geometry import centre
from ..numerics.window import informative_window
from ..recipes.model import Recipe
from . import options
from .assemble import Assembly, assemble, build_scores
from .model_error import model_error
from .options import Options, Color

__all__ = ["Stage", "Watch", "check_stages", "later_place", "placed", "plan", "with_colors"]

GRAVER = 2.5  # an error of the model, against noise of the same size


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
        candidates: the stages of each recipe that it is to start from; only the first of a chain has any.
    """

    recipe: Recipe
    color: Color
    data: Tensor
    chroma: Tensor | None
    sigma: float | None
    estimated: bool
    seed: int
    candidates: tuple[tuple[Stage, ...], ...] = ()

    def knowing(self, kernel: Tensor) -> Stage:
        """The stage for a kernel (1, 1, h, w): an estimated noise level grows by what the model misses beyond it.

        That is the excess of the misfit's square over the level's, and counts `GRAVER` times: what a model misses is
        not independent from pixel to pixel, as noise is, and makes up rings. Only where the kernel is taken as it is,
        it alone blurs the picture, and a weight depends on the noise level.
        """
        if not (
            self.recipe.is_nonblind
            and self.estimated
            and self.sigma is not None
            and options.depends_on_noise(self.recipe)
            and issubclass(registry.load("operators", self.recipe.operator.name), Blur)
        ):
            return self
        excess = max(model_error(self.data, kernel) ** 2 - self.sigma**2, 0.0) ** 0.5
        return replace(self, sigma=math.hypot(self.sigma, GRAVER * excess))

    def assembled(self, kernel_size: tuple[int, int], kernel: Tensor | None) -> Assembly:
        """Problem and solver; arguments and errors as `assemble`, but for no kernel where there are starts.

        What is to start from a kernel that is not known yet is built for one that does nothing. Scores, by which the
        kernel that it finds will be compared, are no part of the problem.
        """
        kernel = still(kernel_size) if self.candidates and kernel is None else kernel
        recipe = self.recipe.model_copy(update={"selection": []}) if self.recipe.is_on_trial else self.recipe
        with threads_worth(self.data.numel()):
            return assemble(recipe, self.data, kernel_size, kernel=kernel, sigma=self.sigma or 0.0, seed=self.seed)

    def told(self, solved: Result | None) -> dict[str, Any]:
        """What result.json says of it; None for a stage that was skipped."""
        compared = {} if solved is None else solved.details
        return {
            "name": self.recipe.name,
            "solver": self.recipe.solver.name,
            "noise_sigma": self.sigma,
            "iterations": 0 if solved is None else solved.iterations,
            "seconds": 0.0 if solved is None else round(solved.seconds, 3),
            "stopped": "skipped" if solved is None else solved.stopped,
            **{name: compared[name] for name in ("kept", "selection") if name in compared},
        }


def plan(recipe: Recipe, picture: Tensor, chosen: Options, pictures: bool = True) -> tuple[Stage, ...]:
    """The stages of a recipe; of those that go on, and of starts, ``measurement`` gives the colour only.

    Args:
        recipe: the first.
        picture: (B, C, H, W) in [0, 1], C being 1 or 3.
        chosen: the user's options; the colour is that of the last stage, whose image is given back.
        pictures: whether the data are pictures; other numbers have neither colours nor noise that could be estimated.

    Raises:
        InputError: the noise level cannot be told, and a stage needs it.
    """
    return stages_of(recipe, Sight(picture, recipe, chosen, pictures), chosen.color)


@dataclass(frozen=True)
class Sight:
    """What stages see of a picture, each colour of it made and its noise estimated once.

    Attributes:
        picture: (B, C, H, W) in [0, 1].
        recipe: the whole, which may need the noise level.
        chosen: the user's options.
        pictures: whether it is one, or other numbers.
        seen: data, chroma and noise level by colour.
    """

    picture: Tensor
    recipe: Recipe
    chosen: Options
    pictures: bool = True
    seen: dict[Color, tuple[Tensor, Tensor | None, float | None]] = field(default_factory=dict)

    def of(self, color: Color) -> tuple[Tensor, Tensor | None, float | None]:
        """Data, chroma and noise level of a colour; raises `InputError` where the level cannot be told."""
        color = color if self.picture.shape[1] == 3 else "rgb"  # a grey picture is its own luma
        if color not in self.seen:
            data, chroma = view(self.picture, color) if self.pictures else (self.picture, None)
            self.seen[color] = data, chroma, self.sigma(data)
        return self.seen[color]

    def sigma(self, data: Tensor) -> float | None:
        """The noise level as given, or as estimated of pictures."""
        if self.chosen.sigma is not None:
            return self.chosen.sigma
        if self.pictures:
            return options.noise_level(self.recipe, data)
        if any(options.depends_on_noise(one) for _, one in self.recipe.tree()):
            raise InputError(
                f"the recipe {self.recipe.name} needs the noise level of the data, which cannot be told of such; give "
                "it, the standard deviation in the data's units (--sigma, sigma=...)"
            )
        return None

    def through(self, side: int | None) -> Sight:
        """The most informative part of the picture, a square of that side; the same where that is all of it."""
        if side is None or side >= max(self.picture.shape[-2:]):
            return self
        return replace(self, picture=windowed(self.picture, side), seen={})


def windowed(picture: Tensor, side: int) -> Tensor:
    """The most informative part of a picture, a copy: a view, sent to another process, is the whole."""
    return picture[(..., *informative_window(picture, side))].clone()


def stages_of(recipe: Recipe, sight: Sight, color: Color | None) -> tuple[Stage, ...]:
    """As `plan`, of what is seen of a picture; the colour of the last stage, None for the recipe's own."""
    *before, last = recipe.links()
    colors = [*(link.measurement.color for link in before), color or last.measurement.color]
    part = sight.through(recipe.measurement.window)
    estimated, seed = sight.chosen.sigma is None, sight.chosen.seed
    return tuple(
        Stage(link, own, *seen.of(own), estimated, seed, tuple(stages_of(start, part, None) for start in link.candidates))
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
    found = beginning(assembly, kernel_size)
    for index, start in enumerate(first.candidates):
        with placed(f"candidates.{index}"):
            check_stages(start, kernel_size, None, device)
    for depth, stage in enumerate(later, start=1):
        with placed(later_place(depth)):
            checked(stage.assembled(kernel_size, found), device)
            build_scores(stage.recipe, stage.seed)
    return assembly


def beginning(assembly: Assembly, kernel_size: tuple[int, int]) -> Tensor:
    """What stands for an unknown that is still to be found: the kernel that does nothing, else its first value."""
    if issubclass(assembly.problem.operator.parameter_prior, KernelPrior):
        return still(kernel_size)
    value: Tensor = assembly.problem.kernel_prior()
    return value.detach()


def checked(assembly: Assembly, device: torch.device) -> Assembly:
    """What has been built, if its kernels are kernels and its image fits in memory; raises `InvkitError`."""
    options.check_kernel_prior(assembly.problem.kernel_prior)
    options.check_memory(assembly.problem.image_prior, device)
    return assembly


def later_place(depth: int) -> str:
    """Where in a recipe one of those that go on stands, the first of them being 1; the recipe itself is at no place."""
    return ".".join(["next"] * depth)


@contextmanager
def placed(place: str) -> Iterator[None]:
    """Say of an error to which part of a recipe it belongs, if to a part."""
    try:
        yield
    except InvkitError as error:
        if not place:
            raise
        raise type(error)(f"{place}: {error}") from error


def with_colors(document: Mapping[str, Any], stages: Sequence[Stage]) -> dict[str, Any]:
    """A resolved recipe with the colour of every stage, by which it can be made again."""
    first, *later = stages
    candidates = [with_colors(*pair) for pair in zip(document["candidates"], first.candidates, strict=True)]
    then = with_colors(document["next"], later) if later else None
    measurement = {"color": first.color, "window": first.recipe.measurement.window}
    return {**document, "measurement": measurement, "candidates": candidates, "next": then}


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
