"""Squared errors of the predicted data and of their derivatives."""

from __future__ import annotations

from typing import final

from torch import Tensor

from invkit.core.errors import InputError
from invkit.core.interfaces import Fidelity
from invkit.core.parameters import NonNegative, Positive, validated

__all__ = ["DerivativeMSE"]

MIN_SIDE = 3  # pixels that a second difference needs


@final
class DerivativeMSE(Fidelity):
    """Weighted mean squares of the residual and of its first and second differences.

    With the residual ``r = A(x, k) - y`` and differences ``d_v, d_h`` down the rows and along the columns,

        ``value mean(r^2) + first (mean((d_v r)^2) + mean((d_h r)^2))
        + second (mean((d_v d_v r)^2) + mean((d_h d_h r)^2) + 2 mean((d_v d_h r)^2))``,

    the log-likelihood of noise whose derivatives are independent Gaussians too (Shan, Jia, Agarwala, "High-quality
    Motion Deblurring from a Single Image", SIGGRAPH 2008; Huo et al., IEEE TPAMI 2023). The code of Huo et al. divides
    all sums by the number of the image's values; here each sum is divided by the number of its terms. Their code has
    1/4 for the first differences, and again 1/4 for the same differences as ``k * (d x) - d y``, in total 1/2.

    Args:
        value: weight of the residual's mean square.
        first: weight of the mean squares of its first differences.
        second: weight of the mean squares of its second differences.

    Example:
        >>> import torch
        >>> DerivativeMSE(value=2.0)(torch.full((1, 1, 3, 3), 0.5), torch.zeros(1, 1, 3, 3)).item()
        0.5
    """

    @validated
    def __init__(self, *, value: Positive = 0.5, first: NonNegative = 0.5, second: NonNegative = 0.125) -> None:
        super().__init__()
        self.value, self.first, self.second = value, first, second

    def forward(self, predicted: Tensor, data: Tensor) -> Tensor:
        """Compare two tensors (B, C, H, W): (B,), >= 0.

        Raises:
            InputError: they have fewer than 3 pixels on a side.
        """
        check_difference_size(predicted)
        residual = predicted - data
        down, along = residual.diff(dim=-2), residual.diff(dim=-1)
        straight = mean_square(down.diff(dim=-2)) + mean_square(along.diff(dim=-1))
        mixed = 2 * mean_square(down.diff(dim=-1))
        return (
            self.value * mean_square(residual)
            + self.first * (mean_square(down) + mean_square(along))
            + self.second * (straight + mixed)
        )


def mean_square(value: Tensor) -> Tensor:
    """Return the mean square of each of a batch, (B, C, H, W) -> (B,)."""
    return value.square().mean((1, 2, 3))


def check_difference_size(image: Tensor) -> None:
    """Raise `InputError` for an image that is too small for second differences."""
    height, width = image.shape[-2:]
    if min(height, width) < MIN_SIDE:
        raise InputError(
            f"the fidelity 'derivative-mse' needs images of at least {MIN_SIDE}x{MIN_SIDE} pixels, got "
            f"{height}x{width}; use 'mse' for smaller ones"
        )
