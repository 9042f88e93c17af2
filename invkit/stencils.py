"""Small linear filters given by their taps: differences of neighbours, and what follows from them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeAlias

import torch
from torch import Tensor

from .geometry import Size

__all__ = ["GRADIENT", "IDENTITY", "SECOND", "Stencil", "adjoint", "analyse", "power"]

Stencil: TypeAlias = tuple[tuple[int, int, float], ...]
"""Taps (row, column, weight): ``(D u)[n] = sum weight * u[n + (row, column)]``."""

IDENTITY: Stencil = ((0, 0, 1.0),)
GRADIENT: tuple[Stencil, ...] = (((1, 0, 1.0), (0, 0, -1.0)), ((0, 1, 1.0), (0, 0, -1.0)))
"""Forward differences: down the rows, along the columns."""
SECOND: tuple[Stencil, ...] = (
    ((1, 0, 1.0), (0, 0, -2.0), (-1, 0, 1.0)),
    ((0, 1, 1.0), (0, 0, -2.0), (0, -1, 1.0)),
    ((1, 1, 1.0), (1, 0, -1.0), (0, 1, -1.0), (0, 0, 1.0)),
)
"""Second differences: twice down, twice along, once each."""


def analyse(value: Tensor, stencils: Sequence[Stencil], *, wrap: bool = True) -> Tensor:
    """Apply each filter: (B, C, H, W) -> (K, B, C, H, W); differentiable.

    Args:
        value: the image.
        stencils: K filters.
        wrap: whether the image continues on its other side; else what reaches across the border is zero.
    """
    return torch.stack([one(value, stencil, wrap) for stencil in stencils])


def one(value: Tensor, stencil: Stencil, wrap: bool) -> Tensor:
    """One filter, (B, C, H, W) -> (B, C, H, W)."""
    filtered = combined((value, -row, -column, weight) for row, column, weight in stencil)
    return filtered if wrap else filtered * inside(stencil, value)


def inside(stencil: Stencil, value: Tensor) -> Tensor:
    """One where all taps lie in the image, else zero; (H, W)."""
    height, width = value.shape[-2:]
    up, left = (-min(0, *(tap[axis] for tap in stencil)) for axis in (0, 1))
    down, right = (max(0, *(tap[axis] for tap in stencil)) for axis in (0, 1))
    mask = value.new_zeros(height, width)
    mask[up : height - down, left : width - right] = 1
    return mask


def adjoint(coefficients: Tensor, stencils: Sequence[Stencil]) -> Tensor:
    """The adjoint of `analyse` with ``wrap=True``: (K, B, C, H, W) -> (B, C, H, W)."""
    return combined(
        (plane, row, column, weight)
        for plane, stencil in zip(coefficients, stencils, strict=True)
        for row, column, weight in stencil
    )


def power(stencils: Sequence[Stencil], size: Size, like: Tensor) -> Tensor:
    """The summed squared magnitudes of the filters' transfer functions on a grid of ``size``, as ``rfft2`` orders it.

    Returns:
        (H, W // 2 + 1), real, in the precision and on the device of ``like``.
    """
    rows = torch.fft.fftfreq(size[0], dtype=torch.float64)[:, None]
    columns = torch.fft.rfftfreq(size[1], dtype=torch.float64)[None]
    total = torch.zeros(size[0], size[1] // 2 + 1, dtype=torch.float64)
    for stencil in stencils:
        waves = [weight * torch.exp(2j * torch.pi * (row * rows + column * columns)) for row, column, weight in stencil]
        total += torch.stack(waves).sum(0).abs().square()
    return total.to(like.device, like.dtype)


def rolled(value: Tensor, down: int, right: int) -> Tensor:
    """The image shifted round its borders."""
    return value if (down, right) == (0, 0) else torch.roll(value, (down, right), (-2, -1))


def combined(taps: Iterable[tuple[Tensor, int, int, float]]) -> Tensor:
    """The sum of planes that are shifted round their borders (down, right) and weighted, with few temporary copies."""
    total: Tensor | None = None
    for plane, down, right, weight in taps:
        moved = rolled(plane, down, right)
        if total is not None:
            total.add_(moved, alpha=weight)
        else:
            total = moved if weight == 1 and moved is not plane else weight * moved  # its own, to be added to
    if total is None:
        raise ValueError("a filter needs at least one tap")
    return total
