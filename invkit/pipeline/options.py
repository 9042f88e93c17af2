"""What a caller chooses, checked before anything is computed: image, kernel, sizes, device, noise, memory."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

import numpy as np
import psutil
import torch
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from torch import Tensor

from ..core import registry
from ..core.errors import AssemblyError, InputError, OutOfMemoryError
from ..core.interfaces import ImagePrior, OperatorParameterPrior
from ..core.parameters import positional_names
from ..core.runtime.threads import threads_worth
from ..numerics.kurtosis import PATCH
from ..numerics.noise import estimate_sigma
from ..recipes.model import Recipe, load_recipe
from .inputs import Measured, Picture, Taken, take

__all__ = [
    "AUTO",
    "Options",
    "Color",
    "KernelSize",
    "auto_kernel_size",
    "check_kernel_prior",
    "check_kernel_size",
    "check_memory",
    "check_nonblind",
    "check_single",
    "check_takes_kernel",
    "choose_device",
    "decided",
    "find_recipe",
    "noise_level",
    "picked",
]

Color: TypeAlias = Literal["luma", "rgb"]
KernelSize: TypeAlias = int | tuple[int, int] | Literal["auto"]

AUTO = "auto"
QUICK, THOROUGH, FROM_A_KERNEL = "fast", "best", "polish"  # what "auto" picks from
SECONDS = 10.0  # that THOROUGH takes for 256 x 256 pixels, at most, on two cores of 2024: page Measured
KERNEL_LIMITS = (15, 65)  # pixels, of the automatic kernel size
ROUNDING = 1 / 255 / 12**0.5  # standard deviation of rounding to 8 bits
DEVICES = ("cpu", "cuda", "mps", "xpu")


def _plain(number: object) -> object:
    """NumPy's whole numbers as Python's."""
    if isinstance(number, tuple | list):
        return tuple(_plain(item) for item in number)
    return int(number) if isinstance(number, np.integer) else number


Side = Annotated[int, Field(gt=0)]


class Options(BaseModel):
    """The options of a restoration; None leaves them to the recipe, or to what the image says."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    kernel_size: Annotated[Side | tuple[Side, Side] | Literal["auto"] | None, BeforeValidator(_plain)] = None
    color: Color | None = None
    overrides: tuple[str, ...] = ()
    seed: Annotated[int, BeforeValidator(_plain), Field(ge=0, lt=2**63)] = 0
    device: str = "auto"
    sigma: Annotated[float | None, Field(ge=0, allow_inf_nan=False)] = None

    @classmethod
    def checked(cls, overrides: Sequence[str], values: dict[str, Any]) -> Options:
        """The options, checked.

        Raises:
            InputError: one has the wrong type or range; says which.
        """
        if isinstance(overrides, str):
            raise InputError(f"overrides must be a list of settings; write [{overrides!r}]")
        try:
            return cls(overrides=tuple(overrides), **values)
        except ValidationError as error:
            wrong = error.errors()[0]
            name = str(wrong["loc"][0])
            raise InputError(f"{name} must be {EXPECTED[name]}, got {values.get(name, overrides)!r}") from error


EXPECTED = {
    "kernel_size": "a positive number of pixels N, a pair (height, width) of them, or 'auto'",
    "color": "'luma' or 'rgb'",
    "overrides": "a list of settings as 'image_prior=pixels'",
    "seed": "a whole number from 0",
    "device": "a name as 'auto', 'cpu' or 'cuda:0'",
    "sigma": "a finite number from 0, in [0, 1] units, or None to estimate it",
}


def find_recipe(recipe: str | Path | Recipe) -> tuple[Recipe, Path]:
    """The recipe, and the folder that the files it names are relative to."""
    if isinstance(recipe, Recipe):
        return recipe, Path()
    return load_recipe(recipe), Path(recipe).parent


def decided(
    recipe: str | Path | Recipe | None, image: Measured | None, kernel: Picture | None, time_limit: float | None
) -> tuple[str | Path | Recipe, str | None, Taken | None]:
    """The recipe, and of one that "auto" or None stands for a line about it, and the image that was read to tell.

    Raises:
        InputError: there is no image to tell by, or it is refused as by `take`.
    """
    if recipe is not None and recipe != AUTO:
        return recipe, None, None
    if image is None:
        raise InputError("no image is given, and without a recipe there is none that names one; give one")
    taken = take(image)
    name, reason = picked(taken.data, kernel, time_limit)
    return name, f"{name}: {reason}", taken


def picked(picture: Tensor, kernel: Picture | None, time_limit: float | None) -> tuple[str, str]:
    """The name of the recipe that "auto" stands for, and why in a few words.

    A given kernel is made better; without one, `THOROUGH` finds it where the time limit leaves room for that.

    Args:
        picture: (B, C, H, W).
        kernel: where to begin from, if anywhere.
        time_limit: seconds, None for no limit.
    """
    if kernel is not None:
        return FROM_A_KERNEL, "a kernel is given to begin from"
    height, width = picture.shape[-2:]
    side = load_recipe(THOROUGH).measurement.window or max(height, width)
    needed = SECONDS * min(height, side) * min(width, side) / 256**2
    about = f"{THOROUGH} takes about {needed:.0f} s for {width}x{height} pixels"
    if time_limit is not None and needed > time_limit:
        return QUICK, f"{about}, more than the time limit of {time_limit:.0f} s"
    return THOROUGH, about


def choose_device(name: str) -> torch.device:
    """The device of that name; "auto" takes a GPU where there is one.

    Raises:
        InputError: there is no such device here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    kind = name.partition(":")[0]
    if kind not in DEVICES:
        raise InputError(f"there is no device '{name}'; choose auto, {', '.join(DEVICES)}, or cuda:1 and the like")
    try:
        torch.zeros(1, device=name)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise InputError(
            f"the device '{name}' is not there, or not in this build of torch; try --device cpu"
        ) from error
    return torch.device(name)


def auto_kernel_size(data: Tensor) -> tuple[int, int]:
    """An eighth of the shorter side, made odd, between 15 and 65 pixels: large enough for most camera shake.

    A kernel prior can leave the rim of too large a support empty; too small a one cannot hold the blur.
    """
    shorter = min(data.shape[-2:])
    low, high = KERNEL_LIMITS
    side = min(max(shorter // 8, low), high, shorter) // 2 * 2 + 1
    side = side if side <= shorter else side - 2
    return side, side


def check_kernel_size(size: KernelSize, data: Tensor, given: Tensor | None) -> tuple[int, int]:
    """The kernel's (h, w): what was asked for, or the given kernel's own.

    Raises:
        InputError: it is larger than the image, or another than the given kernel's.
    """
    height, width = auto_kernel_size(data) if size == "auto" else (size, size) if isinstance(size, int) else size
    if given is not None:
        own = (given.shape[-2], given.shape[-1])
        if size not in ("auto", own) and (height, width) != own:
            raise InputError(f"the kernel given is {own[0]}x{own[1]}, the kernel size {height}x{width}; leave one out")
        height, width = own
    if height > data.shape[-2] or width > data.shape[-1]:
        raise InputError(
            f"the kernel ({height}x{width}) is larger than the image ({data.shape[-2]}x{data.shape[-1]}); "
            "give a smaller kernel size or a larger image"
        )
    return height, width


def check_single(recipe: Recipe, data: Tensor) -> None:
    """Refuse several pictures for a recipe that compares kernels, those of one picture; raises `InputError`."""
    if len(data) > 1 and any(one.selection for _, one in recipe.tree()):
        raise InputError(
            f"the recipe {recipe.name} restores one picture at a time, and {len(data)} are given; restore each by "
            "itself, [deblur(one) for one in pictures], or use a recipe without selection, as fast-map"
        )


def check_nonblind(recipe: Recipe) -> None:
    """Refuse a recipe whose kernel prior would not look at a kernel that is given.

    Raises:
        InputError: says what to set, or which command estimates a kernel.
        UnknownNameError, PluginError: the kernel prior cannot be loaded.
    """
    name = "known" if recipe.kernel_prior is None else recipe.kernel_prior.name
    if "start" not in positional_names(registry.load("kernel_priors", name)):
        raise InputError(
            f"the recipe {recipe.name} is blind: its kernel prior '{name}' starts from no kernel; use the one given "
            "with --set kernel_prior=known (overrides=['kernel_prior=known']), or let invkit deblur estimate one"
        )


def check_takes_kernel(recipe: Recipe) -> None:
    """Refuse a kernel for a recipe whose starts find their own; raises `InputError`."""
    if recipe.candidates:
        raise InputError(
            f"the recipe {recipe.name} begins from kernels that its starts find, and would not look at the one given; "
            "set --set candidates=[] --set selection=[] (overrides=['candidates=[]', 'selection=[]']), or leave the kernel out"
        )


def check_kernel_prior(prior: OperatorParameterPrior) -> None:
    """Refuse a prior that does not give what its kind promises; raises `AssemblyError` naming it and what is wrong."""
    with torch.no_grad():
        value = prior()
    if tuple(value.shape) != tuple(prior.shape):
        wrong: str | None = f"of shape {tuple(value.shape)} instead of {tuple(prior.shape)}"
    else:
        wrong = prior.flaw(value)
    if wrong:
        raise AssemblyError(
            f"the kernel prior {type(prior).__name__} gives what is no kernel, or no other unknown of its kind; it is "
            f"{wrong}; invkit.testing tells more"
        )


def check_memory(prior: ImagePrior, device: torch.device) -> None:
    """Refuse, before it is begun, what would not fit; raises `OutOfMemoryError` with what to change.

    The system would end such a process without a word.
    """
    free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else psutil.virtual_memory().available
    needed = prior.memory_needed()
    if needed > free:
        height, width = prior.shape[-2:]
        raise OutOfMemoryError(
            f"{type(prior).__name__} needs about {needed / 2**30:.1f} GB for an image of {width}x{height}, and "
            f"{free / 2**30:.1f} GB are free; crop the image, or set a smaller network "
            "(image_prior.params.channels=16) or image_prior=pixels"
        )


def depends_on_noise(recipe: Recipe) -> bool:
    """Whether the weight of a term is in proportion to the noise level; those that go on from it aside."""
    return any(term.scale_by != "one" and term.weight > 0 for term in recipe.regularizers)


def noise_level(recipe: Recipe, data: Tensor) -> float | None:
    """The standard deviation of the noise as estimated, but at least `ROUNDING`, which weights may be in proportion to.

    JPEG, denoising in the camera and dark areas hide noise from the estimator, and a deconvolution whose weight goes to
    zero fits whatever of the model is not true. None for an image too small to tell, where no term needs it.
    """
    if not any(depends_on_noise(one) for _, one in recipe.tree()) and min(data.shape[-2:]) < PATCH:
        return None
    with threads_worth(data.numel()):
        return max(estimate_sigma(data), ROUNDING)
