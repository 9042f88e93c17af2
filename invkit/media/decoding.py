"""From the bytes of a file to the samples that it stores. A damaged file is refused, never read in part."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFile

from ..core.errors import InputError, OutOfMemoryError
from .stored import MAX_PIXELS, ORIENTATION_TAG, StoredImage, check_pixel_count, upright

__all__ = ["READABLE_FORMATS", "decode", "detected_format", "read_bytes"]

READABLE_FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "WebP", "NPY")

GREY_MODES = {"1", "L", "LA", "La"}
MAGIC = {
    "PNG": (b"\x89PNG",),
    "JPEG": (b"\xff\xd8\xff",),
    "TIFF": (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
    "BMP": (b"BM",),
    "NPY": (b"\x93NUMPY",),
}


def decode(path: Path) -> StoredImage:
    """Read a file in full.

    Raises:
        InputError: the file is missing, unreadable, empty, of an unknown format, truncated or damaged, has several
            pages, or has more than `MAX_PIXELS` pixels.
        OutOfMemoryError: the image does not fit in memory.
    """
    content = read_bytes(path)
    kind = detected_format(content)
    if kind is None:
        raise InputError(f"{path} is not an image of a format that invkit reads ({', '.join(READABLE_FORMATS)})")
    try:
        with strictly():
            return DECODERS[kind](content)
    except InputError as reason:
        raise InputError(f"{path} {reason}") from reason
    except MemoryError as error:
        raise too_large(path) from error
    except Exception as error:  # a decoder may raise anything on damaged data
        raise InputError(
            f"{path} is truncated or damaged and cannot be read in full as {kind} ({reason_text(error)}); "
            "copy or export it again"
        ) from error


def read_bytes(path: Path) -> bytes:
    """The content of a file.

    Raises:
        InputError: it is missing, not a regular file, unreadable or empty.
        OutOfMemoryError: it does not fit in memory.
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
        raise InputError(f"{path} cannot be read: {reason_text(error)}") from error
    except MemoryError as error:
        raise too_large(path) from error
    if not content:
        raise InputError(f"{path} is empty (0 bytes); copy or export it again")
    return content


def too_large(path: Path) -> OutOfMemoryError:
    """The error for a file that does not fit in memory."""
    return OutOfMemoryError(f"{path} does not fit in memory; crop or shrink it first")


def detected_format(content: bytes) -> str | None:
    """The format by the first bytes of a file, whatever its name; None for an unknown format."""
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


def decode_pillow(kind: str) -> Callable[[bytes], StoredImage]:
    """A decoder that reads one format through Pillow."""

    def decoder(content: bytes) -> StoredImage:
        try:
            picture = Image.open(BytesIO(content), formats=[kind.upper()])
        except Image.DecompressionBombError:
            raise InputError(f"holds more than the {MAX_PIXELS} pixels that invkit reads; crop or shrink it") from None
        with picture:
            return stored_picture(picture, content, kind)

    return decoder


def stored_picture(picture: Image.Image, content: bytes, kind: str) -> StoredImage:
    """The samples of a picture that Pillow has opened.

    Args:
        picture: the opened picture.
        content: the bytes of its file.
        kind: its format.
    """
    check_pixel_count(picture.width, picture.height)
    frames = getattr(picture, "n_frames", 1)
    if frames > 1 and picture.format != "MPO":  # an MPO is a JPEG photograph followed by previews
        raise InputError(f"is animated ({frames} frames); save the frame you want as a file of its own")
    picture.load()
    orientation = orientation_of(picture)
    profile = None if picture.mode == "CMYK" else picture.info.get("icc_profile")  # a CMYK profile misleads about RGB
    if kind == "PNG" and content[24] == 16:  # the header's bit depth; Pillow would keep 8 bits
        values = decode_png16(content)
    else:
        values = np.asarray(picture.convert(plain_mode(picture)))
    return StoredImage(upright(values, orientation), kind, alpha=has_alpha(values), icc_profile=profile)


def orientation_of(picture: Image.Image) -> int:
    """The EXIF orientation; 1 if it is absent or unreadable, because a photograph with broken metadata is usable."""
    try:
        return int(picture.getexif().get(ORIENTATION_TAG, 1))
    except Exception:  # the EXIF parser may raise anything
        return 1


def plain_mode(picture: Image.Image) -> str:
    """The Pillow mode of 8-bit grey or RGB samples, with alpha if the picture has transparency."""
    transparent = picture.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in picture.info
    return ("L" if picture.mode in GREY_MODES else "RGB") + ("A" if transparent else "")


def has_alpha(values: npt.NDArray[Any]) -> bool:
    """Whether the last channel is opacity: images have one or three channels without it, two or four with it."""
    return values.ndim == 3 and values.shape[-1] in (2, 4)


def decode_png16(content: bytes) -> npt.NDArray[Any]:
    """All 16 bits of a PNG, (H, W) or (H, W, C)."""
    import imagecodecs

    values: npt.NDArray[Any] = imagecodecs.png_decode(content)
    return values


def decode_npy(content: bytes) -> StoredImage:
    """A saved array. NumPy refuses pickled objects, because reading them could run code."""
    values = np.load(BytesIO(content), allow_pickle=False)
    return StoredImage(values, "NPY", alpha=has_alpha(values))


def decode_tiff(content: bytes) -> StoredImage:
    """A TIFF file of one page."""
    from .tiff import read_tiff

    return read_tiff(content)


def reason_text(error: Exception) -> str:
    """The first line of an error's message, or the error's type if it has no message."""
    return next(iter(str(error).splitlines()), "") or type(error).__name__


DECODERS: dict[str, Callable[[bytes], StoredImage]] = {
    **{kind: decode_pillow(kind) for kind in ("PNG", "JPEG", "BMP", "WebP")},
    "TIFF": decode_tiff,
    "NPY": decode_npy,
}
