"""The squared error of every shift at once.

A bilinear crop is ``sum_i w_i M_i`` of four whole-pixel crops M_i, so that its error against T is the quadratic form
``sum_ij w_i w_j <M_i, M_j> - 2 sum_i w_i <M_i, T> + <T, T>``: inner products of whole-pixel crops are all it takes.
Those with T are one correlation, done by a Fourier transform; those of the image with itself are sums over windows.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = ["bilinear_crop", "nearest_least", "squared_errors"]

Floats: TypeAlias = npt.NDArray[np.float64]
Corner: TypeAlias = tuple[int, int]

CORNERS: tuple[Corner, ...] = ((0, 0), (0, 1), (1, 0), (1, 1))
ROUNDING = 64 * float(np.finfo(np.float64).eps)  # of the terms below, relative to the energies that they cancel from


def squared_errors(moving: Floats, still: Floats, corners: Floats) -> tuple[Floats, float]:
    """The summed squared error of every bilinear crop of ``moving`` whose corner is at (corners[i], corners[j]).

    Args:
        moving: (C, H, W).
        still: (C, h, w).
        corners: (n,), pixels, from 0 to H - h - 1 and W - w - 1.

    Returns:
        (n, n), and by how much rounding may have changed each of them.
    """
    mean = still.mean(axis=(1, 2), keepdims=True)  # taken out of both: small terms cancel better
    moving, still = moving - mean, still - mean
    whole = np.floor(corners).astype(int)
    weights = (1 - (corners - whole), corners - whole)
    energy = inner(still, still)
    errors = np.full((len(corners), len(corners)), energy)
    cross = cross_products(moving, still)
    for i, j in CORNERS:
        errors -= np.outer(2 * weights[i], weights[j]) * cross[np.ix_(whole + i, whole + j)]
    for (first, second), (i, j), table in own_products(moving, still.shape[1:]):
        weight = np.outer(weights[first[0]] * weights[second[0]], weights[first[1]] * weights[second[1]])
        errors += weight * table[np.ix_(whole + i, whole + j)]
    return errors, ROUNDING * (energy + inner(moving, moving))


def inner(first: Floats, second: Floats) -> float:
    """The inner product of two arrays (C, H, W)."""
    return float(np.einsum("cyx,cyx->", first, second))


def cross_products(moving: Floats, still: Floats) -> Floats:
    """``<crop of moving at (i, j), still>`` for every whole corner: (C, H, W), (C, h, w) -> (H - h + 1, W - w + 1).

    Crops inside the image never wrap round, so that no padding is needed but to a size quick to transform.
    """
    from scipy import fft

    height, width = (fft.next_fast_len(n, real=True) for n in moving.shape[1:])
    rows, columns = (big - small + 1 for big, small in zip(moving.shape[1:], still.shape[1:], strict=True))
    spectrum = fft.rfft2(moving, (height, width))
    spectrum *= fft.rfft2(still, (height, width)).conj()
    few = fft.ifft(spectrum.sum(axis=0), axis=0, overwrite_x=True)[:rows]
    return np.asarray(fft.irfft(few, width, axis=1)[:, :columns])


def own_products(moving: Floats, size: tuple[int, ...]) -> Iterator[tuple[tuple[Corner, Corner], Corner, Floats]]:
    """The inner products of the four whole-pixel crops round every corner with one another.

    Yields:
        Two of the four, and where their product stands: at ``table[row + i, column + j]`` for the corner (row,
        column). The sixteen need five tables, as two products that differ by a shift are one.
    """
    tables: dict[tuple[Corner, Corner], Floats] = {}
    for first, second in product(CORNERS, repeat=2):
        low = (min(first[0], second[0]), min(first[1], second[1]))
        a, b = sorted((c[0] - low[0], c[1] - low[1]) for c in (first, second))
        if (a, b) not in tables:
            tables[a, b] = window_sums(*overlap(moving, a, b), size)
        yield (first, second), low, tables[a, b]


def overlap(image: Floats, first: Corner, second: Corner) -> tuple[Floats, Floats]:
    """The image from each of two corners on, as far as both reach."""
    height, width = (n - max(a, b) for n, a, b in zip(image.shape[1:], first, second, strict=True))
    a, b = (image[:, i : i + height, j : j + width] for i, j in (first, second))
    return a, b


def window_sums(first: Floats, second: Floats, size: tuple[int, ...]) -> Floats:
    """The sum of the product over every window of ``size`` (h, w): (C, H, W) twice -> (H - h + 1, W - w + 1).

    The windows differ by few rows, so that only the first is summed whole, and the rest gain and lose a row each.
    """
    (height, width), more = size, first.shape[1] - size[0]
    top = np.einsum("cyx,cyx->x", first[:, :height], second[:, :height])
    gained = np.einsum("cyx,cyx->yx", first[:, height:], second[:, height:])
    lost = np.einsum("cyx,cyx->yx", first[:, :more], second[:, :more])
    rows = np.concatenate([top[None], gained - lost]).cumsum(axis=0)
    summed = np.pad(rows.cumsum(axis=1), ((0, 0), (1, 0)))
    return np.asarray(summed[:, width:] - summed[:, :-width])


def nearest_least(errors: Floats, shifts: Floats, rounding: float) -> tuple[float, float]:
    """The shift of the least error; of those that differ by no more than rounding, the nearest to no shift.

    Args:
        errors: (n, n).
        shifts: (n,), pixels, of the rows as of the columns.
        rounding: by how much an error may be wrong.

    Returns:
        (down, right); of equally near ones the first from the top left.
    """
    rows, columns = np.nonzero(errors <= errors.min() + 2 * rounding)
    nearest = int(np.argmin(shifts[rows] ** 2 + shifts[columns] ** 2))
    return float(shifts[rows[nearest]]), float(shifts[columns[nearest]])


def bilinear_crop(image: Floats, corner: tuple[float, float], size: tuple[int, ...]) -> Floats:
    """The (C, *size) crop of an image (C, H, W) at a fractional corner (row, column)."""
    (top, left), (height, width) = np.floor(corner).astype(int), size
    down, right = corner[0] - top, corner[1] - left
    window = image[:, top : top + height + 1, left : left + width + 1]
    rows = (1 - down) * window[:, :-1] + down * window[:, 1:]
    return np.asarray((1 - right) * rows[:, :, :-1] + right * rows[:, :, 1:])
