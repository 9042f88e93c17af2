"""A dictionary of small patches that show sharp edges: rotated and shifted steps, corners and bars."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cache

import numpy as np
import torch
from torch import Tensor

__all__ = ["edge_patterns", "nearest_pattern", "normalised_patches"]

SAMPLES = 4  # points along each side of a pixel, over which the pixel's brightness is averaged
ANGLES = 24  # of a full turn
SHIFT_STEP = 0.5  # pixels
OPENINGS = (math.pi / 3, math.pi / 2, 2 * math.pi / 3)  # of the corners
BAR_WIDTHS = (1.0, 2.0)  # pixels
MIN_PATTERN_CONTRAST = 0.2  # standard deviation of a pattern of zeros and ones; less of an edge is visible below
SAME = 0.97  # correlation from which a pattern repeats another one
TINY_CONTRAST = 1e-6  # in [0, 1] units: a flat patch


def normalised_patches(patches: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Split patches into mean, contrast and pattern: ``patch = mean + contrast * pattern``.

    Args:
        patches: (..., P), P values each.

    Returns:
        patterns (..., P) with mean zero and standard deviation one (zeros for a flat patch), means (..., 1), and
        contrasts (..., 1), the standard deviations.

    Example:
        >>> normalised_patches(torch.tensor([0.25, 0.75, 0.75, 0.25]))
        (tensor([-1.,  1.,  1., -1.]), tensor([0.5000]), tensor([0.2500]))
    """
    means = patches.mean(-1, keepdim=True)
    centred = patches - means
    contrasts = centred.square().mean(-1, keepdim=True).sqrt()
    return centred / contrasts.clamp_min(TINY_CONTRAST), means, contrasts


def nearest_pattern(patches: Tensor, patterns: Tensor) -> Tensor:
    """The index of the nearest of A normalised patterns (A, P) to each normalised patch (n, P): (n,).

    All patterns have the same length, so that the nearest is the one of the largest inner product.
    """
    return (patches @ patterns.T).argmax(1)


@cache
def edge_patterns(side: int) -> Tensor:
    """The dictionary for patches of ``side`` x ``side`` pixels: (A, side^2), float64, normalised, rows of pixels first.

    It contains a straight edge, corners of three openings and bars of two widths, rotated in steps of a 24th of a turn
    and shifted in steps of half a pixel, bright on dark and dark on bright. Each pixel is the mean brightness over its
    area. Patterns of little contrast are left out, and patterns that correlate with an earlier one, or its negative,
    by more than 0.97. The negative of every pattern is a pattern.

    Example:
        >>> patterns = edge_patterns(5)
        >>> patterns.shape[1], bool(patterns.mean(1).abs().max() < 1e-12)
        (25, True)
    """
    shapes = [
        shape
        for number in range(ANGLES)
        for shape in rendered(*rotated_points(side, math.tau * number / ANGLES), reach=side // 2 - 0.5)
    ]
    drawn = torch.stack(shapes)
    patterns, _, _ = normalised_patches(drawn[drawn.std(1, correction=0) >= MIN_PATTERN_CONTRAST])
    different = distinct(patterns)
    return torch.cat([different, -different])


def rotated_points(side: int, angle: float) -> tuple[Tensor, Tensor]:
    """The coordinates, in pixels from the centre, of the sampled points in axes that are turned by an angle.

    Returns:
        Two tensors (side^2, SAMPLES^2): the points of each pixel.
    """
    along = (torch.arange(side * SAMPLES, dtype=torch.float64) + 0.5) / SAMPLES - side / 2
    rows, columns = (
        grid.view(side, SAMPLES, side, SAMPLES).transpose(1, 2).reshape(side**2, SAMPLES**2)
        for grid in torch.meshgrid(along, along, indexing="ij")
    )
    return columns * math.cos(angle) + rows * math.sin(angle), rows * math.cos(angle) - columns * math.sin(angle)


def rendered(across: Tensor, along: Tensor, reach: float) -> Iterator[Tensor]:
    """Yield the brightness (side^2,) of the pixels of every shifted edge, bar and corner in the given axes.

    Args:
        across: coordinate across the edge, (side^2, points).
        along: coordinate along the edge.
        reach: largest shift, pixels.
    """
    shifts = [number * SHIFT_STEP for number in range(-int(reach / SHIFT_STEP), int(reach / SHIFT_STEP) + 1)]
    for shift in shifts:
        moved = across - shift
        yield covered(moved > 0)
        for width in BAR_WIDTHS:
            yield covered(moved.abs() < width / 2)
        for other in shifts:
            direction = torch.atan2(along - other, moved).abs()
            for opening in OPENINGS:
                yield covered(direction < opening / 2)


def covered(inside: Tensor) -> Tensor:
    """The share of each pixel's points that lie inside: bool (side^2, points) -> float64 (side^2,)."""
    return inside.double().mean(1)


def distinct(patterns: Tensor) -> Tensor:
    """Leave out normalised patterns (A, P) that correlate with a kept one, or its negative, by more than `SAME`."""
    close = (patterns @ patterns.T / patterns.shape[1]).abs().gt(SAME).numpy()
    kept: list[int] = []
    repeated = np.zeros(len(patterns), dtype=bool)
    for index in range(len(patterns)):
        if not repeated[index]:
            kept.append(index)
            repeated |= close[index]
    return patterns[kept]
