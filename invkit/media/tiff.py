"""TIFF files: what a file declares is checked before a library follows it, then its only page is read.

A TIFF is a graph of offsets. tifffile follows it in good faith: a chain of directories that ends in itself never ends,
tags that share one large value are read again and again, and a tile is allocated as large as it is declared.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from ..core.errors import InputError
from .containers import TYPE_BYTES, checked

if TYPE_CHECKING:
    from tifffile import TiffFile, TiffPage

__all__ = ["check_layout", "colour_count", "interleaved", "only_page", "opened_tiff", "plain_colours"]

MAX_DIRECTORIES = 1000  # a photograph has one, and perhaps some previews
MAX_TAGS = 2**16  # of all directories; a page has about twenty
MAX_STRIPS = 2**17  # or tiles; each costs a library some 20 microseconds
MAX_DESCRIPTION = 2**16  # characters about the pages; tifffile takes seconds for a million dimensions
PADDING_PIXELS = 2**22  # that tiles may add to an image; a small image in one large tile is common
PICTURE_COMPRESSIONS = {"JPEG": "JPEG", "OJPEG": "JPEG", "WEBP": "WEBP", "JPEG2000": "JPEG2000", "PNG": "PNG"}
"""The compressions whose strips and tiles are pictures with sizes of their own, and Pillow's names of the formats."""
PLAIN_COMPRESSIONS = ("NONE", "CCITTRLE", "CCITTFAX3", "CCITTFAX4", "LZW", "ADOBE_DEFLATE", "DEFLATE", "PACKBITS",
                      "LZMA", "ZSTD")  # fmt: skip
ASSOCIATED_ALPHA = 1  # kind of an extra sample: the colours have been multiplied by it
TIFF_CHANNELS = {"MINISWHITE": 1, "MINISBLACK": 1, "RGB": 3, "PALETTE": 1, "SEPARATED": 4, "YCBCR": 3}


# --- before anything is decoded ----------------------------------------------------------------------------------


@contextmanager
def opened_tiff(content: bytes) -> Iterator[TiffFile]:
    """A file whose directories have been checked, for tifffile.

    Raises:
        InputError: it has too many pages.
        ValueError, struct.error: its directories are damaged.
    """
    from tifffile import TiffFile

    check_directories(content)
    with TiffFile(BytesIO(content)) as file:
        yield file


def check_directories(content: bytes) -> None:
    """Follow the chain of directories once, and add up the values of their tags.

    Raises:
        InputError: there are too many pages.
        ValueError: the chain leads into itself or out of the file, or tags hold more bytes than the file.
        struct.error: a directory is cut off.
    """
    order = "<" if content[:2] == b"II" else ">"
    is_big = struct.unpack(order + "H", content[2:4])[0] == 43  # BigTIFF
    entries, tag, link = ("Q", "HHQ8x", "Q") if is_big else ("H", "HHI4x", "I")
    at = struct.unpack_from(order + link, content, 8 if is_big else 4)[0]
    visited, tag_count, value_bytes = set[int](), 0, 0
    while at:
        if at in visited:
            raise ValueError(f"its chain of directories returns to byte {at}")
        if len(visited) == MAX_DIRECTORIES:
            raise InputError(f"holds more than {MAX_DIRECTORIES} pages; save the page you want as a file of its own")
        visited.add(at)
        count = struct.unpack_from(order + entries, content, at)[0]
        tag_count += count
        if tag_count > MAX_TAGS:
            raise ValueError(f"its directories have more than {MAX_TAGS} tags")
        first, size = at + struct.calcsize(order + entries), struct.calcsize(order + tag)
        tags = content[first : first + count * size]
        if len(tags) < count * size:
            raise ValueError(f"a directory ends behind the file's {len(content)} bytes")
        value_bytes += sum(TYPE_BYTES.get(kind, 1) * n for _, kind, n in struct.iter_unpack(order + tag, tags))
        if value_bytes > len(content):
            raise ValueError(f"its tags hold {value_bytes} bytes, more than the file's {len(content)}")
        at = struct.unpack_from(order + link, content, first + count * size)[0]


def check_layout(page: TiffPage, content: bytes) -> None:
    """Check the strips or tiles of a page; its own size has been checked.

    Raises:
        InputError: it is compressed in a way whose results have no known size.
        ValueError: a strip or tile lies outside the file or is larger than it may be.
    """
    from tifffile import COMPRESSION

    compression = COMPRESSION(page.compression).name
    if compression not in (*PLAIN_COMPRESSIONS, *PICTURE_COMPRESSIONS):
        raise InputError(f"is compressed as {compression}; export it with LZW, ZIP or no compression")
    height, width = page.imagelength, page.imagewidth
    tall, wide = (page.tilelength, page.tilewidth) if page.is_tiled else (min(page.rowsperstrip, height), width)
    if not tall or not wide:
        raise ValueError(f"its tiles or strips have {wide} x {tall} pixels")
    padded = math.ceil(height / tall) * tall * math.ceil(width / wide) * wide
    if padded > 4 * height * width + PADDING_PIXELS:
        raise ValueError(f"its tiles of {wide} x {tall} pixels are too large for an image of {width} x {height}")
    if len(page.dataoffsets) > MAX_STRIPS or sum(page.databytecounts) > len(content):
        stored = f"{len(page.dataoffsets)} strips or tiles of {sum(page.databytecounts)} bytes"
        raise ValueError(f"{stored} are not in a file of {len(content)} bytes")
    for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True):
        if count == 0 or offset + count > len(content):  # tifffile would fill a missing strip or tile with black
            raise ValueError(f"a strip ends at byte {offset + count} of {len(content)}")
        if compression in PICTURE_COMPRESSIONS:
            check_picture(content[offset : offset + count], PICTURE_COMPRESSIONS[compression], (wide, tall))


def check_picture(content: bytes, kind: str, most: tuple[int, int]) -> None:
    """Compare the size in the header of a compressed strip or tile with the size that it may have.

    Args:
        content: of the strip or tile.
        kind: Pillow's name of its format.
        most: width and height.

    Raises:
        ValueError: it is larger.
        OSError: Pillow cannot read the header.
    """
    with Image.open(BytesIO(checked(kind, content)), formats=[kind]) as picture:
        if picture.width > most[0] or picture.height > most[1]:
            raise ValueError(f"a tile or strip of {most} pixels holds {picture.size}")


# --- the page ----------------------------------------------------------------------------------------------------


def only_page(file: TiffFile) -> TiffPage:
    """The only picture of a file, previews aside.

    Raises:
        InputError: there are several.
        ValueError: the file describes its pages at length.
    """
    from tifffile import TiffPage

    pages = [page for page in file.pages if isinstance(page, TiffPage)]
    full = [page for page in pages if not page.is_reduced] or pages
    described = (file.is_imagej or file.is_shaped or file.is_stk) and not file.is_ome  # OME names further files
    if described and len(pages[0].description) > MAX_DESCRIPTION:
        raise ValueError(f"it describes itself with {len(pages[0].description)} characters")
    stored = sum(math.prod(series.shape) for series in file.series) if described else 0
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
