"""A kernel that is given: the prior that makes a blind problem a non-blind one."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Annotated

import torch
from pydantic import Field
from torch import Tensor

from ..core.errors import InputError
from ..core.interfaces import KernelPrior, Resizable
from ..core.parameters import validated
from ..numerics.geometry import Shape, new_size, resample_kernel
from .simplex import checked_kernel

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["KnownKernel"]


class KnownKernel(KernelPrior, Resizable):
    """The kernel is known: no unknowns.

    On another grid it is the kernel that was given, resampled once, however many grids lie between.

    Args:
        shape: (B, 1, h, w).
        start: the kernel, (B, 1, h, w), non-negative; scaled to sum one. May be None for 1x1 kernels, whose only
            value is one, as operators have that use no kernel.
        threshold: entries under this share of the largest are dropped. A softmax leaves a haze of small entries,
            which a deconvolution pays for.

    Raises:
        InputError: no kernel is given, or it is of another shape, negative, not finite or all zero.
    """

    kernel: Tensor
    given: Tensor

    @validated
    def __init__(
        self,
        shape: Shape,
        start: Tensor | None = None,
        *,
        threshold: Annotated[
            float, Field(ge=0, lt=1, description="entries under this share of the largest are dropped")
        ] = 0.0,
    ) -> None:
        super().__init__(shape)
        if start is None and tuple(shape[-2:]) != (1, 1):
            raise InputError("the kernel prior 'known' needs a kernel: give --kernel FILE or kernel=...")
        kernel = torch.ones(shape) if start is None else checked_kernel(start, shape)
        kernel = kernel * (kernel >= threshold * kernel.amax((-2, -1), keepdim=True))
        self.register_buffer("kernel", kernel / kernel.sum((-2, -1), keepdim=True))
        self.register_buffer("given", self.kernel, persistent=False)
        self.scale = 1.0  # pixels per pixel of the kernel given

    def forward(self) -> Tensor:
        """The kernel, (B, 1, h, w), >= 0, each summing to one."""
        return self.kernel

    def resized(self, shape: Shape, scale: float) -> Self:
        """The kernel given, resampled about its centre pixel; raises `InputError` for another batch."""
        known = copy.deepcopy(self)
        known.shape, known.scale = shape, self.scale * scale
        known.kernel = resample_kernel(self.given, new_size(self.shape, shape), known.scale)
        return known
