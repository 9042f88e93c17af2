"""The options of a restoration, and the checks of what they ask for: device, kernel size, noise level, memory."""

from __future__ import annotations

import reprlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Any, Literal, TypeAlias

import numpy as np
import psutil
import torch
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from torch import Tensor

from ..core import registry
from ..core.errors import AssemblyError, InputError, OutOfMemoryError, is_out_of_memory
from ..core.interfaces import Blur, ForwardOperator, KernelPrior, OperatorParameterPrior
from ..core.memory import StatesMemory, memory_needed
from ..core.operator_parameters import Stacked
from ..core.parameters import LARGEST, positional_names
from ..core.problem import Problem, type_name
from ..core.runtime.threads import threads_worth
from ..core.solver import Solver
from ..numerics.noise import PATCH_SIDE, ROUNDING_SIGMA, estimate_sigma
from ..recipes.model import Recipe
from .kernel_frame import KernelFrame

__all__ = [
    "Color",
    "KernelSize",
    "Options",
    "check_accepts_kernel",
    "check_kernel_size",
    "check_memory",
    "check_nonblind",
    "check_parameter_prior",
    "check_single_image",
    "choose_device",
    "depends_on_noise",
    "explained_memory",
    "kernel_frame_of",
    "noise_level",
]

WITHOUT_CANDIDATES = ("candidates=[]", "selection=[]", "referee=none")  # of a recipe that has them

Color: TypeAlias = Literal["luma", "rgb"]
KernelSize: TypeAlias = int | tuple[int, int] | Literal["auto"]

DEVICE_TYPES = ("cpu", "cuda", "mps", "xpu")


def _plain(number: object) -> object:
    """NumPy's whole numbers as Python's."""
    if isinstance(number, tuple | list):
        return tuple(_plain(item) for item in number)
    return int(number) if isinstance(number, np.integer) else number


SideLength = Annotated[int, Field(gt=0)]


class Options(BaseModel):
    """The options of a restoration; None leaves a choice to the recipe or to the image."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    kernel_size: Annotated[
        SideLength | tuple[SideLength, SideLength] | Literal["auto"] | None, BeforeValidator(_plain)
    ] = None
    color: Color | None = None
    overrides: tuple[str, ...] = ()
    seed: Annotated[int, BeforeValidator(_plain), Field(ge=0, lt=2**63)] = 0
    device: str = "auto"
    sigma: Annotated[float | None, Field(ge=0, le=LARGEST, allow_inf_nan=False)] = None
    whole_picture: bool = False
    uncertainty: Annotated[bool | Annotated[int, Field(ge=2, le=10_000)], BeforeValidator(_plain)] = False
    white: Annotated[float | None, Field(gt=0, le=LARGEST, allow_inf_nan=False)] = None

    @classmethod
    def checked(cls, overrides: Sequence[str], values: dict[str, Any]) -> Options:
        """The options, validated.

        Args:
            overrides: settings of the recipe.
            values: the other options by name.

        Raises:
            InputError: one has a wrong type or range; says which.
        """
        if isinstance(overrides, str):
            raise InputError(f"overrides must be a list of settings; write [{overrides!r}]")
        try:
            return cls(overrides=tuple(overrides), **values)
        except ValidationError as error:
            wrong = error.errors()[0]
            name = str(wrong["loc"][0])
            given = reprlib.repr(values.get(name, overrides))
            raise InputError(f"{name} must be {EXPECTED_OPTION[name]}, got {given}") from error


EXPECTED_OPTION = {
    "kernel_size": "a positive number of pixels N, a pair (height, width) of them, or 'auto'",
    "color": "'luma' or 'rgb'",
    "overrides": "a list of settings as 'image_prior=pixels'",
    "seed": "a whole number from 0",
    "device": "a name as 'auto', 'cpu' or 'cuda:0'",
    "sigma": f"a finite number from 0 to {LARGEST:g}, in [0, 1] units, or None to estimate it",
    "whole_picture": "True or False",
    "uncertainty": "True, False or a number of samples from 2 to 10000",
    "white": f"a number above 0 and up to {LARGEST:g}, in the units of the data, or None to find it",
}


def choose_device(name: str) -> torch.device:
    """The device of a name; "auto" is a GPU if there is one.

    Raises:
        InputError: there is no such device here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    kind = name.partition(":")[0]
    if kind not in DEVICE_TYPES:
        raise InputError(f"there is no device '{name}'; choose auto, {', '.join(DEVICE_TYPES)}, or cuda:1 and the like")
    try:
        torch.zeros(1, device=name)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise InputError(
            f"the device '{name}' is not there, or not in this build of torch; try --device cpu"
        ) from error
    return torch.device(name)


def check_kernel_size(size: KernelSize | Literal["largest"], data: Tensor, given: Tensor | None) -> KernelFrame:
    """The frame of the kernel: of the size asked for, of that of a given kernel, or one whose size is to be found.

    Args:
        size: N, (h, w), "auto" or, from a recipe only, "largest".
        data: (B, C, H, W).
        given: kernel (B, 1, h, w), or None.

    Raises:
        InputError: it is larger than the image, or differs from the given kernel's.
    """
    asked = None if isinstance(size, str) else (size, size) if isinstance(size, int) else size
    if given is not None:
        own = (given.shape[-2], given.shape[-1])
        if asked not in (None, own):
            height, width = asked or own
            raise InputError(f"the kernel given is {own[0]}x{own[1]}, the kernel size {height}x{width}; leave one out")
        asked = own
    if asked is None:
        frame = KernelFrame.found_for(data)
        return frame.largest() if size == "largest" else frame
    height, width = asked
    if height > data.shape[-2] or width > data.shape[-1]:
        raise InputError(
            f"the kernel ({height}x{width}) is larger than the image ({data.shape[-2]}x{data.shape[-1]}); "
            "give a smaller kernel size or a larger image"
        )
    return KernelFrame.of_size(asked)


def kernel_frame_of(
    method: Recipe, operator: type[ForwardOperator], options: Options, data: Tensor, parameter: Tensor | None
) -> KernelFrame:
    """The frame of the kernel to estimate or of the given one; 1x1 without a kernel.

    Args:
        method: the recipe, which may name a size.
        operator: its class.
        options: the user's, which come before the recipe's.
        data: (B, C, H, W).
        parameter: the given kernel, or None.
    """
    is_kernel = issubclass(operator.parameter_prior, KernelPrior)
    if not is_kernel or (method.kernel_prior is None and not method.candidates):
        return KernelFrame.of_size((1, 1))
    frame = check_kernel_size(options.kernel_size or method.measurement.kernel_size, data, parameter)
    can_be_found = issubclass(operator, Blur) and len(data) == 1
    return frame if can_be_found else KernelFrame.of_size(frame.size)


def check_single_image(recipe: Recipe, data: Tensor) -> None:
    """Refuse several images for a recipe that selects among kernels of one image; raises `InputError`."""
    if len(data) > 1 and any(one.selection for _, one in recipe.tree()):
        raise InputError(
            f"the recipe {recipe.name} restores one image at a time, and {len(data)} are given; restore each by "
            "itself, [deblur(one) for one in images], or use a recipe without a selection, as fast-map"
        )


def check_nonblind(recipe: Recipe) -> None:
    """Refuse a recipe whose kernel prior would ignore a given kernel.

    Raises:
        InputError: says what to set, or which command estimates a kernel.
        UnknownNameError, PluginError: the kernel prior cannot be loaded.
    """
    name = "known" if recipe.kernel_prior is None else recipe.kernel_prior.name
    if "start" not in positional_names(registry.load("kernel_priors", name)):
        raise InputError(
            f"the recipe {recipe.name} is blind: its kernel prior '{name}' cannot start from a kernel; use the given "
            "one with --set kernel_prior=known (overrides=['kernel_prior=known']), or let invkit deblur estimate one"
        )


def check_accepts_kernel(recipe: Recipe) -> None:
    """Refuse a kernel for a recipe whose candidates find their own; raises `InputError`."""
    if recipe.candidates:
        raise InputError(
            f"the recipe {recipe.name} starts from the kernels of its candidates and would ignore the given one; give "
            f"{' '.join(f'--set {one}' for one in WITHOUT_CANDIDATES)} (overrides={list(WITHOUT_CANDIDATES)}), "
            "or leave the kernel out"
        )


def check_parameter_prior(prior: OperatorParameterPrior) -> None:
    """Refuse a prior whose value breaks the rules of its kind; raises `AssemblyError` that names the flaw."""
    with torch.no_grad():
        value = prior()
    if tuple(value.shape) != tuple(prior.shape):
        flaw: str | None = f"of shape {tuple(value.shape)} instead of {tuple(prior.shape)}"
    else:
        flaw = prior.flaw(value)
    if flaw:
        raise AssemblyError(
            f"the kernel prior {type(prior).__name__} does not give a valid kernel, or other operator parameter: its "
            f"value is {flaw}; the checks of invkit.testing explain more"
        )


def check_memory(problem: Problem, solver: Solver[Any], device: torch.device) -> None:
    """Refuse, before any compute, a problem that would not fit in memory; raises `OutOfMemoryError`.

    The system would otherwise kill the process without a message.
    """
    free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else psutil.virtual_memory().available
    needed = memory_needed(solver, problem)
    if needed <= free:
        return
    is_stack, shape = isinstance(problem.operator, Stacked), problem.image_prior.shape
    size = "x".join(map(str, shape[1:] if is_stack else (shape[-1], shape[-2])))
    who, remedy = (
        type_name(problem.image_prior),
        "set a smaller network (image_prior.channels=16) or image_prior=pixels",
    )
    if isinstance(solver, StatesMemory):
        who, remedy = type_name(solver), solver.memory_remedy
    raise OutOfMemoryError(
        f"{who} needs about {needed / 1e9:.1f} GB for an image of {size}, and {free / 1e9:.1f} GB are free; "
        f"crop the image, or {remedy}"
    )


@contextmanager
def explained_memory() -> Iterator[None]:
    """Turn a lack of memory into an `OutOfMemoryError` that says what to change."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error) or isinstance(error, OutOfMemoryError):
            raise
        raise OutOfMemoryError(
            "the problem does not fit in memory; crop the image, set a smaller network "
            "(image_prior.channels=16), or solver.precision=bfloat16"
        ) from error


def depends_on_noise(recipe: Recipe) -> bool:
    """Whether the weight of a term is scaled by the noise level; next stages are not considered."""
    return any(term.scale_by in ("sigma", "variance") and term.weight > 0 for term in recipe.regularizers)


def noise_level(recipe: Recipe, data: Tensor, rounding: float = ROUNDING_SIGMA) -> float | None:
    """The estimated standard deviation of the noise, at least that of the rounding of the data.

    JPEG, denoising in the camera and dark areas hide noise from the estimator.

    Args:
        recipe: whose stages may need the level.
        data: (B, C, H, W) in [0, 1].
        rounding: standard deviation of the error of rounding; that of 8 bits by default.

    Returns:
        The level in [0, 1] units; None for an image too small for the estimator, if no stage needs it.
    """
    if not any(depends_on_noise(one) for _, one in recipe.tree()) and min(data.shape[-2:]) < PATCH_SIDE:
        return None
    with threads_worth(data.numel()):
        return max(estimate_sigma(data), rounding)
