"""Names beside lines and points, instead of a legend."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

from .style import Look

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["label_ends", "label_points", "overlap", "spread", "within"]

Box: TypeAlias = tuple[float, float, float, float]
LINE = 11.5  # points, from one name to the next
LETTER = 4.6  # points, about the width of one at the size of labels
PLACES: tuple[tuple[int, int, str], ...] = (
    *((6, 0, "left"), (6, 8, "left"), (6, -8, "left"), (-6, 0, "right")),
    *((-6, 8, "right"), (-6, -8, "right"), (0, 10, "center"), (0, -10, "center")),
)


def label_ends(
    figure: Figure, axes: Axes, ends: Mapping[str, float], looks: Mapping[str, Look], texts: Mapping[str, str]
) -> None:
    """Names at the right of the lines that end at heights ``ends``, in data units, with a thin line to each.

    They keep the order of the heights, for equal heights that of ``ends``, the first being the highest.
    """
    low, high = axes.get_ylim()
    tall = figure.get_size_inches()[1] * 72 * axes.get_position().height  # points
    order = sorted(ends, key=lambda name: ends[name], reverse=True)[::-1]  # of equals the first stays above
    heights = [(ends[name] - low) / (high - low) for name in order]
    for name, height, place in zip(order, heights, within(spread(heights, LINE / tall), LINE / tall), strict=True):
        axes.annotate(
            texts[name],
            xy=(1, height),
            xytext=(1.045, place),
            xycoords="axes fraction",
            textcoords="axes fraction",
            va="center",
            fontsize=8,
            color=looks[name].color,
            annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": looks[name].color, "linewidth": 0.6, "shrinkA": 1, "shrinkB": 1}
            | {"relpos": (0, 0.5)},
        )


def spread(places: Sequence[float], gap: float) -> list[float]:
    """The ascending places moved as little as may be (least squares) so that neighbours are ``gap`` apart.

    Neighbours too close are pooled into blocks, as in isotonic regression.
    """
    blocks: list[list[float]] = []
    for i, place in enumerate(places):
        blocks.append([place - i * gap])
        while len(blocks) > 1 and mean(blocks[-2]) > mean(blocks[-1]):
            last = blocks.pop()
            blocks[-1].extend(last)
    level = [mean(block) for block in blocks for _ in block]
    return [height + i * gap for i, height in enumerate(level)]


def within(places: Sequence[float], gap: float) -> list[float]:
    """The ascending places moved below one, as far as that is needed, and still ``gap`` apart."""
    last = len(places) - 1
    return [min(place, 1 - (last - i) * gap) for i, place in enumerate(places)]


def mean(values: Sequence[float]) -> float:
    """The mean."""
    return sum(values) / len(values)


def label_points(
    figure: Figure,
    axes: Axes,
    clouds: Mapping[str, npt.NDArray[np.float64]],
    style: Mapping[str, Look],
    texts: Mapping[str, str],
) -> None:
    """Names beside medians, each on the side where it is least in the way of crosses and earlier names."""
    figure.draw_without_rendering()
    scale = 72 / figure.dpi
    crosses = {label: in_points(axes, cloud) * scale for label, cloud in clouds.items()}
    left, low, right, high = np.asarray(axes.bbox.extents, dtype=float) * scale
    taken = [arm for cross in crosses.values() for arm in arms(cross)]
    for label in sorted(crosses, key=lambda name: float(crosses[name][1, 1])):
        boxes = [box_of(crosses[label][1], place, texts[label]) for place in PLACES]
        costs = [
            sum(overlap(box, other) for other in taken) + 10 * sticking_out(box, (left, low, right, high))
            for box in boxes
        ]
        best = int(np.argmin(costs))
        taken.append(boxes[best])
        across, up, side = PLACES[best]
        axes.annotate(
            texts[label],
            tuple(np.median(clouds[label], axis=0)),
            xytext=(across, up),
            textcoords="offset points",
            ha=side,
            va="center",
            fontsize=8,
            color=style[label].color,
        )


def in_points(axes: Axes, cloud: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """(3, 2): where lower quartile, median and upper quartile are drawn, pixels."""
    return np.asarray(axes.transData.transform(np.percentile(cloud, (25, 50, 75), axis=0)))


def arms(cross: npt.NDArray[np.float64]) -> list[Box]:
    """The room that a cross takes: its marker and its two lines, points."""
    (left, low), (x, y), (right, high) = cross.tolist()
    return [(x - 4, y - 4, x + 4, y + 4), (left, y - 1, right, y + 1), (x - 1, low, x + 1, high)]


def sticking_out(box: Box, frame: Box) -> float:
    """The area of a box beyond a frame."""
    whole = (box[2] - box[0]) * (box[3] - box[1])
    return whole - overlap(box, frame)


def box_of(point: Sequence[float], place: tuple[int, int, str], text: str) -> Box:
    """Where a name would be, points: left, bottom, right, top."""
    right, up, side = place
    wide, x, y = LETTER * len(text), point[0] + right, point[1] + up
    left = {"left": x, "right": x - wide, "center": x - wide / 2}[side]
    return (left, y - 5, left + wide, y + 5)


def overlap(one: Box, other: Box) -> float:
    """The area that two boxes share."""
    wide = min(one[2], other[2]) - max(one[0], other[0])
    tall = min(one[3], other[3]) - max(one[1], other[1])
    return max(wide, 0) * max(tall, 0)
