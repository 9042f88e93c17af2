"""Kullback-Leibler divergence, for Poisson noise."""

from __future__ import annotations

import torch
from torch import Tensor

from ..core.interfaces import KullbackLeibler

__all__ = ["Poisson"]

MIN_PREDICTED_LIGHT = 1e-6  # in a quotient; the darkest grey of 8 bits, made linear, is five times as much


class Poisson(KullbackLeibler):
    """Mean Kullback-Leibler divergence of the prediction from the data: the log-likelihood of Poisson noise.

    ``y log(y / p) - y + p``, up to the scale of the counts (Richardson, JOSA 1972; Lucy, Astronomical Journal 1974).
    Predictions and data below 1e-6 count as 1e-6.

    Example:
        >>> Poisson()(torch.full((1, 1, 2, 2), 0.5), torch.full((1, 1, 2, 2), 0.25)).round(decimals=4)
        tensor([0.0767])
    """

    def forward(self, predicted: Tensor, data: Tensor) -> Tensor:
        """Two tensors (B, C, H, W) in [0, 1] -> (B,), >= 0."""
        light, counts = predicted.clamp(min=MIN_PREDICTED_LIGHT), data.clamp(min=MIN_PREDICTED_LIGHT)
        return (torch.xlogy(counts, counts / light) - counts + light).mean((1, 2, 3))
