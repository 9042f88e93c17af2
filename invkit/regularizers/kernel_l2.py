"""Squared norm of the kernel."""

from __future__ import annotations

from torch import Tensor

from ..core.interfaces import Regularizer
from ..core.parameters import validated

__all__ = ["KernelL2"]


class KernelL2(Regularizer):
    """Sum of squares, which among kernels that sum to one prefers spread ones (Cho & Lee, SIGGRAPH Asia 2009, Eq. 6).

    A sum, not a mean as the penalties on images are: a kernel that is padded with zeros keeps its value. Between
    1 / (h w) for a uniform kernel and 1 for a delta.
    """

    @validated
    def __init__(self) -> None:
        super().__init__()

    def forward(self, value: Tensor) -> Tensor:
        """Value (B, C, H, W) -> (B,), >= 0."""
        return value.square().sum((1, 2, 3))
