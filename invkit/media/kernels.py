"""Blur kernels from files, and pictures of them. They are true-convolution kernels, everywhere."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ..errors import InputError
from .decoding import Samples, decode

__all__ = ["check_kernel", "kernel_picture", "read_kernel"]

VISIBLE = 255  # pixels, the least longer side of a kernel's picture


def read_kernel(path: str | Path) -> npt.NDArray[np.float64]:
    """A true-convolution kernel from an ``.npy`` file or a grey picture.

    Returns:
        (h, w), float64, non-negative, scaled to sum to one.

    Raises:
        InputError: the file cannot be read, holds no kernel (`check_kernel`), or is a picture that `kernel_picture`
            enlarged for looking at.
    """
    path = Path(path)
    kernel = check_kernel(plane(decode(path)), str(path))
    factor = enlargement(kernel)
    if factor > 1:
        raise InputError(f"{path} is a picture of a kernel, enlarged {factor} times; give the kernel.npy beside it")
    return kernel


def plane(stored: Samples) -> npt.NDArray[np.generic]:
    """One channel of the samples: the mean colour of a picture, an array without its dimensions of one."""
    values = stored.values
    if stored.format == "NPY":
        return values.reshape(values.shape[-2:]) if values.ndim > 2 and set(values.shape[:-2]) == {1} else values
    values = values[..., :-1] if stored.alpha else values
    return values if values.ndim == 2 else values.mean(axis=-1)


def check_kernel(kernel: npt.NDArray[np.generic], name: str = "the kernel") -> npt.NDArray[np.float64]:
    """A kernel (h, w) of any real type as float64, scaled to sum to one.

    Raises:
        InputError: not two-dimensional, not real numbers, NaN or infinite, negative, or zero everywhere.
    """
    if kernel.ndim != 2 or kernel.size == 0:
        raise InputError(f"{name} must be a kernel (h, w), got shape {kernel.shape}")
    if kernel.dtype.kind not in "fiub":
        raise InputError(f"{name} holds {kernel.dtype} values; a kernel holds real numbers")
    values = kernel.astype(np.float64)
    if not bool(np.isfinite(values).all()):
        raise InputError(f"{name} holds NaN or infinite values, so it is no kernel")
    if float(values.min()) < 0:
        raise InputError(f"{name} has negative values (down to {values.min():.3g}); a blur kernel has none, clip them")
    if float(values.max()) == 0:
        raise InputError(f"{name} is zero everywhere; a blur kernel sums to one")
    scaled = values / values.max()  # first, lest a sum of huge values overflow
    return np.asarray(scaled / scaled.sum(), dtype=np.float64)


def kernel_picture(kernel: npt.NDArray[np.floating]) -> npt.NDArray[np.uint8]:
    """A picture of a kernel (h, w): its maximum white, each weight a square, the longer side at least 255 pixels."""
    peak = float(kernel.max())
    grey = np.rint(255 * np.clip(kernel / peak if peak > 0 else kernel, 0, 1)).astype(np.uint8)
    factor = max(1, math.ceil(VISIBLE / max(kernel.shape)))
    return np.repeat(np.repeat(grey, factor, axis=0), factor, axis=1)


def enlargement(kernel: npt.NDArray[np.float64]) -> int:
    """By how much `kernel_picture` enlarged this, 1 where it did not: no kernel of that size is made of squares."""
    if max(kernel.shape) < VISIBLE:
        return 1
    for factor in range(math.gcd(*kernel.shape), 1, -1):
        small = kernel[::factor, ::factor]
        if all(side % factor == 0 for side in kernel.shape) and np.array_equal(
            np.kron(small, np.ones((factor,) * 2)), kernel
        ):
            return factor
    return 1
