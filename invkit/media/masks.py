"""Masks of measured pixels from files and arrays, whatever painted them."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ..core.errors import InputError
from .decoding import decode

__all__ = ["as_measured_pixels", "check_not_inverted", "read_measured_pixels"]

Values = npt.NDArray[np.generic]
Mask = npt.NDArray[np.bool_]

CLEAR = 0.25  # of the mask's range: values nearer to one of its ends are meant to be that end
MAX_UNCLEAR_SHARE = 0.05  # of the pixels, as at the edges of a picture that was compressed or resized
ONE_COLOUR = 0.02  # standard deviation, in [0, 1] units, of pixels that show nothing, perhaps after JPEG


def read_measured_pixels(path: str | Path) -> Mask:
    """The mask (H, W) of a picture or an ``.npy`` file: true where a pixel was measured.

    If the picture is transparent in parts, its opacity is the mask: an opaque pixel was measured.

    Raises:
        InputError: as `as_measured_pixels`, or the file cannot be read.
    """
    stored = decode(Path(path))
    values, opacity = (stored.values[..., :-1], stored.values[..., -1]) if stored.alpha else (stored.values, None)
    if opacity is not None and opacity.min() < opacity.max():
        return as_measured_pixels(opacity, str(path))
    return as_measured_pixels(values.mean(-1) if values.ndim == 3 else values, str(path))


def as_measured_pixels(values: Values, name: str = "the mask") -> Mask:
    """A mask (H, W) from the values that mean it: the largest value says that a pixel was measured, the smallest not.

    The scale does not matter: 0 and 1, 0 and 255, or booleans. Values between, as of a JPEG file, belong to the nearer
    end.

    Args:
        values: (H, W), real numbers or booleans.
        name: the mask's name in messages.

    Raises:
        InputError: another shape; NaN; one value everywhere that is zero; or many values in the middle, as of a
            photograph.

    Warns:
        UserWarning: some values lie in the middle, or every pixel was measured.

    Example:
        >>> as_measured_pixels(np.array([[0, 1], [1, 1]], dtype=np.uint8)).tolist()
        [[False, True], [True, True]]
    """
    if values.ndim != 2 or values.size == 0 or values.dtype.kind not in "fiub":
        raise InputError(f"{name} must be a mask (H, W) of real numbers, got {values.dtype} of shape {values.shape}")
    numbers = values.astype(np.float64)
    if not bool(np.isfinite(numbers).all()):
        raise InputError(f"{name} holds NaN or infinite values; give 1 where a pixel was measured, and 0 elsewhere")
    low, high = min(0.0, float(numbers.min())), float(numbers.max())
    if high <= 0:
        raise InputError(f"{name} is zero everywhere, so that no pixel was measured")
    unit = (numbers - low) / (high - low)
    unclear = float(((unit > CLEAR) & (unit < 1 - CLEAR)).mean())
    if unclear > MAX_UNCLEAR_SHARE:
        raise InputError(
            f"{unclear:.0%} of {name} is neither black nor white; a mask is white where a pixel was measured, "
            "and black elsewhere"
        )
    if unclear > 0:
        warnings.warn(f"{unclear:.2%} of {name} is grey; a pixel counts as the nearer of black and white", stacklevel=2)
    mask = np.asarray(unit >= 0.5)
    if mask.all():
        warnings.warn(f"{name} says that every pixel was measured, so that there is nothing to fill", stacklevel=2)
    return mask


def check_not_inverted(data: npt.NDArray[np.floating], mask: Mask) -> None:
    """Refuse a mask that calls the holes of an image measured, and its content not; raises `InputError`.

    Args:
        data: (C, H, W), in [0, 1].
        mask: (H, W).
    """
    if not mask.any() or mask.all():
        return
    measured, missing = (float(data[:, part].std(axis=1).max()) for part in (mask, ~mask))
    if measured < ONE_COLOUR < missing:
        raise InputError(
            "the mask seems to be inverted: the pixels that it calls measured have one colour, and the others differ; "
            "a mask is white where a pixel was measured"
        )
