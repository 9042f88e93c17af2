"""Pictures that fit into a page: eight bits a sample, as data URIs, small enough together."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from random import Random
from typing import Any, Literal, Protocol, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from ...core.errors import InputError
from ...media.decoding import decode
from ...media.encoding import encode_png

__all__ = ["Album", "Embedded", "Loaded", "Picture", "Pixels", "Track", "embed", "from_array", "from_file", "untracked"]

Pixels: TypeAlias = npt.NDArray[np.uint8]
Kind: TypeAlias = Literal["whole", "small", "exact"]
T = TypeVar("T")

SAMPLE = 12  # pictures that are encoded to guess what all will take
BASE64 = 4 / 3
PICTURES = 0.9  # of the page: the rest is text and curves
MEGABYTE = 1_000_000


class Track(Protocol):
    """Says how far one is, as a progress bar does: gives the items one by one."""

    def __call__(self, items: Sequence[T], what: str) -> Iterator[T]:
        """The items, being ``what``."""


def untracked(items: Sequence[T], what: str) -> Iterator[T]:
    """The items, without a word."""
    return iter(items)


@dataclass(frozen=True)
class Level:
    """How pictures are written: PNG keeps every value of 8 bits; ``side`` is the most pixels of the longer side."""

    format: Literal["PNG", "WebP"]
    side: int
    quality: int = 100

    def words(self) -> str:
        """For people."""
        loss = "without loss" if self.format == "PNG" else f"of quality {self.quality}"
        return f"{self.format} {loss}, at most {self.side} pixels a side"


LADDER = (
    Level("PNG", 4096),
    Level("WebP", 4096, 92),
    Level("WebP", 2560, 90),
    Level("WebP", 1600, 88),
    Level("WebP", 1280, 86),
    Level("WebP", 1024, 85),
    Level("WebP", 800, 82),
    Level("WebP", 640, 80),
    Level("WebP", 512, 78),
    Level("WebP", 400, 75),
    Level("WebP", 256, 70),
)
SMALL = Level("WebP", 384, 80)  # of what is looked at in passing
EXACT = Level("PNG", 4096)  # of what is a few pixels large


@dataclass(frozen=True, eq=False)
class Loaded:
    """A picture of eight bits: (H, W), (H, W, 3) or (H, W, 4); its colour profile; the PNG file that it is, if any."""

    pixels: Pixels
    icc_profile: bytes | None = None
    png: bytes | None = None


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture to be shown, read when it is needed; pictures are told apart by identity.

    Attributes:
        load: gives it, or None where it cannot be had.
        kind: "whole" for what is looked at closely, "small" for what is seen in passing, "exact" for a few pixels.
    """

    load: Callable[[], Loaded | None]
    kind: Kind = "whole"


@dataclass(frozen=True)
class Embedded:
    """A picture in the page: its data URI, and its width and height in pixels there."""

    uri: str
    width: int
    height: int


@dataclass(frozen=True)
class Album:
    """The pictures of a page by what they were made of; one that could not be had is missing.

    Attributes:
        level: how the whole ones are written, in words.
        reduced: whether some of their detail is lost by that.
    """

    pictures: Mapping[Picture, Embedded] = field(default_factory=dict)
    level: str = ""
    reduced: bool = False

    def get(self, picture: Picture | None) -> Embedded | None:
        """The picture as it is in the page, or None."""
        return None if picture is None else self.pictures.get(picture)


def from_array(values: npt.NDArray[np.generic], kind: Kind = "whole") -> Picture:
    """A picture (H, W) or (H, W, C): floats in [0, 1] or unsigned integers; of more than four channels their mean."""
    loaded = Loaded(eight_bits(values))
    return Picture(lambda: loaded, kind)


def from_file(path: Path, kind: Kind = "whole") -> Picture:
    """A picture of a file, not yet read."""
    return Picture(lambda: read(path), kind)


def read(path: Path) -> Loaded | None:
    """A picture file of any depth; None where it cannot be read."""
    try:
        stored = decode(path)
        as_is = stored.format == "PNG" and stored.values.dtype == np.uint8 and stored.white is None
        return Loaded(eight_bits(stored.values, stored.white), stored.icc_profile, path.read_bytes() if as_is else None)
    except (InputError, OSError):
        return None


def eight_bits(values: npt.NDArray[Any], white: float | None = None) -> Pixels:
    """(H, W) or (H, W, C) -> uint8, (H, W) where it has one channel; ``white`` where it is not the type's largest."""
    planes = values[..., 0] if values.ndim == 3 and values.shape[-1] == 1 else values
    if planes.ndim == 3 and planes.shape[-1] > 4:
        planes = planes.mean(axis=-1, dtype=np.float32).astype(values.dtype)
    if planes.dtype == np.uint8 and white is None:
        return np.asarray(planes, dtype=np.uint8)
    largest = white or (1.0 if planes.dtype.kind == "f" else float(np.iinfo(planes.dtype).max))
    unit = np.clip(np.nan_to_num(planes.astype(np.float32) / largest), 0, 1)
    return np.asarray(np.rint(255 * unit), dtype=np.uint8)


def embed(pictures: Sequence[Picture], megabytes: float, track: Track = untracked) -> Album:
    """All pictures as data URIs that take at most so much, if any `Level` of the `LADDER` makes them so small.

    The first that does is taken for all whole pictures.
    """
    budget = PICTURES * megabytes * MEGABYTE
    for level in LADDER[:-1]:
        if guess(pictures, level) <= budget:
            album = embedded(pictures, level, track)
            if taken(album) <= budget:
                return album
    return embedded(pictures, LADDER[-1], track)


def guess(pictures: Sequence[Picture], level: Level) -> float:
    """About how many bytes the pictures would take, by those of a few of each kind."""
    return sum(guess_kind([p for p in pictures if p.kind == kind], level) for kind in ("whole", "small", "exact"))


def guess_kind(pictures: Sequence[Picture], level: Level) -> float:
    """The bytes of a few, scaled to all."""
    some = Random(0).sample(pictures, min(SAMPLE, len(pictures)))
    sizes = [len(found.uri) for found in (as_uri(picture, level) for picture in some) if found is not None]
    return len(pictures) * float(np.mean(sizes)) if sizes else 0.0


def taken(album: Album) -> int:
    """The bytes of an album."""
    return sum(len(embedded.uri) for embedded in album.pictures.values())


def embedded(pictures: Sequence[Picture], level: Level, track: Track) -> Album:
    """The pictures at a level, each once."""
    each = list(dict.fromkeys(pictures))
    found = {picture: as_uri(picture, level) for picture in track(each, "pictures")}
    return Album(
        {picture: one for picture, one in found.items() if one is not None}, level.words(), level.format != "PNG"
    )


def as_uri(picture: Picture, level: Level) -> Embedded | None:
    """One picture; None where it cannot be had."""
    loaded = picture.load()
    if loaded is None:
        return None
    level = {"whole": level, "small": SMALL, "exact": EXACT}[picture.kind]
    pixels = shrunk(loaded.pixels, level.side)
    unchanged = pixels is loaded.pixels
    if level.format == "PNG":
        content = loaded.png if unchanged and loaded.png is not None else encode_png(pixels, loaded.icc_profile)
    else:
        content = encode_webp(pixels, level.quality, loaded.icc_profile)
    encoded = b64encode(content).decode("ascii")
    return Embedded(f"data:image/{level.format.lower()};base64,{encoded}", pixels.shape[1], pixels.shape[0])


def shrunk(pixels: Pixels, side: int) -> Pixels:
    """The same picture if it is no larger than ``side``, or a smaller one."""
    height, width = pixels.shape[:2]
    share = side / max(height, width)
    if share >= 1:
        return pixels
    from PIL import Image

    size = max(1, round(share * width)), max(1, round(share * height))
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.LANCZOS))


def encode_webp(pixels: Pixels, quality: int, icc_profile: bytes | None) -> bytes:
    """WebP, with loss."""
    from PIL import Image

    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, "WEBP", quality=quality, icc_profile=icc_profile or b"")
    return buffer.getvalue()
