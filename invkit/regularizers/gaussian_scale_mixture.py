"""The negative logarithm of a mixture of Gaussians of several scales."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from ..core.errors import InputError
from ..core.interfaces import Reweightable
from ..core.parameters import Positive, validated
from ..numerics.finite_differences import GRADIENT
from ..numerics.scale_mixture import NATURAL_GRADIENTS, ScaleMixture
from .shrinkage import blockwise, mean_penalty, values_per_image

__all__ = ["GaussianScaleMixture"]

PROX_ROUNDS = 30  # reweightings from each start; the objective is then exact to 1e-5

Components = Annotated[tuple[Positive, ...], Field(min_length=1)]


class GaussianScaleMixture(Reweightable):
    """Mean of ``log p(0) - log p(d)`` over first differences d, with a mixture p of zero-mean Gaussians.

    The sum over vertical and horizontal differences (each alone; zero across the border) is divided by the number C H W
    of the image's values.
    The default is the density that Levin, Weiss, Durand, Freeman 2011 fitted to the first differences of photographs.
    For data with white noise of variance s and differences as unknowns, the weight ``2 s`` makes the objective a
    negative log-posterior, up to a factor.

    The proximal map follows the minimum of every component by reweighting and takes the lowest.

    Args:
        precisions: inverse variance of each Gaussian, for images in [0, 1].
        weights: weight of each Gaussian; the weights are divided by their sum.

    Raises:
        InputError: there are more precisions than weights, or fewer.

    Example:
        >>> step = torch.tensor([0.0, 0.0, 1.0, 1.0]).expand(1, 1, 4, 4)  # 4 differences, 16 values
        >>> GaussianScaleMixture(precisions=(1.0,), weights=(1.0,))(step)
        tensor([0.1250])
    """

    filters = GRADIENT

    @validated
    def __init__(
        self,
        *,
        precisions: Components = NATURAL_GRADIENTS.precisions,
        weights: Components = NATURAL_GRADIENTS.shares,
    ) -> None:
        super().__init__()
        if len(precisions) != len(weights):
            raise InputError(
                f"a mixture needs one weight for each inverse variance; got {len(precisions)} precisions and "
                f"{len(weights)} weights"
            )
        self.mixture = ScaleMixture.normalised(precisions, weights)

    def penalty(self, coefficients: Tensor) -> Tensor:
        """Differences (K, B, C, H, W) -> (B,), >= 0."""
        at_zero = self.mixture.energy(coefficients.new_zeros(()))
        return mean_penalty(self.mixture.energy(coefficients.square()) - at_zero, coefficients)

    def prox(self, coefficients: Tensor, step: float) -> Tensor:
        """Differences (K, B, C, H, W), step > 0 -> the same shape; without gradients."""
        single = step / values_per_image(coefficients)
        return blockwise(lambda block: self.nearest(block, single), coefficients)

    def nearest(self, values: Tensor, step: float) -> Tensor:
        """``argmin_z -step log p(z) + (z - value)^2 / 2`` for each value, any shape."""
        found, lowest = values, torch.full_like(values, torch.inf)
        for precision in self.mixture.precisions:
            point = values / (1 + step * precision)
            for _ in range(PROX_ROUNDS):
                point = values / (1 + step * self.mixture.expected_precision(point.square()))
            height = step * self.mixture.energy(point.square()) + (point - values).square() / 2
            found, lowest = torch.where(height < lowest, point, found), torch.minimum(height, lowest)
        return found

    def weights(self, coefficients: Tensor) -> Tensor:
        """The posterior mean of the inverse variance over C H W; (K, B, C, H, W), > 0."""
        return self.mixture.expected_precision(coefficients.square()) / values_per_image(coefficients)
