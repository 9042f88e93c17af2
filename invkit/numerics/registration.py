"""Comparison of an estimate with the truth after registration (Levin's protocol).

A blind method finds image and kernel only up to a common shift. The estimate is therefore compared with the truth
without its border, at the shift of least squared error (Levin, Weiss, Durand, Freeman, "Understanding and evaluating
blind deconvolution algorithms", CVPR 2009).

The search computes the errors of all shifts at once. A bilinear crop is ``sum_i w_i M_i`` of four whole-pixel crops
M_i. Its squared error against T is ``sum_ij w_i w_j <M_i, M_j> - 2 sum_i w_i <M_i, T> + <T, T>``. The products with T
are one correlation, computed by Fourier transforms. The products of the crops with each other are sums over windows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import TypeAlias

import numpy as np

from ..core.errors import InputError
from .similarity import Floats, Image, as_image_array, psnr, ssd, ssim

__all__ = ["Aligned", "align", "aligned_psnr", "aligned_ssd", "aligned_ssim"]

Corner: TypeAlias = tuple[int, int]

MAX_SHIFTS_PER_SIDE = 2001  # 32 MB of errors
CORNERS: tuple[Corner, ...] = ((0, 0), (0, 1), (1, 0), (1, 1))
ROUNDING_FACTOR = 64 * float(np.finfo(np.float64).eps)  # rounding error of the squared errors, relative to the energies


@dataclass(frozen=True)
class Aligned:
    """Two crops of the same part of a scene.

    Attributes:
        estimate: (C, h, w), the estimate interpolated at ``shift``; float64.
        truth: (C, h, w), the truth without its border; float64.
        shift: (down, right) in pixels: ``estimate(y + down, x + right)`` corresponds to ``truth(y, x)``.
    """

    estimate: Floats
    truth: Floats
    shift: tuple[float, float]


def align(estimate: Image, truth: Image, *, border: int = 15, max_shift: float = 5.0, step: float = 0.25) -> Aligned:
    """Find the shift of least squared error over all channels, by exhaustive search with bilinear interpolation.

    Images of different sizes are first cropped about their centres to the common size; an odd pixel is cut at the
    bottom and at the right. An image of (H + h - 1, W + w - 1) under a valid convolution with an (h, w) kernel is so
    placed on its (H, W) data with the kernel's pixel (h // 2, w // 2) as the origin.

    Args:
        estimate: (H, W), (C, H, W) or (1, C, H, W) in [0, 1], an array or a tensor.
        truth: the same, with the same channels.
        border: pixels to cut from each side of the truth; at least ``max_shift``.
        max_shift: the largest shift in each direction, pixels.
        step: the distance between two shifts, pixels.

    Returns:
        The two crops and the shift; of equally good shifts, the one nearest to zero.

    Raises:
        InputError: the shapes are others, the channels differ, a value is not finite, the border is smaller than
            ``max_shift`` or leaves nothing, or the step is not positive or gives more than 2001 shifts along a side.

    Example:
        >>> truth = np.random.default_rng(0).random((60, 60))
        >>> align(np.roll(truth, (2, -1), axis=(0, 1)), truth).shift
        (2.0, -1.0)
    """
    moving, still = crop_to_common_size(as_image_array(estimate, "estimate"), as_image_array(truth, "truth"))
    check_search(border, max_shift, step)
    still = crop_border(still, border)
    reach = int(np.ceil(max_shift))
    # One more pixel on all sides: the pixel beyond the largest shift has weight 0, but its value is read.
    moving = np.pad(moving, ((0, 0), (1, 1), (1, 1)), mode="edge")
    cut = border - reach
    moving = moving[:, cut : moving.shape[1] - cut, cut : moving.shape[2] - cut]
    steps = int(np.floor(max_shift / step + 1e-9))
    shifts: Floats = np.arange(-steps, steps + 1, dtype=np.float64) * step
    errors, rounding = squared_errors(moving, still, shifts + reach + 1)
    down, right = best_shift(errors, shifts, rounding)
    crop = bilinear_crop(moving, (down + reach + 1, right + reach + 1), still.shape[1:])
    return Aligned(crop, still, (down, right))


def aligned_psnr(
    estimate: Image, truth: Image, *, border: int = 15, max_shift: float = 5.0, step: float = 0.25
) -> float:
    """`psnr` of the two crops that `align` finds, in dB.

    Args:
        estimate: this and the other arguments are those of `align`, which also raises the same errors.
        truth: (H, W), (C, H, W) or (1, C, H, W) in [0, 1].
        border: pixels.
        max_shift: pixels.
        step: pixels.
    """
    crops = align(estimate, truth, border=border, max_shift=max_shift, step=step)
    return psnr(crops.estimate, crops.truth)


def aligned_ssim(
    estimate: Image, truth: Image, *, border: int = 15, max_shift: float = 5.0, step: float = 0.25
) -> float:
    """`ssim` of the two crops that `align` finds, at most 1.

    Args:
        estimate: this and the other arguments are those of `align`, which also raises the same errors.
        truth: (H, W), (C, H, W) or (1, C, H, W) in [0, 1].
        border: pixels.
        max_shift: pixels.
        step: pixels.
    """
    crops = align(estimate, truth, border=border, max_shift=max_shift, step=step)
    return ssim(crops.estimate, crops.truth)


def aligned_ssd(
    estimate: Image, truth: Image, *, border: int = 15, max_shift: float = 5.0, step: float = 0.25
) -> float:
    """`ssd` of the two crops that `align` finds.

    Args:
        estimate: this and the other arguments are those of `align`, which also raises the same errors.
        truth: (H, W), (C, H, W) or (1, C, H, W) in [0, 1].
        border: pixels.
        max_shift: pixels.
        step: pixels.
    """
    crops = align(estimate, truth, border=border, max_shift=max_shift, step=step)
    return ssd(crops.estimate, crops.truth)


def crop_to_common_size(estimate: Floats, truth: Floats) -> tuple[Floats, Floats]:
    """Two images (C, H, W), cropped about their centres to the common height and width."""
    if estimate.shape[0] != truth.shape[0]:
        raise InputError(
            f"the estimate has {estimate.shape[0]} channels and the truth {truth.shape[0]}; give the same channels"
        )
    height, width = np.minimum(estimate.shape[1:], truth.shape[1:])
    return centre_crop(estimate, height, width), centre_crop(truth, height, width)


def centre_crop(image: Floats, height: int, width: int) -> Floats:
    """The centre of an image (C, H, W); an odd pixel is cut at the bottom and at the right.

    Args:
        image: (C, H, W).
        height: pixels of the crop.
        width: pixels of the crop.
    """
    top, left = (image.shape[1] - height) // 2, (image.shape[2] - width) // 2
    return image[:, top : top + height, left : left + width]


def crop_border(image: Floats, border: int) -> Floats:
    """An image (C, H, W) without its border (pixels); raises `InputError` if no pixel remains."""
    height, width = image.shape[1:]
    if min(height, width) <= 2 * border:
        raise InputError(
            f"a border of {border} px leaves nothing of an image of {height} x {width}; give a smaller border"
        )
    return image[:, border : height - border, border : width - border]


def check_search(border: int, max_shift: float, step: float) -> None:
    """Refuse a search that is impossible for every image; arguments as for `align`.

    Args:
        border: pixels.
        max_shift: pixels.
        step: pixels.

    Raises:
        InputError: see `align`.
    """
    if not 0 <= max_shift <= border:
        raise InputError(f"shifts of up to {max_shift} px need a border of as many pixels; got {border}")
    if not 0 < step < float("inf"):
        raise InputError(f"the step between two shifts must be positive; got {step}")
    if 2 * max_shift / step >= MAX_SHIFTS_PER_SIDE:
        raise InputError(
            f"shifts of up to {max_shift} px in steps of {step} are more than {MAX_SHIFTS_PER_SIDE} along a side; "
            "give a larger step"
        )


def squared_errors(moving: Floats, still: Floats, corners: Floats) -> tuple[Floats, float]:
    """The squared error of every bilinear crop of ``moving`` with its corner at (corners[i], corners[j]).

    Args:
        moving: (C, H, W).
        still: (C, h, w).
        corners: (n,), pixels, from 0 to H - h - 1 and W - w - 1.

    Returns:
        The errors, (n, n), and a bound of the rounding error of each.
    """
    mean = still.mean(axis=(1, 2), keepdims=True)  # subtracted from both, because small terms cancel more exactly
    moving, still = moving - mean, still - mean
    whole = np.floor(corners).astype(int)
    weights = (1 - (corners - whole), corners - whole)
    energy = inner_product(still, still)
    errors = np.full((len(corners), len(corners)), energy)
    cross = cross_products(moving, still)
    for i, j in CORNERS:
        errors -= np.outer(2 * weights[i], weights[j]) * cross[np.ix_(whole + i, whole + j)]
    for (first, second), (i, j), table in crop_products(moving, still.shape[1:]):
        weight = np.outer(weights[first[0]] * weights[second[0]], weights[first[1]] * weights[second[1]])
        errors += weight * table[np.ix_(whole + i, whole + j)]
    return errors, ROUNDING_FACTOR * (energy + inner_product(moving, moving))


def inner_product(first: Floats, second: Floats) -> float:
    """The inner product of two arrays (C, H, W)."""
    return float(np.einsum("cyx,cyx->", first, second))


def cross_products(moving: Floats, still: Floats) -> Floats:
    """``<crop of moving at (i, j), still>`` for every whole corner: (C, H, W), (C, h, w) -> (H - h + 1, W - w + 1).

    Crops inside the image never wrap around. Padding only serves a size with a fast transform.
    """
    from scipy import fft

    height, width = (fft.next_fast_len(n, real=True) for n in moving.shape[1:])
    rows, columns = (big - small + 1 for big, small in zip(moving.shape[1:], still.shape[1:], strict=True))
    spectrum = fft.rfft2(moving, (height, width))
    spectrum *= fft.rfft2(still, (height, width)).conj()
    few = fft.ifft(spectrum.sum(axis=0), axis=0, overwrite_x=True)[:rows]
    return np.asarray(fft.irfft(few, width, axis=1)[:, :columns])


def crop_products(moving: Floats, size: tuple[int, ...]) -> Iterator[tuple[tuple[Corner, Corner], Corner, Floats]]:
    """The inner products of the four whole-pixel crops at every corner with each other.

    Yields:
        Two of the four crops, and the place of their product: ``table[row + i, column + j]`` for the corner (row,
        column). The sixteen products need five tables, because products that differ only by a shift share one.
    """
    tables: dict[tuple[Corner, Corner], Floats] = {}
    for first, second in product(CORNERS, repeat=2):
        low = (min(first[0], second[0]), min(first[1], second[1]))
        a, b = sorted((c[0] - low[0], c[1] - low[1]) for c in (first, second))
        if (a, b) not in tables:
            tables[a, b] = window_products(*common_parts(moving, a, b), size)
        yield (first, second), low, tables[a, b]


def common_parts(image: Floats, first: Corner, second: Corner) -> tuple[Floats, Floats]:
    """Two crops (C, h, w) of an image (C, H, W), one from each corner, as large as both can be.

    Args:
        image: (C, H, W).
        first: (row, column) of the first pixel of one crop.
        second: likewise of the other.
    """
    height, width = (n - max(a, b) for n, a, b in zip(image.shape[1:], first, second, strict=True))
    a, b = (image[:, i : i + height, j : j + width] for i, j in (first, second))
    return a, b


def window_products(first: Floats, second: Floats, size: tuple[int, ...]) -> Floats:
    """The inner product of two images over every window: (C, H, W) twice -> (H - h + 1, W - w + 1).

    Only the first window is summed whole. Each of the others adds a row and drops a row.

    Args:
        first: (C, H, W).
        second: (C, H, W).
        size: (h, w) of the window.
    """
    (height, width), more = size, first.shape[1] - size[0]
    top = np.einsum("cyx,cyx->x", first[:, :height], second[:, :height])
    gained = np.einsum("cyx,cyx->yx", first[:, height:], second[:, height:])
    lost = np.einsum("cyx,cyx->yx", first[:, :more], second[:, :more])
    rows = np.concatenate([top[None], gained - lost]).cumsum(axis=0)
    summed = np.pad(rows.cumsum(axis=1), ((0, 0), (1, 0)))
    return np.asarray(summed[:, width:] - summed[:, :-width])


def best_shift(errors: Floats, shifts: Floats, rounding: float) -> tuple[float, float]:
    """The shift of least error; among errors that differ only by rounding, the shift nearest to zero.

    Args:
        errors: (n, n).
        shifts: (n,), pixels, along the rows and along the columns.
        rounding: a bound of the rounding error of each error.

    Returns:
        (down, right); of equally near shifts the first from the top left.
    """
    rows, columns = np.nonzero(errors <= errors.min() + 2 * rounding)
    nearest = int(np.argmin(shifts[rows] ** 2 + shifts[columns] ** 2))
    return float(shifts[rows[nearest]]), float(shifts[columns[nearest]])


def bilinear_crop(image: Floats, corner: tuple[float, float], size: tuple[int, ...]) -> Floats:
    """The crop (C, h, w) of an image at a fractional corner.

    Args:
        image: (C, H, W).
        corner: (row, column), pixels.
        size: (h, w).
    """
    (top, left), (height, width) = np.floor(corner).astype(int), size
    down, right = corner[0] - top, corner[1] - left
    window = image[:, top : top + height + 1, left : left + width + 1]
    rows = (1 - down) * window[:, :-1] + down * window[:, 1:]
    return np.asarray((1 - right) * rows[:, :, :-1] + right * rows[:, :, 1:])
