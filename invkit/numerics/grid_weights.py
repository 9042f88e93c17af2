"""Bilinear weights of the points of a grid over an image."""

from __future__ import annotations

import torch
from torch import Tensor

from .geometry import Size

__all__ = ["bilinear_weights", "linear_weights"]


def bilinear_weights(grid: Size, size: Size, like: Tensor) -> Tensor:
    """Bilinear weights of the points of a grid over an image; they are >= 0 and sum to one in every pixel.

    Args:
        grid: (rows, columns) of points.
        size: (H, W) of the image.
        like: gives precision and device.

    Returns:
        (rows * columns, 1, H, W).
    """
    down, along = (linear_weights(points, pixels, like) for points, pixels in zip(grid, size, strict=True))
    return torch.einsum("ri,cj->rcij", down, along).reshape(-1, 1, *size)


def linear_weights(points: int, pixels: int, like: Tensor) -> Tensor:
    """Weights of points spread evenly from the first to the last pixel of a line, (points, pixels).

    Args:
        points: the number of points.
        pixels: the length of the line.
        like: gives precision and device.
    """
    if points == 1:
        return like.new_ones(1, pixels)
    position = torch.linspace(0, points - 1, pixels, dtype=like.dtype, device=like.device)
    return (1 - (position - torch.arange(points, dtype=like.dtype, device=like.device)[:, None]).abs()).clamp(min=0)
