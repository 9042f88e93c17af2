"""Unknown pixels of a picture filled smoothly from the known ones around them."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = ["filled_smoothly"]

Picture: TypeAlias = npt.NDArray[np.float32]
Mask: TypeAlias = npt.NDArray[np.bool_]

SWEEPS = 32  # of relaxation at each scale; the scale below has done the rest
OVER_RELAXATION = 1.5  # times the step to the mean


def filled_smoothly(picture: Picture, unknown: Mask) -> Picture:
    """A picture whose unknown pixels are the harmonic continuation of the known ones: the mean of their neighbours.

    The picture is first filled at half its size, and so on down to a few pixels. At each scale, relaxation then mends
    what the scale below could not show. Known pixels keep their values.

    Args:
        picture: (C, H, W); the values of unknown pixels do not matter.
        unknown: (H, W).

    Example:
        >>> ramp = np.tile(np.linspace(0, 1, 21, dtype=np.float32), (1, 21, 1))
        >>> hole = np.zeros((21, 21), dtype=bool)
        >>> hole[8:13, 8:13] = True
        >>> bool(np.abs(filled_smoothly(np.where(hole, 9, ramp), hole) - ramp).max() < 1e-3)
        True
    """
    if not unknown.any() or unknown.all():
        return picture
    filled = np.where(unknown, 0, picture)
    if min(unknown.shape) >= 4:
        coarse = filled_smoothly(*halved(filled, unknown))
        filled = np.where(unknown, enlarged_twice(coarse, unknown.shape), filled)
    else:
        filled = np.where(unknown, picture[:, ~unknown].mean(1)[:, None, None], filled)
    return relaxed(filled.astype(np.float32), unknown)


def halved(picture: Picture, unknown: Mask) -> tuple[Picture, Mask]:
    """The means of the known pixels of 2 x 2 blocks, and which blocks have none; an odd last line makes blocks alone.

    Args:
        picture: (C, H, W), zero where unknown.
        unknown: (H, W).
    """
    odd = [(0, length % 2) for length in unknown.shape]
    known = blocks(np.pad(~unknown, odd)[None].astype(np.float32))[0]
    return blocks(np.pad(picture, [(0, 0), *odd])) / np.maximum(known, 1), known == 0


def blocks(picture: Picture) -> Picture:
    """The sums of 2 x 2 blocks of (C, H, W), whose sides are even."""
    return picture[:, ::2, ::2] + picture[:, 1::2, ::2] + picture[:, ::2, 1::2] + picture[:, 1::2, 1::2]


def enlarged_twice(picture: Picture, size: tuple[int, ...]) -> Picture:
    """Every pixel of (C, h, w) as a block of 2 x 2, cut to (height, width)."""
    return picture.repeat(2, axis=1).repeat(2, axis=2)[:, : size[0], : size[1]]


def relaxed(picture: Picture, unknown: Mask) -> Picture:
    """The picture (C, H, W) after sweeps that replace its unknown pixels by the mean of their four neighbours.

    The two colours of a checkerboard take turns, and steps are longer than that, so that few sweeps suffice (successive
    over-relaxation; Young, 1954).
    """
    rows, columns = np.nonzero(unknown)
    (height, width), (above, left) = unknown.shape, (np.maximum(rows - 1, 0), np.maximum(columns - 1, 0))
    below, right = np.minimum(rows + 1, height - 1), np.minimum(columns + 1, width - 1)
    turns = [(rows + columns) % 2 == colour for colour in (0, 1)]
    for _ in range(SWEEPS):
        for turn in turns:
            i, j = rows[turn], columns[turn]
            mean = picture[:, above[turn], j] + picture[:, below[turn], j]
            mean += picture[:, i, left[turn]] + picture[:, i, right[turn]]
            picture[:, i, j] += OVER_RELAXATION * (mean / 4 - picture[:, i, j])
    return picture
