"""Levin's protocol: crop the border, take out the shift, then compare.

A blind method knows image and kernel only up to a common shift, so that an estimate is compared with the truth at the
shift of least squared error. Levin, Weiss, Durand, Freeman, "Understanding and evaluating blind deconvolution
algorithms", CVPR 2009.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from torch import Tensor

from ..errors import InputError

__all__ = ["Aligned", "align", "aligned_psnr", "aligned_ssd", "aligned_ssim", "psnr", "ssd", "ssim"]

Floats: TypeAlias = npt.NDArray[np.float64]
Image: TypeAlias = npt.NDArray[np.generic] | Tensor


@dataclass(frozen=True)
class Aligned:
    """Two crops that show the same place.

    Attributes:
        estimate: (C, h, w), the estimate, interpolated at ``shift``; float64.
        truth: (C, h, w), the truth without its border; float64.
        shift: (down, right) in pixels: ``estimate(y + down, x + right)`` is what lies on ``truth(y, x)``.
    """

    estimate: Floats
    truth: Floats
    shift: tuple[float, float]


def align(estimate: Image, truth: Image, *, border: int = 15, max_shift: float = 5.0, step: float = 0.25) -> Aligned:
    """Find the shift of least squared error, over all channels, by exhaustive search with bilinear interpolation.

    Images of two sizes are first cropped about their centres to the common size, the odd pixel being cut at the bottom
    and the right: an image of (H + h - 1, W + w - 1) under a valid convolution with an (h, w) kernel is so laid on its
    (H, W) data with the kernel's pixel (h // 2, w // 2) as the origin.

    Args:
        estimate: (H, W), (C, H, W) or (1, C, H, W) in [0, 1]; array or tensor.
        truth: the same, with the same channels.
        border: pixels cut from each side of the truth; at least ``max_shift``.
        max_shift: the farthest shift tried in each direction, pixels.
        step: between two shifts tried, pixels.

    Returns:
        The two crops and the shift; of equal shifts, the first from the top left.

    Raises:
        InputError: other shapes, channels that differ, NaN or infinite values, or a border that is less than
            ``max_shift`` or leaves nothing.
    """
    moving, still = same_size(planes(estimate, "estimate"), planes(truth, "truth"))
    check_search(still.shape, border, max_shift, step)
    still = still[:, border : still.shape[1] - border, border : still.shape[2] - border]
    reach = int(np.ceil(max_shift))
    # One more pixel all round, so that the pixel beyond the farthest shift, whose weight is 0, can be looked up.
    moving = np.pad(moving, ((0, 0), (1, 1), (1, 1)), mode="edge")
    cut = border - reach
    moving = moving[:, cut : moving.shape[1] - cut, cut : moving.shape[2] - cut]
    steps = int(np.floor(max_shift / step + 1e-9))
    shifts: Floats = np.arange(-steps, steps + 1, dtype=np.float64) * step
    errors = squared_errors(moving, still, shifts + reach + 1)
    row, column = np.unravel_index(int(np.argmin(errors)), errors.shape)
    down, right = float(shifts[row]), float(shifts[column])
    crop = bilinear_crop(moving, (down + reach + 1, right + reach + 1), still.shape[1:])
    return Aligned(crop, still, (down, right))


def squared_errors(moving: Floats, still: Floats, corners: Floats) -> Floats:
    """The summed squared error of every bilinear crop of ``moving`` whose corner is at (corners[i], corners[j]).

    A bilinear crop is ``sum_i w_i M_i`` of four whole-pixel crops M_i, so its error is the quadratic form
    ``sum_ij w_i w_j <M_i, M_j> - 2 sum_i w_i <M_i, T> + <T, T>``: inner products of whole-pixel crops are all it takes.

    Args:
        moving: (C, H, W).
        still: (C, h, w), T.
        corners: (n,), pixels, between 0 and H - h - 1.

    Returns:
        (n, n).
    """
    mean = still.mean()  # taken out of both: the terms cancel better when they are small
    moving, still = moving - mean, still - mean
    whole = np.floor(corners).astype(int)
    weights = (1 - (corners - whole), corners - whole)
    cross = cross_products(moving, still)
    total = np.full((len(corners), len(corners)), float((still**2).sum()))
    for i, j in product((0, 1), repeat=2):
        total -= 2 * np.outer(weights[i], weights[j]) * cross[np.ix_(whole + i, whole + j)]
    for pair_of_corners in product(product((0, 1), repeat=2), repeat=2):
        first, second = sorted(pair_of_corners)
        offset = (second[0] - first[0], second[1] - first[1])
        weight = np.outer(weights[first[0]] * weights[second[0]], weights[first[1]] * weights[second[1]])
        own = own_products(moving, offset, still.shape[1:])
        total += weight * own[np.ix_(whole + first[0], whole + first[1])]
    return total


def cross_products(moving: Floats, still: Floats) -> Floats:
    """``<crop of moving at (i, j), still>`` for every whole corner: (C, H, W), (C, h, w) -> (H - h + 1, W - w + 1)."""
    from scipy.signal import correlate

    channels = [correlate(m, s, mode="valid", method="fft") for m, s in zip(moving, still, strict=True)]
    return np.asarray(np.sum(channels, axis=0))


def own_products(moving: Floats, offset: tuple[int, int], size: tuple[int, ...]) -> Floats:
    """``<crop at (i, j), crop at (i, j) + offset>`` for every whole corner; the second crop wraps round."""
    shifted = np.roll(moving, (-offset[0], -offset[1]), axis=(1, 2))
    summed = np.pad((moving * shifted).sum(axis=0).cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
    height, width = size
    rows = summed[height:] - summed[:-height]
    return np.asarray(rows[:, width:] - rows[:, :-width])


def bilinear_crop(image: Floats, corner: tuple[float, float], size: tuple[int, ...]) -> Floats:
    """The (C, *size) crop of an image (C, H, W) at a fractional corner (row, column)."""
    (top, left), (height, width) = np.floor(corner).astype(int), size
    down, right = corner[0] - top, corner[1] - left
    window = image[:, top : top + height + 1, left : left + width + 1]
    rows = (1 - down) * window[:, :-1] + down * window[:, 1:]
    return np.asarray((1 - right) * rows[:, :, :-1] + right * rows[:, :, 1:])


def aligned_psnr(
    estimate: Image, truth: Image, *, border: int = 15, max_shift: float = 5.0, step: float = 0.25
) -> float:
    """`psnr` of what `align` gives; same arguments, same errors."""
    crops = align(estimate, truth, border=border, max_shift=max_shift, step=step)
    return psnr(crops.estimate, crops.truth)


def aligned_ssim(
    estimate: Image, truth: Image, *, border: int = 15, max_shift: float = 5.0, step: float = 0.25
) -> float:
    """`ssim` of what `align` gives; same arguments, same errors."""
    crops = align(estimate, truth, border=border, max_shift=max_shift, step=step)
    return ssim(crops.estimate, crops.truth)


def aligned_ssd(
    estimate: Image, truth: Image, *, border: int = 15, max_shift: float = 5.0, step: float = 0.25
) -> float:
    """`ssd` of what `align` gives; same arguments, same errors."""
    crops = align(estimate, truth, border=border, max_shift=max_shift, step=step)
    return ssd(crops.estimate, crops.truth)


def psnr(estimate: Image, truth: Image) -> float:
    """Peak signal-to-noise ratio in dB for a peak of 1; infinite where the two are equal.

    Args:
        estimate: (H, W), (C, H, W) or (1, C, H, W) in [0, 1].
        truth: the same shape.

    Raises:
        InputError: other shapes, or shapes that differ.
    """
    first, second = pair(estimate, truth)
    mean = float(np.mean((first - second) ** 2))
    return float("inf") if mean == 0 else float(-10 * np.log10(mean))


def ssd(estimate: Image, truth: Image) -> float:
    """Sum of squared differences over all pixels and channels; arguments and errors as `psnr`."""
    first, second = pair(estimate, truth)
    return float(((first - second) ** 2).sum())


def ssim(estimate: Image, truth: Image) -> float:
    """Mean structural similarity, at most 1: Gaussian window of 11 pixels, std 1.5, dynamic range 1.

    The mean is over the pixels whose whole window lies in the image, and over channels. Wang, Bovik, Sheikh,
    Simoncelli, "Image quality assessment: from error visibility to structural similarity", 2004.

    Args:
        estimate: (H, W), (C, H, W) or (1, C, H, W) in [0, 1], at least 11 pixels wide and high.
        truth: the same shape.

    Raises:
        InputError: other shapes, shapes that differ, or fewer than 11 pixels.
    """
    from skimage.metrics import structural_similarity

    first, second = pair(estimate, truth)
    if min(first.shape[1:]) < 11:
        raise InputError(f"SSIM's window is 11 pixels wide, but the images are {first.shape[1:]}; give larger ones")
    return float(
        structural_similarity(
            first,
            second,
            channel_axis=0,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            data_range=1.0,
        )
    )


def planes(image: Image, name: str) -> Floats:
    """An image as a float64 array (C, H, W); raises `InputError` where it is none."""
    array = np.asarray(image.detach().cpu() if isinstance(image, Tensor) else image, dtype=np.float64)
    shape = array.shape
    if array.ndim == 4 and shape[0] == 1:
        array = array[0]
    if array.ndim == 2:
        array = array[None]
    if array.ndim != 3 or array.size == 0:
        raise InputError(f"the {name} must be (H, W), (C, H, W) or (1, C, H, W); got {shape}; give one image at a time")
    if not np.isfinite(array).all():
        raise InputError(f"the {name} holds NaN or infinite values; mask or replace them first")
    return array


def pair(estimate: Image, truth: Image) -> tuple[Floats, Floats]:
    """Both as (C, H, W); raises `InputError` where the shapes differ."""
    first, second = planes(estimate, "estimate"), planes(truth, "truth")
    if first.shape != second.shape:
        raise InputError(
            f"the estimate is {first.shape} and the truth {second.shape}; `align` brings two sizes together"
        )
    return first, second


def same_size(estimate: Floats, truth: Floats) -> tuple[Floats, Floats]:
    """Both (C, H, W) cropped about their centres to the common height and width."""
    if estimate.shape[0] != truth.shape[0]:
        raise InputError(
            f"the estimate has {estimate.shape[0]} channels and the truth {truth.shape[0]}; compare like with like"
        )
    height, width = np.minimum(estimate.shape[1:], truth.shape[1:])
    return centre_crop(estimate, height, width), centre_crop(truth, height, width)


def centre_crop(image: Floats, height: int, width: int) -> Floats:
    """The middle of an image (C, H, W); an odd pixel is cut at the bottom and the right."""
    top, left = (image.shape[1] - height) // 2, (image.shape[2] - width) // 2
    return image[:, top : top + height, left : left + width]


def check_search(shape: tuple[int, ...], border: int, max_shift: float, step: float) -> None:
    """Raises `InputError` for a search that cannot be made on images of ``shape``."""
    if not 0 <= max_shift <= border:
        raise InputError(f"shifts of up to {max_shift} px need a border of as many pixels; got {border}")
    if not 0 < step < float("inf"):
        raise InputError(f"the step between two shifts must be positive; got {step}")
    if min(shape[1:]) <= 2 * border:
        raise InputError(f"a border of {border} px leaves nothing of an image of {shape[1:]}; give a smaller border")
