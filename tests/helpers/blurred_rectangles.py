"""A sharp image with sparse gradients, blurred and with noise, for solvers and metrics that expect such images."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from invkit.testing.common import drawn

__all__ = ["blurred_rectangles", "rectangles"]


def rectangles(size: int) -> torch.Tensor:
    """Overlapping rectangles of constant grey, (1, 1, size, size), float32."""
    image, places = torch.full((1, 1, size, size), 0.5), drawn((40, 5), 1)
    for top, left, height, width, grey in places.tolist():
        row, column = int(top * size), int(left * size)
        image[..., row : row + 5 + int(30 * height), column : column + 5 + int(30 * width)] = 0.1 + 0.8 * grey
    return image


def blurred_rectangles(kernel: torch.Tensor, size: int = 92, sigma: float = 0.004) -> tuple[torch.Tensor, torch.Tensor]:
    """Data (1, 1, size, size) and the image (1, 1, size + h - 1, size + w - 1) of which they are the valid blur.

    Args:
        kernel: (1, 1, h, w) of equal sides.
        size: of the data, pixels.
        sigma: standard deviation of the noise.
    """
    sharp = rectangles(size + kernel.shape[-1] - 1)
    noise = torch.randn(1, 1, size, size, generator=torch.Generator().manual_seed(0))
    return (F.conv2d(sharp, kernel.flip(-2, -1)) + sigma * noise).clamp(0, 1), sharp
