"""A kernel that is given: the prior that makes a blind problem a non-blind one."""

from __future__ import annotations

import torch
from torch import Tensor

from ..errors import InputError
from ..interfaces import KernelPrior
from ..parameters import Shape, validated
from .simplex import checked_kernel

__all__ = ["KnownKernel"]


class KnownKernel(KernelPrior):
    """The kernel is known: no unknowns.

    Args:
        shape: (B, 1, h, w).
        start: the kernel, (B, 1, h, w), non-negative; scaled to sum one. May be None for 1x1 kernels, whose only
            value is one, as operators have that use no kernel.

    Raises:
        InputError: no kernel is given, or it is of another shape, negative, not finite or all zero.
    """

    kernel: Tensor

    @validated
    def __init__(self, shape: Shape, start: Tensor | None = None) -> None:
        super().__init__(shape)
        if start is None and tuple(shape[-2:]) != (1, 1):
            raise InputError("the kernel prior 'known' needs a kernel: give --kernel FILE or kernel=...")
        self.register_buffer("kernel", torch.ones(shape) if start is None else checked_kernel(start, shape))

    def forward(self) -> Tensor:
        """The kernel, (B, 1, h, w), >= 0, each summing to one."""
        return self.kernel
