"""The part of a large picture that tells most about its blur."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ..core.errors import InputError

__all__ = ["informative_window"]

Floats = npt.NDArray[np.float32]

SCALE = 31  # pixels: objects of about a kernel's size and more count, fine texture does not
OFFSET = 0.5  # of summed gradients, in [0, 1] units: windows of noise alone do not count
CLIPPED = 0.98  # in [0, 1]: from here on, a pixel may be brighter than it says
STEP = 16  # pixels between the places that are compared


def informative_window(data: Tensor, side: int) -> tuple[slice, slice]:
    """Rows and columns of the square, at most ``side`` pixels wide and high, that holds most of the useful edges.

    An edge is as useful as Xu & Jia's ``r = |sum grad| / (sum |grad| + offset)`` over a neighbourhood says (ECCV 2010,
    Eq. 2): one of something smaller than the blur, or of noise, has gradients of both signs, which cancel. Counted is
    the sum of ``r |grad|``, in which no edge counts for more than a tenth of the range, without clipped pixels.

    Args:
        data: (1, C, H, W) in [0, 1].
        side: pixels.

    Returns:
        The place; the whole picture where it is no larger.

    Raises:
        InputError: the side is not positive.
    """
    if side < 1:
        raise InputError(f"the side of a window must be at least 1 pixel, got {side}")
    height, width = data.shape[-2:]
    rows, columns = min(side, height), min(side, width)
    if (rows, columns) == (height, width):
        return slice(0, height), slice(0, width)
    sums = window_sums(usefulness(data), (rows, columns))
    top, left = (STEP * int(place) for place in np.unravel_index(sums.argmax(), sums.shape))
    return slice(top, top + rows), slice(left, left + columns)


def window_sums(values: Floats, size: tuple[int, int]) -> npt.NDArray[np.float64]:
    """The sums of (H, W) over the windows of a size, one every `STEP` pixels, the first row and column beyond taken in.

    From a summed-area table (Crow, SIGGRAPH 1984), so that a window's size costs nothing.
    """
    table = np.zeros((values.shape[0] + 2, values.shape[1] + 2))
    table[1:-1, 1:-1] = values
    np.cumsum(table, axis=0, out=table)
    np.cumsum(table, axis=1, out=table)
    (rows, columns), (height, width) = size, table.shape
    top, left = np.ogrid[: height - rows : STEP, : width - columns : STEP]
    bottom, right = top + rows, left + columns
    sums: npt.NDArray[np.float64] = table[bottom, right] - table[top, right] - table[bottom, left] + table[top, left]
    return sums


@torch.no_grad()
def usefulness(data: Tensor) -> Floats:
    """How much each pixel of (1, C, H, W) tells about the blur, (H - 1, W - 1), >= 0."""
    from scipy.ndimage import maximum_filter

    grey = data[0].float().mean(dim=0).cpu().numpy()
    down, right = grey[1:, :-1] - grey[:-1, :-1], grey[:-1, 1:] - grey[:-1, :-1]
    length = np.hypot(down, right)
    useful = np.hypot(local_sum(down), local_sum(right)) / (local_sum(length) + OFFSET)
    apart = ~maximum_filter(grey >= CLIPPED, SCALE, mode="constant")[:-1, :-1]
    return np.asarray(useful * np.minimum(length, 0.1) * apart)


def local_sum(values: Floats) -> Floats:
    """The sum over the neighbourhood of each pixel of (H, W), zero beyond the border."""
    from scipy.ndimage import uniform_filter

    return np.asarray(uniform_filter(values, SCALE, mode="constant")) * np.float32(SCALE**2)
