"""An orthonormal wavelet transform of images of every size."""

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

Wavelet = Annotated[
    Literal["db1", "db2", "db3", "db4"],
    Field(description="Daubechies' filters, by their vanishing moments; db1 is Haar's"),
]
Levels = Annotated[int, Field(gt=0, le=16, description="times the size is halved")]

Taps = tuple[float, ...]


def decompose(image: Tensor, wavelet: Wavelet, levels: Levels) -> Tensor:
    """The coefficients of an orthonormal wavelet transform (Mallat 1989); differentiable.

    At each level every row and then every column of what is smooth is split into a smooth half, which comes first,
    and details, by Daubechies' filters on a periodic signal. Where its length is odd the last value passes through
    untouched, stays last and is not split again: so it counts as smooth, the transform is orthonormal for every size,
    and a constant image has no details.

    Args:
        image: (..., H, W).
        wavelet: "db1" to "db4".
        levels: times the size is halved; fewer where a side is down to one value before.

    Returns:
        (..., H, W), with what is smooth where `detail_mask` is false.
    """
    coefficients, taps = image.clone(), daubechies(int(wavelet[2:]))
    for height, width in blocks(size_of(image), levels):
        corner = coefficients[..., :height, :width]
        coefficients[..., :height, :width] = split(split(corner, taps).mT, taps).mT
    return coefficients


def compose(coefficients: Tensor, wavelet: Wavelet, levels: Levels) -> Tensor:
    """The image with these coefficients: the inverse of `decompose`, which is its adjoint; (..., H, W)."""
    image, taps = coefficients.clone(), daubechies(int(wavelet[2:]))
    for height, width in reversed(blocks(size_of(coefficients), levels)):
        corner = image[..., :height, :width]
        image[..., :height, :width] = joined(joined(corner.mT, taps).mT, taps)
    return image


def detail_mask(size: Size, levels: Levels, device: torch.device | None = None) -> Tensor:
    """Which coefficients of an image of ``size`` are details, (H, W) of bool: what is constant has none."""
    mask = torch.zeros(size, dtype=torch.bool, device=device)
    for height, width in blocks(size, levels):
        rows, columns = is_detail(height, device), is_detail(width, device)
        mask[:height, :width] |= rows[:, None] | columns
    return mask


def level_of(size: Size, levels: Levels, device: torch.device | None = None) -> Tensor:
    """The level, from 1, that each coefficient comes from, (H, W) of int; the deepest for what is smooth there."""
    level = torch.zeros(size, dtype=torch.int, device=device)
    for height, width in blocks(size, levels):
        level[:height, :width] += 1
    return level


def blocks(size: Size, levels: int) -> list[Size]:
    """The sizes of what each level splits, the image first."""
    sizes = [(size[0] >> level, size[1] >> level) for level in range(levels)]
    return [block for block in sizes if min(block) > 1]


def is_detail(length: int, device: torch.device | None) -> Tensor:
    """Which values of a split signal are details, (length,) of bool."""
    position = torch.arange(length, device=device) // (length // 2)
    return position == 1


def split(signal: Tensor, taps: Taps) -> Tensor:
    """``smooth[k] = sum_m h[m] x[2 k + m]``, likewise details, and the odd value left; along the last dimension."""
    end = signal.shape[-1] // 2 * 2
    even, odd = signal[..., 0:end:2], signal[..., 1:end:2]
    smooth, detail = torch.zeros_like(even), torch.zeros_like(even)
    for lag, (low, high) in enumerate(zip(pairs(taps), pairs(mirror(taps)), strict=True)):
        ahead = even.roll(-lag, -1), odd.roll(-lag, -1)
        smooth = smooth + low[0] * ahead[0] + low[1] * ahead[1]
        detail = detail + high[0] * ahead[0] + high[1] * ahead[1]
    return torch.cat([smooth, detail, signal[..., end:]], -1)


def joined(signal: Tensor, taps: Taps) -> Tensor:
    """The adjoint of `split`, its inverse."""
    half = signal.shape[-1] // 2
    smooth, detail, left = signal[..., :half], signal[..., half : 2 * half], signal[..., 2 * half :]
    even, odd = torch.zeros_like(smooth), torch.zeros_like(smooth)
    for lag, (low, high) in enumerate(zip(pairs(taps), pairs(mirror(taps)), strict=True)):
        even = even + (low[0] * smooth + high[0] * detail).roll(lag, -1)
        odd = odd + (low[1] * smooth + high[1] * detail).roll(lag, -1)
    return torch.cat([torch.stack([even, odd], -1).flatten(-2), left], -1)


def pairs(taps: Taps) -> list[tuple[float, float]]:
    """The taps of even and odd number, two by two."""
    return list(zip(taps[::2], taps[1::2], strict=True))


def mirror(taps: Taps) -> Taps:
    """The filter of the details, ``g[m] = (-1)^m h[-1 - m]``: with h it makes an orthonormal pair."""
    return tuple((-1) ** m * tap for m, tap in enumerate(reversed(taps)))


@cache
def daubechies(moments: int) -> Taps:
    """The smoothing filter of Daubechies' wavelet with that many vanishing moments, twice as many taps.

    Daubechies, "Orthonormal bases of compactly supported wavelets", 1988, Section 4: ``((1 + z) / 2)^p Q(z)`` with
    ``|Q|^2 = sum_k binom(p - 1 + k, k) y^k``, ``y = (2 - z - 1 / z) / 4``; Q has the roots within the unit circle.
    """
    powers = [math.comb(moments - 1 + k, k) for k in reversed(range(moments))]
    middle = 1 - 2 * np.roots(powers).astype(complex)  # each root y is a pair z, 1 / z, the roots of z^2 - 2 m z + 1
    both = np.stack([middle + np.sqrt(middle**2 - 1), middle - np.sqrt(middle**2 - 1)])
    within = np.where(abs(both[0]) < 1, both[0], both[1])
    taps = np.poly([*[-1] * moments, *within]).real
    return tuple(float(tap) for tap in taps * math.sqrt(2) / taps.sum())
