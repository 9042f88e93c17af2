"""Magnitudes of wavelet coefficients."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ..core.interfaces import Proximable
from ..core.parameters import validated
from ..numerics.geometry import size_of
from ..numerics.wavelets import Levels, Wavelet, compose, decompose, detail_mask
from .shrinkage import mean_penalty, values_per_image

__all__ = ["WaveletL1"]


class WaveletL1(Proximable):
    """Mean of the magnitudes of an image's wavelet details (Donoho & Johnstone 1994; Figueiredo & Nowak 2003).

    The sum of ``|W u|`` over the details of all levels, divided by the number C H W of the image's values. It is convex
    and homogeneous, ``R(c u) = |c| R(u)``, and zero for constant images. W is `invkit.numerics.wavelets.decompose`,
    which is orthonormal and periodic. W is not shift-invariant: a strong penalty shows the grid of its finest
    coefficients, least with the smoothest filters.

    The proximal map is exact, because W is orthonormal: it moves the details towards zero by ``step / (C H W)``.

    Args:
        wavelet: Daubechies wavelet with 1 to 4 vanishing moments, "db1" (Haar) to "db4"; more moments preserve slopes,
            fewer preserve edges.
        levels: number of times that the size is halved.
    """

    @validated
    def __init__(self, *, wavelet: Wavelet = "db2", levels: Levels = 4) -> None:
        super().__init__()
        self.wavelet: Wavelet = wavelet
        self.levels = levels

    def penalty(self, coefficients: Tensor) -> Tensor:
        """Pixels (1, B, C, H, W) -> (B,), >= 0."""
        found = decompose(coefficients, self.wavelet, self.levels)
        return mean_penalty(found.abs() * self.details(coefficients), coefficients)

    @torch.no_grad()
    def prox(self, coefficients: Tensor, step: float) -> Tensor:
        """Pixels (1, B, C, H, W), step > 0 -> the same shape; without gradients."""
        found = decompose(coefficients, self.wavelet, self.levels)
        shrunk = F.softshrink(found, step / values_per_image(coefficients))
        return compose(torch.where(self.details(coefficients), shrunk, found), self.wavelet, self.levels)

    def details(self, coefficients: Tensor) -> Tensor:
        """Which coefficients are penalised, (H, W) of bool."""
        return detail_mask(size_of(coefficients), self.levels, coefficients.device)
