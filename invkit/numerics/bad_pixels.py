"""Hot, dead and stuck pixels and specks of dust: outliers that are far smaller than any blur."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = ["bad_pixels", "filled_by_median"]

Picture: TypeAlias = npt.NDArray[np.float32]
Plane: TypeAlias = npt.NDArray[np.float32]
Mask: TypeAlias = npt.NDArray[np.bool_]

MEDIAN_REACH = 2  # pixels: the median of 5 x 5 ignores a speck of up to 3 x 3
MIN_DEVIATION = 0.06  # in [0, 1]
MIN_OUTLYINGNESS = 3.0  # times the deviation that 1 in 50 pixels exceeds: that of noise and of the scene's detail
COMMON_SHARE = 0.98  # of the pixels
SAMPLED_PIXELS = 50_000  # from which this deviation is measured
MAX_SPECK_SIDE = 3  # pixels
MAX_SURROUNDING_DEVIATION = 0.2  # of the speck's own: the light of a star or lamp reaches its surroundings
NOISE_DEVIATION = 0.4  # of the threshold: noise reaches it in some pixel around a speck
MIN_NEIGHBOUR_STEP = 0.6  # of the speck's deviation, to every pixel around it; a corner has bright neighbours
SIMILAR_DEVIATION = 0.6  # of the speck's own, or more, has another speck beside it; a tail of light has less
MAX_OUTLIER_SHARE = 0.02  # of the pixels; more outliers are the texture of a scene, lights, or another kind of noise
CROWD_SIDE = 31  # pixels, of the surroundings in which there must not be more either


def bad_pixels(picture: Picture) -> Mask:
    """Which values are isolated outliers: (C, H, W), bool. None in a picture without them.

    A speck of up to 3 x 3 pixels is an outlier if it differs from the median of 5 x 5 pixels far more than other pixels
    differ from theirs, and if its surroundings do not. In a picture that is blurred by 3 pixels or more, no detail of
    the scene does so. In a sharp one, stars and glints may.

    Args:
        picture: (C, H, W) in [0, 1]; each channel is examined by itself.

    Example:
        >>> picture = np.full((1, 20, 20), 0.5, dtype=np.float32)
        >>> picture[0, 4, 7] = 1
        >>> np.argwhere(bad_pixels(picture)).tolist()
        [[0, 4, 7]]
    """
    found = np.stack([specks(plane) for plane in picture])
    return found if found.mean() <= MAX_OUTLIER_SHARE else np.zeros_like(found)


def specks(plane: Plane) -> Mask:
    """The outliers of one channel (H, W)."""
    from scipy.ndimage import find_objects, label, uniform_filter

    threshold = least_outlying_deviation(plane)
    deviation = deviation_near(plane, small_details(plane) > threshold)
    found, outlying = np.zeros(plane.shape, dtype=bool), deviation > threshold
    crowded = uniform_filter(outlying.astype(np.float32), CROWD_SIDE) > MAX_OUTLIER_SHARE
    groups, _ = label(outlying, np.ones((3, 3)))
    for number, place in enumerate(find_objects(groups), start=1):
        side = max(lines.stop - lines.start for lines in place)
        if side <= (1 if touches_border(place, plane.shape) else MAX_SPECK_SIDE):
            around = tuple(slice(max(0, lines.start - MEDIAN_REACH), lines.stop + MEDIAN_REACH) for lines in place)
            own = groups[around] == number
            found[around] |= own & ~crowded[around] & is_isolated(plane[around], deviation[around], own, threshold)
    return found


def is_isolated(plane: Plane, deviation: Plane, own: Mask, threshold: float) -> bool:
    """Whether a speck differs from all pixels around it, and none of these deviates, except other specks.

    Args:
        plane: (h, w), the speck and its surroundings.
        deviation: (h, w), from the medians.
        own: (h, w), the pixels of the speck.
        threshold: the deviation of an outlier.
    """
    peak = np.argmax(np.where(own, deviation, 0))
    strength, level = float(deviation.flat[peak]), float(plane.flat[peak])
    ring = ~own & (deviation < max(SIMILAR_DEVIATION * strength, threshold))
    allowed = max(MAX_SURROUNDING_DEVIATION * strength, NOISE_DEVIATION * threshold)
    nearest = float(np.abs(plane[ring] - level).min(initial=1))
    return nearest >= MIN_NEIGHBOUR_STEP * strength and float(deviation[ring].max(initial=0)) <= allowed


def touches_border(place: tuple[slice, ...], size: tuple[int, ...]) -> bool:
    """Whether a place lies at the border of a plane of (height, width), where a median has few pixels to go by."""
    return any(lines.start == 0 or lines.stop == length for lines, length in zip(place, size, strict=True))


def least_outlying_deviation(plane: Plane) -> float:
    """The deviation from the median of 5 x 5 pixels from which a pixel of (H, W) is an outlier."""
    step = max(1, int((plane.size / SAMPLED_PIXELS) ** 0.5))
    chosen = np.zeros(plane.shape, dtype=bool)
    chosen[step // 2 :: step, step // 2 :: step] = True
    common = float(np.quantile(np.abs(plane[chosen] - medians(plane, *np.nonzero(chosen))), COMMON_SHARE))
    return max(MIN_DEVIATION, MIN_OUTLYINGNESS * common)


def small_details(plane: Plane) -> Plane:
    """How far each pixel of (H, W) rises above the opening, or falls below the closing, by 4 x 4 pixels."""
    from scipy.ndimage import grey_closing, grey_opening

    side = MAX_SPECK_SIDE + 1
    return np.asarray(np.maximum(plane - grey_opening(plane, side), grey_closing(plane, side) - plane))


def deviation_near(plane: Plane, wanted: Mask) -> Plane:
    """The distance of each pixel of (H, W) from the median of 5 x 5 pixels, near the wanted ones; 0 elsewhere."""
    from scipy.ndimage import maximum_filter

    rows, columns = np.nonzero(maximum_filter(wanted, 4 * MEDIAN_REACH + 1))
    deviation = np.zeros_like(plane)
    deviation[rows, columns] = np.abs(plane[rows, columns] - medians(plane, rows, columns))
    return deviation


def medians(plane: Plane, rows: npt.NDArray[np.intp], columns: npt.NDArray[np.intp]) -> Plane:
    """The medians of 5 x 5 pixels of (H, W) around some of them, (n,); the border mirrors the plane.

    Args:
        plane: (H, W).
        rows: (n,) of the pixels.
        columns: (n,).
    """
    side = 2 * MEDIAN_REACH + 1
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(plane, MEDIAN_REACH, mode="symmetric"), (side, side))
    values = windows[rows, columns].reshape(len(rows), side * side)
    return np.partition(values, side * side // 2, axis=1)[:, side * side // 2]


def filled_by_median(picture: Picture, bad: Mask) -> Picture:
    """A picture whose bad values are replaced by the median of the good ones among 5 x 5 pixels.

    Args:
        picture: (C, H, W).
        bad: of the same shape.

    Example:
        >>> picture = np.full((1, 20, 20), 0.5, dtype=np.float32)
        >>> picture[0, 4, 7] = 1
        >>> float(filled_by_median(picture, bad_pixels(picture)).max())
        0.5
    """
    filled, side = picture.copy(), 2 * MEDIAN_REACH + 1
    around = [(0, 0), *[(MEDIAN_REACH, MEDIAN_REACH)] * 2]
    good = np.pad(np.where(bad, np.nan, picture), around, mode="symmetric")
    for channel, row, column in np.argwhere(bad):
        filled[channel, row, column] = np.nanmedian(good[channel, row : row + side, column : column + side])
    return filled
