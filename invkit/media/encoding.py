"""Arrays -> the bytes of a picture file, at the depth asked for."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from ..core.errors import InputError

__all__ = ["encode", "encode_npy", "encode_png", "quantised"]

PNG_LEVEL = 3  # takes half of the time of the usual 6, for files that are 1 or 2 % larger
JPEG_QUALITY = 95  # the highest at which a file is still much smaller than a PNG
DEPTHS = {"PNG": (8, 16), "TIFF": (8, 16, 32), "NPY": (8, 16, 32), "JPEG": (8,), "BMP": (8,), "WebP": (8,)}
OPAQUE = ("JPEG", "BMP")
SUFFIXES = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".bmp": "BMP",
    ".webp": "WebP",
    ".npy": "NPY",
}
INTEGERS: dict[int, type[np.unsignedinteger[Any]]] = {8: np.uint8, 16: np.uint16}


def encode(path: Path, image: npt.NDArray[Any], bits: int | None, icc_profile: bytes | None = None) -> bytes:
    """The content of a file of the path's format; arguments and errors as `images.write_image`."""
    kind = SUFFIXES.get(path.suffix.lower())
    if kind is None:
        raise InputError(f"{path} has no suffix of a picture that invkit writes; use one of {', '.join(SUFFIXES)}")
    check_picture(path, kind, image)
    depth = bits or depth_for(image, kind)
    if depth not in DEPTHS[kind]:
        held = " or ".join(map(str, DEPTHS[kind]))
        raise InputError(f"{path} cannot be written with {depth} bits: {kind} holds {held}; use PNG (16) or TIFF (32)")
    return ENCODERS[kind](quantised(image, depth), icc_profile)


def check_picture(path: Path, kind: str, image: npt.NDArray[Any]) -> None:
    """Refuse what is no picture, or more than the format can hold; raises `InputError`."""
    channels = image.shape[-1] if image.ndim == 3 else 1
    if image.ndim not in (2, 3) or not 1 <= channels <= 4 or image.size == 0:
        raise InputError(f"{path}: a picture must be (H, W) or (H, W, C) with C from 1 to 4, got {image.shape}")
    if channels in (2, 4) and kind in OPAQUE:
        raise InputError(f"{path}: {kind} has no transparency; write PNG, TIFF or WebP, or leave alpha out")
    if image.dtype.kind == "f" and not bool(np.isfinite(image).all()):
        raise InputError(f"{path}: the picture holds NaN or infinite values; replace them first")


def depth_for(image: npt.NDArray[Any], kind: str) -> int:
    """The image's own depth; for floating point the most that the format holds."""
    return max(DEPTHS[kind]) if image.dtype.kind == "f" else 8 * image.dtype.itemsize


def quantised(image: npt.NDArray[Any], bits: int) -> npt.NDArray[Any]:
    """Floats in [0, 1] rounded to integers of 8 or 16 bits, clipped; 32 leaves them as they are.

    Raises:
        InputError: integers of another depth, which would have to be rescaled.
    """
    image = image[..., 0] if image.ndim == 3 and image.shape[-1] == 1 else image
    if bits == 32 and image.dtype.kind == "f":
        return image.astype(np.promote_types(image.dtype.newbyteorder("="), np.float32), copy=False)
    target = INTEGERS.get(bits)
    if target is not None and image.dtype == target:
        return image
    if target is None or image.dtype.kind != "f":
        raise InputError(f"values of type {image.dtype} cannot be written with {bits} bits; give floats in [0, 1]")
    unit = np.clip(image, 0, 1, dtype=np.promote_types(image.dtype.newbyteorder("="), np.float32))
    unit *= unit.dtype.type(np.iinfo(target).max)  # in place, as the next: a photograph takes hundreds of megabytes
    samples: npt.NDArray[Any] = np.rint(unit, out=unit).astype(target)
    return samples


def encode_png(samples: npt.NDArray[Any], icc_profile: bytes | None = None) -> bytes:
    """PNG of uint8 or uint16 samples (H, W) or (H, W, C)."""
    import imagecodecs

    content = bytes(imagecodecs.png_encode(np.ascontiguousarray(samples), level=PNG_LEVEL))
    return content if icc_profile is None else with_profile(content, icc_profile)


def with_profile(content: bytes, icc_profile: bytes) -> bytes:
    """A PNG with a colour profile in an ``iCCP`` chunk behind the header, which takes the first 33 bytes."""
    body = b"iCCP" + b"ICC profile\0\0" + zlib.compress(icc_profile)
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    return content[:33] + chunk + content[33:]


def encode_tiff(samples: npt.NDArray[Any], icc_profile: bytes | None = None) -> bytes:
    """TIFF, losslessly compressed."""
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
    """NumPy's own format, which has no place for a profile."""
    buffer = BytesIO()
    np.save(buffer, samples, allow_pickle=False)
    return buffer.getvalue()


def encode_pillow(kind: str, **options: Any) -> Callable[[npt.NDArray[Any], bytes | None], bytes]:
    """An encoder that lets Pillow write one 8-bit format."""

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
