"""A mixture of zero-mean Gaussians of several scales: a heavy-tailed density of an image's differences.

The values that a variational method needs are functions of the second moment ``v = E[t^2]`` of a difference t alone.
With the inverse variances s_j and the weights pi_j,

    ``-log p(t) = -log sum_j pi_j sqrt(s_j / (2 pi)) exp(-s_j t^2 / 2)``

is a concave function of ``t^2``. Hence its value at ``t^2 = v`` is an upper bound of its mean, the best that Jensen's
inequality and a posterior distribution over the components give. Its slope is half of the posterior mean of s_j.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["NATURAL_GRADIENTS", "ScaleMixture"]


@dataclass(frozen=True)
class ScaleMixture:
    """The mixture.

    Attributes:
        precisions: inverse variances s_j, > 0.
        shares: weights pi_j, > 0, summing to one.
    """

    precisions: tuple[float, ...]
    shares: tuple[float, ...]

    @classmethod
    def normalised(cls, precisions: Sequence[float], weights: Sequence[float]) -> ScaleMixture:
        """The mixture of some weights > 0, divided by their sum."""
        return cls(tuple(precisions), tuple(weight / sum(weights) for weight in weights))

    def energy(self, second_moment: Tensor) -> Tensor:
        """``-log p`` at ``t^2 = second_moment`` (>= 0, any shape); differentiable, the same shape."""
        return -torch.logsumexp(self.log_densities(second_moment), 0)

    def expected_precision(self, second_moment: Tensor) -> Tensor:
        """The posterior mean of s_j at ``t^2 = second_moment`` (>= 0, any shape); the same shape.

        Example:
            >>> mixture = ScaleMixture((100.0, 1.0), (0.5, 0.5))
            >>> mixture.expected_precision(torch.tensor([0.0, 1.0])).round(decimals=2)
            tensor([91.,  1.])
        """
        shares = self.log_densities(second_moment).softmax(0)
        expected: Tensor = torch.tensordot(shares.new_tensor(self.precisions), shares, 1)
        return expected

    def log_densities(self, second_moment: Tensor) -> Tensor:
        """The logarithm of each weighted component, (J, ...)."""
        logarithms = (
            math.log(share) + 0.5 * math.log(precision / (2 * math.pi))
            for precision, share in zip(self.precisions, self.shares, strict=True)
        )
        slopes = ((-0.5 * precision) * second_moment for precision in self.precisions)
        return torch.stack([slope + height for slope, height in zip(slopes, logarithms, strict=True)])


NATURAL_GRADIENTS = ScaleMixture.normalised((7021.6805, 471.8414, 41.8482), (0.30471, 0.43436, 0.26093))
"""Of the differences of photographs in [0, 1] (Levin, Weiss, Durand, Freeman 2011)."""
