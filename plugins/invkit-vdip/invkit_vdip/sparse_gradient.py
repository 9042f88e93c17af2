"""Sparse gradients, whose expectation over Gaussian pixels has an upper bound in closed form."""

from __future__ import annotations

from typing import final

from torch import Tensor

from invkit.core.parameters import Positive, validated

from .abilities import ExpectedPenalty

__all__ = ["SparseGradient"]


@final
class SparseGradient(ExpectedPenalty):
    """Mean logarithm of squared differences: the negative log of ``p(d) ~ (d^2 + floor)^(-1/4)``.

    With differences ``d_v, d_h`` down the rows and along the columns,

        ``R(u) = mean(log(1 + d_v^2 / floor)) / 4 + mean(log(1 + d_h^2 / floor)) / 4``.

    For Gaussian pixels ``E d^2 = (difference of the means)^2 + (sum of the two variances)``. By Jensen's inequality R
    with ``E d^2`` in place of ``d^2`` is an upper bound of the expectation of R. This is the sparse prior of Huo et
    al., IEEE TPAMI 2023, a super-Gaussian prior as in Babacan, Molina, Do, Katsaggelos, "Bayesian Blind Deconvolution
    with General Sparse Image Priors", ECCV 2012. Their code has the variational form ``w E d^2 / 4`` with the weight
    ``w = 1 / (E d^2 + floor)``, updated before each step; its gradient is the same.

    Args:
        floor: squared difference, in [0, 1] units, below which the penalty is about quadratic.

    Example:
        >>> import torch
        >>> SparseGradient()(torch.full((1, 1, 4, 4), 0.5)).item()
        0.0
    """

    @validated
    def __init__(self, *, floor: Positive = 1e-6) -> None:
        super().__init__()
        self.floor = floor

    def expected(self, mean: Tensor, std: Tensor) -> Tensor:
        """Map two tensors (B, C, H, W) to (B,), >= 0; a side of one pixel has no differences."""
        total = mean.new_zeros(len(mean))
        for dim in (-2, -1):
            length = mean.shape[dim] - 1
            if length:
                variance = std.square().narrow(dim, 1, length) + std.square().narrow(dim, 0, length)
                squares = mean.diff(dim=dim).square() + variance
                total = total + (squares / self.floor).log1p().mean((1, 2, 3)) / 4
        return total
