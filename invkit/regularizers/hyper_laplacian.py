"""Powers of differences, with heavy tails as natural images have."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from ..core.interfaces import Reweightable
from ..core.parameters import validated
from ..numerics.finite_differences import GRADIENT
from .shrinkage import blockwise, differences, filter_weights, mean_penalty, power_shrinkage, values_of

__all__ = ["HyperLaplacian"]

NO_SMOOTHING = 1e-30  # below, its powers leave the range of float32
LEAST_MAGNITUDE = 1e-8  # for weights, which without smoothing are infinite at zero


class HyperLaplacian(Reweightable):
    """Mean of ``|d|^power`` over differences (Levin, Fergus, Durand, Freeman 2007; Krishnan & Fergus, NIPS 2009).

    The sum over first differences (down the rows, along the columns, each alone; zero across the border) of
    ``phi(d)``, and over second ones (twice down, twice along, once each) of ``second * phi(d)``, divided by the
    number C H W of the image's values. ``phi(t) = |t|^power - c`` where ``|t| > smoothing``, and below it the
    parabola through zero with the same value and slope there, as in Huber's function; c is
    ``smoothing^power (1 - power / 2)``. Levin's sparse prior is ``power = 0.8, second = 0.25``.

    The proximal map is exact: the lower of the minima of the two pieces, told apart by one threshold, which is
    computed. The outer piece's is right to about 1e-6 of the difference (up to a power of 1 by a polynomial of a
    suitable variable, where Krishnan and Fergus use a table; above by Newton's method, some five times slower).

    Args:
        power: in (0, 2]; 1 is anisotropic total variation, 2 the squared differences.
        second: weight of the second differences relative to the first; 0 for none.
        smoothing: difference in [0, 1] units below which the penalty is quadratic; 0 for none: then differences below
            1e-8 are reweighted as those of 1e-8, and the slope at zero is given as zero.
    """

    @validated
    def __init__(
        self,
        *,
        power: Annotated[float, Field(gt=0, le=2, description="power of a difference's magnitude")] = 0.8,
        second: Annotated[
            float, Field(ge=0, allow_inf_nan=False, description="weight of second differences relative to first ones")
        ] = 0.0,
        smoothing: Annotated[
            float, Field(ge=0, le=1, description="difference ([0, 1] units) below which the penalty is quadratic")
        ] = 1e-3,
    ) -> None:
        super().__init__()
        self.power = power
        self.smoothing = smoothing if smoothing >= NO_SMOOTHING else 0.0
        self.filters, self.relative = differences(second)

    def penalty(self, coefficients: Tensor) -> Tensor:
        """Differences (K, B, C, H, W) -> (B,), >= 0."""
        powers = powers_of(coefficients.abs(), self.power, self.smoothing)
        return mean_penalty(powers * self.factors(coefficients), coefficients)

    def prox(self, coefficients: Tensor, step: float) -> Tensor:
        """Differences (K, B, C, H, W), step > 0 -> the same shape; without gradients."""
        single = step / values_of(coefficients)
        parts = [
            power_shrinkage(self.power, self.smoothing, single * weight) for weight in dict.fromkeys(self.relative)
        ]
        if len(parts) == 1:
            return blockwise(parts[0], coefficients)

        def both(block: Tensor) -> Tensor:
            orders = block.tensor_split([len(GRADIENT)])
            return torch.cat([part(order) for part, order in zip(parts, orders, strict=True)])

        return blockwise(both, coefficients)

    def weights(self, coefficients: Tensor) -> Tensor:
        """``phi'(d) / d`` times the filter's weight over C H W; (K, B, C, H, W), > 0."""
        least = max(self.smoothing, LEAST_MAGNITUDE)
        slopes = coefficients.abs().clamp_(min=least).pow_(self.power - 2)
        return slopes.mul_(self.power / values_of(coefficients) * self.factors(coefficients))

    def factors(self, coefficients: Tensor) -> Tensor:
        """The weight of each filter; (K, 1, 1, 1, 1)."""
        return filter_weights(self.relative, coefficients)


def powers_of(magnitude: Tensor, power: float, smoothing: float) -> Tensor:
    """``phi`` of the class, with finite slopes everywhere: zero at zero, where a power below one has none.

    At a tie `maximum` and `minimum` each pass half of the slope, which the two pieces share.
    """
    if smoothing == 0:
        least = magnitude.new_full((), torch.finfo(magnitude.dtype).tiny)
        return torch.maximum(magnitude, least).pow(power) * magnitude.sign()
    border = magnitude.new_full((), smoothing)
    height = border.pow(power)
    above = torch.maximum(magnitude, border).pow(power) - height
    return above + (torch.minimum(magnitude, border) / border).square() * (height * power / 2)
