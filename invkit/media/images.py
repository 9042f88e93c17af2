"""Photographs from files and back at their own depth. Opacity and colour profile are kept aside and put back."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image

from ..core.errors import InputError
from ..core.files import write_atomically
from .decoding import decode
from .layouts import Layout, check_image, depth_of, from_bchw, to_bchw, unit_range

__all__ = ["Layout", "Photo", "check_image", "encode_npy", "encode_png", "from_bchw", "quantised", "read_image",
           "to_bchw", "write_image"]  # fmt: skip

PNG_LEVEL = 3  # half of the time of the usual level 6, for files that are 1 or 2 % larger
JPEG_QUALITY = 95  # the highest quality at which a file is still much smaller than a PNG
DEPTHS = {"PNG": (8, 16), "TIFF": (8, 16, 32), "NPY": (8, 16, 32), "JPEG": (8,), "BMP": (8,), "WebP": (8,)}
OPAQUE_FORMATS = ("JPEG", "BMP")
IMAGE_SUFFIXES = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".tif": "TIFF", ".tiff": "TIFF", ".bmp": "BMP",
                  ".webp": "WebP", ".npy": "NPY"}  # fmt: skip
UNSIGNED_TYPES: dict[int, type[np.unsignedinteger[Any]]] = {8: np.uint8, 16: np.uint16}


@dataclass(frozen=True)
class Photo:
    """A photograph as read from a file.

    Attributes:
        pixels: (H, W) or (H, W, 3), upright, in [0, 1] unless they keep their units; float32, or float64 if the file
            holds float64.
        alpha: (H, W) in [0, 1], the opacity, or None.
        bits: bits per sample of the file: 8, 16, or 32 for floating point.
        format: "PNG", "JPEG", "TIFF", "BMP", "WebP" or "NPY".
        icc_profile: the colour profile, or None. Without it, wide-gamut colours look dull.
    """

    pixels: npt.NDArray[Any]
    alpha: npt.NDArray[Any] | None
    bits: Literal[8, 16, 32]
    format: str
    icc_profile: bytes | None = None

    def put_back(self, pixels: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Other pixels of the same height and width, with this photograph's alpha as their last channel."""
        if self.alpha is None:
            return pixels
        channels = pixels[..., None] if pixels.ndim == 2 else pixels
        return np.concatenate([channels, self.alpha[..., None].astype(pixels.dtype)], axis=-1)


def read_image(path: str | Path, *, in_units: bool = False) -> Photo:
    """Read a photograph: PNG, JPEG, TIFF, BMP, WebP or NPY, of 8, 16 or 32 (floating point) bits.

    EXIF orientation is applied. A palette or CMYK becomes RGB, and 12-bit samples count as 16-bit samples. The values
    of a floating-point file must lie in [0, 1], unless they keep their units. Other EXIF data are not kept.

    Args:
        path: of the file.
        in_units: whether numbers outside [0, 1] are kept, as `layouts.unit_range` says.

    Raises:
        InputError: the file is missing, unreadable, empty, truncated, of an unknown format or of several pages, has
            more than `decoding.MAX_PIXELS` pixels, or its pixels cannot be restored (`check_image`).

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "ramp.png"
        >>> write_image(path, np.linspace(0, 1, 12).reshape(3, 4), bits=16)
        >>> photo = read_image(path)
        >>> photo.pixels.shape, photo.bits, photo.format
        ((3, 4), 16, 'PNG')
    """
    path = Path(path)
    stored = decode(path)
    values = unit_range(stored.values, str(path), white=stored.white, in_units=in_units)
    pixels, alpha = (values[..., :-1], values[..., -1].copy()) if stored.alpha else (values, None)
    pixels = pixels[..., 0].copy() if pixels.ndim == 3 and pixels.shape[-1] == 1 else pixels
    check_image(pixels, str(path), in_units)
    return Photo(pixels, alpha, depth_of(stored.values.dtype), stored.format, stored.icc_profile)


def write_image(
    path: str | Path, image: npt.NDArray[Any], bits: int | None = None, *, icc_profile: bytes | None = None
) -> None:
    """Write an image in the format of the path's suffix. The file is written completely or not at all.

    Args:
        path: ``.png``, ``.tif(f)`` and ``.npy`` keep all bits, ``.webp`` and ``.bmp`` all 8 bits; ``.jpg`` is lossy.
        image: (H, W), (H, W, 2), (H, W, 3) or (H, W, 4); the second and fourth channel are alpha. Floating point
            (8 and 16 bits clip values outside [0, 1]), or unsigned integers of the depth ``bits``.
        bits: 8, 16, or 32 for floating point (TIFF and NPY only); None for the depth of ``image``, and for floating
            point the largest depth of the format.
        icc_profile: kept in PNG, JPEG, TIFF and WebP.

    Raises:
        InputError: the format cannot hold the image, the array is not an image, or the file cannot be written.

    Example:
        >>> import tempfile
        >>> write_image(Path(tempfile.mkdtemp()) / "grey.tif", np.full((4, 5), 0.5, dtype=np.float32))
    """
    path = Path(path)
    kind = IMAGE_SUFFIXES.get(path.suffix.lower())
    if kind is None:
        known = ", ".join(IMAGE_SUFFIXES)
        raise InputError(f"{path} has no suffix of an image format that invkit writes; use one of {known}")
    channels = image.shape[-1] if image.ndim == 3 else 1
    if image.ndim not in (2, 3) or not 1 <= channels <= 4 or image.size == 0:
        raise InputError(f"{path}: an image must be (H, W) or (H, W, C) with C from 1 to 4, got {image.shape}")
    if channels in (2, 4) and kind in OPAQUE_FORMATS:
        raise InputError(f"{path}: {kind} has no transparency; write PNG, TIFF or WebP, or leave alpha out")
    if image.dtype.kind == "f" and not bool(np.isfinite(image).all()):
        raise InputError(f"{path}: the image holds NaN or infinite values; replace them first")
    depth = bits or (max(DEPTHS[kind]) if image.dtype.kind == "f" else 8 * image.dtype.itemsize)
    if depth not in DEPTHS[kind]:
        held = " or ".join(map(str, DEPTHS[kind]))
        raise InputError(f"{path} cannot be written with {depth} bits: {kind} holds {held}; use PNG (16) or TIFF (32)")
    content = ENCODERS[kind](quantised(image, depth), icc_profile)
    try:
        write_atomically(path, content)
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror or error}; choose another place") from error


def quantised(image: npt.NDArray[Any], bits: int) -> npt.NDArray[Any]:
    """Floats in [0, 1] clipped and rounded to integers of 8 or 16 bits. 32 bits leave floats unchanged.

    Raises:
        InputError: the image holds integers of another depth, which would have to be rescaled.
    """
    image = image[..., 0] if image.ndim == 3 and image.shape[-1] == 1 else image
    if bits == 32 and image.dtype.kind == "f":
        return image.astype(np.promote_types(image.dtype.newbyteorder("="), np.float32), copy=False)
    target = UNSIGNED_TYPES.get(bits)
    if target is not None and image.dtype == target:
        return image
    if target is None or image.dtype.kind != "f":
        raise InputError(f"values of type {image.dtype} cannot be written with {bits} bits; give floats in [0, 1]")
    unit = np.clip(image, 0, 1, dtype=np.promote_types(image.dtype.newbyteorder("="), np.float32))
    unit *= unit.dtype.type(np.iinfo(target).max)  # in place here and below: a photograph takes hundreds of megabytes
    samples: npt.NDArray[Any] = np.rint(unit, out=unit).astype(target)
    return samples


def encode_png(samples: npt.NDArray[Any], icc_profile: bytes | None = None) -> bytes:
    """PNG of uint8 or uint16 samples (H, W) or (H, W, C)."""
    import imagecodecs

    content = bytes(imagecodecs.png_encode(np.ascontiguousarray(samples), level=PNG_LEVEL))
    if icc_profile is None:
        return content
    body = b"iCCP" + b"ICC profile\0\0" + zlib.compress(icc_profile)
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    return content[:33] + chunk + content[33:]  # behind the header, which takes the first 33 bytes


def encode_tiff(samples: npt.NDArray[Any], icc_profile: bytes | None = None) -> bytes:
    """TIFF with lossless compression."""
    import tifffile

    channels = samples.shape[-1] if samples.ndim == 3 else 1
    buffer = BytesIO()
    tifffile.imwrite(
        buffer,
        samples,
        photometric="minisblack" if channels < 3 else "rgb",
        planarconfig=None if samples.ndim == 2 else "contig",
        extrasamples=["unassalpha"] if channels in (2, 4) else None,
        compression="zlib",
        metadata=None,
        iccprofile=icc_profile,
    )
    return buffer.getvalue()


def encode_npy(samples: npt.NDArray[Any], icc_profile: bytes | None = None) -> bytes:
    """NumPy's own format, which cannot hold a colour profile."""
    buffer = BytesIO()
    np.save(buffer, samples, allow_pickle=False)
    return buffer.getvalue()


def encode_pillow(kind: str, **options: Any) -> Callable[[npt.NDArray[Any], bytes | None], bytes]:
    """An encoder that writes one 8-bit format through Pillow."""

    def encoder(samples: npt.NDArray[Any], icc_profile: bytes | None) -> bytes:
        buffer = BytesIO()
        profile = {} if icc_profile is None else {"icc_profile": icc_profile}
        Image.fromarray(samples).save(buffer, format=kind, **options, **profile)
        return buffer.getvalue()

    return encoder


ENCODERS: dict[str, Callable[[npt.NDArray[Any], bytes | None], bytes]] = {
    "PNG": encode_png,
    "TIFF": encode_tiff,
    "NPY": encode_npy,
    "JPEG": encode_pillow("JPEG", quality=JPEG_QUALITY, subsampling=0),
    "BMP": encode_pillow("BMP"),
    "WebP": encode_pillow("WEBP", lossless=True, exact=True),
}
