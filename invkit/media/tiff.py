"""TIFF, the format with the most ways to store a photograph: depth, photometry, planes, alpha, orientation."""

from __future__ import annotations

import logging
import math
from io import BytesIO
from typing import Any

import numpy as np
import numpy.typing as npt
import tifffile
from tifffile import PHOTOMETRIC, TiffFile, TiffPage

from ..core.errors import InputError
from .decoding import ORIENTATION, Samples, check_size, upright

__all__ = ["read_tiff"]

ICC_PROFILE = 34675  # tag
ASSOCIATED = 1  # extra sample by which the colours have been multiplied
CHANNELS = {
    PHOTOMETRIC.MINISWHITE: 1,
    PHOTOMETRIC.MINISBLACK: 1,
    PHOTOMETRIC.RGB: 3,
    PHOTOMETRIC.PALETTE: 1,
    PHOTOMETRIC.SEPARATED: 4,
    PHOTOMETRIC.YCBCR: 3,
}

logging.getLogger("tifffile").addHandler(logging.NullHandler())  # what matters is raised, not printed


def read_tiff(content: bytes) -> Samples:
    """The samples of a TIFF of one page; raises `InputError` (the caller names the file), or as tifffile."""
    with TiffFile(BytesIO(content)) as file:
        page = only_page(file)
        check_size(page.imagewidth, page.imagelength)
        colours = channels_of(page)
        check_complete(page, len(content))
        values = interleaved(page, page.asarray())
        alpha = values.ndim == 3 and values.shape[-1] == colours + 1
        values, white = plain_colours(page, values, colours)
        return Samples(upright(values, tag(page, ORIENTATION, 1)), "TIFF", white, alpha, profile_of(page))


def only_page(file: TiffFile) -> TiffPage:
    """The one picture of the file; previews do not count."""
    pages = [page for page in file.pages if isinstance(page, TiffPage)]
    full = [page for page in pages if not page.is_reduced] or pages
    stored = sum(math.prod(series.shape) for series in file.series)
    if len(full) > 1 or stored > sum(math.prod(page.shape) for page in pages):  # ImageJ: many planes behind one page
        count = max(len(full), stored // math.prod(full[0].shape))
        raise InputError(f"holds {count} pages; save the one you want as a file of its own")
    return full[0]


def channels_of(page: TiffPage) -> int:
    """The number of colour channels; raises `InputError` for a photometry or extra channels that are no photograph."""
    photometric = PHOTOMETRIC(page.photometric)
    converted = page.compression in (tifffile.COMPRESSION.JPEG, tifffile.COMPRESSION.OJPEG)
    if photometric not in CHANNELS or (photometric == PHOTOMETRIC.YCBCR and not converted):
        raise InputError(f"stores its colours as {photometric.name}; export it as RGB or grey")
    extra = page.samplesperpixel - CHANNELS[photometric]
    if not 0 <= extra <= 1 or page.imagedepth > 1:
        raise InputError(f"has {page.samplesperpixel} channels of {photometric.name}; export it as RGB or grey")
    return CHANNELS[photometric]


def check_complete(page: TiffPage, size: int) -> None:
    """Refuse missing strips and tiles, which tifffile would fill with black; raises ValueError."""
    for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True):
        if count == 0 or offset + count > size:
            raise ValueError(f"a strip ends at byte {offset + count} of {size}")


def interleaved(page: TiffPage, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Channels last, also where the file keeps them in separate planes."""
    if values.ndim == 3 and page.planarconfig == tifffile.PLANARCONFIG.SEPARATE and page.samplesperpixel > 1:
        return np.moveaxis(values, 0, -1)
    return values[..., 0] if values.ndim == 3 and values.shape[-1] == 1 else values


def plain_colours(page: TiffPage, values: npt.NDArray[Any], colours: int) -> tuple[npt.NDArray[Any], float | None]:
    """Grey or RGB, with alpha where there is one, and the value that means white."""
    if values.dtype == bool:
        values = values.astype(np.uint8)
    white = None if values.dtype.kind != "u" else float(2**page.bitspersample - 1)
    if page.photometric == PHOTOMETRIC.PALETTE:
        return looked_up(page, values), 255.0
    if page.extrasamples and page.extrasamples[0] == ASSOCIATED:
        values = divided_by_alpha(values, white or 1.0)
    if page.photometric == PHOTOMETRIC.MINISWHITE:
        values = np.concatenate([inverted(planes(values)[..., :1], white), planes(values)[..., 1:]], axis=-1)
        return (values if values.shape[-1] > 1 else values[..., 0]), white
    if page.photometric == PHOTOMETRIC.SEPARATED:
        return from_cmyk(values, white or 1.0), white
    return values, white


def planes(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """(H, W) or (H, W, C) -> (H, W, C)."""
    return values[..., None] if values.ndim == 2 else values


def inverted(values: npt.NDArray[Any], white: float | None) -> npt.NDArray[Any]:
    """White for black."""
    return ((white or 1.0) - values).astype(values.dtype)


def looked_up(page: TiffPage, indices: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Palette indices -> 8-bit RGB; a TIFF palette keeps its 8 bits in the upper half of 16."""
    if page.colormap is None or indices.ndim != 2:
        raise ValueError("the palette is missing")
    return np.moveaxis(np.asarray(page.colormap)[:, indices] >> 8, 0, -1).astype(np.uint8)


def divided_by_alpha(values: npt.NDArray[Any], white: float) -> npt.NDArray[Any]:
    """Undo the multiplication of the colours by alpha, which would darken what is half transparent."""
    alpha = values[..., -1:].astype(np.float64) / white
    colour = np.divide(values[..., :-1], alpha, out=np.zeros(values[..., :-1].shape), where=alpha > 0)
    colour = np.clip(colour, 0, white)
    return np.concatenate([as_dtype(colour, values.dtype), values[..., -1:]], axis=-1)


def from_cmyk(values: npt.NDArray[Any], white: float) -> npt.NDArray[Any]:
    """Inks -> RGB without a profile, ``(1 - ink) (1 - black)``, as Pillow does for JPEG; alpha stays."""
    inks = values[..., :4].astype(np.float64) / white
    colour = white * (1 - inks[..., :3]) * (1 - inks[..., 3:])
    return np.concatenate([as_dtype(colour, values.dtype), values[..., 4:]], axis=-1)


def as_dtype(values: npt.NDArray[Any], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """Rounded where the type is an integer."""
    return (np.rint(values) if dtype.kind == "u" else values).astype(dtype)


def profile_of(page: TiffPage) -> bytes | None:
    """The colour profile, unless it speaks of inks that are no longer there."""
    if page.photometric == PHOTOMETRIC.SEPARATED:
        return None
    profile = tag(page, ICC_PROFILE, None)
    return None if profile is None else bytes(profile)


def tag(page: TiffPage, code: int, default: Any) -> Any:
    """The value of a tag, or the default where it is absent."""
    found = page.tags.get(code)
    return default if found is None else found.value
