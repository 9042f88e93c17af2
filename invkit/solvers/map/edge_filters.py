"""Filters that smooth an image without its edges, or sharpen its edges."""

from __future__ import annotations

import math
from itertools import product

import torch
import torch.nn.functional as F
from torch import Tensor

from ...numerics.geometry import Size

__all__ = ["bilateral_5x5", "box_sum", "forward_differences", "immerkaer_sigma", "shock_filter"]

BILATERAL_RADIUS = 2  # pixels: a support of 5 x 5


def forward_differences(image: Tensor) -> Tensor:
    """Forward differences, (B, C, H, W) -> (B, 2C, H, W): down the rows, then along the columns.

    The last row of the former and the last column of the latter would read beyond the border; they are zero.
    """
    channels = image.shape[1]
    gradients = image.new_zeros(len(image), 2 * channels, *image.shape[-2:])
    torch.sub(image[..., 1:, :], image[..., :-1, :], out=gradients[:, :channels, :-1])
    torch.sub(image[..., 1:], image[..., :-1], out=gradients[:, channels:, :, :-1])
    return gradients


def immerkaer_sigma(data: Tensor) -> Tensor:
    """Standard deviation of white noise in blurry data (B, C, H, W), the mean over channels: (B,), float32.

    Immerkaer's mean of a filter that is zero on all quadratic functions (CVIU 1996); only noise remains of blurry data.
    """
    if min(data.shape[-2:]) < 3:
        return data.new_zeros(len(data), dtype=torch.float32)
    along = data.float().diff(n=2, dim=-1).diff(n=2, dim=-2)
    return along.abs().mean(dim=(-3, -2, -1)) * math.sqrt(math.pi / 2) / 6


def bilateral_5x5(image: Tensor, sigma_space: float, sigma_range: float) -> Tensor:
    """Bilateral filter (Tomasi & Manduchi 1998) over 5 x 5 pixels; edge pixels are repeated beyond the border.

    Args:
        image: (B, C, H, W); the channels share their weights, which depend on the mean of their squared differences.
        sigma_space: standard deviation by distance, pixels, > 0.
        sigma_range: standard deviation by value, in the image's units, > 0.
    """
    padded = F.pad(image, (BILATERAL_RADIUS,) * 4, mode="replicate")
    height, width = image.shape[-2:]
    total, weights = torch.zeros_like(image), torch.ones_like(image[:, :1])
    for row, column in product(range(2 * BILATERAL_RADIUS + 1), repeat=2):
        distance = (row - BILATERAL_RADIUS) ** 2 + (column - BILATERAL_RADIUS) ** 2
        if distance:
            change = padded[..., row : row + height, column : column + width] - image
            exponent = change.square().mean(1, keepdim=True).mul_(-0.5 / sigma_range**2)
            weight = exponent.sub_(0.5 * distance / sigma_space**2).exp_()
            total.addcmul_(weight, change)
            weights += weight
    return total.div_(weights).add_(image)


def shock_filter(image: Tensor, iterations: int, step: float) -> Tensor:
    """Iterate the shock filter ``I - step * sign(Laplacian I) |grad I|`` (Osher & Rudin 1990).

    Each component of the gradient is the smaller of the differences to the two neighbours, and zero if they have
    opposite signs. Along a row or a column no value then passes its neighbours' values, for steps of at most one.

    Args:
        image: (B, C, H, W).
        iterations: >= 0; each moves values between two sides of an edge by up to a pixel.
        step: in (0, 1].
    """
    for _ in range(iterations):
        image = image - step * shock_flow(image)
    return image


def shock_flow(image: Tensor) -> Tensor:
    """``sign(Laplacian I) |grad I|``; edge pixels are repeated beyond the border."""
    padded = F.pad(image, (1, 1, 1, 1), mode="replicate")
    down, right = padded[..., 1:, 1:-1].diff(dim=-2), padded[..., 1:-1, 1:].diff(dim=-1)
    up, left = padded[..., :-1, 1:-1].diff(dim=-2), padded[..., 1:-1, :-1].diff(dim=-1)
    laplacian = (down - up).add_(right - left)
    return laplacian.sign_().mul_(minmod(up, down).square_().add_(minmod(left, right).square_()).sqrt_())


def minmod(first: Tensor, second: Tensor) -> Tensor:
    """Smaller magnitude of two values, zero where their signs differ."""
    return torch.minimum(first.abs(), second.abs()).mul_(first * second > 0)


def box_sum(value: Tensor, size: Size) -> Tensor:
    """Sum over a window of ``size`` about each pixel of (..., H, W), zero beyond the border.

    A window with an even side extends one pixel farther up, or to the left.
    """
    for dim, side in ((-2, size[0]), (-1, size[1])):
        value = running_sum(value, side, dim)
    return value


def running_sum(value: Tensor, side: int, dim: int) -> Tensor:
    """Sum over a window along one dimension; the cost does not depend on its side.

    Args:
        value: (..., H, W).
        side: of the window, pixels.
        dim: -2 or -1.
    """
    length = value.shape[dim]
    sums = value.cumsum(dim)
    position = torch.arange(length, device=value.device)
    upper = sums.index_select(dim, (position + (side - 1) // 2).clamp_(max=length - 1))
    before = position - side // 2 - 1
    inside = (before >= 0).to(value.dtype)
    lower = sums.index_select(dim, before.clamp_(min=0))
    return upper.sub_(lower.mul_(inside[:, None] if dim == -2 else inside))
