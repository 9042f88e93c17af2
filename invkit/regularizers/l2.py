"""Squared penalties: on the differences of an image, and on a kernel."""

from __future__ import annotations

from torch import Tensor

from ..core.interfaces import Regularizer, Reweightable
from ..core.parameters import NonNegative, validated
from .shrinkage import difference_filters, filter_weights, mean_penalty, values_per_image

__all__ = ["GradientL2", "KernelL2"]


class GradientL2(Reweightable):
    """Mean of the squared differences: Tikhonov smoothness, as in Cho & Lee's fast deconvolution (SIGGRAPH Asia 2009).

    The sum over first differences (vertical, horizontal; zero across the border) of ``d^2`` and over second differences
    (vertical, horizontal, mixed) of ``second * d^2``, divided by the number C H W of the image's values. The penalty is
    quadratic, so a deconvolution with it is one linear solve.

    Args:
        second: weight of the second differences relative to the first; 0 for none.

    Example:
        >>> import torch
        >>> ramp = torch.arange(4.0).expand(1, 1, 4, 4)  # 12 of 16 values have a horizontal difference of 1
        >>> GradientL2()(ramp)
        tensor([0.7500])
    """

    @validated
    def __init__(self, *, second: NonNegative = 0.0) -> None:
        super().__init__()
        self.filters, self.relative = difference_filters(second)

    def penalty(self, coefficients: Tensor) -> Tensor:
        """Differences (K, B, C, H, W) -> (B,), >= 0."""
        return mean_penalty(coefficients.square() * self.factors(coefficients), coefficients)

    def prox(self, coefficients: Tensor, step: float) -> Tensor:
        """Differences (K, B, C, H, W), step > 0 -> the same shape, divided by ``1 + 2 step * weight / (C H W)``."""
        return coefficients / (1 + 2 * step / values_per_image(coefficients) * self.factors(coefficients))

    def weights(self, coefficients: Tensor) -> Tensor:
        """Twice the weight of each filter over C H W, for all differences (K, B, C, H, W)."""
        return (2 / values_per_image(coefficients) * self.factors(coefficients)).expand_as(coefficients).contiguous()

    def factors(self, coefficients: Tensor) -> Tensor:
        """The weight of each filter, (K, 1, 1, 1, 1)."""
        return filter_weights(self.relative, coefficients)


class KernelL2(Regularizer):
    """Sum of the squares of a kernel (Cho & Lee, SIGGRAPH Asia 2009, Eq. 6); for a fixed sum, it prefers wide kernels.

    This is a sum, not a mean as for images, so zeros around a kernel do not change the value. For a kernel that sums to
    one it lies between 1 / (h w), for a uniform kernel, and 1, for a delta.

    Example:
        >>> import torch
        >>> KernelL2()(torch.full((1, 1, 2, 2), 0.25))
        tensor([0.2500])
    """

    def forward(self, value: Tensor) -> Tensor:
        """Value (B, C, H, W) -> (B,), >= 0."""
        return value.square().sum((1, 2, 3))
