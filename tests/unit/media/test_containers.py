"""Pictures made to cost time or memory are refused at once; photographs with many parts are read."""

from __future__ import annotations

import contextlib
import lzma
import struct
import sys
import time
import zlib
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import tifffile
from PIL import Image

from invkit.core.errors import InputError, OutOfMemoryError
from invkit.media.containers import MAX_PARTS, MAX_SCANS, checked, has_small_values
from invkit.media.decoding import MAX_PIXELS, decode

SECONDS = 5  # each takes less than one; a decoder took 20 to 10,000
MEGABYTES = 150  # that it may take; a decoder took up to 45,000
GREY = (np.arange(48 * 40).reshape(48, 40) * 37 % 251).astype(np.uint8)
BLACK = np.zeros((16, 16), np.uint8)


def encoded(picture: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


JPEG = encoded(Image.fromarray(GREY), "JPEG")


def png(width: int, height: int, *parts: bytes, channels: int = 4) -> bytes:
    header = part(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, {1: 0, 4: 6}[channels], 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(parts) + part(b"IEND", b"")


def part(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def tiff(tags: dict[int, tuple[int, ...] | int], data: bytes, **numbers: int) -> bytes:
    """A TIFF of the data, which begin at byte 8; all tags are whole numbers of 4 bytes."""
    places, behind, at = b"", b"", 8 + len(data)
    for code, value in sorted(tags.items()):
        several = value if isinstance(value, tuple) else (value,)
        content = struct.pack(f"<{len(several)}I", *several)
        places += struct.pack("<HHI", code, 4, len(several)) + (content if len(several) == 1 else struct.pack("<I", at))
        if len(several) > 1:
            behind, at = behind + content, at + len(content)
    directory = struct.pack("<H", len(tags)) + places + bytes(4)
    return b"II*\0" + struct.pack("<I", at) + data + behind + directory


def grey_tiff(width: int, height: int, compression: int, rows: int, strips: int, data: bytes, size: int) -> bytes:
    """Strips that all begin at byte 8 and have so many bytes."""
    picture = {256: width, 257: height, 258: 8, 259: compression, 262: 1, 277: 1, 278: rows}
    return tiff({**picture, 273: (8,) * strips, 279: (size,) * strips}, data)


def overlapping_directories() -> bytes:
    """999 directories of some 4000 tags without a value, which share their bytes."""
    count, tags = 999, 4000
    content = bytearray(8 + 16 * count + 12 * (tags + 2 * count))
    content[:8] = b"II*\0\x08\0\0\0"
    for index in range(count):
        at = 8 + 16 * index
        struct.pack_into("<H", content, at, tags + index)
        struct.pack_into("<I", content, at + 2 + 12 * (tags + index), at + 16 if index < count - 1 else 0)
    return bytes(content)


def described_tiff() -> bytes:
    """What tifffile writes about the shape of an array, with 100,000 dimensions."""
    buffer = BytesIO()
    text = '{"shape": [' + "1, " * 100_000 + "16, 16]}"
    tifffile.imwrite(buffer, BLACK, metadata=None, description=text.ljust(300_053), photometric="minisblack")
    return buffer.getvalue()


def scans(number: int, side: int) -> bytes:
    """A progressive JPEG with so many further scans, each of which visits every block."""
    content = encoded(Image.fromarray(np.zeros((side, side), np.uint8)), "JPEG", progressive=True)
    second = content.index(b"\xff\xda", content.index(b"\xff\xda") + 2)
    scan = content[second : content.index(b"\xff\xda", second + 2)]
    return content[:-2] + scan * number + content[-2:]


def jpeg_in_tiff() -> bytes:
    hostile = scans(MAX_SCANS, 64)
    return tiff({256: 64, 257: 64, 258: 8, 259: 7, 262: 1, 277: 1, 278: 64, 273: 8, 279: len(hostile)}, hostile)


def bmp(width: int, height: int, compression: int, data: bytes) -> bytes:
    start = 14 + 40 + 1024
    header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, compression, len(data), 1, 1, 256, 0)
    return b"BM" + struct.pack("<IHHI", start + len(data), 0, 0, start) + header + bytes(1024) + data


def exif(tags: int, size: int) -> bytes:
    """EXIF whose tags share one value of so many bytes."""
    places = b"".join(struct.pack("<HHII", 300 + i, 7, size, 8) for i in range(tags))
    return (b"II*\0\x08\0\0\0" + struct.pack("<H", tags) + places + bytes(4)).ljust(size + 8, b"\0")


HOSTILE: dict[str, tuple[Callable[[], bytes], str]] = {
    "png of empty parts": (lambda: png(8, 8, part(b"prVt", b"") * (MAX_PARTS + 1)), "more than 131072 parts"),
    "png of empty data": (lambda: png(8, 8, part(b"IDAT", b"") * (MAX_PARTS + 1)), "more than 131072 parts"),
    "jpeg of scans": (lambda: scans(MAX_SCANS, 64), "101 scans"),
    "jpeg of segments": (lambda: JPEG[:2] + b"\xff\xfe\0\2" * 6_000 + JPEG[2:], "5001 segments"),
    "jpeg of fill bytes": (lambda: JPEG[:2] + b"\xff" * 30_000_000 + JPEG[2:], "fill bytes"),
    "jpeg of some fill bytes": (lambda: JPEG[:2] + b"\xff" * 100_000 + JPEG[2:], "100000 bytes between"),
    "jpeg of other bytes": (lambda: JPEG[:20] + b"\1" * 30_000_000 + JPEG[20:], "30000000 bytes between"),
    "jpeg that ends first": (lambda: JPEG[:2] + b"\xff\xd9" + b"\1" * 30_000_000 + JPEG[2:], "bytes between"),
    "jpeg of unknown segments": (lambda: JPEG[:2] + b"\xff\xf0\xff\xfe" + b"\1" * 100_000, "a segment of kind 0xf0"),
    "bmp that skips": (lambda: bmp(178_000_000, 1, 1, b"\0\2\xff\xff\0\1"), "compressed pixels; export it as PNG"),
    "bmp of empty lines": (lambda: bmp(178_000_000, 1, 1, b"\1\0\0\0\0\1"), "compressed pixels"),
    "bmp of half bytes": (lambda: bmp(13_000, 13_000, 2, b"\1\0" * 1000), "compressed pixels"),
    "tiff of strips": (lambda: grey_tiff(1, 200_000, 1, 1, 200_000, b"\0", 1), "200000 strips"),
    "tiff of shared strips": (lambda: grey_tiff(16, 1000, 1, 1, 1000, bytes(100_000), 100_000), "of 100000000 bytes"),
    "tiff of directories": (overlapping_directories, "tags"),
    "tiff of sizes": (described_tiff, "describes itself with 300019 characters"),
    "tiff of scans": (jpeg_in_tiff, "101 scans"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_picture_is_refused_at_once(tmp_path: Path, case: str) -> None:
    make, words = HOSTILE[case]
    path = tmp_path / "photo"
    path.write_bytes(make())
    largest = largest_memory()
    begun = time.perf_counter()
    with pytest.raises(InputError) as caught:
        decode(path)
    assert time.perf_counter() - begun < SECONDS
    assert largest_memory() - largest < MEGABYTES
    assert words in str(caught.value)


def largest_memory() -> float:
    """The largest memory that this process has had, in megabytes; 0 where it is not measured."""
    if sys.platform != "linux":
        return 0
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def zeros(compression: int) -> bytes:
    """200 megabytes of zeros, or for LZW, which compresses less, 20."""
    import imagecodecs

    if compression == 5:
        return bytes(imagecodecs.lzw_encode(bytes(20_000_000)))
    if compression == 32773:
        return b"\x81\0" * (200_000_000 // 128)
    compressor = zlib.compressobj(1) if compression == 8 else lzma.LZMACompressor(preset=0)
    pieces = [compressor.compress(bytes(1_000_000)) for _ in range(200)]
    return b"".join([*pieces, compressor.flush()])


@pytest.mark.parametrize("compression", [5, 8, 32773, 34925])
def test_a_strip_is_decompressed_no_further_than_its_pixels(tmp_path: Path, compression: int) -> None:
    """LZW, deflate, PackBits, LZMA. The rest is ignored or refused."""
    data = zeros(compression)
    (tmp_path / "a.tif").write_bytes(grey_tiff(8, 8, compression, 8, 1, data, len(data)))
    largest, begun = largest_memory(), time.perf_counter()
    with contextlib.suppress(InputError):
        decode(tmp_path / "a.tif")
    assert time.perf_counter() - begun < SECONDS
    assert largest_memory() - largest < MEGABYTES


def many_shared_values() -> dict[str, bytes]:
    hostile = exif(5_000, 2_000_000)
    pieces = [hostile[at : at + 65_000] for at in range(0, len(hostile), 65_000)]
    segments = b"".join(b"\xff\xe1" + struct.pack(">H", len(piece) + 8) + b"Exif\0\0" + piece for piece in pieces)
    data = part(b"IDAT", zlib.compress(bytes(33 * 8)))
    return {
        "jpg": JPEG[:2] + segments + JPEG[2:],
        "png": png(8, 8, part(b"eXIf", hostile), data),
        "webp": encoded(Image.fromarray(GREY), "WEBP", exif=hostile),
    }


@pytest.mark.parametrize("kind", ["jpg", "png", "webp"])
def test_exif_whose_values_share_bytes_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """Pillow 12 copies 2 MB for each of the 5,000 tags."""
    (tmp_path / "a").write_bytes(many_shared_values()[kind])
    from PIL.TiffImagePlugin import ImageFileDirectory_v2

    monkeypatch.setattr(ImageFileDirectory_v2, "load", None)
    assert decode(tmp_path / "a").values.shape[0] in (8, 48)


def test_exif_of_a_photograph_is_small() -> None:
    assert has_small_values(b"")
    assert has_small_values(exif(30, 60_000))
    assert has_small_values(
        exif(30, 60_000).replace(b"`\xea\0\0", b"\xff\xff\xff\x7f")
    )  # behind the end, which is not read
    assert has_small_values(b"II*\0\xff\xff\xff\xff")  # broken
    assert not has_small_values(b"Exif\0\0" + exif(300, 60_000))


def test_a_picture_that_does_not_fit_in_memory_is_refused_before_it_is_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.png").write_bytes(png(13_000, 13_000, part(b"IDAT", b"")))
    (tmp_path / "a.tif").write_bytes(grey_tiff(13_000, 13_000, 8, 13_000, 1, bytes(50), 50))
    assert MAX_PIXELS > 13_000**2
    memory = psutil.virtual_memory()._replace(available=2**28)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory)
    for name in ("a.png", "a.tif"):
        with pytest.raises(OutOfMemoryError, match="does not fit in memory; crop or shrink it first"):
            decode(tmp_path / name)


# --- photographs -------------------------------------------------------------------------------------------------


def thumbnail(orientation: int) -> Image.Exif:
    made = Image.Exif()
    made[0x0112] = orientation
    made[0x927C] = bytes(60_000)  # as a maker's note
    return made


def test_photographs_with_many_parts_are_read(tmp_path: Path) -> None:
    rgb = Image.fromarray(np.dstack([GREY] * 3))
    plain = np.asarray(Image.open(BytesIO(JPEG)))
    whole = png(8, 8, *[part(b"tEXt", b"a\0b")] * 3, part(b"IDAT", zlib.compress(bytes(33 * 8))))
    parts = zlib.compress(bytes(33 * 8), 0)
    split = png(8, 8, *(part(b"IDAT", parts[at : at + 1]) for at in range(len(parts))))
    pages = encoded(rgb, "MPO", save_all=True, append_images=[rgb])
    filled = JPEG[:2] + b"\xff" * 1000 + JPEG[2:]
    profile = b"".join(b"\xff\xe2" + struct.pack(">H", 2 + 65_000) + bytes(65_000) for _ in range(300))
    cases = {
        "progressive": (encoded(rgb, "JPEG", progressive=True), (48, 40, 3)),
        "restarts": (encoded(rgb, "JPEG", restart_marker_blocks=1), (48, 40, 3)),
        "turned": (encoded(rgb, "JPEG", exif=thumbnail(6)), (40, 48, 3)),
        "turned png": (encoded(rgb, "PNG", exif=thumbnail(6)), (40, 48, 3)),
        "turned webp": (encoded(rgb, "WEBP", exif=thumbnail(6)), (40, 48, 3)),
        "with a preview": (pages, (48, 40, 3)),
        "with fill bytes": (filled, (48, 40)),
        "with a large profile": (JPEG[:2] + profile + JPEG[2:], (48, 40)),
        "behind which there is more": (JPEG + b"\xff\xd8" + b"\1" * 100_000, (48, 40)),
        "png": (whole, (8, 8, 4)),
        "png in bytes": (split, (8, 8, 4)),
        "bmp": (encoded(Image.fromarray(GREY), "BMP"), (48, 40)),
    }
    for name, (content, shape) in cases.items():
        (tmp_path / "photo").write_bytes(content)
        assert decode(tmp_path / "photo").values.shape[:2] == shape[:2], name
    (tmp_path / "photo").write_bytes(filled)
    np.testing.assert_array_equal(decode(tmp_path / "photo").values, plain)


def test_what_is_checked_is_left_as_it_is() -> None:
    for kind, content in (("PNG", png(8, 8)), ("JPEG", JPEG), ("BMP", encoded(Image.fromarray(GREY), "BMP"))):
        assert checked(kind, content) is content
    assert checked("WebP", b"RIFF") == b"RIFF"


def test_a_tiff_of_many_strips_is_read(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((3, 9_000, 2), np.uint8), rowsperstrip=1, photometric="rgb",
                     planarconfig="separate")  # fmt: skip
    assert decode(tmp_path / "a.tif").values.shape == (9_000, 2, 3)
