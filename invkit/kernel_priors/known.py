"""Known kernels and other operator parameters: priors without unknowns make a blind problem a non-blind one."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Annotated, ClassVar, final

import torch
from pydantic import Field
from torch import Tensor

from ..core.errors import InputError
from ..core.interfaces import KernelPrior, OperatorParameterPrior, Resizable
from ..core.operator_parameters import CoilMapPrior, MaskPrior, PhaseMaskPrior, ScanPrior, StackKernelPrior
from ..core.parameters import validated
from ..numerics.framing import new_size
from ..numerics.geometry import Shape
from ..numerics.resampling import resample_kernel
from .simplex import checked_kernel

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["KnownCoilMaps", "KnownKernel", "KnownMask", "KnownPhaseMasks", "KnownScan", "KnownStackKernel"]


class KnownKernel(KernelPrior, Resizable):
    """A known kernel without unknowns.

    On another grid it is the given kernel, resampled once, however many grids lie between.

    Args:
        shape: (B, 1, h, w); by default one pixel, for operators without a parameter.
        start: the kernel, (B, 1, h, w), non-negative; it is scaled to sum one. May be None for 1x1 kernels, whose only
            value is one.
        threshold: entries below this share of the largest are set to zero. A softmax leaves many small entries, which
            degrade a deconvolution.

    Raises:
        InputError: no kernel is given, or it has another shape, or it is negative, not finite or all zero.

    Example:
        >>> KnownKernel((1, 1, 1, 3), torch.tensor([[[[1.0, 2.0, 1.0]]]]))().tolist()
        [[[[0.25, 0.5, 0.25]]]]
    """

    kernel: Tensor
    given: Tensor

    @validated
    def __init__(
        self,
        shape: Shape = (1, 1, 1, 1),
        start: Tensor | None = None,
        *,
        threshold: Annotated[float, Field(ge=0, lt=1)] = 0.0,
    ) -> None:
        super().__init__(shape)
        if start is None and tuple(shape[-2:]) != (1, 1):
            raise InputError("the kernel prior 'known' needs a kernel: give --kernel FILE or kernel=...")
        kernel = torch.ones(shape) if start is None else checked_kernel(start, shape)
        kernel = kernel * (kernel >= threshold * kernel.amax((-2, -1), keepdim=True))
        self.register_buffer("kernel", kernel / kernel.sum((-2, -1), keepdim=True))
        self.register_buffer("given", self.kernel, persistent=False)
        self.scale = 1.0  # pixels per pixel of the given kernel

    def forward(self) -> Tensor:
        """Give the kernel, (B, 1, h, w), >= 0, each summing to one."""
        return self.kernel

    def resized(self, shape: Shape, scale: float) -> Self:
        """Return the given kernel, resampled about its centre pixel; raises `InputError` for another batch."""
        known = copy.deepcopy(self)
        known.shape, known.scale = shape, self.scale * scale
        known.kernel = resample_kernel(self.given, new_size(self.shape, shape), known.scale)
        return known


class KnownParameter(OperatorParameterPrior):
    """A known operator parameter: a buffer without unknowns.

    Attributes:
        noun: what the parameter is called in error messages.
    """

    noun: ClassVar[str]
    value: Tensor

    def __init__(self, shape: Shape, start: Tensor | None = None) -> None:
        super().__init__(shape)
        self.register_buffer("value", self.checked(shape, start))

    def forward(self) -> Tensor:
        """Give the known value, of ``self.shape``."""
        return self.value

    @classmethod
    def checked(cls, shape: Shape, start: Tensor | None) -> Tensor:
        """Return a copy of the given value; raises `InputError` if it is missing, or not allowed for its kind."""
        if start is None:
            raise InputError(f"a known {cls.noun} must be given: use --kernel FILE or kernel=...")
        if tuple(start.shape) != tuple(shape):
            raise InputError(f"the given {cls.noun} has shape {tuple(start.shape)}, but {tuple(shape)} is needed")
        flaw = cls.flaw(start)
        if flaw:
            raise InputError(f"the given {cls.noun} is {flaw}")
        return start.detach().clone()


@final
class KnownMask(KnownParameter, MaskPrior):
    """A known mask.

    Args:
        shape: (B, 1, H, W).
        start: the mask, of that shape, in [0, 1].

    Raises:
        InputError: no mask is given, or it has another shape or values outside [0, 1].
    """

    noun = "mask"


@final
class KnownCoilMaps(KnownParameter, CoilMapPrior):
    """Known coil maps.

    Args:
        shape: (B, 2 N, H, W).
        start: the maps, of that shape, real parts first; in each pixel the squares sum to one over the coils.

    Raises:
        InputError: no maps are given, or they have another shape, or their squares do not sum to one.
    """

    noun = "set of coil maps"


@final
class KnownScan(KnownParameter, ScanPrior):
    """A known geometry of a scan; by default the nominal one.

    Args:
        shape: (B, 1, 2, A).
        start: displacements of the axis to the right of the detector's centre, pixels, then deviations of the angles,
            degrees; None for zeros.

    Raises:
        InputError: the geometry has another shape or is not finite.
    """

    noun = "scan geometry"

    @classmethod
    def checked(cls, shape: Shape, start: Tensor | None) -> Tensor:
        """Return a copy of the given geometry, or zeros; raises `InputError` if it is not allowed."""
        return torch.zeros(shape) if start is None else super().checked(shape, start)


@final
class KnownPhaseMasks(KnownParameter, PhaseMaskPrior):
    """Known phase masks; by default those that the operator draws.

    Args:
        shape: (B, M, H, W).
        start: the phases, of that shape, radians.
        guess: those of the operator, used if ``start`` is None.

    Raises:
        InputError: no phases are given, or they have another shape or are not finite.
    """

    noun = "set of phase masks"

    def __init__(self, shape: Shape, start: Tensor | None = None, guess: Tensor | None = None) -> None:
        super().__init__(shape, guess if start is None else start)


@final
class KnownStackKernel(KnownParameter, StackKernelPrior):
    """The known kernel of a stack, as the point-spread function of a microscope.

    Args:
        shape: (B, d, h, w).
        start: the kernel, of that shape, non-negative; it is scaled to sum one. Recorded kernels have a background:
            subtract it first.

    Raises:
        InputError: no kernel is given, or it has another shape, or it is negative, not finite or all zero.
    """

    noun = "kernel of a stack"

    @classmethod
    def checked(cls, shape: Shape, start: Tensor | None) -> Tensor:
        """Return a copy of the given kernel that sums to one; raises `InputError` if it cannot be one."""
        if start is not None:
            if not bool(torch.isfinite(start).all()) or bool((start < 0).any()) or not bool((start > 0).any()):
                raise InputError(f"the given {cls.noun} must be finite, non-negative and not all zero")
            start = cls.allowed(start.double()).to(start)
        return super().checked(shape, start)
