"""Kernels for the page: those of a case centred, at one size of pixels and on one scale."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ...benchmark.strips import centred, padded
from ...media.kernels import mosaic
from .pictures import Picture, from_array

__all__ = ["KernelRow", "KernelTile", "kernel_row", "parameter_row"]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class KernelTile:
    """A kernel to be shown: whose it is, its size in words, and its picture."""

    name: str
    size: str
    picture: Picture


@dataclass(frozen=True)
class KernelRow:
    """Kernels beside each other; black is ``low``, white is ``high``."""

    title: str
    tiles: tuple[KernelTile, ...]
    low: float
    high: float


def kernel_row(kernels: Mapping[str, Floats]) -> KernelRow | None:
    """The kernels of a case by name, (h, w), or (B, h, w) of several pictures; None where there are none."""
    if not kernels:
        return None
    drawn = {name: laid_out(kernel) for name, kernel in kernels.items()}
    squares = [kernel for name, kernel in drawn.items() if kernels[name].ndim == 2]
    side = max((max(square.shape) for square in squares), default=1)
    high = max(float(np.nanmax(kernel)) for kernel in drawn.values()) or 1.0
    tiles = [
        KernelTile(name, sized(kernels[name]), from_array(fit(kernel, side) / high, "exact"))
        for name, kernel in drawn.items()
    ]
    return KernelRow("Kernels" if len(tiles) > 1 else "Kernel", tuple(tiles), 0.0, high)


def laid_out(kernel: Floats) -> Floats:
    """A kernel centred, or several side by side."""
    return centred(kernel) if kernel.ndim == 2 else np.asarray(mosaic(kernel, 0.0), dtype=np.float64)


def fit(kernel: Floats, side: int) -> Floats:
    """A square kernel in the middle of the common square; others as they are."""
    square = kernel.shape[0] == kernel.shape[1] <= side and (side - kernel.shape[0]) % 2 == 0
    return padded(kernel, side) if square else kernel


def sized(kernel: Floats) -> str:
    """Height and width, and how many there are."""
    height, width = kernel.shape[-2:]
    several = f"{kernel.shape[0]} of " if kernel.ndim > 2 else ""
    return f"{several}{height} × {width}"  # noqa: RUF001  a true times sign


def parameter_row(name: str, planes: Floats) -> KernelRow:
    """Another unknown than a kernel, (h, w) or (N, h, w), its planes side by side: the least is black."""
    values = np.nan_to_num(planes)
    low, high = float(values.min()), float(values.max())
    unit = (values - low) / (high - low or 1.0)
    tiled = mosaic(unit.reshape(-1, *unit.shape[-2:]), 1.0)
    return KernelRow("Unknown", (KernelTile(name, sized(planes), from_array(tiled, "exact")),), low, high)
