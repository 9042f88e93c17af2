"""Date stamps, captions, watermarks and logos: what was drawn over a picture after the blur."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from .inpainting import filled_smoothly
from .steep_edges import NOISE_FACTOR, PROFILE_REACH, Step, edge_profiles, noise_along

__all__ = ["overlay_of"]

Picture: TypeAlias = npt.NDArray[np.float32]
Plane: TypeAlias = npt.NDArray[np.float32]
Values: TypeAlias = npt.NDArray[np.float32]
Mask: TypeAlias = npt.NDArray[np.bool_]

DIRECTIONS: tuple[Step, ...] = ((0, 1), (1, 0), (1, 1), (1, -1))
MIN_CONTRAST = 0.08  # in [0, 1], of an edge
STEEPNESSES = (0.55, 0.62, 0.7)  # of the edges of an overlay, at least; JPEG and scaling soften them
SCENE_STEEPNESS = 0.25  # less: the steepness that few edges of the scene exceed, where the scene is most blurred
SCENE_SHARE = 0.9  # of the scene's edges
MAX_LEFT_SHARE = 0.25  # of steep edges beside those of overlays; more of them belong to the scene, and so do all
MIN_SCENE_EDGES = 50  # fewer do not show how blurred the scene is
OUTLINE_STEEPNESS = 0.15  # less: the steepness of other edges of an overlay

CELLS = 8  # along each side of the picture
MIN_EDGES_OF_CELL = 4  # steep ones
MAX_CELL_SHARE = 0.35  # of the cells with steep edges; more are a sharp scene, or lights that drew the kernel
GAP = 6  # pixels: steep edges with smaller gaps belong to one overlay
OUTLINE_REACH = 10  # pixels from these steep edges to others of the same overlay
MIN_EDGES_OF_OVERLAY = 10  # in every direction
LIGHT_LEVEL = 0.9  # in [0, 1], of all channels: lamps that drew the kernel are saturated
MIN_EXTENT_OF_LIGHT = 0.25  # of the picture's shorter side; a smaller saturated group is a lamp

COLOUR_TOLERANCE = 0.04  # in [0, 1]
OUTLINE_TOLERANCE = 1.5  # times as much, once the colours are known
MAX_COLOURS = 2  # of writing and its outline
MIN_COLOUR_SHARE = 0.8  # of the edges that they explain
MAX_LEVEL_SHARE = 0.25  # of the pixels of an opaque colour; a sky or a wall has more
OPACITIES = np.linspace(1, 0.2, 9)  # of equally good ones, the first is taken
OPAQUE = 0.9
LEVELS = np.linspace(0, 1, 26)

ROOM = 12  # pixels around an overlay, over which what it adds fades away
MAX_AREA = 0.15  # of the picture


class Colour(NamedTuple):
    """What an overlay is drawn with: the picture becomes ``(1 - opacity) * picture + opacity * level``."""

    opacity: float
    level: float

    def explains(self, one: Values, other: Values, tolerance: float = COLOUR_TOLERANCE) -> Mask:
        """Which pairs of values at both sides of edges it explains, in either order.

        Args:
            one: (n,), at one side.
            other: (n,), at the other side.
            tolerance: of the values, in [0, 1]; half as much for a faint overlay.
        """
        clear, drawn = 1 - self.opacity, self.opacity * self.level
        error = np.minimum(np.abs(other - clear * one - drawn), np.abs(one - clear * other - drawn))
        return np.asarray(error < tolerance * (1 + self.opacity) / 2)


def overlay_of(picture: Picture) -> Picture:
    """What overlays add to a picture, (C, H, W); the picture less this shows the scene without them.

    An overlay is a compact group of edges that are much steeper than any edge of the scene, in the direction in which
    the scene is most blurred and in all others, and one or two colours explain them: the value inside such an edge is a
    linear function of the value outside. A sharp object before a blurred background has many colours, and a scene
    without blur has steep edges everywhere. The steps of these edges, without the smooth gradients of the scene, are
    integrated.

    Args:
        picture: (C, H, W) in [0, 1].

    Returns:
        Zero in a picture without overlays, and far from them.

    Example:
        >>> rows, columns = np.indices((120, 160), dtype=np.float32)
        >>> scene = 0.45 + 0.2 * np.sin(columns / 6) * np.sin(rows / 7)[None]
        >>> picture = scene.copy()
        >>> picture[0, 80:100, 60:64] = picture[0, 80:84, 60:80] = picture[0, 80:100, 90:94] = 0.85
        >>> bool(np.abs(picture - overlay_of(picture) - scene).max() < 0.1)
        True
    """
    found = [strongest_edges(picture, step) for step in DIRECTIONS]
    edges = [np.where(is_largest, steepness, 0) for steepness, is_largest in found]
    for steepness in STEEPNESSES:
        regions, plane, colours = overlay_regions(picture, edges, steepness)
        if colours:
            outline = [one >= steepness - OUTLINE_STEEPNESS for one, _ in found]
            added = steps_integrated(picture, near_to(regions, drawn_edges(plane, outline, colours)))
            is_compact = (np.abs(added).max(0) >= MIN_CONTRAST).mean() <= MAX_AREA
            return added if is_compact else np.zeros_like(picture)
    return np.zeros_like(picture)


def drawn_edges(plane: Plane, edges: Sequence[Mask], colours: Sequence[Colour]) -> Mask:
    """The edges that colours explain, (H, W).

    Args:
        plane: (H, W), in which the colours are measured.
        edges: in each of `DIRECTIONS`, (H, W).
        colours: of the overlay.
    """
    found = np.zeros(plane.shape, dtype=bool)
    for step, own in zip(DIRECTIONS, edges, strict=True):
        place = np.nonzero(own)
        one, other = sides_of(plane, place, step)
        tolerance = OUTLINE_TOLERANCE * COLOUR_TOLERANCE
        found[place] |= np.logical_or.reduce([colour.explains(one, other, tolerance) for colour in colours])
    return found


def near_to(regions: Mask, edges: Mask) -> Mask:
    """The edges (H, W) near regions (H, W), in groups that reach into them."""
    from scipy.ndimage import label, maximum_filter

    near = edges & maximum_filter(regions, 2 * OUTLINE_REACH + 1)
    groups, number = label(maximum_filter(near, 2 * GAP + 1), np.ones((3, 3)))
    reaching = np.bincount(groups[regions], minlength=number + 1) > 0
    return np.asarray(near & reaching[groups])


def strongest_edges(picture: Picture, step: Step) -> tuple[Plane, Mask]:
    """The steepness of a picture in a direction, of the channel with the clearest edge, and where edges are: (H, W).

    The mean of the channels counts as one, since JPEG softens colours. The steepness is 0 where the contrast is small,
    and at the border.
    """
    steepness, clarity, is_largest = (np.zeros(picture.shape[1:], dtype=kind) for kind in ("f4", "f4", "?"))
    for plane in picture if len(picture) == 1 else (*picture, picture.mean(0)):
        profiles = edge_profiles(plane, step)
        least = max(MIN_CONTRAST, NOISE_FACTOR * noise_along(plane, step))
        own = np.where(profiles.contrast >= least, profiles.steepness**2 * profiles.contrast, 0)
        is_clearer = own > clarity
        np.copyto(steepness, profiles.steepness, where=is_clearer)
        np.copyto(is_largest, profiles.is_largest, where=is_clearer)
        np.maximum(clarity, own, out=clarity)
    for ends in (slice(None, PROFILE_REACH), slice(-PROFILE_REACH, None)):
        steepness[ends] = steepness[:, ends] = 0
    return steepness, is_largest


def share_of_cells(steep: Mask) -> float:
    """The share of 8 x 8 cells of a picture in which there are several steep edges."""
    bands = [part for rows in np.array_split(steep, CELLS) for part in np.array_split(rows, CELLS, axis=1)]
    return float(np.mean([np.count_nonzero(part) >= MIN_EDGES_OF_CELL for part in bands]))


def overlay_regions(
    picture: Picture, edges: Sequence[Plane], steepness: float
) -> tuple[Mask, Plane, tuple[Colour, ...]]:
    """The surroundings of overlays with edges of at least this steepness, the channel that shows them, their colours.

    There are no colours, and no overlays, if edges of the scene are nearly as steep.

    Args:
        picture: (C, H, W).
        edges: the steepness of the edges in each of `DIRECTIONS`, (H, W).
        steepness: in [0, 1].
    """
    steep = [one >= steepness for one in edges]
    shares = [share_of_cells(one) for one in steep]
    blurred = int(np.argmin(shares))
    if not 0 < shares[blurred] <= MAX_CELL_SHARE:
        return np.zeros_like(steep[0]), picture[0], ()
    regions = groups_of(steep, blurred, picture.mean(0) >= LIGHT_LEVEL)
    scene = edges[blurred][~regions & (edges[blurred] > 0)]
    place, left = np.nonzero(steep[blurred] & regions), np.count_nonzero(steep[blurred] & ~regions)
    is_softer = len(scene) >= MIN_SCENE_EDGES and np.quantile(scene, SCENE_SHARE) <= steepness - SCENE_STEEPNESS
    if not is_softer or left > MAX_LEFT_SHARE * len(place[0]) or regions.mean() > MAX_AREA or not len(place[0]):
        return regions, picture[0], ()
    pairs = [sides_of(plane, place, DIRECTIONS[blurred]) for plane in picture]
    channel = int(np.argmax([np.abs(other - one).mean() for one, other in pairs]))
    return regions, picture[channel], colours_of(*pairs[channel], possible_colours(picture[channel]))


def groups_of(steep: Sequence[Mask], blurred: int, saturated: Mask) -> Mask:
    """The surroundings of the groups of steep edges that have enough in every direction and are no lamps: (H, W).

    Args:
        steep: the steep edges in each of `DIRECTIONS`.
        blurred: index of the direction that forms the groups.
        saturated: (H, W).
    """
    from scipy.ndimage import find_objects, label, maximum_filter

    near = maximum_filter(steep[blurred], 2 * GAP + 1)
    groups, number = label(near, np.ones((3, 3)))
    counts = np.stack([np.bincount(groups[one], minlength=number + 1) for one in steep])
    beside = maximum_filter(saturated, 5) & steep[blurred]
    lights = 2 * np.bincount(groups[beside], minlength=number + 1) > counts[blurred]
    extents = [max(lines.stop - lines.start for lines in place) for place in find_objects(groups)]
    small = np.array([0, *extents]) - 2 * GAP < MIN_EXTENT_OF_LIGHT * min(near.shape)
    kept = (counts.min(0) >= MIN_EDGES_OF_OVERLAY) & ~(lights & small)
    return np.asarray(kept[groups] & near)


def sides_of(plane: Plane, place: tuple[npt.NDArray[np.intp], ...], step: Step) -> tuple[Values, Values]:
    """The values at both sides of edges, up to two pixels away, (n,) each.

    Args:
        plane: (H, W).
        place: rows and columns of the edges, (n,) each.
        step: the direction of the profiles.
    """
    along = [plane[place[0] + offset * step[0], place[1] + offset * step[1]] for offset in range(-2, 3)]
    before, after = along[2] - along[1], along[3] - along[2]
    rises = np.where(np.abs(before) >= np.abs(after), before, after) > 0
    low: list[Values] = [np.minimum.reduce(part) for part in (along[:3], along[2:])]
    high: list[Values] = [np.maximum.reduce(part) for part in (along[:3], along[2:])]
    return np.where(rises, low[0], high[0]), np.where(rises, high[1], low[1])


def possible_colours(plane: Plane) -> list[Colour]:
    """The colours in which an overlay may be drawn on a plane (H, W)."""
    common = [float((np.abs(plane - level) < COLOUR_TOLERANCE).mean()) > MAX_LEVEL_SHARE for level in LEVELS]
    return [
        Colour(float(opacity), float(level))
        for opacity in OPACITIES
        for level, is_common in zip(LEVELS, common, strict=True)
        if not (is_common and opacity >= OPAQUE)
    ]


def colours_of(one: Values, other: Values, possible: Sequence[Colour]) -> tuple[Colour, ...]:
    """The one or two colours that explain most edges; none if they explain too few.

    Args:
        one: the values at one side of the edges, (n,).
        other: those at the other side, (n,).
        possible: colours to choose from.
    """
    left, found = np.ones(len(one), dtype=bool), list[Colour]()
    while left.any() and len(found) < MAX_COLOURS:
        best = max(possible, key=lambda colour: int(np.count_nonzero(colour.explains(one, other) & left)))
        left &= ~best.explains(one, other)
        found.append(best)
    return tuple(found) if 1 - left.mean() >= MIN_COLOUR_SHARE else ()


def steps_integrated(picture: Picture, outline: Mask) -> Picture:
    """The picture (C, H, W) whose gradients are those of another one at outlines, less its smooth gradients there.

    It is the solution of Poisson's equation that is zero around the outlines (Perez, Gangnet & Blake, SIGGRAPH 2003).

    Args:
        picture: (C, H, W).
        outline: (H, W), the middles of steep edges.
    """
    from scipy.ndimage import maximum_filter

    rows, columns = (np.flatnonzero(outline.any(axis)) for axis in (1, 0))
    place = tuple(slice(max(0, int(lines[0]) - ROOM), int(lines[-1]) + ROOM + 1) for lines in (rows, columns))
    part, wide = picture[(slice(None), *place)], maximum_filter(outline[place], 3)
    right = excess(np.diff(part, axis=2, append=part[..., -1:]), wide | np.roll(wide, -1, 1))
    down = excess(np.diff(part, axis=1, append=part[:, -1:]), wide | np.roll(wide, -1, 0))
    divergence = np.diff(right, axis=2, prepend=0) + np.diff(down, axis=1, prepend=0)
    whole = np.zeros_like(picture)
    whole[(slice(None), *place)] = poisson_solution(divergence)
    return whole


def excess(differences: Picture, where: Mask) -> Picture:
    """Differences (C, H, W) less their smooth continuation from elsewhere; zero elsewhere and at the last line."""
    return np.where(where, differences - filled_smoothly(differences, where), 0)


def poisson_solution(divergence: Picture) -> Picture:
    """The solution u of ``laplace(u) = divergence`` for each channel of (C, H, W), zero beyond the border."""
    from scipy.fft import dstn, idstn

    waves = [2 * np.cos(np.pi * np.arange(1, length + 1) / (length + 1)) - 2 for length in divergence.shape[1:]]
    spectrum = dstn(divergence, type=1, axes=(1, 2)) / (waves[0][:, None] + waves[1])
    return np.asarray(idstn(spectrum, type=1, axes=(1, 2)), dtype=np.float32)
