"""Recipes as reconstruction models of deepinv."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...core import registry
from ...core.errors import AssemblyError, InputError
from ...core.interfaces import Blur, ForwardOperator, KernelPrior
from ...core.nested import ComponentSpec
from ...media.colour import from_luma_chroma
from ...numerics.framing import visible_part
from ...numerics.geometry import Size, margins, shape_of, size_of
from ...operators.convolution import Convolution
from ...pipeline.assemble import build_problem
from ...pipeline.job import prepare, read_recipe
from ...pipeline.multistart import solve_stages
from ...pipeline.options import ROUNDING_SIGMA, Color, KernelSize, Options, depends_on_noise, noise_level
from ...pipeline.stages import RunControl
from ...recipes.model import Recipe, check_parameters, check_recipe
from .calls import as_data, physics_classes, throwaway
from .operators import PICTURES
from .physics import PhysicsOperator

__all__ = ["as_reconstructor"]

PADDINGS = ("valid", "circular", "replicate", "reflect")
"""Of deepinv's those that invkit's convolution has."""

PER_IMAGE = ("angle", "coil_maps", "filter", "filters", "mask", "multipliers")
"""What a physics may have one of for each image of a batch."""


def as_reconstructor(
    recipe: str | Path | Recipe,
    *,
    blind: bool | None = None,
    kernel_size: KernelSize | None = None,
    color: Color | None = None,
    overrides: Sequence[str] = (),
    seed: int = 0,
    sigma: float | None = None,
    time_limit: float | None = None,
    together: bool = False,
) -> nn.Module:
    """A recipe as a ``deepinv.models.Reconstructor``: ``model(y, physics)`` gives the image, as in ``deepinv.test``.

    Blind, the recipe restores y as a photograph whose kernel is unknown: of the physics only the size of its image is
    looked at, not its filter, and what of a picture lies outside [0, 1] is clipped.

    Not blind, the physics is the operator: a blur by a kernel as invkit's convolution, which every solver takes,
    another linear one as it is, for the solvers that take any, as ``linear-admm`` and ``joint-adam``; y is taken as it
    is, all its channels together.

    The model has no parameters to train, and its images no gradient.

    Args:
        recipe: a registered recipe's name, a ``.toml`` file or a `Recipe`. Where it is not blind and goes on with
            others (``next``), the last of them is used.
        blind: whether the kernel is unknown; None: what the recipe says. False takes the physics, with its filter, in
            the place of what the recipe would estimate.
        kernel_size: of the unknown kernel, as `deblur`.
        color: as `deblur`; of no matter if not blind.
        overrides: as `deblur`.
        seed: of every random number.
        sigma: standard deviation of the noise, in y's units. None: not blind, that of the physics' ``GaussianNoise``
            where it has one; else it is estimated, of pictures.
        time_limit: seconds for each image.
        together: solve a batch at once instead of one image after the other: faster on a GPU, but then networks share
            their weights among its images.

    Returns:
        The model. Called with y of a batch of B and a linear physics, it gives (B, C, H, W) of the physics' image, on
        y's device and in its precision.

    Raises:
        InvkitError: the recipe or an option cannot be used; or, when it is called, the data cannot.
    """
    named = {"kernel_size": kernel_size, "color": color, "seed": seed, "sigma": sigma}
    chosen = Options.checked(overrides, named)
    method = read_recipe(recipe, chosen)
    check_recipe(method)
    is_blind = not knows_operator(method) if blind is None else blind
    if is_blind and knows_operator(method):
        raise InputError(f"the recipe {method.name} finds no kernel, and cannot be blind; name another, or blind=False")
    if kernel_size is not None and not is_blind:
        raise InputError(
            f"the recipe {method.name} is not blind here: the physics has its kernel; leave kernel_size out"
        )
    restore = (
        BlindRestoration(method, chosen, time_limit) if is_blind else Inversion(last_of(method), chosen, time_limit)
    )
    return model_class()(restore, together)


class Restoration(Protocol):
    """How images come from data."""

    def __call__(self, y: Tensor, physics: Any, place: int) -> Tensor:
        """Data of a batch, their physics and the place of the first in the whole batch -> images (B, C, H, W)."""


class RecipeModel(nn.Module):
    """A recipe as a model: y and the physics it was measured by -> the image.

    Args:
        restore: how.
        together: whether a batch is solved at once.
    """

    def __init__(self, restore: Restoration, together: bool) -> None:
        super().__init__()
        self.restore, self.together = restore, together

    def forward(self, y: Tensor, physics: Any) -> Tensor:
        """Data of a batch of B -> images (B, C, H, W), without gradients; raises `InvkitError`."""
        check_physics(physics)
        name = type(physics).__name__
        as_data(name, y)  # refuses what is no tensor of real numbers
        with torch.inference_mode(False), torch.enable_grad():
            data = y.detach().clone().to(torch.promote_types(y.dtype, torch.float32))
            parts = [data] if self.together else [*data[:, None]]
            images = [
                self.restore(part, of_image(throwaway(physics, data), place, len(parts)), place)
                for place, part in enumerate(parts)
            ]
        return torch.cat(images).detach().to(y)


@cache
def model_class() -> type[RecipeModel]:
    """`RecipeModel` as deepinv's models are."""
    from deepinv.models import Reconstructor

    class RecipeReconstructor(RecipeModel, Reconstructor):  # type: ignore[misc]
        __doc__ = RecipeModel.__doc__

    return RecipeReconstructor


@dataclass(frozen=True)
class BlindRestoration:
    """The restoration of photographs whose kernel is unknown.

    Attributes:
        recipe: the whole.
        chosen: the options.
        time_limit: seconds.
    """

    recipe: Recipe
    chosen: Options
    time_limit: float | None

    def __call__(self, y: Tensor, physics: Any, place: int) -> Tensor:
        """See `Restoration`."""
        data = as_data(type(physics).__name__, y)
        within = registry.load("operators", self.recipe.operator.name).data_range
        job = prepare(
            data.cpu() if within is None else data.cpu().clamp(*within),
            recipe=self.recipe,
            kernel_size=self.chosen.kernel_size,
            color=self.chosen.color,
            seed=self.chosen.seed,
            device=str(y.device),
            sigma=self.chosen.sigma,
        )
        outcome = solve_stages(job.stages, job.assembly, job.device, RunControl(time_limit=self.time_limit))
        (stage, solved), wanted = outcome.last, image_size_of(physics, y)
        image, kernel = torch.as_tensor(solved.image), torch.as_tensor(solved.kernel)
        if not isinstance(job.operator, Blur):
            check_size(self.recipe, size_of(image), wanted or size_of(image))
            return image
        frame = frame_of(size_of(data), wanted)
        visible = visible_part(image, size_of(data), size_of(kernel))
        own = (1, 1) if visible is image else size_of(kernel)
        plane = reframed(image, own, frame)
        whole = plane if stage.chroma is None else from_luma_chroma(plane, reframed(stage.chroma, (1, 1), frame))
        return whole.clamp(0, 1)


@dataclass(frozen=True)
class Inversion:
    """The solution of a problem whose operator is a physics.

    Attributes:
        recipe: of image prior, fidelity, regularizers and solver.
        chosen: the options.
        time_limit: seconds.
    """

    recipe: Recipe
    chosen: Options
    time_limit: float | None

    def __call__(self, y: Tensor, physics: Any, place: int) -> Tensor:
        """See `Restoration`."""
        data = as_data(type(physics).__name__, y).cpu()
        sigma = self.sigma(data, physics, place)
        whole = PhysicsOperator(physics, measured=tuple(y.shape[1:])), None
        operator, kernel = known_blur(physics, len(data)) or whole
        checked = check_parameters(self.recipe, self.chosen.seed)
        problem, solver = build_problem(self.recipe, checked, operator, data, (1, 1), kernel, sigma)
        try:
            solver.check(problem)
        except AssemblyError as error:
            raise AssemblyError(
                f"with deepinv's {type(physics).__name__} for its operator the recipe {self.recipe.name} cannot be "
                f"solved: {error}; the solvers that take any linear operator are linear-admm and joint-adam"
            ) from error
        return torch.as_tensor(solver.solve(problem.to(y.device), time_limit=self.time_limit).image)

    def sigma(self, data: Tensor, physics: Any, place: int) -> float:
        """The noise level; raises `InputError` where it is needed and cannot be told."""
        if self.chosen.sigma is not None:
            return self.chosen.sigma
        told = noise_of(physics, place)
        if told is not None:
            return max(told, ROUNDING_SIGMA)
        if type(physics).__name__ in PICTURES:
            return noise_level(self.recipe, data) or 0.0
        if depends_on_noise(self.recipe):
            raise InputError(
                f"the recipe {self.recipe.name} needs the noise level of the data, which those of deepinv's "
                f"{type(physics).__name__} do not tell; give sigma=..., or the physics its GaussianNoise"
            )
        return 0.0


class KnownBlur(Convolution):
    """A blur whose data may have noise beyond [0, 1]."""

    data_range = None

    def initial_image(self, data: Tensor, kernel: Tensor) -> Tensor:
        """The data in [0, 1], (B, C, H', W')."""
        return data.clamp(0, 1)


def known_blur(physics: Any, batch: int) -> tuple[ForwardOperator, Tensor] | None:
    """A blur of deepinv as invkit's, and its kernels (B, 1, h, w); None for another physics, or filter."""
    known = physics_classes()
    if not isinstance(physics, (known["Blur"], known["BlurFFT"])) or physics.filter is None or physics.filter.ndim != 4:
        return None
    kernel = physics.filter[:, :1].cpu()
    if not torch.equal(kernel.expand_as(physics.filter), physics.filter.cpu()) or KernelPrior.flaw(kernel):
        return None
    padding: Any = physics.padding if isinstance(physics, known["Blur"]) else "circular"
    return (KnownBlur(padding=padding), kernel.expand(batch, -1, -1, -1)) if padding in PADDINGS else None


def knows_operator(recipe: Recipe) -> bool:
    """Whether a recipe is given the operator's unknown, or there is none."""
    prior = recipe.kernel_prior
    return not recipe.candidates and (prior is None or prior.name.rpartition(":")[2].startswith("known"))


def last_of(recipe: Recipe) -> Recipe:
    """The last link of a recipe, for an operator that is given."""
    last = recipe.links()[-1]
    prior = last.kernel_prior if last.is_nonblind else ComponentSpec(name="known")
    own: dict[str, Any] = {
        "operator": ComponentSpec(name="identity"),
        "kernel_prior": prior,
        "candidates": [],
        "selection": [],
        "next": None,
    }
    return last.model_copy(update=own)


def check_physics(physics: object) -> None:
    """Refuse what is no linear physics; raises `InputError`."""
    if not isinstance(physics, physics_classes()["LinearPhysics"]):
        raise InputError(f"the physics must be one of deepinv's LinearPhysics, got {type(physics).__name__}")


def of_image(physics: Any, place: int, batch: int) -> Any:
    """A physics for one image of a batch, as it is where the batch is one; changes the physics given."""
    for name, value in physics._buffers.items():
        if name in PER_IMAGE and batch > 1 and value is not None and value.ndim > 3 and len(value) == batch:
            physics._buffers[name] = value[place : place + 1]
    return physics


def noise_of(physics: Any, place: int) -> float | None:
    """The standard deviation of a physics' Gaussian noise, None of other noise."""
    from deepinv.physics import GaussianNoise

    if not isinstance(physics.noise_model, GaussianNoise):
        return None
    levels = torch.as_tensor(physics.noise_model.sigma).flatten()
    return float(levels[min(place, len(levels) - 1)])


def image_size_of(physics: Any, y: Tensor) -> Size | None:
    """(height, width) of the image that a physics makes such data of; None where it does not say, as without filter."""
    operator = PhysicsOperator(physics, measured=tuple(y.shape[1:]))
    try:
        shape = operator.image_shape(shape_of(as_data(operator.name, y)), (1, 1, 1, 1))
    except InputError:
        return None
    return shape[2], shape[3]


def frame_of(data_size: Size, image_size: Size | None) -> Size:
    """The size of the kernel that takes an image to data by a valid convolution; raises `InputError` for none."""
    if image_size is None:
        return 1, 1
    rows, columns = (whole - seen + 1 for whole, seen in zip(image_size, data_size, strict=True))
    if rows < 1 or columns < 1:
        raise InputError(f"the physics makes larger data of an image, {data_size} of {image_size}; it is no blur")
    return rows, columns


def reframed(image: Tensor, own: Size, wanted: Size) -> Tensor:
    """An image with the margins of one kernel, cropped or extended by its edge pixels to those of another."""
    (top, bottom), (left, right) = margins(wanted)
    (above, below), (before, after) = margins(own)
    sides = (left - before, right - after, top - above, bottom - below)
    cropped = F.pad(image, [min(side, 0) for side in sides])
    return F.pad(cropped, [max(side, 0) for side in sides], mode="replicate")


def check_size(recipe: Recipe, given: Size, wanted: Size) -> None:
    """Refuse a recipe whose operator has another image than the physics; raises `InputError`."""
    if given != wanted:
        raise InputError(
            f"the recipe {recipe.name} gives images of {given[0]}x{given[1]} pixels, and the physics makes these data "
            f"of {wanted[0]}x{wanted[1]}; name a recipe with an operator of its kind, or let the physics be the "
            "operator with blind=False"
        )
