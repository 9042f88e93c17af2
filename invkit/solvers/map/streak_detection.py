"""Light streaks of a blurry picture: small lamps on dark surroundings, which draw the blur kernel."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from ...numerics.geometry import Size

__all__ = ["Floats32", "LightMeter", "Mask", "Streak", "find_streaks"]

Floats32: TypeAlias = npt.NDArray[np.float32]
Mask: TypeAlias = npt.NDArray[np.bool_]
Window: TypeAlias = tuple[slice, slice]
Value = TypeVar("Value", np.float32, np.int32)

STREAK_LEVELS = (0.04, 0.06, 0.09, 0.13, 0.19, 0.27, 0.4, 0.6)  # above the surroundings, in [0, 1] units with gamma
LEVEL_NOISE_FACTOR = 6.0  # times the noise: lower levels are not used
DETECTION_SIGMA = 0.7  # of the Gaussian against noise, pixels
MIN_STREAK_AREA = 6  # pixels
MIN_STREAK_EXTENT = 5  # pixels: a smaller blur is easier to find by other methods
MIN_PEAK = 2.0  # times the level: a streak stands out, texture does not
MIN_STREAK_CONTRAST = 3.0  # of a streak's linear light to that of its surroundings
MAX_BRIGHTER_SHARE = 0.1  # of the picture: nothing but lamps may be brighter than the rest
MAX_PART_AREA = 0.6  # of the area of a component, for a part of it to count as another streak
MAX_SATURATED_PART = 0.02  # of a streak's pixels in a channel, if another channel has less of them
PATCH_MARGIN = 3  # pixels around the frame, for the faint ends of a streak
RIM = 2  # pixels beyond a component that belong to its streak
RING_WIDTH = 4  # pixels beyond these that count as surroundings
MIN_RING_PIXELS = 8
MAX_STREAKS = 60  # the brightest


@dataclass(frozen=True)
class Streak:
    """A bright isolated shape.

    Attributes:
        place: (row, column) in the picture of the middle pixel of its patch.
        own: the pixels above the level that found it, (h, w).
        shape: its linear light above that of its surroundings, zero elsewhere, (h, w).
        channels: whose light is used, (C,), bool: those that are hardly saturated.
        length: area by the square of the width: how many times longer than wide.
        peak: (row, column) in the picture of its brightest pixel.
    """

    place: tuple[int, int]
    own: Mask
    shape: Floats32
    channels: Mask
    length: float
    peak: tuple[int, int]

    def contains(self, pixel: tuple[int, int]) -> bool:
        """Whether a pixel (row, column) of the picture belongs to the streak."""
        row, column = (p - c + side // 2 for p, c, side in zip(pixel, self.place, self.own.shape, strict=True))
        return 0 <= row < self.own.shape[0] and 0 <= column < self.own.shape[1] and bool(self.own[row, column])

    @property
    def sharpness(self) -> float:
        """The inverse of the number of pixels over which the light is spread: larger for smaller lamps."""
        return float(np.square(self.shape).sum() / self.shape.sum() ** 2)


@dataclass(frozen=True)
class LightMeter:
    """Linear light and saturation around any pixel of a picture.

    Attributes:
        picture: (C, H + 2 h, W + 2 w) in [0, 1], with a border that repeats the edge pixels.
        patch: (h, w), odd.
        gamma: exponent that makes the picture linear.
        saturation: value of the picture from which a pixel is saturated.
    """

    picture: Floats32
    patch: Size
    gamma: float
    saturation: float

    @classmethod
    def of(cls, data: Floats32, frame: Size, gamma: float, saturation: float) -> LightMeter:
        """Prepare a picture.

        Args:
            data: (C, H, W) in [0, 1].
            frame: (h, w) into which a streak must fit.
            gamma: exponent that makes the picture linear.
            saturation: value from which a pixel is saturated.
        """
        height, width = ((side + 2 * PATCH_MARGIN) | 1 for side in frame)
        padded = np.pad(data, ((0, 0), (height, height), (width, width)), mode="edge")
        return cls(padded, (height, width), gamma, saturation)

    @property
    def size(self) -> Size:
        """(H, W) of the picture."""
        return self.picture.shape[1] - 2 * self.patch[0], self.picture.shape[2] - 2 * self.patch[1]

    def around(self, place: tuple[int, int], more: int = 0) -> tuple[Floats32, Mask]:
        """Linear light and saturation of the patch around a pixel, both (C, h + 2 more, w + 2 more)."""
        window = tuple(
            slice(c + side - side // 2 - more, c + side + side // 2 + 1 + more)
            for c, side in zip(place, self.patch, strict=True)
        )
        part = self.picture[(slice(None), *window)]
        return part**self.gamma, part >= self.saturation

    def inside(self, place: tuple[int, int]) -> Mask:
        """Which pixels of the patch around a pixel lie in the picture, (h, w)."""
        rows, columns = (
            (np.arange(side) + c - side // 2 >= 0) & (np.arange(side) + c - side // 2 < whole)
            for c, side, whole in zip(place, self.patch, self.size, strict=True)
        )
        return np.asarray(rows[:, None] & columns)


def find_streaks(data: Floats32, meter: LightMeter, frame: Size) -> list[Streak]:
    """The light streaks of a picture, the brightest first.

    The picture is compared with its morphological opening by the frame, which removes everything that fits into it.
    Connected components of the difference above several levels, from the lowest, are streaks if they fit into the
    frame, do not touch the border, are brighter than nine tenths of the picture, and are several times brighter than
    their surroundings. A part of a component above a higher level is another one if it is much smaller, since lamps
    near each other are one component at a low level.

    Args:
        data: (C, H, W) in [0, 1].
        meter: of the same picture.
        frame: (h, w) into which a streak must fit; no larger than the picture.
    """
    value = data.max(axis=0)
    raised, noise = raised_above_surroundings(value, frame)
    bright = float(np.quantile(value, 1 - MAX_BRIGHTER_SHARE))
    areas = np.zeros(value.shape, dtype=np.int32)  # of the smallest component found so far at each pixel
    found: list[Streak] = []
    for level in (level for level in STREAK_LEVELS if level >= LEVEL_NOISE_FACTOR * noise):
        for labels, number, box in components(raised, value, level, bright, frame):
            own = labels[box] == number
            area, known = int(own.sum()), int(areas[box][own].max())
            is_part = known > 0 and area > MAX_PART_AREA * known
            if is_part or raised[box][own].max() < MIN_PEAK * level:
                continue
            streak = measured_streak(labels, number, box, raised, meter)
            if streak is not None:
                areas[box][own] = area
                found.append(streak)
    return sorted(found, key=lambda streak: -float(streak.shape.sum()))[:MAX_STREAKS]


def raised_above_surroundings(value: Floats32, frame: Size) -> tuple[Floats32, float]:
    """How far a picture (H, W) is above its opening by a frame, and the standard deviation of its noise."""
    from scipy.ndimage import gaussian_filter, maximum_filter, minimum_filter

    smooth = gaussian_filter(value, DETECTION_SIGMA)
    window = tuple(side + 2 * RIM for side in frame)
    opened = maximum_filter(minimum_filter(smooth, window), window)
    return smooth - opened, 1.4826 * float(np.median(np.abs(value - smooth)))


def components(
    raised: Floats32, value: Floats32, level: float, bright: float, frame: Size
) -> Iterator[tuple[npt.NDArray[np.int32], int, Window]]:
    """The bright connected components above a level that fit into the frame.

    Args:
        raised: (H, W), of `raised_above_surroundings`.
        value: (H, W), the picture.
        level: of ``raised``.
        bright: the least mean value of a component.
        frame: (h, w), pixels.

    Yields:
        The labels of all components, the label of one of them, and its bounding box.
    """
    from scipy.ndimage import find_objects, label

    labels, count = label(raised > level, structure=np.ones((3, 3)))
    areas = np.bincount(labels.ravel(), minlength=count + 1)
    means = np.bincount(labels.ravel(), weights=value.ravel(), minlength=count + 1) / np.maximum(areas, 1)
    wanted = (areas >= MIN_STREAK_AREA) & (means >= bright)
    for index, box in enumerate(find_objects(labels)):
        if wanted[index + 1] and fits(box, frame, value.shape):
            yield labels, index + 1, box


def fits(box: Window, frame: Size, size: tuple[int, ...]) -> bool:
    """Whether a bounding box fits into a frame, is not tiny, and does not touch the border of the picture.

    Args:
        box: rows and columns.
        frame: (h, w).
        size: (H, W) of the picture.
    """
    sides = [part.stop - part.start for part in box]
    is_inside = all(part.start > 0 and part.stop < whole for part, whole in zip(box, size, strict=True))
    return is_inside and max(sides) >= MIN_STREAK_EXTENT and sides[0] <= frame[0] and sides[1] <= frame[1]


def measured_streak(
    labels: npt.NDArray[np.int32], number: int, box: Window, raised: Floats32, meter: LightMeter
) -> Streak | None:
    """The streak of a component; None if its surroundings are hidden or not dark enough.

    Args:
        labels: (H, W), of all components.
        number: of the component.
        box: its bounding box.
        raised: (H, W), of `raised_above_surroundings`.
        meter: of the picture.
    """
    from scipy.ndimage import distance_transform_cdt

    place = ((box[0].start + box[0].stop - 1) // 2, (box[1].start + box[1].stop - 1) // 2)
    around, inside = patch_of(labels, place, meter.patch), meter.inside(place)
    own = around == number
    near, ring = surroundings_of(own, (around > 0) & ~own, inside)
    light, saturated = meter.around(place)
    channels = usable_channels(saturated[:, own])
    total = light[channels].sum(axis=0)
    if ring.sum() < MIN_RING_PIXELS or np.median(total[own]) < MIN_STREAK_CONTRAST * np.median(total[ring]):
        return None
    shape = np.where(near & inside, np.clip(total - np.median(total[ring]), 0, None), 0).astype(np.float32)
    width = 2 * int(distance_transform_cdt(own).max()) - 1
    highest = np.unravel_index(np.where(own, patch_of(raised, place, meter.patch), -1).argmax(), own.shape)
    row, column = (int(at) + c - side // 2 for at, c, side in zip(highest, place, meter.patch, strict=True))
    return Streak(place, own, shape, channels, float(own.sum()) / width**2, (row, column))


def surroundings_of(own: Mask, others: Mask, inside: Mask) -> tuple[Mask, Mask]:
    """The pixels of a streak with its faint rim, and a ring around them without other components, both (h, w).

    Args:
        own: pixels of the component, (h, w).
        others: pixels of other components, (h, w).
        inside: which pixels lie in the picture, (h, w).
    """
    from scipy.ndimage import binary_dilation

    square = np.ones((3, 3))
    near = binary_dilation(own, square, iterations=RIM)
    taken = near | binary_dilation(others, square, iterations=RIM)
    return near, binary_dilation(near, square, iterations=RING_WIDTH) & ~taken & inside


def usable_channels(saturated: Mask) -> Mask:
    """Which channels show the profile of a streak: those that are hardly saturated, else the least saturated one.

    Args:
        saturated: (C, n), of the streak's pixels.
    """
    share = saturated.mean(axis=1)
    return np.asarray(share <= max(MAX_SATURATED_PART, float(share.min())))


def patch_of(plane: npt.NDArray[Value], place: tuple[int, int], patch: Size) -> npt.NDArray[Value]:
    """The patch (h, w) of a plane (H, W) around a pixel, zero beyond the border.

    Args:
        plane: (H, W).
        place: (row, column) of the patch's middle pixel.
        patch: (h, w), odd.
    """
    result = np.zeros(patch, dtype=plane.dtype)
    low = [max(0, c - side // 2) for c, side in zip(place, patch, strict=True)]
    high = [min(whole, c + side // 2 + 1) for c, side, whole in zip(place, patch, plane.shape, strict=True)]
    to = [slice(a - c + side // 2, b - c + side // 2) for a, b, c, side in zip(low, high, place, patch, strict=True)]
    result[to[0], to[1]] = plane[low[0] : high[0], low[1] : high[1]]
    return result
