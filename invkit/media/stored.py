"""An image as a file stores it, before anybody asks whether it can be restored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..core.errors import InputError

__all__ = ["MAX_PIXELS", "ORIENTATION_TAG", "StoredImage", "check_pixel_count", "upright"]

MAX_PIXELS = 178_956_970
"""The largest number of pixels that a file may hold (1 GiB as 3 x 16 bit). Pillow's limit for a decompression bomb."""

ORIENTATION_TAG = 0x0112  # of EXIF and of TIFF


@dataclass(frozen=True)
class StoredImage:
    """The content of an image file.

    Attributes:
        values: (H, W) or (H, W, C), upright, in the type of the file.
        format: one of `decoding.READABLE_FORMATS`.
        white: the integer that means 1; None for the largest of the type, and for floating point.
        alpha: whether the last channel is opacity.
        icc_profile: the colour profile of the values, or None.
    """

    values: npt.NDArray[Any]
    format: str
    white: float | None = None
    alpha: bool = False
    icc_profile: bytes | None = None


def check_pixel_count(width: int, height: int) -> None:
    """Refuse a decompression bomb before it is decoded; raises `InputError`, without the file's name."""
    if width * height > MAX_PIXELS:
        raise InputError(
            f"holds {width} x {height} pixels, more than the {MAX_PIXELS} that invkit reads; crop or shrink it"
        )


def upright(values: npt.NDArray[Any], orientation: int) -> npt.NDArray[Any]:
    """Apply an EXIF orientation from 1 to 8 to (H, W) or (H, W, C); any other number counts as 1."""
    if orientation in (5, 6, 7, 8):
        values = np.swapaxes(values, 0, 1)
    if orientation in (3, 4, 7, 8):
        values = values[::-1]
    if orientation in (2, 3, 6, 7):
        values = values[:, ::-1]
    return np.ascontiguousarray(values)
