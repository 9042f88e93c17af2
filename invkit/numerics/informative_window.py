"""The part of a large image that is most informative about its blur."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ..core.errors import InputError

__all__ = ["informative_window"]

Plane: TypeAlias = npt.NDArray[np.float32]

NEIGHBOURHOOD_SIDE = 31  # pixels: objects of about the size of a kernel and more count, fine texture does not
GRADIENT_OFFSET = 0.5  # of summed gradients, in [0, 1] units: windows of pure noise do not count
SATURATION_LEVEL = 0.98  # in [0, 1]: a pixel of this value may be brighter in reality
WINDOW_STEP = 16  # pixels between the places that are compared


def informative_window(data: Tensor, side: int) -> tuple[slice, slice]:
    """Rows and columns of the square with the most useful edges.

    The usefulness of an edge is ``r = |sum grad| / (sum |grad| + offset)`` over a neighbourhood (Xu & Jia, ECCV 2010,
    Eq. 2). Noise and objects smaller than the blur have gradients of both signs, which cancel. A window counts the sum
    of ``r |grad|`` over its pixels, without saturated ones. No edge counts for more than a tenth of the range.

    Args:
        data: (1, C, H, W) in [0, 1].
        side: height and width of the square, pixels; at most those of the image are used.

    Returns:
        The rows and columns; the whole image if it is no larger.

    Raises:
        InputError: the side is not positive.

    Example:
        >>> data = torch.zeros(1, 1, 300, 300)
        >>> data[..., 200:, 200:] = 0.5
        >>> informative_window(data, 150)
        (slice(144, 294, None), slice(144, 294, None))
    """
    if side < 1:
        raise InputError(f"the side of a window must be at least 1 pixel, got {side}")
    height, width = data.shape[-2:]
    rows, columns = min(side, height), min(side, width)
    if (rows, columns) == (height, width):
        return slice(0, height), slice(0, width)
    sums = window_sums(edge_usefulness(data), (rows, columns))
    top, left = (WINDOW_STEP * int(place) for place in np.unravel_index(sums.argmax(), sums.shape))
    return slice(top, top + rows), slice(left, left + columns)


def window_sums(values: Plane, size: tuple[int, int]) -> npt.NDArray[np.float64]:
    """The sums of (H, W) over windows of a size (pixels), one every `WINDOW_STEP` pixels along both sides.

    The windows may reach one row and one column beyond the values. A summed-area table (Crow, SIGGRAPH 1984) makes the
    cost independent of the size.
    """
    table = np.zeros((values.shape[0] + 2, values.shape[1] + 2))
    table[1:-1, 1:-1] = values
    np.cumsum(table, axis=0, out=table)
    np.cumsum(table, axis=1, out=table)
    (rows, columns), (height, width) = size, table.shape
    top, left = np.ogrid[: height - rows : WINDOW_STEP, : width - columns : WINDOW_STEP]
    bottom, right = top + rows, left + columns
    sums: npt.NDArray[np.float64] = table[bottom, right] - table[top, right] - table[bottom, left] + table[top, left]
    return sums


@torch.no_grad()
def edge_usefulness(data: Tensor) -> Plane:
    """How informative each pixel of (1, C, H, W) is about the blur, (H - 1, W - 1), >= 0."""
    from scipy.ndimage import maximum_filter

    grey = data[0].float().mean(dim=0).cpu().numpy()
    down, right = grey[1:, :-1] - grey[:-1, :-1], grey[:-1, 1:] - grey[:-1, :-1]
    length = np.hypot(down, right)
    useful = np.hypot(local_sum(down), local_sum(right)) / (local_sum(length) + GRADIENT_OFFSET)
    unsaturated = ~maximum_filter(grey >= SATURATION_LEVEL, NEIGHBOURHOOD_SIDE, mode="constant")[:-1, :-1]
    return np.asarray(useful * np.minimum(length, 0.1) * unsaturated)


def local_sum(values: Plane) -> Plane:
    """The sum over the neighbourhood of each pixel of (H, W), zero beyond the border."""
    from scipy.ndimage import uniform_filter

    return np.asarray(uniform_filter(values, NEIGHBOURHOOD_SIDE, mode="constant")) * np.float32(NEIGHBOURHOOD_SIDE**2)
