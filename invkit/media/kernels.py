"""Blur kernels from files, and pictures of them. They are true-convolution kernels, everywhere."""

from __future__ import annotations

import math
import warnings
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ..core.errors import InputError
from .decoding import Samples, decode

__all__ = ["as_kernel", "check_kernel", "kernel_picture", "mosaic", "planes_picture", "read_kernel"]

VISIBLE = 255  # pixels, the least longer side of a kernel's picture
ROUNDING = 0.01  # of the largest value: negative ones of that size are what rounding and resampling leave
OFF = 0.01  # the sum of a kernel that was meant to sum to one is not farther from it
ALIKE = 0.01  # of white: channels of a grey picture that JPEG has stored in colour differ by as much


def read_kernel(path: str | Path) -> npt.NDArray[np.float64]:
    """A true-convolution kernel from an ``.npy`` file or a grey picture; what is mended and refused as `as_kernel`.

    A colour picture whose channels agree counts as grey.

    Returns:
        (h, w), float64, non-negative, scaled to sum to one.

    Raises:
        InputError: the file cannot be read, holds no kernel, or is a picture in colour, or one that
            `kernel_picture` enlarged for looking at.

    Warns:
        UserWarning: as `as_kernel`.
    """
    path = Path(path)
    stored = decode(path)
    kernel = as_kernel(stored.values if stored.format == "NPY" else grey(stored, str(path)), str(path))
    factor = enlargement(kernel)
    if factor > 1:
        raise InputError(f"{path} is a picture of a kernel, enlarged {factor} times; give the kernel.npy beside it")
    return kernel


def grey(stored: Samples, name: str) -> npt.NDArray[np.generic]:
    """The one channel of a picture, (h, w), its opacity left out; raises `InputError` for a picture in colour."""
    values = stored.values[..., :-1] if stored.alpha else stored.values
    if values.ndim == 2:
        return values
    spread = np.ptp(values.astype(np.float64), axis=-1).max()
    if spread > ALIKE * (stored.white or white_of(values)):
        raise InputError(f"{name} is a picture in colour, and a kernel is grey; save it as a grey picture or as .npy")
    return np.asarray(values[..., 0])


def white_of(values: npt.NDArray[np.generic]) -> float:
    """The value that means white: the largest of an unsigned type, of floating point the largest there is."""
    return 256.0**values.dtype.itemsize - 1 if values.dtype.kind == "u" else float(np.max(np.abs(values)))


def as_kernel(values: npt.NDArray[np.generic], name: str = "the kernel") -> npt.NDArray[np.float64]:
    """A kernel as somebody gave it, made usable, and said so where it was not.

    - Leading dimensions of one, (1, 1, h, w), are dropped.
    - NaN, infinite, complex or no values, other shapes, and zero everywhere are refused.
    - Negative values down to a hundredth of the largest, as rounding and resampling leave, become zero with a warning;
      larger ones are refused.
    - Floating-point values that sum to anything but one, within a hundredth, are scaled to sum to one with a warning;
      integers, as of a picture, are scaled without a word: their scale means nothing.
    - Where its weight lies is left as it is: a kernel off its centre shifts the image, as it did the photograph.

    Returns:
        (h, w), float64, non-negative, summing to one.

    Raises:
        InputError: it is refused.

    Warns:
        UserWarning: it was mended.
    """
    values = values.reshape(values.shape[-2:]) if values.ndim > 2 and set(values.shape[:-2]) == {1} else values
    kernel = check_kernel(values, name)
    lowest = float(values.min())
    if lowest < 0:
        warnings.warn(f"{name} has negative values, down to {lowest:.3g}; they count as zero", stacklevel=2)
    with np.errstate(over="ignore"):
        total = float(values.sum(dtype=np.float64))
    if values.dtype.kind == "f" and abs(total - 1) > OFF:
        warnings.warn(f"{name} sums to {total:.4g}, not to one; it is scaled to", stacklevel=2)
    return kernel


def check_kernel(kernel: npt.NDArray[np.generic], name: str = "the kernel") -> npt.NDArray[np.float64]:
    """A kernel (h, w) of any real type as float64, without its small negative values, scaled to sum to one.

    Raises:
        InputError: not two-dimensional, not real numbers, NaN or infinite, negative by more than a hundredth of the
            largest value, or zero everywhere.
    """
    if kernel.ndim != 2 or kernel.size == 0:
        raise InputError(f"{name} must be a kernel (h, w), got shape {kernel.shape}")
    if kernel.dtype.kind not in "fiub":
        raise InputError(f"{name} holds {kernel.dtype} values; a kernel holds real numbers")
    values = kernel.astype(np.float64)
    if not bool(np.isfinite(values).all()):
        raise InputError(f"{name} holds NaN or infinite values, so it is no kernel")
    low, high = float(values.min()), float(values.max())
    if low < -ROUNDING * max(high, 0):
        raise InputError(f"{name} has negative values (down to {low:.3g}); a blur kernel has none, clip them")
    if high == 0:
        raise InputError(f"{name} is zero everywhere; a blur kernel sums to one")
    scaled = values.clip(min=0) / high  # first, lest a sum of huge values overflow
    return np.asarray(scaled / scaled.sum(), dtype=np.float64)


def kernel_picture(kernel: npt.NDArray[np.floating]) -> npt.NDArray[np.uint8]:
    """A picture of a kernel (h, w): its maximum white, each weight a square, the longer side at least 255 pixels."""
    peak = float(kernel.max())
    grey = np.rint(255 * np.clip(kernel / peak if peak > 0 else kernel, 0, 1)).astype(np.uint8)
    factor = max(1, math.ceil(VISIBLE / max(kernel.shape)))
    return np.repeat(np.repeat(grey, factor, axis=0), factor, axis=1)


def mosaic(planes: npt.NDArray[np.floating], between: float) -> npt.NDArray[np.floating]:
    """Planes (N, h, w) side by side in a grid about as wide as high, with a line of a value between them."""
    count, height, width = planes.shape
    columns = math.ceil(math.sqrt(count * height / width)) if count > 1 else 1
    columns = min(count, columns)
    rows = math.ceil(count / columns)
    grid = np.full((rows * (height + 1) - 1, columns * (width + 1) - 1), between, dtype=planes.dtype)
    for index, plane in enumerate(planes):
        row, column = divmod(index, columns)
        grid[row * (height + 1) :, column * (width + 1) :][:height, :width] = plane
    return grid


def planes_picture(planes: npt.NDArray[np.floating]) -> npt.NDArray[np.uint8]:
    """A picture of planes (N, h, w) of any numbers side by side: the least black, the largest white."""
    low, high = float(planes.min()), float(planes.max())
    unit = (planes - low) / (high - low) if high > low else np.full_like(planes, 0.5)
    return kernel_picture(mosaic(unit, 1.0))


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
