"""Small linear filters: differences of neighbouring pixels, with their adjoint and power spectrum, and a Gaussian."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import reduce
from typing import TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

from .geometry import Size, size_of

__all__ = [
    "GRADIENT",
    "IDENTITY",
    "SECOND_DIFFERENCES",
    "DifferenceFilter",
    "apply_filters",
    "apply_filters_adjoint",
    "gaussian_blur",
    "power_spectrum",
    "sum_over",
]

DifferenceFilter: TypeAlias = tuple[tuple[int, int, float], ...]
"""Taps (row, column, weight): ``(D u)[n] = sum weight * u[n + (row, column)]``."""

IDENTITY: DifferenceFilter = ((0, 0, 1.0),)
GRADIENT: tuple[DifferenceFilter, ...] = (((1, 0, 1.0), (0, 0, -1.0)), ((0, 1, 1.0), (0, 0, -1.0)))
"""Forward differences: vertical, horizontal."""
SECOND_DIFFERENCES: tuple[DifferenceFilter, ...] = (
    ((1, 0, 1.0), (0, 0, -2.0), (-1, 0, 1.0)),
    ((0, 1, 1.0), (0, 0, -2.0), (0, -1, 1.0)),
    ((1, 1, 1.0), (1, 0, -1.0), (0, 1, -1.0), (0, 0, 1.0)),
)
"""Second differences: vertical, horizontal, mixed."""


def apply_filters(value: Tensor, filters: Sequence[DifferenceFilter], *, wrap: bool = True) -> Tensor:
    """Apply each filter: (B, C, H, W) -> (K, B, C, H, W); differentiable.

    Args:
        value: the image, (B, C, H, W).
        filters: K filters.
        wrap: whether the image is periodic; otherwise a response that needs a pixel beyond the border is zero.

    Example:
        >>> step = torch.tensor([0.0, 0.0, 1.0, 1.0]).expand(1, 1, 2, 4)
        >>> apply_filters(step, GRADIENT, wrap=False)[1, 0, 0]
        tensor([[0., 1., 0., 0.],
                [0., 1., 0., 0.]])
    """
    return torch.stack([apply_filter(value, taps, wrap) for taps in filters])


def apply_filter(value: Tensor, taps: DifferenceFilter, wrap: bool) -> Tensor:
    """Apply one filter, (B, C, H, W) -> (B, C, H, W).

    Args:
        value: the image, (B, C, H, W).
        taps: the filter.
        wrap: see `apply_filters`.
    """
    if wrap:
        return sum_of_shifts((value, -row, -column, weight) for row, column, weight in taps)
    (height, width), ((up, down), (left, right)) = size_of(value), filter_reach(taps)
    if height <= up + down or width <= left + right:
        return 0 * value
    planes = (
        (value[..., up + row : height - down + row, left + column : width - right + column], 0, 0, weight)
        for row, column, weight in taps
    )
    return F.pad(sum_of_shifts(planes), (left, right, up, down))


def apply_filters_adjoint(coefficients: Tensor, filters: Sequence[DifferenceFilter]) -> Tensor:
    """The adjoint of `apply_filters` with ``wrap=True``: (K, B, C, H, W) -> (B, C, H, W)."""
    return sum_of_shifts(
        (plane, row, column, weight)
        for plane, taps in zip(coefficients, filters, strict=True)
        for row, column, weight in taps
    )


def valid_mask(taps: DifferenceFilter, value: Tensor) -> Tensor:
    """One where all taps lie in the image, otherwise zero; (H, W)."""
    height, width = size_of(value)
    (up, down), (left, right) = filter_reach(taps)
    mask = value.new_zeros(height, width)
    mask[up : height - down, left : width - right] = 1
    return mask


def filter_reach(taps: DifferenceFilter) -> tuple[Size, Size]:
    """The largest distances of the taps from the pixel: ((up, down), (left, right))."""
    rows, columns, _ = zip(*taps, strict=True)
    return (-min(0, *rows), max(0, *rows)), (-min(0, *columns), max(0, *columns))


def power_spectrum(filters: Sequence[DifferenceFilter], size: Size, like: Tensor) -> Tensor:
    """The summed squared magnitudes of the filters' transfer functions, in the order of ``rfft2``.

    Args:
        filters: any number of filters.
        size: (H, W) of the periodic grid.
        like: gives precision and device.

    Returns:
        (H, W // 2 + 1), real.

    Example:
        >>> power_spectrum(GRADIENT, (2, 2), torch.zeros(1))  # 4 for each direction that alternates
        tensor([[0., 4.],
                [4., 8.]])
    """
    rows, columns = torch.fft.fftfreq(size[0], dtype=torch.float64), torch.fft.rfftfreq(size[1], dtype=torch.float64)
    total = torch.zeros(len(rows), len(columns), dtype=torch.float64)
    for taps in filters:
        down, right, weights = (torch.tensor(part, dtype=torch.float64) for part in zip(*taps, strict=True))
        (cosine, sine), across = cosines_and_sines(rows, down) * weights, cosines_and_sines(columns, right)
        real, imaginary = torch.cat([cosine, -sine], 1), torch.cat([sine, cosine], 1)
        total += (torch.stack([real, imaginary]) @ torch.cat([*across], 1).T).square_().sum(0)
    return total.to(like.device, like.dtype)


def cosines_and_sines(frequencies: Tensor, shifts: Tensor) -> Tensor:
    """Real and imaginary part of the transfer functions of shifts along a line: (n,) and (k,) -> (2, n, k)."""
    angles = 2 * torch.pi * frequencies[:, None] * shifts
    return torch.stack([angles.cos(), angles.sin()])


def roll_image(value: Tensor, down: int, right: int) -> Tensor:
    """An image (..., H, W), shifted periodically by whole pixels; the same tensor for no shift.

    Args:
        value: (..., H, W).
        down: pixels.
        right: pixels.
    """
    value = torch.roll(value, down, -2) if down else value  # torch makes one pass for each dimension it is given
    return torch.roll(value, right, -1) if right else value


def sum_over(planes: Tensor, dim: int) -> Tensor:
    """The sum over a dimension of two or three planes, which keeps size 1; several times as fast as `torch.sum`."""
    return reduce(torch.add, torch.split(planes, 1, dim))


def sum_of_shifts(planes: Iterable[tuple[Tensor, int, int, float]]) -> Tensor:
    """The weighted sum of periodically shifted planes, with few temporary copies.

    Args:
        planes: images (..., H, W), each with its shift (down, right) in pixels and its weight.
    """
    total: Tensor | None = None
    for plane, down, right, weight in planes:
        moved = roll_image(plane, down, right)
        if total is not None:
            total.add_(moved, alpha=weight)
        else:
            total = moved if weight == 1 and moved is not plane else weight * moved  # a new tensor, safe to change
    if total is None:
        raise ValueError("a filter needs at least one tap")
    return total


def gaussian_blur(image: Tensor, sigma: float) -> Tensor:
    """Gaussian blur of ``sigma`` pixels (0 for none) of (B, C, H, W); edge pixels are repeated beyond the border."""
    radius = math.ceil(3 * sigma)
    if radius == 0:
        return image
    offsets = torch.arange(-radius, radius + 1, dtype=image.dtype, device=image.device)
    taps = torch.softmax(-0.5 * (offsets / sigma).square(), 0)
    planes = F.pad(image, (radius,) * 4, mode="replicate").flatten(0, 1)[:, None]
    return F.conv2d(F.conv2d(planes, taps.view(1, 1, -1, 1)), taps.view(1, 1, 1, -1)).view_as(image)
