"""Small linear filters given by their taps: differences of neighbours, and what follows from them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import reduce
from typing import TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

from .geometry import Size

__all__ = [
    "GRADIENT",
    "IDENTITY",
    "SECOND_DIFFERENCES",
    "DifferenceFilter",
    "apply_filters",
    "apply_filters_adjoint",
    "power_spectrum",
    "sum_over",
]

DifferenceFilter: TypeAlias = tuple[tuple[int, int, float], ...]
"""Taps (row, column, weight): ``(D u)[n] = sum weight * u[n + (row, column)]``."""

IDENTITY: DifferenceFilter = ((0, 0, 1.0),)
GRADIENT: tuple[DifferenceFilter, ...] = (((1, 0, 1.0), (0, 0, -1.0)), ((0, 1, 1.0), (0, 0, -1.0)))
"""Forward differences: down the rows, along the columns."""
SECOND_DIFFERENCES: tuple[DifferenceFilter, ...] = (
    ((1, 0, 1.0), (0, 0, -2.0), (-1, 0, 1.0)),
    ((0, 1, 1.0), (0, 0, -2.0), (0, -1, 1.0)),
    ((1, 1, 1.0), (1, 0, -1.0), (0, 1, -1.0), (0, 0, 1.0)),
)
"""Second differences: twice down, twice along, once each."""


def apply_filters(value: Tensor, filters: Sequence[DifferenceFilter], *, wrap: bool = True) -> Tensor:
    """Apply each filter: (B, C, H, W) -> (K, B, C, H, W); differentiable.

    Args:
        value: the image.
        filters: K filters.
        wrap: whether the image continues on its other side; else what reaches across the border is zero.
    """
    return torch.stack([apply_filter(value, taps, wrap) for taps in filters])


def apply_filter(value: Tensor, taps: DifferenceFilter, wrap: bool) -> Tensor:
    """One filter, (B, C, H, W) -> (B, C, H, W)."""
    if wrap:
        return sum_of_shifts((value, -row, -column, weight) for row, column, weight in taps)
    (height, width), ((up, down), (left, right)) = value.shape[-2:], filter_reach(taps)
    if height <= up + down or width <= left + right:
        return 0 * value
    planes = (
        (value[..., up + row : height - down + row, left + column : width - right + column], 0, 0, weight)
        for row, column, weight in taps
    )
    return F.pad(sum_of_shifts(planes), (left, right, up, down))


def valid_mask(taps: DifferenceFilter, value: Tensor) -> Tensor:
    """One where all taps lie in the image, else zero; (H, W)."""
    height, width = value.shape[-2:]
    (up, down), (left, right) = filter_reach(taps)
    mask = value.new_zeros(height, width)
    mask[up : height - down, left : width - right] = 1
    return mask


def filter_reach(taps: DifferenceFilter) -> tuple[Size, Size]:
    """How far the taps lie from a pixel: ((up, down), (left, right))."""
    rows, columns, _ = zip(*taps, strict=True)
    return (-min(0, *rows), max(0, *rows)), (-min(0, *columns), max(0, *columns))


def apply_filters_adjoint(coefficients: Tensor, filters: Sequence[DifferenceFilter]) -> Tensor:
    """The adjoint of `apply_filters` with ``wrap=True``: (K, B, C, H, W) -> (B, C, H, W)."""
    return sum_of_shifts(
        (plane, row, column, weight)
        for plane, taps in zip(coefficients, filters, strict=True)
        for row, column, weight in taps
    )


def power_spectrum(filters: Sequence[DifferenceFilter], size: Size, like: Tensor) -> Tensor:
    """The summed squared magnitudes of the filters' transfer functions on a grid of ``size``, as ``rfft2`` orders it.

    Returns:
        (H, W // 2 + 1), real, in the precision and on the device of ``like``.
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
    """Cosine and sine of what shifts along a line do to its frequencies: (n,) and (k,) -> (2, n, k)."""
    angles = 2 * torch.pi * frequencies[:, None] * shifts
    return torch.stack([angles.cos(), angles.sin()])


def roll_image(value: Tensor, down: int, right: int) -> Tensor:
    """The image shifted round its borders; the same tensor for no shift."""
    value = torch.roll(value, down, -2) if down else value  # torch makes a pass for each dimension that is named
    return torch.roll(value, right, -1) if right else value


def sum_over(planes: Tensor, dim: int) -> Tensor:
    """The sum over a dimension of few planes, which keeps size one: of two or three several times as fast as `sum`."""
    return reduce(torch.add, torch.split(planes, 1, dim))


def sum_of_shifts(taps: Iterable[tuple[Tensor, int, int, float]]) -> Tensor:
    """The sum of planes that are shifted round their borders (down, right) and weighted, with few temporary copies."""
    total: Tensor | None = None
    for plane, down, right, weight in taps:
        moved = roll_image(plane, down, right)
        if total is not None:
            total.add_(moved, alpha=weight)
        else:
            total = moved if weight == 1 and moved is not plane else weight * moved  # its own, to be added to
    if total is None:
        raise ValueError("a filter needs at least one tap")
    return total
