"""Gaussian blur of images."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["gaussian_blur"]


def gaussian_blur(image: Tensor, sigma: float) -> Tensor:
    """Gaussian blur of ``sigma`` pixels (0 for none) of (B, C, H, W); edge pixels are repeated beyond the border."""
    radius = math.ceil(3 * sigma)
    if radius == 0:
        return image
    offsets = torch.arange(-radius, radius + 1, dtype=image.dtype, device=image.device)
    taps = torch.softmax(-0.5 * (offsets / sigma).square(), 0)
    planes = F.pad(image, (radius,) * 4, mode="replicate").flatten(0, 1)[:, None]
    return F.conv2d(F.conv2d(planes, taps.view(1, 1, -1, 1)), taps.view(1, 1, 1, -1)).view_as(image)
