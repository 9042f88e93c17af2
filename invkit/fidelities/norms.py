"""Mean squared and mean absolute difference."""

from __future__ import annotations

from torch import Tensor

from ..core.interfaces import Fidelity, LeastSquares

__all__ = ["L1", "MSE"]


class MSE(LeastSquares):
    """Mean squared difference, the log-likelihood of Gaussian noise up to constants (Ren et al., CVPR 2020, Eq. 6).

    This is the mean over the values of each image. Papers often use the sum ``||A(x, k) - y||^2``.

    Example:
        >>> import torch
        >>> MSE()(torch.zeros(1, 3, 4, 4), torch.full((1, 3, 4, 4), 0.5))
        tensor([0.2500])
    """

    def forward(self, predicted: Tensor, data: Tensor) -> Tensor:
        """Two tensors (B, C, H, W) -> (B,), >= 0."""
        return (predicted - data).square().mean((1, 2, 3))


class L1(Fidelity):
    """Mean absolute difference, robust to outliers: the log-likelihood of Laplacian noise up to constants.

    The gradient is zero where the two are equal.
    """

    def forward(self, predicted: Tensor, data: Tensor) -> Tensor:
        """Two tensors (B, C, H, W) -> (B,), >= 0."""
        return (predicted - data).abs().mean((1, 2, 3))
