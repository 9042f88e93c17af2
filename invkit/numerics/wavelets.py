"""An orthonormal wavelet transform for images of every size."""

from __future__ import annotations

import math
from functools import cache
from typing import Annotated, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from .geometry import Size, size_of

__all__ = ["Levels", "Wavelet", "compose", "daubechies", "decompose", "detail_mask", "level_of"]

Wavelet = Literal["db1", "db2", "db3", "db4"]
Levels = Annotated[int, Field(gt=0, le=16)]

Taps = tuple[float, ...]


def decompose(image: Tensor, wavelet: Wavelet, levels: Levels) -> Tensor:
    """The coefficients of an orthonormal wavelet transform (Mallat 1989); differentiable.

    Each level splits every row and then every column of the smooth part into a smooth half, which comes first, and a
    detail half, by Daubechies filters on a periodic signal. If the length is odd, the last value is not changed, stays
    last and is never split again. It counts as smooth. The transform is therefore orthonormal for every size, and a
    constant image has no details.

    Args:
        image: (..., H, W).
        wavelet: "db1" to "db4".
        levels: the number of times that the size is halved; fewer if a side reaches one value before.

    Returns:
        (..., H, W). The smooth coefficients are those where `detail_mask` is false.

    Example:
        >>> coefficients = decompose(torch.ones(8, 8), "db2", 3)
        >>> coefficients[0, 0].round(decimals=4), bool(coefficients[1:].abs().max() < 1e-5)
        (tensor(8.), True)
    """
    coefficients, taps = image.clone(), daubechies(int(wavelet[2:]))
    for height, width in smooth_block_sizes(size_of(image), levels):
        corner = coefficients[..., :height, :width]
        coefficients[..., :height, :width] = split_halves(split_halves(corner, taps).mT, taps).mT
    return coefficients


def compose(coefficients: Tensor, wavelet: Wavelet, levels: Levels) -> Tensor:
    """The image of given coefficients: the inverse of `decompose`, which is also its adjoint.

    Args:
        coefficients: (..., H, W).
        wavelet: "db1" to "db4".
        levels: see `decompose`.

    Returns:
        (..., H, W).
    """
    image, taps = coefficients.clone(), daubechies(int(wavelet[2:]))
    for height, width in reversed(smooth_block_sizes(size_of(coefficients), levels)):
        corner = image[..., :height, :width]
        image[..., :height, :width] = join_halves(join_halves(corner.mT, taps).mT, taps)
    return image


def detail_mask(size: Size, levels: Levels, device: torch.device | None = None) -> Tensor:
    """Which coefficients of an image are details, (H, W) of bool; those of a constant image are zero.

    Args:
        size: (H, W).
        levels: see `decompose`.
        device: device of the result.
    """
    mask = torch.zeros(size, dtype=torch.bool, device=device)
    for height, width in smooth_block_sizes(size, levels):
        rows, columns = is_detail(height, device), is_detail(width, device)
        mask[:height, :width] |= rows[:, None] | columns
    return mask


def level_of(size: Size, levels: Levels, device: torch.device | None = None) -> Tensor:
    """The level of each coefficient, counted from 1, (H, W) of int; smooth coefficients have the deepest level.

    Args:
        size: (H, W).
        levels: see `decompose`.
        device: device of the result.
    """
    level = torch.zeros(size, dtype=torch.int, device=device)
    for height, width in smooth_block_sizes(size, levels):
        level[:height, :width] += 1
    return level


def smooth_block_sizes(size: Size, levels: int) -> list[Size]:
    """The size of the smooth part that each level splits, the image first."""
    sizes = [(size[0] >> level, size[1] >> level) for level in range(levels)]
    return [block for block in sizes if min(block) > 1]


def is_detail(length: int, device: torch.device | None) -> Tensor:
    """Which values of a split signal are details, (length,) of bool."""
    position = torch.arange(length, device=device) // (length // 2)
    return position == 1


def split_halves(signal: Tensor, taps: Taps) -> Tensor:
    """Split the last dimension: ``smooth[k] = sum_m h[m] x[2 k + m]``, likewise the details, then an odd last value."""
    end = signal.shape[-1] // 2 * 2
    even, odd = signal[..., 0:end:2], signal[..., 1:end:2]
    smooth, detail = torch.zeros_like(even), torch.zeros_like(even)
    for lag, (low, high) in enumerate(zip(tap_pairs(taps), tap_pairs(detail_taps(taps)), strict=True)):
        ahead = even.roll(-lag, -1), odd.roll(-lag, -1)
        smooth = smooth + low[0] * ahead[0] + low[1] * ahead[1]
        detail = detail + high[0] * ahead[0] + high[1] * ahead[1]
    return torch.cat([smooth, detail, signal[..., end:]], -1)


def join_halves(signal: Tensor, taps: Taps) -> Tensor:
    """The inverse of `split_halves`, which is also its adjoint."""
    half = signal.shape[-1] // 2
    smooth, detail, left = signal[..., :half], signal[..., half : 2 * half], signal[..., 2 * half :]
    even, odd = torch.zeros_like(smooth), torch.zeros_like(smooth)
    for lag, (low, high) in enumerate(zip(tap_pairs(taps), tap_pairs(detail_taps(taps)), strict=True)):
        even = even + (low[0] * smooth + high[0] * detail).roll(lag, -1)
        odd = odd + (low[1] * smooth + high[1] * detail).roll(lag, -1)
    return torch.cat([torch.stack([even, odd], -1).flatten(-2), left], -1)


def tap_pairs(taps: Taps) -> list[tuple[float, float]]:
    """The taps in pairs of an even and an odd index."""
    return list(zip(taps[::2], taps[1::2], strict=True))


def detail_taps(taps: Taps) -> Taps:
    """The detail filter ``g[m] = (-1)^m h[-1 - m]``, which forms an orthonormal pair with h."""
    return tuple((-1) ** m * tap for m, tap in enumerate(reversed(taps)))


@cache
def daubechies(moments: int) -> Taps:
    """The smoothing filter of the Daubechies wavelet with p vanishing moments, 2 p taps.

    Daubechies, "Orthonormal bases of compactly supported wavelets", 1988, Section 4: ``((1 + z) / 2)^p Q(z)`` with
    ``|Q|^2 = sum_k binom(p - 1 + k, k) y^k``, ``y = (2 - z - 1 / z) / 4``; Q has the roots inside the unit circle.
    """
    powers = [math.comb(moments - 1 + k, k) for k in reversed(range(moments))]
    middle = 1 - 2 * np.roots(powers).astype(complex)  # each root y gives a pair z, 1 / z: the roots of z^2 - 2 m z + 1
    both = np.stack([middle + np.sqrt(middle**2 - 1), middle - np.sqrt(middle**2 - 1)])
    within = np.where(abs(both[0]) < 1, both[0], both[1])
    taps = np.poly([*[-1] * moments, *within]).real
    return tuple(float(tap) for tap in taps * math.sqrt(2) / taps.sum())
