"""Grey pictures of scikit-image and what a camera sees of them, for the measuring scripts."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.signal import fftconvolve

__all__ = ["grey_picture", "noisy_blur", "seen_part"]

Floats = npt.NDArray[Any]
LUMA = np.array([0.299, 0.587, 0.114])  # of red, green and blue


def grey_picture(name: str) -> Floats:
    """A picture of scikit-image by its name in `skimage.data`, (H, W) in [0, 1]."""
    import skimage.data

    picture = getattr(skimage.data, name)() / 255
    return np.asarray(picture if picture.ndim == 2 else picture[..., :3] @ LUMA)


def seen_part(sharp: Floats, kernel: Floats) -> Floats:
    """The pixels (H - h + 1, W - w + 1) of a sharp picture at the centres of those of its blurry picture.

    Args:
        sharp: (H, W).
        kernel: (h, w), of a valid convolution.
    """
    rows, columns = (
        slice((side - 1) // 2, whole - side // 2) for side, whole in zip(kernel.shape, sharp.shape, strict=True)
    )
    return sharp[rows, columns]


def noisy_blur(sharp: Floats, kernel: Floats, noise: float) -> Floats:
    """The blurry picture (H - h + 1, W - w + 1) in [0, 1], with the same random noise each time.

    Args:
        sharp: (H, W) in [0, 1].
        kernel: (h, w).
        noise: standard deviation.
    """
    blurred = fftconvolve(sharp, kernel, mode="valid")
    noisy = blurred + noise * np.random.default_rng(0).standard_normal(blurred.shape)
    return np.asarray(noisy.clip(0, 1))
