"""Denoisers of a user, for the tests of plug and play."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Scaled(nn.Module):
    """Scales by a weight, and by the noise level."""

    def __init__(self, weight: float = 0.5) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(weight))

    def forward(self, images: Tensor, sigma: float) -> Tensor:
        """``weight (1 - sigma)`` times the images."""
        return self.weight * (1 - sigma) * images


class Smooth(nn.Module):
    """The mean of three by three pixels, whatever the noise is."""

    def __init__(self) -> None:
        super().__init__()
        self.mean = nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False)

    def forward(self, images: Tensor) -> Tensor:
        """Images of the same shape."""
        smooth: Tensor = self.mean(images)
        return smooth


class Shrinking(nn.Module):
    """Loses a line."""

    def forward(self, images: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H - 1, W)."""
        return images[..., 1:, :]


built = Smooth()
"""An instance."""


def make() -> nn.Module:
    """A function, which no recipe may name."""
    raise AssertionError("called")
