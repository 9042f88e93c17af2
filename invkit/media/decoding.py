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
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFile

from ..core.errors import InputError, OutOfMemoryError, first_line

if TYPE_CHECKING:
    from tifffile import TiffFile, TiffPage

__all__ = ["MAX_PIXELS", "READABLE_FORMATS", "StoredImage", "decode", "detected_format", "read_bytes", "upright"]

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
ORIENTATION_TAG, ICC_PROFILE_TAG = 0x0112, 34675  # of EXIF and of TIFF
ASSOCIATED_ALPHA = 1  # kind of an extra sample: the colours have been multiplied by it
TIFF_CHANNELS = {"MINISWHITE": 1, "MINISBLACK": 1, "RGB": 3, "PALETTE": 1, "SEPARATED": 4, "YCBCR": 3}

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


def has_alpha(values: npt.NDArray[Any]) -> bool:
    """Whether the last channel is opacity: images have one or three channels without it, two or four with it."""
    return values.ndim == 3 and values.shape[-1] in (2, 4)


def decode_pillow(kind: str) -> Callable[[bytes], StoredImage]:
    """A decoder that reads one format through Pillow."""

    def decoder(content: bytes) -> StoredImage:
        try:
            picture = Image.open(BytesIO(content), formats=[kind.upper()])
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
    try:
        orientation = int(picture.getexif().get(ORIENTATION_TAG, 1))
    except Exception:  # the EXIF parser may raise anything, and a photograph with broken metadata is usable
        orientation = 1
    profile = None if picture.mode == "CMYK" else picture.info.get("icc_profile")  # a CMYK profile misleads about RGB
    if deep is None:
        transparent = picture.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in picture.info
        colours = "L" if picture.mode in ("1", "L", "LA", "La") else "RGB"
        values = np.asarray(picture.convert(colours + "A" * transparent))
    else:
        import imagecodecs

        values = imagecodecs.png_decode(deep)
    return StoredImage(upright(values, orientation), kind, alpha=has_alpha(values), icc_profile=profile)


def decode_npy(content: bytes) -> StoredImage:
    """A saved array. NumPy refuses pickled objects, because reading them could run code."""
    values = np.load(BytesIO(content), allow_pickle=False)
    return StoredImage(values, "NPY", alpha=has_alpha(values))


def decode_tiff(content: bytes) -> StoredImage:
    """The samples of a TIFF file of one page; TIFF files differ in depth, photometry, planes, alpha and orientation.

    Raises:
        InputError: the file holds something else than one photograph; the caller adds the name of the file.
        Exception: tifffile cannot read the file.
    """
    from tifffile import PHOTOMETRIC, TiffFile

    with TiffFile(BytesIO(content)) as file:
        page = only_page(file)
        check_pixel_count(page.imagewidth, page.imagelength)
        photometric = PHOTOMETRIC(page.photometric).name
        colours = colour_count(page, photometric)
        for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True):
            if count == 0 or offset + count > len(content):  # tifffile would fill a missing strip or tile with black
                raise ValueError(f"a strip ends at byte {offset + count} of {len(content)}")
        values = interleaved(page)
        alpha = values.ndim == 3 and values.shape[-1] == colours + 1
        values, white = plain_colours(page, values, photometric)
        found = (page.tags.get(code) for code in (ORIENTATION_TAG, ICC_PROFILE_TAG))
        orientation, profile = (None if tag is None else tag.value for tag in found)
        if profile is not None:  # a profile of inks is useless, because the inks have been converted
            profile = None if photometric == "SEPARATED" else bytes(profile)
        return StoredImage(upright(values, orientation or 1), "TIFF", white, alpha, profile)


def only_page(file: TiffFile) -> TiffPage:
    """The only picture of a file, previews aside; raises `InputError` if there are several."""
    from tifffile import TiffPage

    pages = [page for page in file.pages if isinstance(page, TiffPage)]
    full = [page for page in pages if not page.is_reduced] or pages
    stored = sum(math.prod(series.shape) for series in file.series)
    if len(full) > 1 or stored > sum(math.prod(page.shape) for page in pages):  # ImageJ: many planes behind one page
        count = max(len(full), stored // math.prod(full[0].shape))
        raise InputError(f"holds {count} pages; save the page you want as a file of its own")
    return full[0]


def colour_count(page: TiffPage, photometric: str) -> int:
    """The number of colour channels; raises `InputError` for a photometry or extra channels of no photograph."""
    from tifffile import COMPRESSION

    converted = page.compression in (COMPRESSION.JPEG, COMPRESSION.OJPEG)
    if photometric not in TIFF_CHANNELS or (photometric == "YCBCR" and not converted):
        raise InputError(f"stores its colours as {photometric}; export it as RGB or grey")
    extra = page.samplesperpixel - TIFF_CHANNELS[photometric]
    if not 0 <= extra <= 1 or page.imagedepth > 1:
        raise InputError(f"has {page.samplesperpixel} channels of {photometric}; export it as RGB or grey")
    return TIFF_CHANNELS[photometric]


def interleaved(page: TiffPage) -> npt.NDArray[Any]:
    """The values of a page with channels last, even if the file keeps them in separate planes."""
    from tifffile import PLANARCONFIG

    values = page.asarray()
    if values.ndim == 3 and page.planarconfig == PLANARCONFIG.SEPARATE and page.samplesperpixel > 1:
        return np.moveaxis(values, 0, -1)
    return values[..., 0] if values.ndim == 3 and values.shape[-1] == 1 else values


def plain_colours(page: TiffPage, values: npt.NDArray[Any], photometric: str) -> tuple[npt.NDArray[Any], float | None]:
    """Grey or RGB values, followed by alpha if the file has it, and the value that means white.

    Args:
        page: of the file.
        values: (H, W) or (H, W, C), as stored.
        photometric: the meaning of the channels.
    """
    if values.dtype == bool:
        values = values.astype(np.uint8)
    white = None if values.dtype.kind != "u" else float(2**page.bitspersample - 1)
    if photometric == "PALETTE":
        if page.colormap is None or values.ndim != 2:
            raise ValueError("the palette is missing")
        colours = np.asarray(page.colormap)[:, values] >> 8  # a TIFF palette keeps its 8 bits in the upper half of 16
        return np.moveaxis(colours, 0, -1).astype(np.uint8), 255.0
    if page.extrasamples and page.extrasamples[0] == ASSOCIATED_ALPHA:
        values = divided_by_alpha(values, white or 1.0)
    if photometric == "MINISWHITE":
        grey = ((white or 1.0) - (values if values.ndim == 2 else values[..., 0])).astype(values.dtype)
        return (grey if values.ndim == 2 else np.stack([grey, values[..., 1]], axis=-1)), white
    return (from_cmyk(values, white or 1.0) if photometric == "SEPARATED" else values), white


def divided_by_alpha(values: npt.NDArray[Any], white: float) -> npt.NDArray[Any]:
    """Undo the multiplication of the colours by alpha, which darkens half-transparent pixels."""
    alpha = values[..., -1:].astype(np.float64) / white
    colour = np.divide(values[..., :-1], alpha, out=np.zeros(values[..., :-1].shape), where=alpha > 0)
    return np.concatenate([in_dtype(np.clip(colour, 0, white), values.dtype), values[..., -1:]], axis=-1)


def from_cmyk(values: npt.NDArray[Any], white: float) -> npt.NDArray[Any]:
    """Inks as RGB without a profile, ``(1 - ink) (1 - black)``, as Pillow converts JPEG; alpha is kept."""
    inks = values[..., :4].astype(np.float64) / white
    colour = white * (1 - inks[..., :3]) * (1 - inks[..., 3:])
    return np.concatenate([in_dtype(colour, values.dtype), values[..., 4:]], axis=-1)


def in_dtype(values: npt.NDArray[Any], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """The values in a type, rounded if it is an integer."""
    return (np.rint(values) if dtype.kind == "u" else values).astype(dtype)


DECODERS: dict[str, Callable[[bytes], StoredImage]] = {
    **{kind: decode_pillow(kind) for kind in ("PNG", "JPEG", "BMP", "WebP")},
    "TIFF": decode_tiff,
    "NPY": decode_npy,
}
