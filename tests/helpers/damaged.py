"""Strategies of Hypothesis for damaged files: whole files of many formats, and what may happen to them."""

from __future__ import annotations

import io
import struct
import tarfile
import zipfile
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
import tifffile
from hypothesis import strategies as st
from PIL import Image

__all__ = ["archives", "damaged", "documents", "images", "numbers_in_arrays", "toml_of"]

GREY = (np.arange(24 * 20).reshape(24, 20) * 37 % 251).astype(np.uint8)
COLOUR = np.dstack([GREY, GREY[::-1], GREY[:, ::-1]])
NUMBERS = [0, 1, 2, 3, 7, 8, 16, 255, 256, 2**15, 2**16 - 1, 40_000, 2**24, 2**31 - 1, 2**31, 2**32 - 1]
TIFF_TYPES = [0, 1, 2, 3, 4, 5, 11, 12, 13, 16, 99]
TIFF_CODES = [254, 256, 257, 258, 259, 262, 270, 273, 274, 277, 278, 279, 282, 284, 317, 320, 322, 323, 324, 325, 330,
              338, 339, 347, 530, 34675]  # fmt: skip


# --- whole files -------------------------------------------------------------------------------------------------


def by_pillow(values: np.ndarray, kind: str, mode: str | None = None, **options: Any) -> bytes:
    picture, buffer = Image.fromarray(values), io.BytesIO()
    (picture if mode is None else picture.convert(mode)).save(buffer, kind, **options)
    return buffer.getvalue()


def by_tifffile(values: np.ndarray, **options: Any) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, values, **{"metadata": None, **options})
    return buffer.getvalue()


def as_npy(values: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, values)
    return buffer.getvalue()


@cache
def whole_images() -> Mapping[str, bytes]:
    """A small picture in each format, by a name."""
    from invkit.media.images import encode_png

    frames = [Image.fromarray(GREY), Image.fromarray(GREY[::-1].copy())]
    rgb, grey = {"photometric": "rgb"}, {"photometric": "minisblack"}
    pages = np.stack([GREY, GREY])
    return {
        "png": by_pillow(COLOUR, "PNG"),
        "png of 16 bits": encode_png(COLOUR.astype(np.uint16) * 257),
        "png with a palette": by_pillow(COLOUR, "PNG", "P"),
        "jpeg": by_pillow(COLOUR, "JPEG"),
        "jpeg of inks": by_pillow(COLOUR, "JPEG", "CMYK"),
        "bmp": by_pillow(COLOUR, "BMP"),
        "webp": by_pillow(COLOUR, "WEBP"),
        "webp, animated": by_pillow(GREY, "WEBP", save_all=True, append_images=frames),
        "gif": by_pillow(GREY, "GIF"),
        "npy": as_npy(COLOUR),
        "npy of float": as_npy((GREY / 255).astype(np.float32)),
        "tiff": by_tifffile(COLOUR, **rgb),
        "tiff in tiles": by_tifffile(GREY, tile=(16, 16), compression="zlib", predictor=True, **grey),
        "tiff of jpegs": by_tifffile(COLOUR, compression="jpeg", rowsperstrip=8, **rgb),
        "tiff with lzw": by_tifffile(GREY, compression="lzw", rowsperstrip=4, **grey),
        "big tiff": by_tifffile(GREY.astype(np.float32) / 255, bigtiff=True, byteorder=">", **grey),
        "tiff of pages": by_tifffile(pages, **grey),
        "tiff of imagej": by_tifffile(pages, imagej=True, metadata={"axes": "ZYX"}),
    }


@cache
def whole_archives() -> Mapping[str, bytes]:
    """A small archive of each kind, by a name."""
    made = {}
    for name, compression in (("zip", zipfile.ZIP_STORED), ("zip, deflated", zipfile.ZIP_DEFLATED)):
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", compression) as archive:
            archive.writestr("sharp/a.txt", "a" * 300)
            archive.writestr("b.txt", "b")
        made[name] = buffer.getvalue()
    for mode in ("w", "w:gz", "w:bz2", "w:xz"):
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode=mode) as tarred:
            entry = tarfile.TarInfo("sharp/a.txt")
            entry.size = 300
            tarred.addfile(entry, io.BytesIO(b"a" * 300))
        made[f"tar {mode}"] = buffer.getvalue()
    return made


# --- damage ------------------------------------------------------------------------------------------------------


def overwritten(content: bytes, at: int, piece: bytes) -> bytes:
    return content[:at] + piece + content[at + len(piece) :]


@st.composite
def damaged(draw: st.DrawFn, content: bytes) -> bytes:
    """Bytes of which some are cut off, lost, repeated, or replaced by a number."""
    for _ in range(draw(st.integers(1, 3))):
        size = max(len(content), 1)
        near_start = st.integers(0, min(size, 80) - 1)  # where the headers are
        at = draw(near_start | st.integers(0, size - 1))
        length = draw(st.integers(1, 40))
        kind = draw(st.sampled_from(["cut", "lost", "repeated", "number", "bytes"]))
        if kind == "cut":
            content = content[:at]
        elif kind == "lost":
            content = content[:at] + content[at + length :]
        elif kind == "repeated":
            content = content[: at + length] + content[at:]
        elif kind == "number":
            form = draw(st.sampled_from(["<B", "<H", ">H", "<I", ">I"]))
            number = draw(st.sampled_from(NUMBERS)) % 256 ** struct.calcsize(form)
            content = overwritten(content, at, struct.pack(form, number))
        else:
            content = overwritten(content, at, draw(st.binary(min_size=1, max_size=8)))
    return content


@st.composite
def tiff_with_other_tags(draw: st.DrawFn, content: bytes) -> bytes:
    """A little-endian TIFF in whose first directory some entries, or the place of the next one, have other values."""
    first = struct.unpack_from("<I", content, 4)[0]
    count = struct.unpack_from("<H", content, first)[0]
    places = [first + 2 + 12 * index for index in range(count)]
    codes = {place: struct.unpack_from("<H", content, place)[0] for place in places}
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.sampled_from([*places, places[-1] + 12]))
        value = draw(st.sampled_from([*NUMBERS, first, 8, len(content) - 4, len(content)]))
        if place not in codes:  # the next directory
            content = overwritten(content, place, struct.pack("<I", value))
            continue
        code = draw(st.just(codes[place]) | st.sampled_from(TIFF_CODES))
        kind = draw(st.sampled_from([struct.unpack_from("<H", content, place + 2)[0], *TIFF_TYPES]))
        content = overwritten(content, place, struct.pack("<HHII", code, kind, draw(st.sampled_from(NUMBERS)), value))
        if draw(st.booleans()):  # one value, as most tags have
            content = overwritten(content, place + 4, struct.pack("<I", 1))
    return content


@st.composite
def images(draw: st.DrawFn) -> bytes:
    """A picture of one of many formats, whole or damaged."""
    name = draw(st.sampled_from(sorted(whole_images())))
    content = whole_images()[name]
    if content[:4] == b"II*\0" and draw(st.booleans()):
        return draw(tiff_with_other_tags(content))
    return draw(st.just(content) | damaged(content) | damaged(content))


def archives() -> st.SearchStrategy[bytes]:
    """An archive, whole or damaged."""
    return st.sampled_from(sorted(whole_archives())).flatmap(lambda name: damaged(whole_archives()[name]))


@st.composite
def numbers_in_arrays(draw: st.DrawFn) -> np.ndarray:
    """An array of any type and shape with numbers that a kernel may not have."""
    shape = draw(st.lists(st.integers(0, 7), max_size=4))
    dtype = draw(st.sampled_from(["?", "u1", "i2", "i8", "u8", "f2", "<f4", ">f8", "c8", "U3", "M8[s]", "V4"]))
    values = np.zeros(shape, dtype)
    if values.dtype.kind in "fc":
        special = [0.0, 1.0, -1.0, np.nan, np.inf, -np.inf, 1e-40, 6e4, 1e308 if values.dtype.itemsize == 8 else 1.5]
        with np.errstate(all="ignore"):
            values[...] = np.resize(draw(st.lists(st.sampled_from(special), min_size=1, max_size=6)), shape)
    elif values.dtype.kind in "iub":
        values[...] = np.resize(draw(st.lists(st.integers(0, 1) | st.just(100), min_size=1, max_size=6)), shape)
    return values


# --- documents ---------------------------------------------------------------------------------------------------


def nested(depth: int, make: Callable[[Any], Any]) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = make(value)
    return value


PLAIN = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([2**63, -(2**70), 10**4000, -1, 0])
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["tv", "pixels", "known", "none", "auto", "fast", "\0", "../x", "joint-adam"])
)
ODD = st.sampled_from(
    [
        nested(70, lambda inner: [inner]),
        nested(500, lambda inner: {"a": inner}),
        {f"k{number}": 1 for number in range(11_000)},
        ["fast"] * 60,
        [{"name": "tv", "weight": 1}] * 60,
    ]
)
WORDS = st.text(max_size=6) | st.sampled_from(["name", "params", "weight", "recipe", "overrides", "candidates", "next"])
ANYTHING = st.recursive(PLAIN, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3))


def places_in(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The way to every value of a document."""
    items: Sequence[tuple[Any, Any]] = ()
    if isinstance(value, dict):
        items = list(value.items())
    elif isinstance(value, list):
        items = list(enumerate(value))
    return [at, *(place for key, inner in items for place in places_in(inner, (*at, key)))]


def with_value(value: Any, at: Sequence[Any], new: Any) -> Any:
    """A copy of a document with another value at a place."""
    if not at:
        return new
    changed = dict(value) if isinstance(value, dict) else list(value)
    changed[at[0]] = with_value(value[at[0]], at[1:], new)
    return changed


@st.composite
def documents(draw: st.DrawFn, whole: Any) -> Any:
    """A document in which one or two values are replaced, or further keys stand."""
    for _ in range(draw(st.integers(1, 2))):
        at = draw(st.sampled_from(places_in(whole)))
        new = draw(ODD) if draw(st.integers(0, 9)) == 0 else draw(ANYTHING)
        whole = with_value(whole, at, new)
        if isinstance(whole, dict) and draw(st.booleans()):
            whole = {**whole, draw(WORDS): draw(PLAIN)}
    return whole


class Written(str):
    """A piece of TOML, as opposed to a text to be written."""

    __slots__ = ()


def toml_of(value: Any) -> str:
    """A document as TOML, in inline tables; what TOML cannot hold is written as a word."""
    pieces, left = list[str](), [value]
    while left:  # one after the other, because a function that calls itself would exhaust the stack
        one = left.pop()
        if isinstance(one, Written):
            pieces.append(one)
        elif isinstance(one, dict):
            inner = [part for key, item in one.items() for part in (Written(f"{text_of(key)} = "), item, Written(", "))]
            left += reversed([Written("{"), *inner[:-1], Written("}")])
        elif isinstance(one, list):
            inner = [part for item in one for part in (item, Written(", "))]
            left += reversed([Written("["), *inner[:-1], Written("]")])
        elif isinstance(one, str):
            pieces.append(text_of(one))
        elif isinstance(one, int) and not isinstance(one, bool):
            pieces.append(hex(one) if one > 10**300 else str(one))
        else:
            pieces.append(str(one).lower())
    return "".join(pieces)


def text_of(text: str) -> str:
    return '"' + "".join(f"\\U{ord(letter):08x}" for letter in text) + '"'
