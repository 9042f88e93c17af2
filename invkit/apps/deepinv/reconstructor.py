"""Recipes as reconstructors of deepinv."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...core import registry
from ...core.errors import AssemblyError, InputError
from ...core.interfaces import Blur, ForwardOperator, KernelPrior, LinearOperator
from ...core.nested import ComponentSpec
from ...media.colour import from_luma_chroma
from ...numerics.framing import visible_part
from ...numerics.geometry import Size, margins, shape_of, size_of
from ...numerics.noise import ROUNDING_SIGMA
from ...operators.convolution import Convolution
from ...pipeline.assemble import build_problem
from ...pipeline.job import prepare, read_recipe
from ...pipeline.multistart import solve_stages
from ...pipeline.options import Color, KernelSize, Options, depends_on_noise, noise_level
from ...pipeline.stages import RunControl
from ...pipeline.units import BRIGHTEST_NUMBER, brightness_of
from ...recipes.model import Recipe, check_parameters, check_recipe
from .components import IMAGE_PHYSICS
from .physics import PhysicsOperator, as_real_data, physics_classes, temporary_copy

__all__ = ["as_reconstructor"]

PADDINGS = ("valid", "circular", "replicate", "reflect")
"""The paddings of deepinv that invkit's convolution has, too."""

PER_IMAGE = ("angle", "coil_maps", "filter", "filters", "mask", "multipliers")
"""Buffers of a physics that may have one entry for each image of a batch."""


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

    A blind model restores y as a photograph with an unknown kernel. It uses only the size of the physics' image, not
    its filter. Values of an image outside [0, 1] are clipped.

    For a non-blind model the physics is the operator. A blur by a kernel becomes invkit's convolution, which every
    solver accepts. Another linear physics is used directly, with solvers for any linear operator, such as
    ``linear-admm`` and ``joint-adam``. The values of y are not changed, and all channels are solved together.

    The model has no trainable parameters, and its images have no gradient.

    Args:
        recipe: the name of a registered recipe, a ``.toml`` file or a `Recipe`. Of a recipe with several stages
            (``next``), a non-blind model uses the last one.
        blind: whether the kernel is unknown; None: as in the recipe. With False the physics and its filter replace
            the recipe's estimate.
        kernel_size: size of the unknown kernel, as for `deblur`.
        color: as for `deblur`; without effect for a non-blind model.
        overrides: as for `deblur`.
        seed: of all random numbers.
        sigma: standard deviation of the noise, in the units of y. None: that of the physics' ``GaussianNoise`` for a
            non-blind model; without one, it is estimated if the data are images.
        time_limit: seconds for each image.
        together: solve a batch at once instead of one image after the other. This is faster on a GPU, but the images
            then share the weights of networks.

    Returns:
        The model. For y with a batch of B and a linear physics, it gives the physics' image (B, C, H, W) on the device
        and in the precision of y.

    Raises:
        InvkitError: the recipe or an option cannot be used; at a call: the data cannot.
    """
    named = {"kernel_size": kernel_size, "color": color, "seed": seed, "sigma": sigma}
    chosen = Options.checked(overrides, named)
    method = read_recipe(recipe, chosen)
    check_recipe(method)
    is_blind = not has_known_operator(method) if blind is None else blind
    if is_blind and has_known_operator(method):
        raise InputError(f"the recipe {method.name} estimates no kernel; choose a blind recipe, or blind=False")
    if kernel_size is not None and not is_blind:
        raise InputError(
            f"the recipe {method.name} is not blind here, because the physics has a kernel; leave kernel_size out"
        )
    if is_blind:
        return model_class()(BlindRestoration(method, chosen, time_limit), together)
    return model_class()(Inversion(last_stage_of(method), chosen, time_limit), together)


Restoration: TypeAlias = Callable[[Tensor, Any, int], Tensor]
"""Data y, their physics, and the position of the first image in the whole batch -> images (B, C, H, W)."""


class RecipeModel(nn.Module):
    """A recipe as a model: data y and their physics -> the image.

    Args:
        restore: computes the images.
        together: whether a batch is solved at once.
    """

    def __init__(self, restore: Restoration, together: bool) -> None:
        super().__init__()
        self.restore, self.together = restore, together

    def forward(self, y: Tensor, physics: Any) -> Tensor:
        """Data of a batch of B -> images (B, C, H, W), without gradients; raises `InvkitError`."""
        check_physics(physics)
        name = type(physics).__name__
        as_real_data(name, y)  # refuses anything but a real tensor
        with torch.inference_mode(False), torch.enable_grad():
            data = y.detach().clone().to(torch.promote_types(y.dtype, torch.float32))
            parts = [data] if self.together else [*data[:, None]]
            images = [
                self.restore(part, for_one_image(temporary_copy(physics, data), place, len(parts)), place)
                for place, part in enumerate(parts)
            ]
        return torch.cat(images).detach().to(y)


@cache
def model_class() -> type[RecipeModel]:
    """`RecipeModel` as a class of deepinv's reconstructors."""
    from deepinv.models import Reconstructor

    class RecipeReconstructor(RecipeModel, Reconstructor):  # type: ignore[misc]
        __doc__ = RecipeModel.__doc__

    return RecipeReconstructor


@dataclass(frozen=True)
class BlindRestoration:
    """The restoration of photographs with an unknown kernel.

    Attributes:
        recipe: with all its stages.
        chosen: the options.
        time_limit: seconds for each image.
    """

    recipe: Recipe
    chosen: Options
    time_limit: float | None

    def __call__(self, y: Tensor, physics: Any, place: int) -> Tensor:
        """Restore; the arguments are those of `Restoration`."""
        data = as_real_data(type(physics).__name__, y)
        within = registry.load("operators", self.recipe.operator.name).data_range
        job = prepare(
            data.cpu() if within is None else data.cpu().clamp(*within),
            recipe=self.recipe,
            kernel_size=self.chosen.kernel_size,
            color=self.chosen.color,
            seed=self.chosen.seed,
            device=str(y.device),
            sigma=self.chosen.sigma,
        ).sized()
        outcome = solve_stages(job.stages, job.assembly, job.device, RunControl(time_limit=self.time_limit), job.frame)
        (stage, solved), wanted = outcome.last, image_size_of(physics, y)
        image, kernel = torch.as_tensor(solved.image), torch.as_tensor(solved.kernel)
        if not isinstance(job.operator, Blur):
            check_same_size(self.recipe, size_of(image), wanted or size_of(image))
            return job.image.in_units(image)
        frame = valid_kernel_size(size_of(data), wanted)
        visible = visible_part(image, size_of(data), size_of(kernel))
        own = (1, 1) if visible is image else size_of(kernel)
        plane = change_margins(image, own, frame)
        whole = plane if stage.chroma is None else from_luma_chroma(plane, change_margins(stage.chroma, (1, 1), frame))
        return job.image.in_units(whole.clamp(*job.image.range))


@dataclass(frozen=True)
class Inversion:
    """The solution of a problem with a physics as its operator.

    Attributes:
        recipe: its image prior, fidelity, regularizers and solver are used.
        chosen: the options.
        time_limit: seconds for each image.
    """

    recipe: Recipe
    chosen: Options
    time_limit: float | None

    def __call__(self, y: Tensor, physics: Any, place: int) -> Tensor:
        """Restore; the arguments are those of `Restoration`."""
        data = as_real_data(type(physics).__name__, y).cpu()
        sigma = self.sigma(data, physics, place)
        whole = PhysicsOperator(physics, measured=tuple(y.shape[1:])), None
        operator, kernel = known_blur(physics, len(data)) or whole
        checked, white = check_parameters(self.recipe, self.chosen.seed), 1.0
        if type(physics).__name__ not in IMAGE_PHYSICS and isinstance(operator, LinearOperator):
            white = brightness_of(checked, operator, data, (1, 1), kernel) / BRIGHTEST_NUMBER
        scaled = data if white == 1 else data / white
        problem, solver = build_problem(self.recipe, checked, operator, scaled, (1, 1), kernel, sigma / white)
        try:
            solver.check(problem)
        except AssemblyError as error:
            raise AssemblyError(
                f"with deepinv's {type(physics).__name__} as its operator the recipe {self.recipe.name} cannot be "
                f"solved: {error}; the solvers for any linear operator are linear-admm and joint-adam"
            ) from error
        return white * torch.as_tensor(solver.solve(problem.to(y.device), time_limit=self.time_limit).image)

    def sigma(self, data: Tensor, physics: Any, place: int) -> float:
        """The noise level; raises `InputError` if the recipe needs it and nothing determines it.

        Args:
            data: (B, C, H, W).
            physics: may have a noise model.
            place: position of the first image in the whole batch.
        """
        if self.chosen.sigma is not None:
            return self.chosen.sigma
        modelled = gaussian_noise_of(physics, place)
        if modelled is not None:
            return max(modelled, ROUNDING_SIGMA)
        if type(physics).__name__ in IMAGE_PHYSICS:
            return noise_level(self.recipe, data) or 0.0
        if depends_on_noise(self.recipe):
            raise InputError(
                f"the recipe {self.recipe.name} needs the noise level, which cannot be estimated from the data of "
                f"deepinv's {type(physics).__name__}; give sigma=..., or a physics with GaussianNoise"
            )
        return 0.0


class KnownBlur(Convolution):
    """A blur for data with noise beyond [0, 1]."""

    data_range = None

    def initial_image(self, data: Tensor, kernel: Tensor) -> Tensor:
        """The data in [0, 1], (B, C, H', W')."""
        return data.clamp(0, 1)


def known_blur(physics: Any, batch: int) -> tuple[ForwardOperator, Tensor] | None:
    """A blur of deepinv as invkit's operator, with its kernels (B, 1, h, w); None for another physics or filter."""
    known = physics_classes()
    if not isinstance(physics, (known["Blur"], known["BlurFFT"])) or physics.filter is None or physics.filter.ndim != 4:
        return None
    kernel = physics.filter[:, :1].cpu()
    if not torch.equal(kernel.expand_as(physics.filter), physics.filter.cpu()) or KernelPrior.flaw(kernel):
        return None
    padding: Any = physics.padding if isinstance(physics, known["Blur"]) else "circular"
    return (KnownBlur(padding=padding), kernel.expand(batch, -1, -1, -1)) if padding in PADDINGS else None


def has_known_operator(recipe: Recipe) -> bool:
    """Whether the operator of a recipe has no parameter, or a known one."""
    prior = recipe.kernel_prior
    return not recipe.candidates and (prior is None or prior.name.rpartition(":")[2].startswith("known"))


def last_stage_of(recipe: Recipe) -> Recipe:
    """The last stage of a recipe, for a given operator."""
    last = recipe.links()[-1]
    prior = last.kernel_prior if last.keeps_kernel else ComponentSpec(name="known")
    own: dict[str, Any] = {
        "operator": ComponentSpec(name="identity"),
        "kernel_prior": prior,
        "candidates": [],
        "selection": [],
        "referee": None,
        "next": None,
    }
    return last.model_copy(update=own)


def check_physics(physics: object) -> None:
    """Refuse anything but a linear physics; raises `InputError`."""
    if not isinstance(physics, physics_classes()["LinearPhysics"]):
        raise InputError(f"the physics must be one of deepinv's LinearPhysics, got {type(physics).__name__}")


def for_one_image(physics: Any, place: int, batch: int) -> Any:
    """Reduce a physics to one image of a batch; for a batch of one it stays the same.

    Args:
        physics: changed in place.
        place: position of the image in the batch.
        batch: number of images.
    """
    for name, value in physics._buffers.items():
        if name in PER_IMAGE and batch > 1 and value is not None and value.ndim > 3 and len(value) == batch:
            physics._buffers[name] = value[place : place + 1]
    return physics


def gaussian_noise_of(physics: Any, place: int) -> float | None:
    """The standard deviation of a physics' Gaussian noise; None for other noise."""
    from deepinv.physics import GaussianNoise

    if not isinstance(physics.noise_model, GaussianNoise):
        return None
    levels = torch.as_tensor(physics.noise_model.sigma).flatten()
    return float(levels[min(place, len(levels) - 1)])


def image_size_of(physics: Any, y: Tensor) -> Size | None:
    """(height, width) of the image of a physics for such data; None if unknown, for example without a filter."""
    operator = PhysicsOperator(physics, measured=tuple(y.shape[1:]))
    try:
        shape = operator.image_shape(shape_of(as_real_data(operator.name, y)), (1, 1, 1, 1))
    except InputError:
        return None
    return shape[2], shape[3]


def valid_kernel_size(data_size: Size, image_size: Size | None) -> Size:
    """The kernel size for which a valid convolution of the image gives the data; raises `InputError` for none."""
    if image_size is None:
        return 1, 1
    rows, columns = (whole - seen + 1 for whole, seen in zip(image_size, data_size, strict=True))
    if rows < 1 or columns < 1:
        raise InputError(f"the physics is no blur: its data of {data_size} are larger than its image of {image_size}")
    return rows, columns


def change_margins(image: Tensor, own: Size, wanted: Size) -> Tensor:
    """Crop an image, or extend it by its edge pixels, from the margins of one kernel to those of another.

    Args:
        image: (B, C, H, W).
        own: kernel size for the present margins.
        wanted: kernel size for the new margins.
    """
    (top, bottom), (left, right) = margins(wanted)
    (above, below), (before, after) = margins(own)
    sides = (left - before, right - after, top - above, bottom - below)
    cropped = F.pad(image, [min(side, 0) for side in sides])
    return F.pad(cropped, [max(side, 0) for side in sides], mode="replicate")


def check_same_size(recipe: Recipe, given: Size, wanted: Size) -> None:
    """Refuse a recipe with an image of another size than the physics; raises `InputError`.

    Args:
        recipe: named in the error message.
        given: (height, width) of the recipe's image.
        wanted: (height, width) of the physics' image.
    """
    if given != wanted:
        raise InputError(
            f"the recipe {recipe.name} gives images of {given[0]}x{given[1]} pixels, but the physics' image has "
            f"{wanted[0]}x{wanted[1]}; choose a recipe with the same kind of operator, or use the physics as the "
            "operator with blind=False"
        )
