"""TIFF files whose layout has been checked (`invkit.media.containers`): their only page, and its colours."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..core.errors import InputError

if TYPE_CHECKING:
    from tifffile import TiffFile, TiffPage

__all__ = ["colour_count", "interleaved", "only_page", "plain_colours"]

MAX_DESCRIPTION = 2**16  # characters about the pages; tifffile takes seconds for a million dimensions
ASSOCIATED_ALPHA = 1  # kind of an extra sample: the colours have been multiplied by it
TIFF_CHANNELS = {"MINISWHITE": 1, "MINISBLACK": 1, "RGB": 3, "PALETTE": 1, "SEPARATED": 4, "YCBCR": 3}


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
        raise InputError(
            f"holds {count} pages; save the page you want as a file of its own (a stack of planes needs a recipe for "
            "stacks, as stack-richardson-lucy, and a kernel of planes)"
        )
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
