"""Levin's protocol: crop the border, take out the shift, then compare.

A blind method knows image and kernel only up to a common shift, so that an estimate is compared with the truth at the
shift of least squared error. Levin, Weiss, Durand, Freeman, "Understanding and evaluating blind deconvolution
algorithms", CVPR 2009.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from torch import Tensor

from ..core.errors import InputError
from .shifts import bilinear_crop, nearest_least, squared_errors

__all__ = ["Aligned", "align", "aligned_psnr", "aligned_ssd", "aligned_ssim", "psnr", "shrunk", "ssd", "ssim"]

Floats: TypeAlias = npt.NDArray[np.float64]
Image: TypeAlias = npt.NDArray[np.generic] | Tensor

MOST_SHIFTS = 2001  # along a side: 32 MB of errors


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
        The two crops and the shift; of shifts equally good, the nearest to none.

    Raises:
        InputError: other shapes, channels that differ, NaN or infinite values, a border that is less than
            ``max_shift`` or leaves nothing, or a step that is not positive or makes more than 2001 shifts along a side.
    """
    moving, still = same_size(planes(estimate, "estimate"), planes(truth, "truth"))
    check_search(border, max_shift, step)
    still = inside(still, border)
    reach = int(np.ceil(max_shift))
    # One more pixel all round, so that the pixel beyond the farthest shift, whose weight is 0, can be looked up.
    moving = np.pad(moving, ((0, 0), (1, 1), (1, 1)), mode="edge")
    cut = border - reach
    moving = moving[:, cut : moving.shape[1] - cut, cut : moving.shape[2] - cut]
    steps = int(np.floor(max_shift / step + 1e-9))
    shifts: Floats = np.arange(-steps, steps + 1, dtype=np.float64) * step
    errors, rounding = squared_errors(moving, still, shifts + reach + 1)
    down, right = nearest_least(errors, shifts, rounding)
    crop = bilinear_crop(moving, (down + reach + 1, right + reach + 1), still.shape[1:])
    return Aligned(crop, still, (down, right))


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


def shrunk(image: Image) -> Floats:
    """An image as SSIM's authors shrink it before they compare, to a shorter side of about 256 pixels.

    The mean over each f x f neighbourhood, kept at every f-th pixel, f being the shorter side / 256, rounded; an
    image is mirrored at its border. As the MATLAB code does that Wang et al. later gave out (``ssim.m``, "automatic
    downsampling"), by which figures on large images are published.

    Args:
        image: (H, W), (C, H, W) or (1, C, H, W).

    Returns:
        (C, ceil(H / f), ceil(W / f)), float64; the image itself where f is 1.

    Raises:
        InputError: other shapes, NaN or infinite values.
    """
    from scipy.ndimage import uniform_filter1d

    array = planes(image, "image")
    factor = max(1, int(min(array.shape[1:]) / 256 + 0.5))  # MATLAB rounds halves up
    for axis in (1, 2) if factor > 1 else ():
        # An even neighbourhood reaches farther down and right there, and farther up and left in SciPy.
        array = uniform_filter1d(array, factor, axis=axis, mode="reflect", origin=-1 if factor % 2 == 0 else 0)
    return array[:, ::factor, ::factor]


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


def inside(image: Floats, border: int) -> Floats:
    """An image (C, H, W) without its border; raises `InputError` where nothing is left."""
    height, width = image.shape[1:]
    if min(height, width) <= 2 * border:
        raise InputError(
            f"a border of {border} px leaves nothing of an image of {height} x {width}; give a smaller border"
        )
    return image[:, border : height - border, border : width - border]


def check_search(border: int, max_shift: float, step: float) -> None:
    """Raises `InputError` for a search that cannot be made on any image."""
    if not 0 <= max_shift <= border:
        raise InputError(f"shifts of up to {max_shift} px need a border of as many pixels; got {border}")
    if not 0 < step < float("inf"):
        raise InputError(f"the step between two shifts must be positive; got {step}")
    if 2 * max_shift / step >= MOST_SHIFTS:
        raise InputError(
            f"shifts of up to {max_shift} px in steps of {step} are more than {MOST_SHIFTS} along a side; "
            "give a larger step"
        )
