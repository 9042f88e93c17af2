"""From the bytes of a file to the samples that it stores. A damaged file is refused, never read in part."""

from __future__ import annotations

import logging
import math
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

from ..core.errors import InputError, OutOfMemoryError, first_line
from ..core.files import array_of, check_memory, read_bytes
from .containers import check_layout, checked, has_small_values, opened_tiff

__all__ = ["MAX_PIXELS", "READABLE_FORMATS", "StoredImage", "decode", "detected_format", "refused_by_path", "upright"]

READABLE_FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "WebP", "NPY")
MAX_PIXELS = 178_956_970
"""The largest number of pixels that a file may hold (1 GiB as 3 x 16 bit). Pillow's limit for a decompression bomb."""

MAGIC = {
    "PNG": (b"\x89PNG",),
    "JPEG": (b"\xff\xd8\xff",),
    "TIFF": (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
    "BMP": (b"BM",),
    "NPY": (b"\x93NUMPY",),
}
PILLOW_BYTES = 24  # for a pixel, at the most: of WebP, the picture and the frame before it, converted, and as an array
TIFF_COPIES = 2  # of the samples, at the most: as stored, and as they are returned
MAX_RAW_PROFILE = 2**18  # characters; 64 KiB of EXIF, the most that a JPEG holds, have half as many
ORIENTATION_TAG, ICC_PROFILE_TAG = 0x0112, 34675  # of EXIF and of TIFF

logging.getLogger("tifffile").addHandler(logging.NullHandler())  # whatever makes a file unusable is raised, not printed


@dataclass(frozen=True)
class StoredImage:
    """The content of an image file.

    Attributes:
        values: (H, W) or (H, W, C), upright, in the type of the file.
        format: one of `READABLE_FORMATS`.
        white: the integer that means 1; None for the largest of the type, and for floating point.
        alpha: whether the last channel is opacity.
        icc_profile: the colour profile of the values, or None.
    """

    values: npt.NDArray[Any]
    format: str
    white: float | None = None
    alpha: bool = False
    icc_profile: bytes | None = None


def decode(path: Path) -> StoredImage:
    """Read a file in full.

    Raises:
        InputError: the file is missing, unreadable, empty, of an unknown format, truncated or damaged, has several
            pages, or has more than `MAX_PIXELS` pixels.
        OutOfMemoryError: the image does not fit in memory.
    """
    content = read_bytes(path)
    if not content:
        raise InputError(f"{path} is empty (0 bytes); copy or export it again")
    kind = detected_format(content)
    if kind is None:
        raise InputError(f"{path} is not an image of a format that invkit reads ({', '.join(READABLE_FORMATS)})")
    with refused_by_path(path, kind), strictly():
        return DECODERS[kind](content)


@contextmanager
def refused_by_path(path: Path, kind: str | None) -> Iterator[None]:
    """Name the file in the errors of a decoder, which may raise anything on damaged data.

    Args:
        path: of the file.
        kind: its format.

    Raises:
        InputError: the file is refused, or damaged.
        OutOfMemoryError: it does not fit in memory.
    """
    try:
        yield
    except InputError as reason:
        raise InputError(f"{path} {reason}") from reason
    except MemoryError as error:
        raise OutOfMemoryError(f"{path} does not fit in memory; crop or shrink it first") from error
    except Exception as error:
        raise InputError(
            f"{path} is truncated or damaged and cannot be read in full as {kind} ({reason_text(error)}); "
            "copy or export it again"
        ) from error


def reason_text(error: Exception) -> str:
    """The first line of an error's message, or the error's type if it has no message."""
    return first_line(error) or type(error).__name__


def detected_format(content: bytes) -> str | None:
    """The format by the first bytes of a file, whatever its name; None for an unknown format.

    >>> detected_format(b"BM6")
    'BMP'
    """
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "WebP"
    return next((kind for kind, marks in MAGIC.items() if content.startswith(marks)), None)


@contextmanager
def strictly() -> Iterator[None]:
    """Make Pillow refuse truncated files, even if another library has allowed them, and silence its warnings."""
    lenient, ImageFile.LOAD_TRUNCATED_IMAGES = ImageFile.LOAD_TRUNCATED_IMAGES, False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # whatever makes a file unusable is raised
            yield
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = lenient


def check_pixel_count(width: int, height: int, pixel_bytes: int = PILLOW_BYTES) -> None:
    """Refuse a decompression bomb before it is decoded.

    Args:
        width: of the picture.
        height: of the picture.
        pixel_bytes: that its decoding takes for a pixel.

    Raises:
        InputError: there are too many pixels; the caller adds the name of the file.
        MemoryError: they do not fit in memory.
    """
    if width * height > MAX_PIXELS:
        raise InputError(
            f"holds {width} x {height} pixels, more than the {MAX_PIXELS} that invkit reads; crop or shrink it"
        )
    check_memory(width * height * pixel_bytes)


def upright(values: npt.NDArray[Any], orientation: int) -> npt.NDArray[Any]:
    """Apply an EXIF orientation from 1 to 8 to (H, W) or (H, W, C); any other number counts as 1."""
    if orientation in (5, 6, 7, 8):
        values = np.swapaxes(values, 0, 1)
    if orientation in (3, 4, 7, 8):
        values = values[::-1]
    if orientation in (2, 3, 6, 7):
        values = values[:, ::-1]
    return np.ascontiguousarray(values)


def has_alpha(values: npt.NDArray[Any]) -> bool:
    """Whether the last channel is opacity: images have one or three channels without it, two or four with it."""
    return values.ndim == 3 and values.shape[-1] in (2, 4)


def decode_pillow(kind: str) -> Callable[[bytes], StoredImage]:
    """A decoder that reads one format through Pillow."""

    def decoder(content: bytes) -> StoredImage:
        try:
            picture = Image.open(BytesIO(checked(kind, content)), formats=[kind.upper()])
        except Image.DecompressionBombError:
            raise InputError(f"holds more than the {MAX_PIXELS} pixels that invkit reads; crop or shrink it") from None
        with picture:
            is_deep = kind == "PNG" and content[24] == 16  # the header's bit depth; Pillow would keep 8 bits
            return stored_picture(picture, kind, content if is_deep else None)

    return decoder


def stored_picture(picture: Image.Image, kind: str, deep: bytes | None) -> StoredImage:
    """The samples of a picture that Pillow has opened.

    Args:
        picture: the opened picture.
        kind: its format.
        deep: the content of a PNG file of 16 bits, or None.
    """
    check_pixel_count(picture.width, picture.height)
    frames = getattr(picture, "n_frames", 1)
    if frames > 1 and picture.format != "MPO":  # an MPO is a JPEG photograph followed by previews
        raise InputError(f"is animated ({frames} frames); save the frame you want as a file of its own")
    picture.load()
    orientation = orientation_of(picture)
    profile = None if picture.mode == "CMYK" else picture.info.get("icc_profile")  # a CMYK profile misleads about RGB
    if deep is None:
        transparent = picture.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in picture.info
        colours = "L" if picture.mode in ("1", "L", "LA", "La") else "RGB"
        values = np.asarray(picture.convert(colours + "A" * transparent))
    else:
        import imagecodecs

        values = imagecodecs.png_decode(deep)
    return StoredImage(upright(values, orientation), kind, alpha=has_alpha(values), icc_profile=profile)


def orientation_of(picture: Image.Image) -> int:
    """The orientation in EXIF; 1 without EXIF, or if it is broken or takes too much memory."""
    raw = picture.info.get("Raw profile type exif", "")  # ImageMagick writes EXIF to a PNG as text
    if not has_small_values(picture.info.get("exif", b"")) or len(raw) > MAX_RAW_PROFILE:
        return 1
    try:
        return int(picture.getexif().get(ORIENTATION_TAG, 1))
    except Exception:  # the EXIF parser may raise anything, and a photograph with broken metadata is usable
        return 1


def decode_npy(content: bytes) -> StoredImage:
    """A saved array. NumPy refuses pickled objects, because reading them could run code."""
    values = array_of(content)
    return StoredImage(values, "NPY", alpha=has_alpha(values))


def decode_tiff(content: bytes) -> StoredImage:
    """The samples of a TIFF file of one page; TIFF files differ in depth, photometry, planes, alpha and orientation.

    Raises:
        InputError: the file holds something else than one photograph; the caller adds the name of the file.
        Exception: tifffile cannot read the file.
    """
    from tifffile import PHOTOMETRIC

    from .tiff import colour_count, interleaved, only_page, plain_colours

    with opened_tiff(content) as file:
        page = only_page(file)
        bits = np.max(page.bitspersample)  # a tuple if they differ
        check_pixel_count(page.imagewidth, page.imagelength, TIFF_COPIES * page.samplesperpixel * math.ceil(bits / 8))
        photometric = PHOTOMETRIC(page.photometric).name
        colours = colour_count(page, photometric)
        check_layout(page, content)
        values = interleaved(page)
        alpha = values.ndim == 3 and values.shape[-1] == colours + 1
        values, white = plain_colours(page, values, photometric)
        found = (page.tags.get(code) for code in (ORIENTATION_TAG, ICC_PROFILE_TAG))
        orientation, profile = (None if tag is None else tag.value for tag in found)
        if profile is not None:  # a profile of inks is useless, because the inks have been converted
            profile = None if photometric == "SEPARATED" else bytes(profile)
        return StoredImage(upright(values, orientation or 1), "TIFF", white, alpha, profile)


DECODERS: dict[str, Callable[[bytes], StoredImage]] = {
    **{kind: decode_pillow(kind) for kind in ("PNG", "JPEG", "BMP", "WebP")},
    "TIFF": decode_tiff,
    "NPY": decode_npy,
}
