"""Bytes of a file -> samples as they are stored. A damaged file is refused, never half read."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFile

from ..core.errors import InputError, OutOfMemoryError

__all__ = ["FORMATS", "MAX_PIXELS", "Samples", "check_size", "decode", "read_bytes", "upright"]

FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "WebP", "NPY")

MAX_PIXELS = 178_956_970
"""The most pixels a file may hold: where Pillow, too, takes a file for a decompression bomb (1 GiB as 3 x 16 bit)."""

ORIENTATION = 0x0112  # EXIF and TIFF tag
GREY_MODES = {"1", "L", "LA", "La"}
MAGIC = {
    "PNG": (b"\x89PNG",),
    "JPEG": (b"\xff\xd8\xff",),
    "TIFF": (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
    "BMP": (b"BM",),
    "NPY": (b"\x93NUMPY",),
}


@dataclass(frozen=True)
class Samples:
    """What a file holds, upright, before anyone asks whether it can be restored.

    Attributes:
        values: (H, W) or (H, W, C), as stored.
        white: the integer that means 1; None for the largest of the type, and for floating point.
        alpha: the last channel is opacity.
        format: one of `FORMATS`.
        icc_profile: the colour profile of the values, or None.
    """

    values: npt.NDArray[Any]
    format: str
    white: float | None = None
    alpha: bool = False
    icc_profile: bytes | None = None


def decode(path: Path) -> Samples:
    """Read a file in full.

    Raises:
        InputError: missing, unreadable, empty, of another kind, truncated or damaged, of several pages, or of more
            than `MAX_PIXELS` pixels.
        OutOfMemoryError: it needs more memory than there is.
    """
    content = read_bytes(path)
    kind = kind_of(content)
    if kind is None:
        raise InputError(f"{path} is not an image of a kind that invkit reads ({', '.join(FORMATS)})")
    try:
        with strictly():
            return DECODERS[kind](content)
    except InputError as reason:
        raise InputError(f"{path} {reason}") from reason
    except MemoryError as error:
        raise too_large(path) from error
    except Exception as error:  # there is no telling what a decoder raises on damaged data
        raise InputError(
            f"{path} is truncated or damaged and cannot be read in full as {kind} ({first_line(error)}); "
            "copy or export it again"
        ) from error


def read_bytes(path: Path) -> bytes:
    """The content of a file.

    Raises:
        InputError: it is missing, no regular file, unreadable or empty.
        OutOfMemoryError: it needs more memory than there is.
    """
    try:
        if path.is_dir():
            raise InputError(f"{path} is a folder; give the image file in it")
        if path.exists() and not path.is_file():
            raise InputError(f"{path} is not a regular file; give an image file")
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise InputError(f"there is no file {path}; check its name and folder") from error
    except PermissionError as error:
        raise InputError(f"{path} may not be read; check its permissions") from error
    except (OSError, ValueError) as error:  # ValueError: a name with a null character
        raise InputError(f"{path} cannot be read: {first_line(error)}") from error
    except MemoryError as error:
        raise too_large(path) from error
    if not content:
        raise InputError(f"{path} is empty (0 bytes); copy or export it again")
    return content


def too_large(path: Path) -> OutOfMemoryError:
    """The error for a file that memory does not hold."""
    return OutOfMemoryError(f"{path} does not fit in memory; crop or shrink it first")


def kind_of(content: bytes) -> str | None:
    """The format that the first bytes tell, whatever the file is called."""
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "WebP"
    return next((kind for kind, marks in MAGIC.items() if content.startswith(marks)), None)


@contextmanager
def strictly() -> Iterator[None]:
    """Have Pillow refuse truncated files, whatever another library has set, and leave the size limit to us."""
    lenient, ImageFile.LOAD_TRUNCATED_IMAGES = ImageFile.LOAD_TRUNCATED_IMAGES, False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what matters is raised
            yield
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = lenient


def check_size(width: int, height: int) -> None:
    """Refuse a decompression bomb before it is decoded; raises `InputError`."""
    if width * height > MAX_PIXELS:
        raise InputError(
            f"holds {width} x {height} pixels, more than the {MAX_PIXELS} that invkit reads; crop or shrink it"
        )


def upright(values: npt.NDArray[Any], orientation: int) -> npt.NDArray[Any]:
    """Apply an EXIF orientation, 1 to 8; anything else counts as 1."""
    if orientation in (5, 6, 7, 8):
        values = np.swapaxes(values, 0, 1)
    if orientation in (3, 4, 7, 8):
        values = values[::-1]
    if orientation in (2, 3, 6, 7):
        values = values[:, ::-1]
    return np.ascontiguousarray(values)


def decode_pillow(kind: str) -> Callable[[bytes], Samples]:
    """A decoder that lets Pillow read one format."""

    def decoder(content: bytes) -> Samples:
        try:
            picture = Image.open(BytesIO(content), formats=[kind.upper()])
        except Image.DecompressionBombError:
            raise InputError(f"holds more than the {MAX_PIXELS} pixels that invkit reads; crop or shrink it") from None
        with picture:
            return picture_samples(picture, content, kind)

    return decoder


def picture_samples(picture: Image.Image, content: bytes, kind: str) -> Samples:
    """The samples of an opened picture."""
    check_size(picture.width, picture.height)
    frames = getattr(picture, "n_frames", 1)
    if frames > 1 and picture.format != "MPO":  # an MPO is a JPEG photograph with previews behind it
        raise InputError(f"is animated ({frames} frames); save the frame you want as a file of its own")
    picture.load()
    orientation = orientation_of(picture)
    profile = None if picture.mode == "CMYK" else picture.info.get("icc_profile")  # a CMYK profile misleads about RGB
    if kind == "PNG" and content[24] == 16:  # the header's bit depth; Pillow would keep 8 bits of it
        values = decode_png16(content)
    else:
        values = np.asarray(picture.convert(plain_mode(picture)))
    alpha = values.ndim == 3 and values.shape[-1] in (2, 4)
    return Samples(upright(values, orientation), kind, alpha=alpha, icc_profile=profile)


def orientation_of(picture: Image.Image) -> int:
    """The EXIF orientation, 1 where there is none or it is unreadable: broken metadata do not spoil a photograph."""
    try:
        return int(picture.getexif().get(ORIENTATION, 1))
    except Exception:  # the EXIF parser raises whatever comes to it
        return 1


def plain_mode(picture: Image.Image) -> str:
    """The Pillow mode of 8-bit grey or RGB samples, with alpha where the picture has transparency."""
    transparent = picture.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in picture.info
    if picture.mode in GREY_MODES:
        return "LA" if transparent else "L"
    return "RGBA" if transparent else "RGB"


def decode_png16(content: bytes) -> npt.NDArray[Any]:
    """All 16 bits of a PNG, (H, W) or (H, W, C)."""
    import imagecodecs

    values: npt.NDArray[Any] = imagecodecs.png_decode(content)
    return values


def decode_npy(content: bytes) -> Samples:
    """A saved array; pickled objects are refused by NumPy, because reading them would run code."""
    values = np.load(BytesIO(content), allow_pickle=False)
    alpha = values.ndim == 3 and values.shape[-1] in (2, 4)
    return Samples(values, "NPY", alpha=alpha)


def decode_tiff(content: bytes) -> Samples:
    """A TIFF of one page."""
    from .tiff import read_tiff

    return read_tiff(content)


def first_line(error: Exception) -> str:
    """The first line of an error's message, or its type where it has none."""
    return next(iter(str(error).splitlines()), "") or type(error).__name__


DECODERS: dict[str, Callable[[bytes], Samples]] = {
    "PNG": decode_pillow("PNG"),
    "JPEG": decode_pillow("JPEG"),
    "BMP": decode_pillow("BMP"),
    "WebP": decode_pillow("WebP"),
    "TIFF": decode_tiff,
    "NPY": decode_npy,
}
