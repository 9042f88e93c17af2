"""Squared differences."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import Tensor

from ..core.interfaces import Reweightable
from ..core.parameters import validated
from .shrinkage import differences, filter_weights, mean_penalty, values_of

__all__ = ["GradientL2"]


class GradientL2(Reweightable):
    """Mean of the squared differences (Tikhonov's smoothness; as Cho & Lee, SIGGRAPH Asia 2009, deconvolve fast by).

    The sum over first differences (down the rows, along the columns; zero across the border) of ``d^2``, and over
    second ones (twice down, twice along, once each) of ``second * d^2``, divided by the number C H W of the image's
    values. Quadratic, so that a Gaussian prior's deconvolution is one linear solve.

    Args:
        second: weight of the second differences relative to the first; 0 for none.
    """

    @validated
    def __init__(
        self,
        *,
        second: Annotated[
            float, Field(ge=0, allow_inf_nan=False, description="weight of second differences relative to first ones")
        ] = 0.0,
    ) -> None:
        super().__init__()
        self.filters, self.relative = differences(second)

    def penalty(self, coefficients: Tensor) -> Tensor:
        """Differences (K, B, C, H, W) -> (B,), >= 0."""
        return mean_penalty(coefficients.square() * self.factors(coefficients), coefficients)

    def prox(self, coefficients: Tensor, step: float) -> Tensor:
        """Differences (K, B, C, H, W), step > 0 -> the same shape: divided by ``1 + 2 step * weight / (C H W)``."""
        return coefficients / (1 + 2 * step / values_of(coefficients) * self.factors(coefficients))

    def weights(self, coefficients: Tensor) -> Tensor:
        """Twice each filter's weight over C H W, whatever the differences (K, B, C, H, W) are."""
        return (2 / values_of(coefficients) * self.factors(coefficients)).expand_as(coefficients).contiguous()

    def factors(self, coefficients: Tensor) -> Tensor:
        """The weight of each filter; (K, 1, 1, 1, 1)."""
        return filter_weights(self.relative, coefficients)
