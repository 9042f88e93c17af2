"""Mean squared error."""

from __future__ import annotations

from torch import Tensor

from ..core.interfaces import LeastSquares
from ..core.parameters import validated

__all__ = ["MSE"]


class MSE(LeastSquares):
    """Mean squared difference, the log-likelihood of Gaussian noise up to factors (Ren et al., CVPR 2020, Eq. 6).

    A mean over the values of each image, where papers often write the sum ``||A(x, k) - y||^2``.
    """

    @validated
    def __init__(self) -> None:
        super().__init__()

    def forward(self, predicted: Tensor, data: Tensor) -> Tensor:
        """Two tensors (B, C, H, W) -> (B,), >= 0."""
        return (predicted - data).square().mean((1, 2, 3))
