"""Small linear filters: differences of neighbouring pixels, with their adjoint and power spectrum, and a Gaussian."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import reduce
from typing import TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

from .geometry import Sides, Size, size_of

__all__ = [
    "GRADIENT",
    "IDENTITY",
    "SECOND_DIFFERENCES",
    "DifferenceFilter",
    "Tap",
    "apply_filters",
    "apply_filters_adjoint",
    "gaussian_blur",
    "is_across_planes",
    "offset_of",
    "power_spectrum",
    "stack_gradient",
    "sum_over",
]

Tap: TypeAlias = tuple[int, int, float] | tuple[int, int, int, float]
"""(row, column, weight), or (plane, row, column, weight) for stacks (B, D, H, W)."""

DifferenceFilter: TypeAlias = tuple[Tap, ...]
"""Taps: ``(D u)[n] = sum weight * u[n + (row, column)]``, or ``u[n + (plane, row, column)]``."""

IDENTITY: DifferenceFilter = ((0, 0, 1.0),)
GRADIENT: tuple[DifferenceFilter, ...] = (((1, 0, 1.0), (0, 0, -1.0)), ((0, 1, 1.0), (0, 0, -1.0)))
"""Forward differences: vertical, horizontal."""
SECOND_DIFFERENCES: tuple[DifferenceFilter, ...] = (
    ((1, 0, 1.0), (0, 0, -2.0), (-1, 0, 1.0)),
    ((0, 1, 1.0), (0, 0, -2.0), (0, -1, 1.0)),
    ((1, 1, 1.0), (1, 0, -1.0), (0, 1, -1.0), (0, 0, 1.0)),
)
"""Second differences: vertical, horizontal, mixed."""


def stack_gradient(across: float = 1.0) -> tuple[DifferenceFilter, ...]:
    """Forward differences of a stack (B, D, H, W): in depth, times ``across``, vertical, horizontal."""
    return (
        ((1, 0, 0, across), (0, 0, 0, -across)),
        ((0, 1, 0, 1.0), (0, 0, 0, -1.0)),
        ((0, 0, 1, 1.0), (0, 0, 0, -1.0)),
    )


def offset_of(tap: Tap) -> tuple[int, int, int]:
    """The (plane, row, column) of a tap.

    Example:
        >>> offset_of((1, 0, -1.0)), offset_of((1, 0, 0, -1.0))
        ((0, 1, 0), (1, 0, 0))
    """
    return (0, tap[0], tap[1]) if len(tap) == 3 else tap[:3]


def is_across_planes(taps: DifferenceFilter) -> bool:
    """Whether a filter combines planes of a stack."""
    return any(offset_of(tap)[0] != 0 for tap in taps)


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
        shifts = (((-plane, -row, -column), tap[-1]) for tap in taps for plane, row, column in [offset_of(tap)])
        return sum_of_shifts((value, shift, weight) for shift, weight in shifts)
    (planes, height, width), (first, last), ((up, down), (left, right)) = (
        value.shape[-3:],
        depth_reach(taps),
        filter_reach(taps),
    )
    if planes <= first + last or height <= up + down or width <= left + right:
        return 0 * value
    parts = (
        (
            value[
                ...,
                first + plane : planes - last + plane,
                up + row : height - down + row,
                left + column : width - right + column,
            ],
            (0, 0, 0),
            tap[-1],
        )
        for tap in taps
        for plane, row, column in [offset_of(tap)]
    )
    return F.pad(sum_of_shifts(parts), (left, right, up, down, first, last))


def apply_filters_adjoint(coefficients: Tensor, filters: Sequence[DifferenceFilter]) -> Tensor:
    """The adjoint of `apply_filters` with ``wrap=True``: (K, B, C, H, W) -> (B, C, H, W)."""
    return sum_of_shifts(
        (part, offset_of(tap), tap[-1]) for part, taps in zip(coefficients, filters, strict=True) for tap in taps
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
    _, rows, columns = zip(*map(offset_of, taps), strict=True)
    return (-min(0, *rows), max(0, *rows)), (-min(0, *columns), max(0, *columns))


def depth_reach(taps: DifferenceFilter) -> Size:
    """The largest distances of the taps from the voxel in depth: (before, after)."""
    planes = [offset_of(tap)[0] for tap in taps]
    return -min(0, *planes), max(0, *planes)


def power_spectrum(filters: Sequence[DifferenceFilter], size: Sides, like: Tensor) -> Tensor:
    """The summed squared magnitudes of the filters' transfer functions, in the order of ``rfft2``, or of ``rfftn``.

    Args:
        filters: any number of filters; none of them is across planes if the grid has two sides.
        size: (H, W) of the periodic grid, or (D, H, W).
        like: gives precision and device.

    Returns:
        (H, W // 2 + 1) or (D, H, W // 2 + 1), real.

    Raises:
        ValueError: a filter is across planes, and the grid has two sides.

    Example:
        >>> power_spectrum(GRADIENT, (2, 2), torch.zeros(1))  # 4 for each direction that alternates
        tensor([[0., 4.],
                [4., 8.]])
    """
    leading, columns = (torch.fft.fftfreq(side, dtype=torch.float64) for side in size[:-1]), size[-1]
    lines = torch.cartesian_prod(*leading).view(-1, len(size) - 1)  # the frequencies of each line of the spectrum
    along = torch.fft.rfftfreq(columns, dtype=torch.float64)[:, None]
    total = torch.zeros(len(lines), len(along), dtype=torch.float64)
    for taps in filters:
        if len(size) == 2 and is_across_planes(taps):
            raise ValueError("a filter across planes has no spectrum on a grid of one plane")
        shifts = torch.tensor([offset_of(tap)[-len(size) :] for tap in taps], dtype=torch.float64)
        weights = torch.tensor([tap[-1] for tap in taps], dtype=torch.float64)
        (cosine, sine), across = (
            cosines_and_sines(lines, shifts[:, :-1]) * weights,
            cosines_and_sines(along, shifts[:, -1:]),
        )
        real, imaginary = torch.cat([cosine, -sine], 1), torch.cat([sine, cosine], 1)
        total += (torch.stack([real, imaginary]) @ torch.cat([*across], 1).T).square_().sum(0)
    return total.view(*size[:-1], -1).to(like.device, like.dtype)


def cosines_and_sines(frequencies: Tensor, shifts: Tensor) -> Tensor:
    """Real and imaginary part of the transfer functions of shifts: (n, axes) and (k, axes) -> (2, n, k)."""
    angles = (2 * torch.pi * frequencies) @ shifts.T
    return torch.stack([angles.cos(), angles.sin()])


def roll_image(value: Tensor, down: int, right: int, planes: int = 0) -> Tensor:
    """An image (..., H, W), shifted periodically by whole pixels; the same tensor for no shift.

    Args:
        value: (..., H, W).
        down: pixels.
        right: pixels.
        planes: by which a stack (..., D, H, W) is shifted in depth.
    """
    value = torch.roll(value, planes, -3) if planes else value
    value = torch.roll(value, down, -2) if down else value  # torch makes one pass for each dimension it is given
    return torch.roll(value, right, -1) if right else value


def sum_over(planes: Tensor, dim: int) -> Tensor:
    """The sum over a dimension of two or three planes, which keeps size 1; several times as fast as `torch.sum`."""
    return reduce(torch.add, torch.split(planes, 1, dim))


def sum_of_shifts(parts: Iterable[tuple[Tensor, tuple[int, int, int], float]]) -> Tensor:
    """The weighted sum of periodically shifted images, with few temporary copies.

    Args:
        parts: images (..., H, W), each with its shift (planes, down, right) in pixels and its weight.
    """
    total: Tensor | None = None
    for part, (planes, down, right), weight in parts:
        moved = roll_image(part, down, right, planes)
        if total is not None:
            total.add_(moved, alpha=weight)
        else:
            total = moved if weight == 1 and moved is not part else weight * moved  # a new tensor, safe to change
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
