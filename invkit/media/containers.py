"""PNG, JPEG and BMP files: their parts are counted before a library follows them.

A few bytes of such a file can cost a library much more time or memory than a pixel does: a part without content, a scan
that changes nothing but visits every block, a byte between two parts that is skipped in Python, or tags that share one
large value. A photograph has few of them.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator

from ..core.errors import InputError

__all__ = ["TYPE_BYTES", "checked", "has_small_values"]

MAX_PARTS = 2**17  # of a PNG; one of 1 GiB in usual parts of 8 KiB has so many
MAX_SEGMENTS = 5000  # of a JPEG; a colour profile takes up to 255, a depth map some hundreds
MAX_SCANS = 100  # of a JPEG; encoders make 10, optimizers up to 64
MAX_JUNK_BYTES = 2**16  # between the segments of a JPEG; some cameras fill them up
MAX_FILL_PAIRS = 2**20  # of fill bytes in a JPEG, which take the search for markers 0.1 microseconds each
MAX_METADATA_BYTES = 2**24  # that the values of EXIF take; a preview takes 2**16
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
