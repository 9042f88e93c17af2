"""Mean absolute error."""

from __future__ import annotations

from torch import Tensor

from ..core.interfaces import Fidelity
from ..core.parameters import validated

__all__ = ["L1"]


class L1(Fidelity):
    """Mean absolute difference, robust to outliers (the log-likelihood of Laplacian noise up to factors).

    Where the two are equal the gradient is zero.
    """

    @validated
    def __init__(self) -> None:
        super().__init__()

    def forward(self, predicted: Tensor, data: Tensor) -> Tensor:
        """Two tensors (B, C, H, W) -> (B,), >= 0."""
        return (predicted - data).abs().mean((1, 2, 3))
