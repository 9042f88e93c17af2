"""Mean squared and mean absolute difference, and Huber's function between them."""

from __future__ import annotations

import torch
from torch import Tensor

from ..core.fidelity_abilities import LeastSquares, Separable
from ..core.parameters import Positive, validated

__all__ = ["L1", "MSE", "Huber"]


class MSE(LeastSquares):
    """Mean squared difference, the log-likelihood of Gaussian noise up to constants (Ren et al., CVPR 2020, Eq. 6).

    This is the mean over the values of each image. Papers often use the sum ``||A(x, k) - y||^2``.

    Example:
        >>> import torch
        >>> MSE()(torch.zeros(1, 3, 4, 4), torch.full((1, 3, 4, 4), 0.5))
        tensor([0.2500])
    """


class L1(Separable):
    """Mean absolute difference, robust to outliers: the log-likelihood of Laplacian noise up to constants.

    The gradient is zero where the two are equal.
    """

    def values(self, predicted: Tensor, data: Tensor) -> Tensor:
        """The absolute differences, (B, C, H, W)."""
        return (predicted - data).abs()

    def prox(self, predicted: Tensor, data: Tensor, step: float | Tensor) -> Tensor:
        """The prediction, moved towards the data by at most ``step``; arguments as `Separable` says."""
        difference, most = predicted - data, torch.as_tensor(step).to(predicted)
        return predicted - difference.clamp_(-most, most)


class Huber(Separable):
    """Mean of the squared difference d up to a threshold t, and of ``2 t |d| - t^2`` beyond, for outliers.

    Huber, "Robust Estimation of a Location Parameter", Annals of Mathematical Statistics 1964. An outlier pulls with
    the force of a difference of t. Near zero the function is that of 'mse', so that weights keep their meaning (Huber
    has half of it).

    Args:
        threshold: t, in the units of the data; about 1.35 to 3 standard deviations of the noise without outliers.

    Example:
        >>> import torch
        >>> Huber(threshold=0.1)(torch.zeros(1, 1, 1, 2), torch.tensor([[[[0.1, 0.5]]]])).round(decimals=4)
        tensor([0.0500])
    """

    @validated
    def __init__(self, *, threshold: Positive = 0.03) -> None:
        super().__init__()
        self.threshold = threshold

    def values(self, predicted: Tensor, data: Tensor) -> Tensor:
        """The function of each difference, (B, C, H, W)."""
        size = (predicted - data).abs()
        inner = size.clamp(max=self.threshold)
        return inner * (2 * size - inner)

    def prox(self, predicted: Tensor, data: Tensor, step: float | Tensor) -> Tensor:
        """The prediction, moved by ``2 * step`` times what is left of the difference, or of t if that is less."""
        difference = predicted - data
        force = (difference / (1 + 2 * step)).clamp_(-self.threshold, self.threshold)
        return predicted - force.mul_(2 * step)
