"""Images and kernels scaled to another grid of pixels."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from ..core.errors import InputError
from .geometry import Size, centre, size_of

__all__ = ["Pivot", "downscale", "resample", "resample_kernel", "resample_noise"]

Pivot = Literal["middle", "centre"]
"""The point that keeps its place when the scale changes: the middle of the frame, or the pixel given by `centre`."""


@torch.no_grad()
def resample(image: Tensor, size: Size, scale: float, about: Pivot = "middle") -> Tensor:
    """Scale an image about a fixed point, then crop it or extend it by its edge pixels to a size.

    About the middle, pixel ``i`` of n moves to ``(m - 1) / 2 + scale * (i - (n - 1) / 2)`` of m, for all sizes. Two
    steps of a pyramid therefore equal one step with the product of their scales. The interpolation is bilinear. For a
    scale below one, a triangle two new pixels wide averages the pixels, which prevents aliasing. No value leaves the
    range of the old values. Under a valid convolution with a kernel of odd size, the middle of the image is that of its
    data; with one of even size, it lies half a pixel further up and left.

    Args:
        image: (B, C, H, W).
        size: the new (H, W), pixels.
        scale: new pixels per old pixel, along both sides.
        about: the fixed point: the middle of the frame for images, the centre pixel for kernels.

    Returns:
        (B, C, *size), in the precision and on the device of the image, without gradients.

    Raises:
        InputError: the size or the scale is not positive.

    Example:
        >>> resample(torch.tensor([[[[0.0, 0.0, 1.0, 1.0]]]]), (1, 2), 0.5)
        tensor([[[[0.1250, 0.8750]]]])
    """
    check_scaling(size, scale)
    for dim in (-2, -1) if scale < 1 else (-1, -2):  # the slower columns come when there are fewer rows
        image = resample_along(image, dim, size[dim], scale, about)
    return image


@torch.no_grad()
def resample_noise(noise: Tensor, size: Size, scale: float, about: Pivot = "middle") -> Tensor:
    """`resample` of random numbers that a network starts from: mean and standard deviation are kept.

    Averages of independent numbers vary less than the numbers. With such an input, or with such weights, a network
    learns a coarse image more slowly than one that was made for it.

    Args:
        noise: (B, C, H, W).
        size: the new (H, W), pixels.
        scale: new pixels per old pixel; from 1 on, this is `resample`.
        about: as for `resample`.

    Example:
        >>> noise = torch.randn(1, 1, 64, 64, generator=torch.Generator().manual_seed(0))
        >>> coarse = resample_noise(noise, (16, 16), 0.25)
        >>> bool((coarse.std() / noise.std() - 1).abs() < 0.01)
        True
    """
    found = resample(noise, size, scale, about)
    if scale >= 1:
        return found
    shrunk = float(found.std(unbiased=False))
    factor = float(noise.std(unbiased=False)) / shrunk if shrunk > 0 else 1.0
    return found.mean() + factor * (found - found.mean())


def downscale(data: Tensor, scale: float) -> Tensor:
    """Data for a coarser level of a pyramid: (B, C, H, W) -> (B, C, round(H * scale), round(W * scale)), at least 1x1.

    This is `resample` about the middle, without aliasing, by exactly ``scale`` for every rounding of the size.

    Raises:
        InputError: the scale is not above 0 and at most 1.

    Example:
        >>> downscale(torch.zeros(1, 3, 101, 80), 0.5).shape
        torch.Size([1, 3, 50, 40])
    """
    if not 0 < scale <= 1:
        raise InputError(
            f"the scale to shrink data must be above 0 and at most 1, got {scale}; use resample to enlarge"
        )
    height, width = size_of(data)
    return resample(data, (max(1, round(height * scale)), max(1, round(width * scale))), scale)


def resample_along(image: Tensor, dim: int, size: int, scale: float, about: Pivot) -> Tensor:
    """`resample` along one dimension, as a weighted sum of a few selections of rows.

    Args:
        image: (B, C, H, W).
        dim: -2 or -1.
        size: new length of the dimension.
        scale: see `resample`.
        about: see `resample`.
    """
    old = image.shape[dim]
    if (old, scale) == (size, 1):
        return image
    from_, to = ((old - 1) / 2, (size - 1) / 2) if about == "middle" else (old // 2, size // 2)
    position = from_ + (torch.arange(size, dtype=torch.float64) - to) / scale
    radius = max(1.0, 1 / scale)
    taps = (position - radius).floor() + 1 + torch.arange(math.ceil(2 * radius), dtype=torch.float64)[:, None]
    weights = (1 - (taps - position).abs() / radius).clamp(min=0)
    weights = (weights / weights.sum(0)).to(image)
    indices = taps.long().clamp(0, old - 1).to(image.device)
    if dim == -2:
        return weighted_rows(image, indices, weights)
    # Selecting columns in place is several times slower.
    return weighted_rows(image.transpose(-2, -1).contiguous(), indices, weights).transpose(-2, -1).contiguous()


def weighted_rows(image: Tensor, indices: Tensor, weights: Tensor) -> Tensor:
    """Rows ``sum_t weights[t, i] image[indices[t, i]]``.

    Args:
        image: (..., H, W).
        indices: rows, (T, n).
        weights: (T, n).

    Returns:
        (..., n, W).
    """
    total = image.new_zeros(*image.shape[:-2], indices.shape[1], image.shape[-1])
    for index, weight in zip(indices, weights, strict=True):
        total.addcmul_(image.index_select(-2, index), weight[:, None])
    return total


@torch.no_grad()
def resample_kernel(kernel: Tensor, size: Size, scale: float) -> Tensor:
    """Scale kernels about their centre pixels, then crop them or pad them with zeros to a size.

    An enlarged kernel is interpolated between its pixels. When a kernel shrinks, the mass of each pixel is shared
    between the new pixels around it, by their distance. No mass is lost, the centroid moves with the scale, and a delta
    at the centre stays a delta.

    Args:
        kernel: (B, 1, h, w), non-negative.
        size: the new (h, w), pixels.
        scale: new pixels per old pixel, along both sides.

    Returns:
        (B, 1, *size), non-negative, each summing to one; a delta at the centre if a kernel is zero within the size.

    Raises:
        InputError: the size or the scale is not positive.
    """
    check_scaling(size, scale)
    rows, columns = (
        sharing_weights(old, new, scale).to(kernel) for old, new in zip(size_of(kernel), size, strict=True)
    )
    resampled = rows @ kernel @ columns.T
    total = resampled.sum(dim=(-2, -1), keepdim=True)
    delta = torch.zeros_like(resampled)
    delta[..., centre(size)[0], centre(size)[1]] = 1
    return torch.where(total > 0, resampled / total, delta)


def sharing_weights(old: int, new: int, scale: float) -> Tensor:
    """The share of each old pixel in each new one, (new, old): triangles at least two new pixels wide.

    Args:
        old: pixels of the old line.
        new: pixels of the new line.
        scale: new pixels per old pixel, about the centre pixels.
    """
    position = scale * (torch.arange(old, dtype=torch.float64) - old // 2)
    distance = (torch.arange(new, dtype=torch.float64)[:, None] - new // 2 - position).abs()
    return (1 - distance / max(1.0, scale)).clamp(min=0)


def check_scaling(size: Size, scale: float) -> None:
    """Raise `InputError` for a size or a scale that is not positive."""
    if min(size) < 1:
        raise InputError(f"a size must be at least 1x1 pixels, got {size[0]}x{size[1]}")
    if not 0 < scale < math.inf:
        raise InputError(f"a scale must be above 0 and finite, got {scale}")
