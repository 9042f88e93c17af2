"""Powers of differences, whose heavy tails match natural images."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from ..core.interfaces import Reweightable
from ..core.parameters import Fraction, NonNegative, validated
from ..numerics.finite_differences import GRADIENT
from .shrinkage import (
    blockwise,
    difference_filters,
    filter_weights,
    mean_penalty,
    power_shrinkage,
    values_per_image,
)

__all__ = ["HyperLaplacian"]

MIN_SMOOTHING = 1e-30  # powers of a smaller number leave the range of float32
MIN_MAGNITUDE = 1e-8  # for weights, which would be infinite at zero without smoothing


class HyperLaplacian(Reweightable):
    """Mean of ``|d|^power`` over differences (Levin, Fergus, Durand, Freeman 2007; Krishnan & Fergus, NIPS 2009).

    The sum over first differences (vertical and horizontal, each alone; zero across the border) of ``phi(d)`` and over
    second differences (vertical, horizontal, mixed) of ``second * phi(d)``, divided by the number C H W of the image's
    values. ``phi(t) = |t|^power - c`` where ``|t| > smoothing``. Below, phi is the parabola through zero with the same
    value and slope there, as in Huber's function; c is ``smoothing^power (1 - power / 2)``. Levin's sparse prior is
    ``power = 0.8, second = 0.25``.

    The proximal map is exact: it is the lower of the minima of the two pieces, which one computed threshold separates.
    The outer piece's minimum has an error of about 1e-6 of the difference. Up to a power of 1 a polynomial gives it
    (Krishnan and Fergus use a table), above 1 Newton's method, about five times slower.

    Args:
        power: power of a difference's magnitude, in (0, 2]; 1 is anisotropic total variation, 2 the squared
            differences.
        second: weight of the second differences relative to the first; 0 for none.
        smoothing: difference, in [0, 1] units, below which the penalty is quadratic. With 0, differences below 1e-8
            have the weight of 1e-8, and the slope at zero is zero.

    Example:
        >>> step = torch.tensor([0.0, 0.0, 1.0, 1.0]).expand(1, 1, 4, 4)  # 4 differences, 16 values
        >>> HyperLaplacian(power=0.8, smoothing=0.0)(step)
        tensor([0.2500])
    """

    @validated
    def __init__(
        self, *, power: Annotated[float, Field(gt=0, le=2)] = 0.8, second: NonNegative = 0.0, smoothing: Fraction = 1e-3
    ) -> None:
        super().__init__()
        self.power = power
        self.smoothing = smoothing if smoothing >= MIN_SMOOTHING else 0.0
        self.filters, self.relative = difference_filters(second)

    def penalty(self, coefficients: Tensor) -> Tensor:
        """Differences (K, B, C, H, W) -> (B,), >= 0."""
        powers = smoothed_powers(coefficients.abs(), self.power, self.smoothing)
        return mean_penalty(powers * self.factors(coefficients), coefficients)

    def prox(self, coefficients: Tensor, step: float) -> Tensor:
        """Differences (K, B, C, H, W), step > 0 -> the same shape; without gradients."""
        single = step / values_per_image(coefficients)
        maps = [power_shrinkage(self.power, self.smoothing, single * weight) for weight in dict.fromkeys(self.relative)]
        if len(maps) == 1:
            return blockwise(maps[0], coefficients)

        def both(block: Tensor) -> Tensor:
            orders = block.tensor_split([len(GRADIENT)])
            return torch.cat([shrink(order) for shrink, order in zip(maps, orders, strict=True)])

        return blockwise(both, coefficients)

    def weights(self, coefficients: Tensor) -> Tensor:
        """``phi'(d) / d`` times the filter's weight over C H W; (K, B, C, H, W), > 0."""
        least = max(self.smoothing, MIN_MAGNITUDE)
        slopes = coefficients.abs().clamp_(min=least).pow_(self.power - 2)
        return slopes.mul_(self.power / values_per_image(coefficients) * self.factors(coefficients))

    def factors(self, coefficients: Tensor) -> Tensor:
        """The weight of each filter, (K, 1, 1, 1, 1)."""
        return filter_weights(self.relative, coefficients)


def smoothed_powers(magnitude: Tensor, power: float, smoothing: float) -> Tensor:
    """``phi`` of the class with finite slopes everywhere; the slope at zero is zero, where a power below 1 has none.

    At a tie `torch.maximum` and `torch.minimum` each pass half of the gradient, which is the same for both pieces.

    Args:
        magnitude: absolute differences, any shape.
        power: in (0, 2].
        smoothing: >= 0.
    """
    if smoothing == 0:
        least = magnitude.new_full((), torch.finfo(magnitude.dtype).tiny)
        return torch.maximum(magnitude, least).pow(power) * magnitude.sign()
    border = magnitude.new_full((), smoothing)
    height = border.pow(power)
    above = torch.maximum(magnitude, border).pow(power) - height
    return above + (torch.minimum(magnitude, border) / border).square() * (height * power / 2)
