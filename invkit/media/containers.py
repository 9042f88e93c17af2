"""PNG, JPEG, BMP and TIFF files: their parts are counted before a library follows them.

A few bytes of such a file can cost a library much more time or memory than a pixel does: a part without content, a scan
that changes nothing but visits every block, a byte between two parts that is skipped in Python, or tags that share one
large value. A photograph has few of them.

A TIFF is a graph of offsets, which tifffile follows in good faith: a chain of directories that ends in itself never
ends, and a tile is allocated as large as it is declared.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import TYPE_CHECKING

from PIL import Image

from ..core.errors import InputError

if TYPE_CHECKING:
    from tifffile import TiffFile, TiffPage

__all__ = ["check_layout", "checked", "has_small_values", "opened_tiff"]

MAX_PARTS = 2**17  # of a PNG; one of 1 GiB in usual parts of 8 KiB has so many
MAX_SEGMENTS = 5000  # of a JPEG; a colour profile takes up to 255, a depth map some hundreds
MAX_SCANS = 100  # of a JPEG; encoders make 10, optimizers up to 64
MAX_JUNK_BYTES = 2**16  # between the segments of a JPEG; some cameras fill them up
MAX_FILL_PAIRS = 2**20  # of fill bytes in a JPEG, which take the search for markers 0.1 microseconds each
MAX_METADATA_BYTES = 2**24  # that the values of EXIF take; a preview takes 2**16
MAX_DIRECTORIES = 1000  # a photograph has one, and perhaps some previews
MAX_TAGS = 2**16  # of all directories; a page has about twenty
MAX_STRIPS = 2**17  # or tiles; each costs a library some 20 microseconds
PADDING_PIXELS = 2**22  # that tiles may add to an image; a small image in one large tile is common
PICTURE_COMPRESSIONS = {"JPEG": "JPEG", "OJPEG": "JPEG", "WEBP": "WEBP", "PNG": "PNG"}
"""The compressions whose strips and tiles are pictures with sizes of their own, and Pillow's names of the formats.

JPEG 2000 is none of them: nothing bounds the layers and precincts that its header declares.
"""
PLAIN_COMPRESSIONS = ("NONE", "CCITTRLE", "CCITTFAX3", "CCITTFAX4", "LZW", "ADOBE_DEFLATE", "DEFLATE", "PACKBITS",
                      "LZMA", "ZSTD")  # fmt: skip
TYPE_BYTES = dict(enumerate((1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4), start=1)) | {16: 8, 17: 8, 18: 8}
"""The size of one value of a tag of TIFF or EXIF, by the number of its type."""

JPEG_MARKER = re.compile(rb"\xff([^\x00\xff\xd0-\xd7])")  # neither a byte of data, nor a fill byte, nor a restart
JPEG_MARKERS = {*range(0xC0, 0xF0), 0xFE} - {0xC8}
START, END, SCAN, APP1 = 0xD8, 0xD9, 0xDA, 0xE1
EXIF = b"Exif\0\0"
BMP_OLD_HEADER = 12  # bytes of the header that knows no compression
BMP_RUN_LENGTHS = (1, 2)  # the compressions that Pillow undoes in Python, 10^6 pixels a second


def checked(kind: str, content: bytes) -> bytes:
    """The content of a picture for its decoder, without EXIF that takes too much memory.

    Args:
        kind: format, as of `invkit.media.decoding.READABLE_FORMATS`.
        content: of the file.

    Raises:
        InputError: the format is decoded too slowly; the caller adds the name of the file.
        ValueError: it has more parts than a photograph.
    """
    check = CHECKS.get(kind.upper())
    return content if check is None else check(content)


def checked_png(content: bytes) -> bytes:
    """A PNG; raises `ValueError` if it has too many parts."""
    at = 8
    for _ in range(MAX_PARTS):
        if at + 8 > len(content) or content[at + 4 : at + 8] == b"IEND":
            return content
        at += 12 + int.from_bytes(content[at : at + 4], "big")
    raise ValueError(f"it has more than {MAX_PARTS} parts")


def checked_jpeg(content: bytes) -> bytes:
    """A JPEG without EXIF whose values take too much memory; raises `ValueError` if it has too many parts."""
    if content.count(b"\xff\xff") > MAX_FILL_PAIRS:
        raise ValueError("it consists of fill bytes")
    segments, scans, junk, end = 0, 0, 0, 2
    exif = list[tuple[int, int]]()
    for marker, first, last in jpeg_segments(content):
        junk += 0 if scans else first - end  # behind the start of a scan there are its data
        segments, scans, end = segments + 1, scans + (marker == SCAN), last
        if marker == APP1 and content[first + 4 : first + 10] == EXIF:
            exif.append((first, last))
        if segments > MAX_SEGMENTS or scans > MAX_SCANS or junk > MAX_JUNK_BYTES:
            raise ValueError(f"it has {segments} segments, {scans} scans and {junk} bytes between them")
    if has_small_values(b"".join(content[first + 10 : last] for first, last in exif)):
        return content
    edges = [0, *(edge for segment in exif for edge in segment), len(content)]
    return b"".join(content[first:last] for first, last in zip(edges[::2], edges[1::2], strict=True))


def jpeg_segments(content: bytes) -> Iterator[tuple[int, int, int]]:
    """Marker, start and end of each segment of the first picture in a JPEG; data of a scan stand between two.

    Raises:
        ValueError: a segment before the first scan is none of a JPEG.
    """
    at, in_scan = 2, False
    while (found := JPEG_MARKER.search(content, at)) is not None:
        marker, first, at = content[found.end() - 1], found.end() - 2, found.end()
        if not in_scan and marker not in JPEG_MARKERS:
            raise ValueError(f"it has a segment of kind {marker:#x}")
        if marker in JPEG_MARKERS and marker not in (START, END):  # they alone have no length
            at += int.from_bytes(content[at : at + 2], "big")
        in_scan = in_scan or marker == SCAN
        yield marker, first, at
        if marker == END and in_scan:
            return
    yield END, len(content), len(content)


def has_small_values(exif: bytes) -> bool:
    """Whether the values that the first directory of EXIF names take little memory; they may share bytes."""
    exif = exif.removeprefix(EXIF)
    order = "<" if exif[:2] == b"II" else ">"
    if len(exif) < 8:
        return True
    first = struct.unpack_from(order + "I", exif, 4)[0] + 2
    tags = exif[first : first + 12 * int.from_bytes(exif[first - 2 : first], "little" if order == "<" else "big")]
    whole = tags[: len(tags) // 12 * 12]
    sizes = (TYPE_BYTES.get(kind, 1) * count for _, kind, count in struct.iter_unpack(order + "HHI4x", whole))
    total: int = sum(size for size in sizes if size <= len(exif))  # larger ones are not read
    return total <= MAX_METADATA_BYTES


def checked_bmp(content: bytes) -> bytes:
    """A BMP; raises `InputError` if its pixels are compressed."""
    is_old = content[14:18] == struct.pack("<I", BMP_OLD_HEADER)
    if not is_old and int.from_bytes(content[30:34], "little") in BMP_RUN_LENGTHS:
        raise InputError("is a BMP with compressed pixels; export it as PNG, or without compression")
    return content


CHECKS: dict[str, Callable[[bytes], bytes]] = {"PNG": checked_png, "JPEG": checked_jpeg, "BMP": checked_bmp}


# --- TIFF ---------------------------------------------------------------------------------------------------------


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
