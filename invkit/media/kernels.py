"""Blur kernels from files, and pictures of them. All are kernels of true convolution."""

from __future__ import annotations

import itertools
import math
import warnings
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ..core.errors import InputError
from .decoding import StoredImage, decode

__all__ = ["as_kernel", "centred_kernel", "check_kernel", "kernel_picture", "mosaic", "padded_kernel", "planes_picture",
           "read_kernel", "size_text"]  # fmt: skip

VISIBLE_SIDE = 255  # pixels; the longer side of a kernel's picture has at least so many
NEGATIVE_TOLERANCE = 0.01  # of the largest value: rounding and resampling leave such negative values
SUM_TOLERANCE = 0.01  # a kernel that is meant to sum to one does so within this
MAX_OFFSET = 0.2  # of a kernel's peak; a higher border belongs to the kernel
MAX_OFFSET_SHARE = 0.05  # of a kernel's sum; less changes a restoration little
CORNER_SHARE, MIN_CORNER = 0.95, 0.02  # of a kernel's sum: in all four corners, and in each
EMPTY_MIDDLE = 1e-3  # of the largest value
GREY_TOLERANCE = 0.01  # of white: JPEG changes the channels of a grey picture by as much


def read_kernel(path: str | Path) -> npt.NDArray[np.float64]:
    """A kernel of true convolution from an ``.npy`` file or a grey picture, made usable by `as_kernel`.

    A colour picture whose channels agree counts as grey.

    Returns:
        (h, w), float64, non-negative, scaled to sum to one.

    Raises:
        InputError: the file cannot be read, does not hold a kernel, or is a picture in colour, or is a picture that
            `kernel_picture` has enlarged for display.

    Warns:
        UserWarning: as `as_kernel`.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "kernel.npy"
        >>> np.save(path, np.full((3, 5), 1 / 15))
        >>> read_kernel(path).shape
        (3, 5)
    """
    path = Path(path)
    stored = decode(path)
    kernel = as_kernel(stored.values if stored.format == "NPY" else grey_values(stored, str(path)), str(path))
    factor = enlargement(kernel)
    if factor > 1:
        raise InputError(f"{path} is a picture of a kernel, enlarged {factor} times; give the kernel.npy beside it")
    return kernel


def grey_values(stored: StoredImage, name: str) -> npt.NDArray[np.generic]:
    """The one channel of a picture, (h, w), without opacity; raises `InputError` for a picture in colour."""
    values = stored.values[..., :-1] if stored.alpha else stored.values
    if values.ndim == 2:
        return values
    unsigned = values.dtype.kind == "u"
    white = stored.white or (256.0**values.dtype.itemsize - 1 if unsigned else float(np.max(np.abs(values))))
    if np.ptp(values.astype(np.float64), axis=-1).max() > GREY_TOLERANCE * white:
        raise InputError(f"{name} is a picture in colour, and a kernel is grey; save it as a grey picture or as .npy")
    return np.asarray(values[..., 0])


def as_kernel(values: npt.NDArray[np.generic], name: str = "the kernel", *, axes: int = 2) -> npt.NDArray[np.float64]:
    """A usable kernel from a user's values, with a warning for each correction.

    - Leading dimensions of one, (1, 1, h, w), are dropped.
    - NaN, infinite or complex values, other shapes, no values, and zero everywhere are refused.
    - Negative values down to a hundredth of the largest value, which rounding and resampling leave, become zero with a
      warning; larger ones are refused.
    - Floating-point values whose sum differs from one by more than a hundredth are scaled to sum to one with a
      warning. Integers, as of a picture, are scaled without a warning, because their scale has no meaning.
    - An offset, as of a camera, is subtracted with a warning, unless floating-point values sum to one with it: the
      border then has one value, which is well below the peak and makes up a part of the sum.
    - A kernel whose weight sits in the corners of its frame is refused: this is the layout of a Fourier transform.
    - The kernel is not centred: a kernel off its centre shifts the image, as it did in the photograph.

    Args:
        values: (h, w), or (d, h, w) for stacks, perhaps with leading dimensions of one.
        name: the kernel's name in messages.
        axes: 2, or 3 for stacks.

    Returns:
        (h, w) or (d, h, w), float64, non-negative, summing to one.

    Raises:
        InputError: the values are refused.

    Warns:
        UserWarning: the values were corrected.

    Example:
        >>> as_kernel(np.array([[0, 2], [2, 4]]))
        array([[0.  , 0.25],
               [0.25, 0.5 ]])
    """
    if values.ndim > axes and set(values.shape[:-axes]) == {1}:
        values = values.reshape(values.shape[-axes:])
    kernel = check_kernel(values, name, axes=axes)
    if sits_in_corners(kernel):
        raise InputError(
            f"the weight of {name} sits in the corners of its frame, as after a Fourier transform; give "
            "np.fft.fftshift(kernel)"
        )
    lowest = float(values.min())
    if lowest < 0:
        warnings.warn(f"{name} has negative values, down to {lowest:.3g}; they count as zero", stacklevel=2)
    with np.errstate(over="ignore"):
        total = float(values.sum(dtype=np.float64))
    is_scaled = values.dtype.kind == "f" and abs(total - 1) <= SUM_TOLERANCE
    share = offset_share(kernel)
    if share > MAX_OFFSET_SHARE:
        does = "is kept, because the values sum to one with it" if is_scaled else "is subtracted"
        warnings.warn(f"{name} lies on an offset, {share:.0%} of its sum, as of a camera; it {does}", stacklevel=2)
        kernel = kernel if is_scaled else check_kernel((kernel - share / kernel.size).clip(min=0), name, axes=axes)
    if values.dtype.kind == "f" and not is_scaled:
        warnings.warn(f"{name} sums to {total:.4g}, not to one; it is scaled to one", stacklevel=2)
    return kernel


def offset_share(kernel: npt.NDArray[np.float64]) -> float:
    """The share of a kernel's sum that a constant offset makes up; 0 if its border shows none.

    The border of a Gaussian that its frame cuts off is not constant, and that of a box is as high as its peak.

    Example:
        >>> bead = np.zeros((9, 9))
        >>> bead[4, 4] = 1
        >>> round(offset_share((bead + 0.01) / (bead + 0.01).sum()), 3), offset_share(bead)
        (0.448, 0.0)
    """
    inner = np.zeros(kernel.shape, dtype=bool)
    inner[tuple(slice(1, -1) if side > 1 else slice(None) for side in kernel.shape)] = True
    if inner.all():
        return 0.0
    low, level, high = np.quantile(kernel[~inner], [0.1, 0.5, 0.9])
    is_offset = inner.any() and 0 < level < MAX_OFFSET * kernel.max() and high - low < level / 2
    return float(level * kernel.size) if is_offset else 0.0


def sits_in_corners(kernel: npt.NDArray[np.float64]) -> bool:
    """Whether a kernel is in the order of a Fourier transform: its origin is a corner of its frame.

    Some of its weight then lies in each corner, and either nearly all of it does, or the first value is the largest and
    the middle is empty.

    Example:
        >>> kernel = np.zeros((9, 9))
        >>> kernel[3:6, 3:6] = 1 / 9
        >>> sits_in_corners(kernel), sits_in_corners(np.fft.ifftshift(kernel))
        (False, True)
    """
    reach = [side // 4 for side in kernel.shape]
    if 0 in reach:
        return False
    ends = [(slice(far), slice(side - far, side)) for far, side in zip(reach, kernel.shape, strict=True)]
    each = [float(kernel[corner].sum()) for corner in itertools.product(*ends)]
    middle, peak = kernel[tuple(side // 2 for side in kernel.shape)], kernel.max()
    starts_at_origin = kernel.flat[0] == peak and middle < EMPTY_MIDDLE * peak
    return min(each) > MIN_CORNER and (sum(each) > CORNER_SHARE or bool(starts_at_origin))


def check_kernel(
    kernel: npt.NDArray[np.generic], name: str = "the kernel", *, axes: int = 2
) -> npt.NDArray[np.float64]:
    """A kernel of any real type as float64, its small negative values set to zero, scaled to sum to one.

    Args:
        kernel: (h, w), or (d, h, w) for stacks.
        name: the kernel's name in messages.
        axes: 2, or 3 for stacks.

    Raises:
        InputError: the kernel has another shape, is not of real numbers, has NaN or infinite values, has negative
            values below a hundredth of the largest value, or is zero everywhere.
    """
    if kernel.ndim != axes or kernel.size == 0:
        form = "(h, w)" if axes == 2 else "(planes, h, w)"
        raise InputError(f"{name} must be a kernel {form}, got shape {kernel.shape}")
    if kernel.dtype.kind not in "fiub":
        raise InputError(f"{name} holds {kernel.dtype} values; a kernel holds real numbers")
    values = kernel.astype(np.float64)
    if not bool(np.isfinite(values).all()):
        raise InputError(f"{name} holds NaN or infinite values, so it is no kernel")
    low, high = float(values.min()), float(values.max())
    if low < -NEGATIVE_TOLERANCE * max(high, 0):
        raise InputError(f"{name} has negative values (down to {low:.3g}); a blur kernel has none, clip them")
    if high == 0:
        raise InputError(f"{name} is zero everywhere; a blur kernel sums to one")
    scaled = values.clip(min=0) / high  # before the sum, which could overflow for huge values
    return np.asarray(scaled / scaled.sum(), dtype=np.float64)


def size_text(*sides: int) -> str:
    """Sides in pixels, of a kernel or an image, as ``3 × 5``."""  # noqa: RUF002  a true times sign
    return " × ".join(map(str, sides))  # noqa: RUF001


def kernel_picture(kernel: npt.NDArray[np.floating]) -> npt.NDArray[np.uint8]:
    """A picture of a kernel (h, w): its maximum is white, each weight a square, the longer side at least 255 pixels."""
    peak = float(kernel.max())
    grey = np.rint(255 * np.clip(kernel / peak if peak > 0 else kernel, 0, 1)).astype(np.uint8)
    factor = max(1, math.ceil(VISIBLE_SIDE / max(kernel.shape)))
    return np.repeat(np.repeat(grey, factor, axis=0), factor, axis=1)


def mosaic(planes: npt.NDArray[np.floating], between: float) -> npt.NDArray[np.floating]:
    """Planes (N, h, w) side by side in a grid about as wide as high, separated by lines of the value ``between``."""
    count, height, width = planes.shape
    columns = min(count, math.ceil(math.sqrt(count * height / width)))
    rows = math.ceil(count / columns)
    grid = np.full((rows * (height + 1) - 1, columns * (width + 1) - 1), between, dtype=planes.dtype)
    for index, plane in enumerate(planes):
        row, column = divmod(index, columns)
        grid[row * (height + 1) :, column * (width + 1) :][:height, :width] = plane
    return grid


def planes_picture(planes: npt.NDArray[np.floating]) -> npt.NDArray[np.uint8]:
    """A picture of planes (N, h, w) of any numbers side by side: the smallest is black, the largest white."""
    low, high = float(planes.min()), float(planes.max())
    unit = (planes - low) / (high - low) if high > low else np.full_like(planes, 0.5)
    return kernel_picture(mosaic(unit, 1.0))


def centred_kernel(kernel: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """A kernel in a slightly larger square with its centre of mass in the middle, without empty borders."""
    mass = np.clip(np.nan_to_num(kernel), 0, None)
    if mass.sum() == 0:
        return kernel
    ys, xs = np.nonzero(mass > 0.01 * mass.max())
    y, x = (round(float((np.indices(mass.shape)[axis] * mass).sum() / mass.sum())) for axis in (0, 1))
    reach = 1 + max(y - ys.min(), ys.max() - y, x - xs.min(), xs.max() - x)
    wide = np.pad(mass, reach)
    return np.asarray(wide[y : y + 2 * reach + 1, x : x + 2 * reach + 1])


def padded_kernel(square: npt.NDArray[np.float64], side: int) -> npt.NDArray[np.float64]:
    """A square kernel in the middle of a larger square of ``side`` pixels."""
    before = (side - square.shape[0]) // 2
    return np.pad(square, (before, side - square.shape[0] - before))


def enlargement(kernel: npt.NDArray[np.float64]) -> int:
    """The factor by which `kernel_picture` has enlarged these values; 1 for a kernel itself."""
    if max(kernel.shape) < VISIBLE_SIDE:
        return 1
    for factor in range(math.gcd(*kernel.shape), 1, -1):
        small = kernel[::factor, ::factor]
        if all(side % factor == 0 for side in kernel.shape) and np.array_equal(
            np.kron(small, np.ones((factor,) * 2)), kernel
        ):
            return factor
    return 1
