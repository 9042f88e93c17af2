"""How steep edges are: which share of a step in brightness lies between two neighbouring pixels.

All of it in a sharp picture, a fifth where the picture is blurred by five pixels.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = ["PROFILE_REACH", "EdgeProfiles", "Step", "edge_profiles", "edge_steepness", "noise_along", "shifted"]

Picture: TypeAlias = npt.NDArray[np.float32]
Plane: TypeAlias = npt.NDArray[np.float32]
Step: TypeAlias = tuple[int, int]
"""(rows, columns) from one pixel of a profile to the next."""

PROFILE_REACH = 4  # pixels to either side of the middle of a profile, which has 9
MIN_STEP_CONTRAST = 0.12  # in [0, 1], of a profile
NOISE_FACTOR = 10.0  # times the noise: the least contrast of a profile that noise cannot make steep
CLIPPED_LEVEL = 0.98  # in [0, 1]: a saturated blur ends abruptly
MIN_NET_SHARE = 0.7  # of a profile's contrast, between its ends: at an edge of two areas, not at a line
STEEPEST_SHARE = 0.02  # of the edges; the others may be soft in the scene
MIN_EDGES = 50  # fewer prove nothing


class EdgeProfiles(NamedTuple):
    """The profiles of 9 pixels around every pixel of a plane, in one direction.

    Attributes:
        steepness: (H, W), in [0, 1]: the change between two neighbouring pixels at the middle of the profile, as a
            share of the contrast.
        is_largest: (H, W), whether no other change of the profile is larger.
        contrast: (H, W), in [0, 1]: the largest value less the smallest.
        net: (H, W), in [0, 1]: the difference between both ends.
    """

    steepness: Plane
    is_largest: npt.NDArray[np.bool_]
    contrast: Plane
    net: Plane


def edge_profiles(plane: Plane, step: Step) -> EdgeProfiles:
    """The profiles of a plane (H, W) in a direction; beyond the border the plane has the border's values."""
    padded = np.pad(plane, PROFILE_REACH, mode="edge")
    here = [shifted(padded, step, offset) for offset in range(-PROFILE_REACH, PROFILE_REACH + 1)]
    low, high = here[0].copy(), here[0].copy()
    largest, middle = np.zeros_like(plane), np.zeros_like(plane)
    for index, (before, after) in enumerate(pairwise(here)):
        np.minimum(low, after, out=low)
        np.maximum(high, after, out=high)
        change = np.abs(after - before)
        np.maximum(largest, change, out=largest)
        if index in (PROFILE_REACH - 1, PROFILE_REACH):
            np.maximum(middle, change, out=middle)
    contrast = high - low
    steepness = middle / np.maximum(contrast, np.float32(1e-6))
    return EdgeProfiles(steepness, middle >= largest, contrast, np.abs(here[-1] - here[0]))


def shifted(padded: Plane, step: Step, offset: int) -> Plane:
    """For each pixel of a plane the pixel some steps further, as a view.

    Args:
        padded: (H + 8, W + 8), the plane with `PROFILE_REACH` pixels more on every side.
        step: the direction.
        offset: number of steps, from -4 to 4.
    """
    (down, right), (height, width) = step, padded.shape
    top, left = PROFILE_REACH + offset * down, PROFILE_REACH + offset * right
    return padded[top : top + height - 2 * PROFILE_REACH, left : left + width - 2 * PROFILE_REACH]


def edge_steepness(picture: Picture) -> float:
    """The steepness that 1 in 50 edges exceeds, across rows or across columns, whichever is less.

    It is 0.75 to 1 in sharp photographs, and at most 0.7 in photographs blurred by 3 pixels or more in any direction.
    Edges of saturated areas, of thin lines, and edges that noise could have made do not count. Several sharp pictures
    superposed have steep edges too: a picture with steep edges is sharp unless its blur consists of a few points.

    Args:
        picture: (C, H, W) in [0, 1].

    Returns:
        The steepness in [0, 1]; 0 for a picture with too few edges.

    Example:
        >>> squares = np.kron(np.indices((8, 8)).sum(0) % 2, np.ones((12, 12))).astype(np.float32)[None]
        >>> round(edge_steepness(0.2 + 0.6 * squares), 3)
        1.0
    """
    from scipy.ndimage import maximum_filter

    unsaturated = ~maximum_filter(picture.max(0) >= CLIPPED_LEVEL, 2 * PROFILE_REACH + 1)
    return min(steepness_along(picture.mean(0), step, unsaturated) for step in ((0, 1), (1, 0)))


def steepness_along(plane: Plane, step: Step, usable: npt.NDArray[np.bool_]) -> float:
    """The steepness that 1 in 50 edges of a plane exceeds in a direction.

    Args:
        plane: (H, W).
        step: the direction.
        usable: (H, W), the middles of the profiles that count.
    """
    profiles, least = edge_profiles(plane, step), max(MIN_STEP_CONTRAST, NOISE_FACTOR * noise_along(plane, step))
    is_step = profiles.is_largest & (profiles.net >= MIN_NET_SHARE * profiles.contrast)
    found, inner = is_step & (profiles.contrast >= least) & usable, slice(PROFILE_REACH, -PROFILE_REACH)
    steepness = profiles.steepness[inner, inner][found[inner, inner]]
    return float(np.quantile(steepness, 1 - STEEPEST_SHARE)) if len(steepness) >= MIN_EDGES else 0.0


def noise_along(plane: Plane, step: Step) -> float:
    """The standard deviation of white noise by second differences in a direction; fine texture counts as noise."""
    padded = np.pad(plane, PROFILE_REACH, mode="edge")
    second = shifted(padded, step, 1) + shifted(padded, step, -1) - 2 * plane
    return float(np.median(np.abs(second))) / 0.6745 / 6**0.5
