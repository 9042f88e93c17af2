"""TIFF files, which store photographs in many ways: depth, photometry, planes, alpha and orientation differ."""

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
from .stored import ORIENTATION_TAG, StoredImage, check_pixel_count, upright

__all__ = ["read_tiff"]

ICC_PROFILE_TAG = 34675
ASSOCIATED_ALPHA = 1  # kind of an extra sample: the colours have been multiplied by it
CHANNELS = {
    PHOTOMETRIC.MINISWHITE: 1,
    PHOTOMETRIC.MINISBLACK: 1,
    PHOTOMETRIC.RGB: 3,
    PHOTOMETRIC.PALETTE: 1,
    PHOTOMETRIC.SEPARATED: 4,
    PHOTOMETRIC.YCBCR: 3,
}

logging.getLogger("tifffile").addHandler(logging.NullHandler())  # whatever makes a file unusable is raised, not printed


def read_tiff(content: bytes) -> StoredImage:
    """The samples of a TIFF file of one page.

    Raises:
        InputError: the file holds something else than one photograph; the caller adds the name of the file.
        Exception: tifffile cannot read the file.
    """
    with TiffFile(BytesIO(content)) as file:
        page = only_page(file)
        check_pixel_count(page.imagewidth, page.imagelength)
        colours = channels_of(page)
        check_complete(page, len(content))
        values = interleaved(page, page.asarray())
        alpha = values.ndim == 3 and values.shape[-1] == colours + 1
        values, white = plain_colours(page, values, colours)
        return StoredImage(upright(values, tag(page, ORIENTATION_TAG, 1)), "TIFF", white, alpha, profile_of(page))


def only_page(file: TiffFile) -> TiffPage:
    """The only picture of a file, previews aside; raises `InputError` if there are several."""
    pages = [page for page in file.pages if isinstance(page, TiffPage)]
    full = [page for page in pages if not page.is_reduced] or pages
    stored = sum(math.prod(series.shape) for series in file.series)
    if len(full) > 1 or stored > sum(math.prod(page.shape) for page in pages):  # ImageJ: many planes behind one page
        count = max(len(full), stored // math.prod(full[0].shape))
        raise InputError(f"holds {count} pages; save the page you want as a file of its own")
    return full[0]


def channels_of(page: TiffPage) -> int:
    """The number of colour channels; raises `InputError` for a photometry or extra channels of no photograph."""
    photometric = PHOTOMETRIC(page.photometric)
    converted = page.compression in (tifffile.COMPRESSION.JPEG, tifffile.COMPRESSION.OJPEG)
    if photometric not in CHANNELS or (photometric == PHOTOMETRIC.YCBCR and not converted):
        raise InputError(f"stores its colours as {photometric.name}; export it as RGB or grey")
    extra = page.samplesperpixel - CHANNELS[photometric]
    if not 0 <= extra <= 1 or page.imagedepth > 1:
        raise InputError(f"has {page.samplesperpixel} channels of {photometric.name}; export it as RGB or grey")
    return CHANNELS[photometric]


def check_complete(page: TiffPage, size: int) -> None:
    """Raise `ValueError` if strips or tiles are missing, because tifffile would fill them with black."""
    for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True):
        if count == 0 or offset + count > size:
            raise ValueError(f"a strip ends at byte {offset + count} of {size}")


def interleaved(page: TiffPage, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The values with channels last, even if the file keeps them in separate planes."""
    if values.ndim == 3 and page.planarconfig == tifffile.PLANARCONFIG.SEPARATE and page.samplesperpixel > 1:
        return np.moveaxis(values, 0, -1)
    return values[..., 0] if values.ndim == 3 and values.shape[-1] == 1 else values


def plain_colours(page: TiffPage, values: npt.NDArray[Any], colours: int) -> tuple[npt.NDArray[Any], float | None]:
    """Grey or RGB values, followed by alpha if the file has it, and the value that means white.

    Args:
        page: of the file.
        values: (H, W) or (H, W, C), as stored.
        colours: the number of colour channels.
    """
    if values.dtype == bool:
        values = values.astype(np.uint8)
    white = None if values.dtype.kind != "u" else float(2**page.bitspersample - 1)
    if page.photometric == PHOTOMETRIC.PALETTE:
        return looked_up(page, values), 255.0
    if page.extrasamples and page.extrasamples[0] == ASSOCIATED_ALPHA:
        values = divided_by_alpha(values, white or 1.0)
    if page.photometric == PHOTOMETRIC.MINISWHITE:
        grey = ((white or 1.0) - (values if values.ndim == 2 else values[..., 0])).astype(values.dtype)
        return (grey if values.ndim == 2 else np.stack([grey, values[..., 1]], axis=-1)), white
    if page.photometric == PHOTOMETRIC.SEPARATED:
        return from_cmyk(values, white or 1.0), white
    return values, white


def looked_up(page: TiffPage, indices: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Palette indices as 8-bit RGB. A TIFF palette keeps its 8 bits in the upper half of 16."""
    if page.colormap is None or indices.ndim != 2:
        raise ValueError("the palette is missing")
    return np.moveaxis(np.asarray(page.colormap)[:, indices] >> 8, 0, -1).astype(np.uint8)


def divided_by_alpha(values: npt.NDArray[Any], white: float) -> npt.NDArray[Any]:
    """Undo the multiplication of the colours by alpha, which darkens half-transparent pixels."""
    alpha = values[..., -1:].astype(np.float64) / white
    colour = np.divide(values[..., :-1], alpha, out=np.zeros(values[..., :-1].shape), where=alpha > 0)
    colour = np.clip(colour, 0, white)
    return np.concatenate([as_dtype(colour, values.dtype), values[..., -1:]], axis=-1)


def from_cmyk(values: npt.NDArray[Any], white: float) -> npt.NDArray[Any]:
    """Inks as RGB without a profile, ``(1 - ink) (1 - black)``, as Pillow converts JPEG; alpha is kept."""
    inks = values[..., :4].astype(np.float64) / white
    colour = white * (1 - inks[..., :3]) * (1 - inks[..., 3:])
    return np.concatenate([as_dtype(colour, values.dtype), values[..., 4:]], axis=-1)


def as_dtype(values: npt.NDArray[Any], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """The values in a type, rounded if it is an integer."""
    return (np.rint(values) if dtype.kind == "u" else values).astype(dtype)


def profile_of(page: TiffPage) -> bytes | None:
    """The colour profile; None for a profile of inks, which have been converted."""
    if page.photometric == PHOTOMETRIC.SEPARATED:
        return None
    profile = tag(page, ICC_PROFILE_TAG, None)
    return None if profile is None else bytes(profile)


def tag(page: TiffPage, code: int, default: Any) -> Any:
    """The value of a tag.

    Args:
        page: of the file.
        code: number of the tag.
        default: the value if the tag is absent.
    """
    found = page.tags.get(code)
    return default if found is None else found.value
