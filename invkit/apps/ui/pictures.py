"""Pictures for a browser, which shows no TIFF and no 16 bits, and would take long over fifty megapixels."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from ...media.decoding import Samples

__all__ = ["shown", "shown_samples", "thumbnail"]

LONGEST = 1600  # pixels: what a screen shows
SMALL = 320  # pixels, of a thumbnail's longer side
QUALITY = 92


def shown(pixels: npt.NDArray[Any], longest: int = LONGEST, icc_profile: bytes | None = None) -> bytes:
    """A JPEG of a picture for looking at.

    Args:
        pixels: (H, W), (H, W, 1), (H, W, 3), or with opacity (H, W, 2), (H, W, 4), which is left out; uint8, or
            floating point in [0, 1].
        longest: pixels that its longer side has at most.
        icc_profile: to be kept, lest colours look dull.
    """
    planes = pixels[..., None] if pixels.ndim == 2 else pixels
    planes = planes[..., : 1 if planes.shape[-1] <= 2 else 3]
    if planes.dtype.kind == "f":
        planes = np.rint(255 * np.clip(np.nan_to_num(planes), 0, 1)).astype(np.uint8)
    picture = Image.fromarray(planes[..., 0] if planes.shape[-1] == 1 else planes)
    picture.thumbnail((longest, longest))
    buffer = BytesIO()
    picture.save(buffer, format="JPEG", quality=QUALITY, **({"icc_profile": icc_profile} if icc_profile else {}))
    return buffer.getvalue()


def thumbnail(pixels: npt.NDArray[Any], icc_profile: bytes | None = None) -> bytes:
    """A small JPEG; arguments as `shown`."""
    return shown(pixels, SMALL, icc_profile)


def shown_samples(samples: Samples) -> bytes:
    """A JPEG of what a file holds; of many pixels only some are looked at."""
    step = max(1, max(samples.values.shape[:2]) // (2 * LONGEST))
    values = samples.values[::step, ::step]
    channels = values.shape[-1] if values.ndim == 3 else 1
    values = values[..., : channels - samples.alpha] if values.ndim == 3 else values
    if values.dtype != np.uint8:
        white = samples.white or (1.0 if values.dtype.kind == "f" else float(np.iinfo(values.dtype).max))
        values = values.astype(np.float32) / white
    return shown(values, icc_profile=samples.icc_profile)
