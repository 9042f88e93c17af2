"""Pictures inside a page: 8 bits a sample, as data URIs, within a limit for all of them."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from random import Random
from typing import Any, Literal, NamedTuple, Protocol, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image

from ...core.errors import InputError
from ...media.decoding import decode
from ...media.images import encode_png

__all__ = ["Album", "EmbeddedPicture", "Picture", "Track", "embed", "picture_of", "picture_of_file", "untracked"]

PictureKind: TypeAlias = Literal["whole", "small", "exact"]
Tracked = TypeVar("Tracked")

SAMPLE_SIZE = 12  # pictures of a kind that are encoded to estimate the size of all
PICTURE_SHARE = 0.9  # of a page's size; the rest is text and charts


class Track(Protocol):
    """Gives the items one by one and shows the progress, as a progress bar does."""

    def __call__(self, items: Sequence[Tracked], what: str) -> Iterator[Tracked]:
        """The items; ``what`` names them."""


def untracked(items: Sequence[Tracked], what: str) -> Iterator[Tracked]:
    """The items, without any progress."""
    return iter(items)


class Level(NamedTuple):
    """An encoding: PNG is lossless; the longer side of a picture has at most ``side`` pixels."""

    format: Literal["PNG", "WebP"]
    side: int
    quality: int = 100

    def __str__(self) -> str:
        loss = "lossless" if self.format == "PNG" else f"of quality {self.quality}"
        return f"{self.format} {loss}, at most {self.side} pixels a side"


WEBP_LEVELS = ((4096, 92), (2560, 90), (1600, 88), (1280, 86), (1024, 85), (800, 82), (640, 80), (512, 78), (400, 75),
               (256, 70))  # fmt: skip
LADDER = (Level("PNG", 4096), *(Level("WebP", side, quality) for side, quality in WEBP_LEVELS))
"""The encodings of whole pictures, from the best to the smallest."""
FIXED_LEVELS = {"small": Level("WebP", 384, 80), "exact": Level("PNG", 4096)}


class LoadedPicture(NamedTuple):
    """Pixels (H, W), (H, W, 3) or (H, W, 4), uint8; their colour profile; the PNG file that holds them, if any."""

    pixels: npt.NDArray[np.uint8]
    icc_profile: bytes | None = None
    png: bytes | None = None


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture to be shown. It is loaded when it is needed; two pictures are never equal.

    Attributes:
        load: gives the picture, or None if it is not available.
        kind: "whole" for pictures to be compared, "small" for thumbnails, "exact" for a few pixels.
    """

    load: Callable[[], LoadedPicture | None]
    kind: PictureKind = "whole"


class EmbeddedPicture(NamedTuple):
    """A picture in the page: its data URI, and its width and height there in pixels."""

    uri: str
    width: int
    height: int


@dataclass(frozen=True)
class Album:
    """The embedded pictures of a page, without those that are not available.

    Attributes:
        level: the encoding of whole pictures, in words.
        reduced: whether that encoding loses detail.
    """

    pictures: Mapping[Picture, EmbeddedPicture] = field(default_factory=dict)
    level: str = ""
    reduced: bool = False

    def get(self, picture: Picture | None) -> EmbeddedPicture | None:
        """A picture as it is in the page, or None."""
        return None if picture is None else self.pictures.get(picture)


def picture_of(values: npt.NDArray[np.generic], kind: PictureKind = "whole") -> Picture:
    """A picture (H, W) or (H, W, C): floats in [0, 1] or unsigned integers; more than four channels are averaged."""
    loaded = LoadedPicture(eight_bits(values))
    return Picture(lambda: loaded, kind)


def picture_of_file(path: Path, kind: PictureKind = "whole") -> Picture:
    """A picture in a file of any depth, which is not read yet."""

    def load() -> LoadedPicture | None:
        try:
            stored = decode(path)
            is_page_png = stored.format == "PNG" and stored.values.dtype == np.uint8 and stored.white is None
            png = path.read_bytes() if is_page_png else None
            return LoadedPicture(eight_bits(stored.values, stored.white), stored.icc_profile, png)
        except (InputError, OSError):
            return None

    return Picture(load, kind)


def eight_bits(values: npt.NDArray[Any], white: float | None = None) -> npt.NDArray[np.uint8]:
    """(H, W) or (H, W, C) as uint8; one channel as (H, W). ``white`` is None for the largest value of the type."""
    planes = values[..., 0] if values.ndim == 3 and values.shape[-1] == 1 else values
    if planes.ndim == 3 and planes.shape[-1] > 4:
        planes = planes.mean(axis=-1, dtype=np.float32).astype(values.dtype)
    if planes.dtype == np.uint8 and white is None:
        return np.asarray(planes, dtype=np.uint8)
    largest = white or (1.0 if planes.dtype.kind == "f" else float(np.iinfo(planes.dtype).max))
    unit = np.clip(np.nan_to_num(planes.astype(np.float32) / largest), 0, 1)
    return np.asarray(np.rint(255 * unit), dtype=np.uint8)


def embed(pictures: Sequence[Picture], megabytes: float, track: Track = untracked) -> Album:
    """All pictures as data URIs, the whole ones with the best `Level` of the `LADDER` at which all fit.

    Args:
        pictures: of the page; repeated ones are embedded once.
        megabytes: the limit for the page.
        track: shows the progress.
    """
    budget = PICTURE_SHARE * megabytes * 1e6
    unique = list(dict.fromkeys(pictures))
    for level in LADDER:
        if level is not LADDER[-1] and estimated_size(unique, level) > budget:
            continue
        found = {picture: as_uri(picture, level) for picture in track(unique, "pictures")}
        available = {picture: embedded for picture, embedded in found.items() if embedded is not None}
        if sum(len(embedded.uri) for embedded in available.values()) <= budget:
            break
    return Album(available, str(level), level.format != "PNG")


def estimated_size(pictures: Sequence[Picture], level: Level) -> float:
    """About how many bytes the pictures take, from a sample of each kind."""
    total = 0.0
    for kind in ("whole", "small", "exact"):
        alike = [picture for picture in pictures if picture.kind == kind]
        sample = [as_uri(picture, level) for picture in Random(0).sample(alike, min(SAMPLE_SIZE, len(alike)))]
        sizes = [len(found.uri) for found in sample if found is not None]
        total += len(alike) * float(np.mean(sizes)) if sizes else 0.0
    return total


def as_uri(picture: Picture, level: Level) -> EmbeddedPicture | None:
    """One picture at the level of its kind; None if it is not available."""
    loaded = picture.load()
    if loaded is None:
        return None
    level = FIXED_LEVELS.get(picture.kind, level)
    pixels = resized(loaded.pixels, level.side)
    if level.format == "WebP":
        buffer = BytesIO()
        webp = Image.fromarray(pixels)
        webp.save(buffer, "WEBP", quality=level.quality, icc_profile=loaded.icc_profile or b"")
        content = buffer.getvalue()
    elif pixels is loaded.pixels and loaded.png is not None:
        content = loaded.png
    else:
        content = encode_png(pixels, loaded.icc_profile)
    uri = f"data:image/{level.format.lower()};base64,{b64encode(content).decode('ascii')}"
    return EmbeddedPicture(uri, pixels.shape[1], pixels.shape[0])


def resized(pixels: npt.NDArray[np.uint8], side: int) -> npt.NDArray[np.uint8]:
    """A picture whose longer side has at most ``side`` pixels; the same array if it is small enough."""
    height, width = pixels.shape[:2]
    share = side / max(height, width)
    if share >= 1:
        return pixels
    size = max(1, round(share * width)), max(1, round(share * height))
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.LANCZOS))
