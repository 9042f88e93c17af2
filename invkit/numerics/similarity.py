"""How similar two images are: PSNR, SSIM and the sum of squared differences, pixel against pixel."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from torch import Tensor

from ..core.errors import InputError

__all__ = ["SSIM_WINDOW", "Floats", "Image", "downsample_for_ssim", "psnr", "ssd", "ssim"]

Floats: TypeAlias = npt.NDArray[np.float64]
Image: TypeAlias = npt.NDArray[np.generic] | Tensor

SSIM_WINDOW = 11  # pixels


def psnr(estimate: Image, truth: Image) -> float:
    """Peak signal-to-noise ratio in dB for a peak of 1; infinite if the two images are equal.

    Args:
        estimate: (H, W), (C, H, W) or (1, C, H, W) in [0, 1].
        truth: the same shape.

    Raises:
        InputError: the shapes are others, or they differ.

    Example:
        >>> round(psnr(np.full((8, 8), 0.6), np.full((8, 8), 0.5)), 6)
        20.0
    """
    first, second = as_image_pair(estimate, truth)
    mean = float(np.mean((first - second) ** 2))
    return float("inf") if mean == 0 else float(-10 * np.log10(mean))


def ssd(estimate: Image, truth: Image) -> float:
    """Sum of squared differences over all pixels and channels; arguments and errors as for `psnr`."""
    first, second = as_image_pair(estimate, truth)
    return float(((first - second) ** 2).sum())


def ssim(estimate: Image, truth: Image) -> float:
    """Mean structural similarity, at most 1: Gaussian window of 11 pixels, std 1.5, dynamic range 1.

    The mean is over the pixels whose whole window lies in the image, and over channels. Wang, Bovik, Sheikh,
    Simoncelli, "Image quality assessment: from error visibility to structural similarity", 2004.

    Args:
        estimate: (H, W), (C, H, W) or (1, C, H, W) in [0, 1], at least 11x11 pixels.
        truth: the same shape.

    Raises:
        InputError: the shapes are others or differ, or there are fewer than 11x11 pixels.
    """
    from skimage.metrics import structural_similarity

    first, second = as_image_pair(estimate, truth)
    if min(first.shape[1:]) < SSIM_WINDOW:
        raise InputError(f"SSIM's window is 11 pixels wide, but the images are {first.shape[1:]}; give larger ones")
    settings = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 1.0}
    return float(structural_similarity(first, second, channel_axis=0, **settings))


def downsample_for_ssim(image: Image) -> Floats:
    """Downsample an image to a shorter side of about 256 pixels, as the authors of SSIM do before they compare.

    The result is the mean over each f x f neighbourhood at every f-th pixel, where f is the rounded shorter side / 256.
    The image is mirrored at its border. The later MATLAB code of Wang et al. does the same (``ssim.m``, "automatic
    downsampling"); published values for large images use it.

    Args:
        image: (H, W), (C, H, W) or (1, C, H, W).

    Returns:
        (C, ceil(H / f), ceil(W / f)), float64; the image itself if f is 1.

    Raises:
        InputError: the shape is another one, or a value is not finite.
    """
    from scipy.ndimage import uniform_filter1d

    array = as_image_array(image, "image")
    factor = max(1, int(min(array.shape[1:]) / 256 + 0.5))  # MATLAB rounds halves up
    for axis in (1, 2) if factor > 1 else ():
        # MATLAB extends an even neighbourhood farther down and right, SciPy farther up and left.
        array = uniform_filter1d(array, factor, axis=axis, mode="reflect", origin=-1 if factor % 2 == 0 else 0)
    return array[:, ::factor, ::factor]


def as_image_array(image: Image, name: str) -> Floats:
    """An image as a float64 array (C, H, W); raises `InputError` for another shape or values that are not finite."""
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


def as_image_pair(estimate: Image, truth: Image) -> tuple[Floats, Floats]:
    """Two images as (C, H, W); raises `InputError` if their shapes differ."""
    first, second = as_image_array(estimate, "estimate"), as_image_array(truth, "truth")
    if first.shape != second.shape:
        raise InputError(
            f"the estimate is {first.shape} and the truth {second.shape}; `align` compares different sizes"
        )
    return first, second
