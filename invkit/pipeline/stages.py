"""The stages of a recipe, each with its view of the picture."""

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
from ..core.interfaces import Blur, GriddedBlur, KernelPrior
from ..core.ranges import UNIT_RANGE, ValueRange
from ..core.result import Result
from ..core.runtime.threads import threads_worth
from ..core.solver import Observer
from ..media.colour import to_luma_chroma
from ..numerics.framing import are_equal
from ..numerics.geometry import centre
from ..numerics.informative_window import informative_window
from ..numerics.noise import ROUNDING_SIGMA
from ..recipes.model import Recipe
from .assemble import Assembly, assemble
from .input_image import NOTHING_KNOWN, KnownOfData
from .model_error import contradicting_pixels, filled, model_error
from .options import Color, Options, check_memory, check_parameter_prior, depends_on_noise, noise_level
from .selection import build_selection

__all__ = [
    "RunControl",
    "Stage",
    "at_place",
    "check_stages",
    "next_place",
    "plan_stages",
    "stages_that_find_kernel",
    "with_colors",
]

MODEL_ERROR_FACTOR = 2.5  # weight of an error of the model against noise of the same size
REFINING_FACTOR = 2.0  # the same where the kernel is refined, and a part of the error is the kernel's


@dataclass(frozen=True)
class Stage:
    """One recipe of a sequence and the data it is solved on.

    Attributes:
        recipe: the method.
        color: of a colour image, what it restores.
        data: (B, C, H, W) in [0, 1]: the picture, or its luma.
        chroma: (B, 2, H, W) kept aside, or None where every channel is restored.
        sigma: standard deviation of the noise of the data; None for an image too small to estimate it.
        estimated: whether sigma was estimated, and not given.
        seed: of every random number.
        candidates: the stages of each recipe that it may start from; only the first stage has any.
        weights: of the data, as `Problem` takes them: bool where some pixels are unknown, numbers that follow from the
            user's variances; None: all 1. Unknown data were filled, which is what solvers see that are not of type
            `WeightedData`.
        needs_weights: whether such a solver is refused.
        image_range: of the image, where prior and solver can have another one than [0, 1].
    """

    recipe: Recipe
    color: Color
    data: Tensor
    chroma: Tensor | None
    sigma: float | None
    estimated: bool
    seed: int
    candidates: tuple[tuple[Stage, ...], ...] = ()
    weights: Tensor | None = None
    needs_weights: bool = False
    image_range: ValueRange = UNIT_RANGE

    def knowing(self, kernel: Tensor) -> Stage:
        """The stage that starts from a kernel (1, 1, h, w): an estimated noise level grows by the error of the model.

        The growth is the part of the model error's square beyond the level's square, and counts
        `MODEL_ERROR_FACTOR` times, or `REFINING_FACTOR` times if the kernel is refined: model errors are not
        independent from pixel to pixel, as noise is, and cause rings. This applies only if one kernel alone blurs the
        picture, and if a weight depends on the level. In a picture with bad or hidden pixels, pixels that contradict
        the blur are left out too.
        """
        operator = registry.load("operators", self.recipe.operator.name)
        if issubclass(operator, GriddedBlur) and are_equal(kernel):
            kernel = kernel[:1]  # one kernel blurs the whole picture
        elif not issubclass(operator, Blur):
            return self
        stage = self.without_contradictions(kernel)
        if not stage.estimated or stage.sigma is None or not depends_on_noise(stage.recipe):
            return stage
        excess = max(model_error(stage.data, kernel, stage.weights) ** 2 - stage.sigma**2, 0.0) ** 0.5
        factor = MODEL_ERROR_FACTOR if stage.recipe.keeps_kernel else REFINING_FACTOR
        return replace(stage, sigma=math.hypot(stage.sigma, factor * excess))

    def restoring(self, recipe: Recipe) -> Stage:
        """The same data restored by a recipe with a given kernel."""
        return replace(self, recipe=recipe, candidates=(), needs_weights=False)

    def without_contradictions(self, kernel: Tensor) -> Stage:
        """The stage without `contradicting_pixels`, if some pixels are unknown already and no variances are given."""
        if self.weights is None or self.weights.dtype != torch.bool:
            return self
        found = contradicting_pixels(self.data, kernel, self.weights)
        if not bool(found.any()):
            return self
        return replace(self, data=filled(self.data, ~found), weights=self.weights & ~found)

    def assembled(self, kernel_size: tuple[int, int], kernel: Tensor | None) -> Assembly:
        """Problem and solver.

        A stage whose kernel is still unknown (it has candidates) is built for a kernel without blur. The selection is
        not part of the problem.

        Args:
            kernel_size: (h, w), as for `assemble`.
            kernel: (1, 1, h, w) to start from, or None.

        Raises:
            InvkitError: as `assemble`.
        """
        kernel = identity_kernel(kernel_size) if self.candidates and kernel is None else kernel
        recipe = self.recipe.model_copy(update={"selection": []}) if self.recipe.needs_improvement else self.recipe
        with threads_worth(self.data.numel()):
            return assemble(
                recipe,
                self.data,
                kernel_size,
                kernel=kernel,
                sigma=self.sigma or 0.0,
                seed=self.seed,
                weights=self.weights,
                needs_weights=self.needs_weights,
                image_range=self.image_range,
            )

    def summary(self, solved: Result | None) -> dict[str, Any]:
        """The stage's entry in result.json; ``solved`` is None for a stage that was skipped."""
        compared = {} if solved is None else solved.details
        return {
            "name": self.recipe.name,
            "solver": self.recipe.solver.name,
            "noise_sigma": self.sigma,
            "iterations": 0 if solved is None else solved.iterations,
            "seconds": 0.0 if solved is None else round(solved.seconds, 3),
            "stopped": "skipped" if solved is None else solved.stopped,
            **{name: compared[name] for name in ("accepted", "scores") if name in compared},
        }


def plan_stages(
    recipe: Recipe,
    picture: Tensor,
    options: Options,
    are_pictures: bool = True,
    known: KnownOfData = NOTHING_KNOWN,
    rounding: float = ROUNDING_SIGMA,
    image_range: ValueRange = UNIT_RANGE,
) -> tuple[Stage, ...]:
    """The stages of a recipe; of next stages and candidates, the picture's window is that of the recipe.

    Args:
        recipe: the first.
        picture: (B, C, H, W) in [0, 1], C being 1 or 3.
        options: the user's; the colour applies to the last stage, whose image is returned.
        are_pictures: whether the data are pictures; other data have neither colours nor an estimate of their noise.
        known: which pixels were measured, and how well.
        rounding: standard deviation of the rounding of the picture, the least that its noise is taken for.
        image_range: of the image that the last stage gives, where prior and solver can have another one than [0, 1].

    Raises:
        InputError: a stage needs the noise level, and it cannot be estimated.
    """
    *before, last = stages_of(recipe, Views(picture, recipe, options, are_pictures, known, rounding), options.color)
    return (*before, replace(last, image_range=image_range, needs_weights=known.is_needed))


@dataclass(frozen=True)
class View:
    """A picture as a stage sees it.

    Attributes:
        data: (B, C, H, W).
        chroma: (B, 2, H, W) kept aside, or None.
        sigma: noise level; None if it is not known.
        weights: of the data; None: all 1.
    """

    data: Tensor
    chroma: Tensor | None
    sigma: float | None
    weights: Tensor | None


@dataclass(frozen=True)
class Views:
    """The views that stages have of a picture; each colour is made, and its noise estimated, once.

    Attributes:
        picture: (B, C, H, W) in [0, 1].
        recipe: the whole, which may need the noise level.
        options: the user's.
        are_pictures: whether the data are pictures.
        known: which pixels were measured, and how well.
        rounding: standard deviation of the rounding of the picture.
        views: by colour.
    """

    picture: Tensor
    recipe: Recipe
    options: Options
    are_pictures: bool = True
    known: KnownOfData = NOTHING_KNOWN
    rounding: float = ROUNDING_SIGMA
    views: dict[Color, View] = field(default_factory=dict)

    def of(self, color: Color) -> View:
        """The view of a colour; raises `InputError` if a needed noise level cannot be estimated."""
        color = color if self.picture.shape[1] == 3 else "rgb"  # a grey picture is its own luma
        if color not in self.views:
            data, chroma = split_color(self.picture, color) if self.are_pictures else (self.picture, None)
            weights, level = self.known.weights_and_level(color)
            self.views[color] = View(data, chroma, self.sigma(data) if level is None else level, weights)
        return self.views[color]

    def sigma(self, data: Tensor) -> float | None:
        """The noise level that the user gave, or the estimate for pictures."""
        if self.options.sigma is not None:
            return self.options.sigma
        if self.are_pictures:
            return noise_level(self.recipe, data, self.rounding)
        if any(depends_on_noise(one) for _, one in self.recipe.tree()):
            raise InputError(
                f"the recipe {self.recipe.name} needs the noise level, which cannot be estimated from data that are no "
                "pictures; give its standard deviation in the data's units (--sigma, sigma=...)"
            )
        return None

    def window(self, side: int | None) -> Views:
        """The views of the most informative square of this side; the same views if it covers the picture."""
        if side is None or side >= max(self.picture.shape[-2:]):
            return self
        place = (..., *informative_window(self.picture, side))
        # a view would take the whole picture to a worker
        return replace(self, picture=self.picture[place].clone(), known=self.known.at(place), views={})


def stages_of(recipe: Recipe, views: Views, color: Color | None) -> tuple[Stage, ...]:
    """As `plan_stages`.

    Args:
        recipe: the first.
        views: of the picture.
        color: of the last stage; None for the recipe's own.
    """
    *before, last = recipe.links()
    colors = [*(link.measurement.color for link in before), color or last.measurement.color]
    part = views.window(recipe.measurement.window)
    estimated, seed = views.options.sigma is None and views.known.variance is None, views.options.seed
    return tuple(
        Stage(
            link,
            own,
            (view := seen.of(own)).data,
            view.chroma,
            view.sigma,
            estimated,
            seed,
            candidates=tuple(stages_of(one, part, None) for one in link.candidates),
            weights=view.weights,
        )
        for link, seen, own in zip((*before, last), [*(part for _ in before), views], colors, strict=True)
    )


def stages_that_find_kernel(stages: Sequence[Stage]) -> Sequence[Stage]:
    """The stages of a candidate without the last ones that keep the kernel.

    A candidate with candidates of its own keeps all stages: the last one is solved from the kernel that it selects.
    """
    own = list(stages)
    while len(own) > 1 and own[-1].recipe.keeps_kernel and not own[0].candidates:
        own.pop()
    return own


def split_color(picture: Tensor, color: Color) -> tuple[Tensor, Tensor | None]:
    """What is restored of a picture, and the chroma that is kept."""
    return to_luma_chroma(picture) if color == "luma" and picture.shape[1] == 3 else (picture, None)


def identity_kernel(kernel_size: tuple[int, int]) -> Tensor:
    """The kernel (1, 1, h, w) that leaves an image unchanged."""
    kernel = torch.zeros(1, 1, *kernel_size)
    kernel[(..., *centre(kernel_size))] = 1
    return kernel


def check_stages(
    stages: Sequence[Stage], kernel_size: tuple[int, int], kernel: Tensor | None, device: torch.device
) -> Assembly:
    """Build every stage, those of candidates too; a stage that starts from a kernel is built for one without blur.

    Args:
        stages: of `plan_stages`.
        kernel_size: (h, w) of the unknown kernel.
        kernel: (B, 1, h, w) that was given, or None.
        device: where they will be solved.

    Returns:
        The first stage.

    Raises:
        InvkitError: as `assemble`; names the stage.
    """
    first, *later = stages
    assembly = checked_assembly(first.assembled(kernel_size, kernel), device)
    placeholder = placeholder_parameter(assembly, kernel_size)
    for index, candidate in enumerate(first.candidates):
        with at_place(f"candidates.{index}"):
            check_stages(candidate, kernel_size, None, device)
    if first.recipe.referee:
        with at_place("referee"):
            checked_assembly(first.restoring(first.recipe.referee).assembled(kernel_size, placeholder), device)
    for depth, stage in enumerate(later, start=1):
        with at_place(next_place(depth)):
            checked_assembly(stage.assembled(kernel_size, placeholder), device)
            build_selection(stage.recipe, stage.seed)
    return assembly


def placeholder_parameter(assembly: Assembly, kernel_size: tuple[int, int]) -> Tensor:
    """A value for a parameter that is still to be found: a kernel without blur, else the prior's initial value."""
    if issubclass(assembly.problem.operator.parameter_prior, KernelPrior):
        return identity_kernel(kernel_size)
    value: Tensor = assembly.problem.kernel_prior()
    return value.detach()


def checked_assembly(assembly: Assembly, device: torch.device) -> Assembly:
    """An assembly whose kernels are valid and whose image fits in memory; raises `InvkitError`."""
    check_parameter_prior(assembly.problem.kernel_prior)
    check_memory(assembly.problem.image_prior, device)
    return assembly


def next_place(depth: int) -> str:
    """The place of a later stage in its recipe, "next.next" for the third; empty for the first."""
    return ".".join(["next"] * depth)


@contextmanager
def at_place(place: str) -> Iterator[None]:
    """Prefix the place in a recipe to an error; an empty place leaves it as it is."""
    try:
        yield
    except InvkitError as error:
        if not place:
            raise
        raise type(error)(f"{place}: {error}") from error


def with_colors(document: Mapping[str, Any], stages: Sequence[Stage]) -> dict[str, Any]:
    """A resolved recipe with the colour and window of every stage, from which the run can be made again."""
    first, *later = stages
    candidates = [with_colors(*pair) for pair in zip(document["candidates"], first.candidates, strict=True)]
    following = with_colors(document["next"], later) if later else None
    measurement = {"color": first.color, "window": first.recipe.measurement.window}
    return {**document, "measurement": measurement, "candidates": candidates, "next": following}


@dataclass(frozen=True)
class RunControl:
    """The observers of the stages, and the time they may take.

    Attributes:
        observers: of every stage, one after the other.
        first_stage_observers: of the first stage only, as the writer of its checkpoints.
        progress: makes an observer for each stage from a title.
        time_limit: seconds for all stages together; None for no limit.
    """

    observers: Sequence[Observer] = ()
    first_stage_observers: Sequence[Observer] = ()
    progress: Callable[[str], Observer] | None = None
    time_limit: float | None = None

    def observers_of(self, index: int, title: str) -> list[Observer]:
        """The observers of one stage."""
        bars = [] if self.progress is None else [self.progress(title)]
        return [*bars, *self.observers, *(self.first_stage_observers if index == 0 else ())]
