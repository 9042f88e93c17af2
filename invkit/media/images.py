"""Photographs from files and back, at their own depth, with what is not to be restored kept aside."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ..core.errors import InputError
from ..core.files import write_atomically
from .decoding import decode
from .encoding import encode
from .layouts import Layout, check_image, depth_of, from_bchw, to_bchw, unit_range

__all__ = ["Layout", "Photo", "check_image", "from_bchw", "read_image", "to_bchw", "write_image"]


@dataclass(frozen=True)
class Photo:
    """A photograph as read from a file.

    Attributes:
        pixels: (H, W) or (H, W, 3) in [0, 1], upright; float32, or float64 where the file holds that.
        alpha: (H, W) in [0, 1], the opacity to put back, or None.
        bits: bits per sample of the file: 8, 16, or 32 for floating point.
        format: "PNG", "JPEG", "TIFF", "BMP", "WebP" or "NPY".
        icc_profile: the colour profile to put back, without which wide-gamut colours look dull, or None.
    """

    pixels: npt.NDArray[Any]
    alpha: npt.NDArray[Any] | None
    bits: Literal[8, 16, 32]
    format: str
    icc_profile: bytes | None = None

    def put_back(self, pixels: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Other pixels of the same height and width with this photograph's alpha as their last channel."""
        if self.alpha is None:
            return pixels
        planes = pixels[..., None] if pixels.ndim == 2 else pixels
        return np.concatenate([planes, self.alpha[..., None].astype(pixels.dtype)], axis=-1)


def read_image(path: str | Path) -> Photo:
    """Read a photograph: PNG, JPEG, TIFF, BMP, WebP or NPY, of 8, 16 or 32 (floating point) bits.

    EXIF orientation is applied, a palette or CMYK becomes RGB, 12-bit samples count as 16-bit ones. A floating-point
    file must be in [0, 1]. The camera's other EXIF data are not kept.

    Raises:
        InputError: the file is missing, unreadable, empty, truncated, of another kind or of several pages, has more
            than `decoding.MAX_PIXELS` pixels, or its pixels cannot be restored (`check_image`).
    """
    path = Path(path)
    stored = decode(path)
    values = unit_range(stored.values, str(path), white=stored.white)
    pixels, alpha = (values[..., :-1], values[..., -1].copy()) if stored.alpha else (values, None)
    pixels = pixels[..., 0].copy() if pixels.ndim == 3 and pixels.shape[-1] == 1 else pixels
    check_image(pixels, str(path))
    return Photo(pixels, alpha, depth_of(stored.values.dtype), stored.format, stored.icc_profile)


def write_image(
    path: str | Path, image: npt.NDArray[Any], bits: int | None = None, *, icc_profile: bytes | None = None
) -> None:
    """Write a picture to the format of the path's suffix; the file is whole or absent.

    Args:
        path: ``.png``, ``.tif(f)`` and ``.npy`` keep every bit, ``.webp`` and ``.bmp`` every one of 8;
            ``.jpg`` loses a little.
        image: (H, W), (H, W, 2), (H, W, 3) or (H, W, 4), the second and fourth channel being alpha; floating point
            (values outside [0, 1] are clipped at 8 and 16 bits), or unsigned integers of the depth asked for.
        bits: 8, 16, or 32 for floating point (TIFF and NPY only); None takes the depth of ``image``, and for
            floating point the most that the format holds.
        icc_profile: kept in PNG, JPEG, TIFF and WebP.

    Raises:
        InputError: the format cannot hold that, the image is no picture, or the file cannot be written.
    """
    path = Path(path)
    content = encode(path, image, bits, icc_profile)
    try:
        write_atomically(path, content)
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror or error}; choose another place") from error
