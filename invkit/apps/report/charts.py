"""Curves as the page draws them, in SVG: everything is computed here, and the template only writes it down."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

import numpy as np

__all__ = ["Chart", "Series", "chart", "cumulative_chart", "evenly"]

Points: TypeAlias = Sequence[tuple[float, float]]
T = TypeVar("T")

WIDTH, HEIGHT = 360.0, 210.0  # of the drawing, in its own units, about pixels
LEFT, RIGHT, TOP, BOTTOM = 60.0, 8.0, 10.0, 36.0  # around the axes
MOST_POINTS = 160  # of a line: more cannot be seen
MOST_TICKS = 5
STEP_RATIOS = (1.0, 6.0)  # between which error ratios are drawn, as the field does


@dataclass(frozen=True)
class Series:
    """A line to draw: its name, its look (an index that goes through the page), and its points."""

    name: str
    look: int
    points: Points


@dataclass(frozen=True)
class Line:
    """A line as it is drawn: ``path`` is SVG's, ``dots`` are centres of points that must be seen."""

    name: str
    look: int
    path: str
    dots: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True)
class Tick:
    """A place on an axis, in the drawing's units, and its text."""

    at: float
    text: str


@dataclass(frozen=True)
class Rule:
    """A vertical line, and what begins there."""

    at: float
    text: str


@dataclass(frozen=True)
class Chart:
    """A drawing of lines.

    Attributes:
        about: what one would see, for those who do not.
        keyed: whether the names of the lines are to be shown.
    """

    title: str
    about: str
    x_label: str
    y_label: str
    lines: tuple[Line, ...]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    rules: tuple[Rule, ...] = ()
    keyed: bool = True
    width: float = WIDTH
    height: float = HEIGHT
    left: float = LEFT
    right: float = WIDTH - RIGHT
    top: float = TOP
    bottom: float = HEIGHT - BOTTOM


@dataclass(frozen=True)
class Axis:
    """From values to places, linear or logarithmic."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def at(self, value: float) -> float:
        """Where a value is drawn."""
        low, high, here = (math.log10(v) if self.log else v for v in (self.low, self.high, value))
        return round(self.start + (self.end - self.start) * (here - low) / (high - low), 1)

    def ticks(self) -> tuple[Tick, ...]:
        """Round numbers within the axis."""
        from matplotlib.ticker import LogLocator, MaxNLocator

        locator = LogLocator(numticks=MOST_TICKS) if self.log else MaxNLocator(MOST_TICKS - 1, steps=[1, 2, 5, 10])
        values = [float(v) for v in locator.tick_values(self.low, self.high)]
        slack = 1e-9 * (self.high - self.low)
        inside = [value for value in values if self.low - slack <= value <= self.high + slack]
        return tuple(Tick(self.at(value), text) for value, text in zip(inside, texts(inside), strict=True))


def texts(values: Sequence[float]) -> list[str]:
    """Numbers with as few digits as tell them apart."""
    told = [[short(value, digits) for value in values] for digits in range(3, 17)]
    return next((each for each in told if len(set(each)) == len(each)), told[-1])


def short(value: float, digits: int) -> str:
    """A number of so many digits, its power of ten without zeros and plus."""
    mantissa, sign, exponent = f"{value:.{digits}g}".partition("e")
    return f"{mantissa}e{int(exponent)}" if sign else mantissa


def chart(
    title: str,
    x_label: str,
    y_label: str,
    series: Iterable[Series],
    *,
    rules: Sequence[tuple[float, str]] = (),
    log: bool = False,
    keyed: bool = True,
) -> Chart | None:
    """The chart of some lines; points that are not finite are left out, and None is given where none is left.

    Args:
        title: above it.
        x_label: of the axis to the right.
        y_label: of the axis upwards.
        series: the lines.
        rules: vertical lines, with what begins at each.
        log: whether the values are on a logarithmic scale, if all are positive.
        keyed: whether names are shown.
    """
    lines = [Series(each.name, each.look, evenly(finite(each.points), MOST_POINTS)) for each in series]
    lines = [each for each in lines if each.points]
    if not lines:
        return None
    values = [y for each in lines for _, y in each.points]
    x_axis = Axis(*widened([x for each in lines for x, _ in each.points], 0), LEFT, WIDTH - RIGHT)
    logarithmic = log and min(values) > 0
    y_axis = Axis(*limits(values, logarithmic), HEIGHT - BOTTOM, TOP, logarithmic)
    return Chart(
        title=title,
        about=f"{y_label} against {x_label}. " + " ".join(map(told, lines)),
        x_label=x_label,
        y_label=y_label,
        lines=tuple(drawn(each, x_axis, y_axis) for each in lines),
        x_ticks=x_axis.ticks(),
        y_ticks=y_axis.ticks(),
        rules=tuple(Rule(x_axis.at(x), text) for x, text in rules if x_axis.low < x < x_axis.high),
        keyed=keyed,
    )


def finite(points: Points) -> Points:
    """Those whose numbers are finite."""
    return [(x, y) for x, y in points if math.isfinite(x) and math.isfinite(y)]


def evenly(items: Sequence[T], most: int) -> list[T]:
    """At most so many of the items, spread over them, the first and the last among them."""
    if len(items) <= most:
        return list(items)
    return [items[int(place)] for place in np.linspace(0, len(items) - 1, most)]


def widened(values: Sequence[float], share: float) -> tuple[float, float]:
    """Least and largest with a share of room beyond; never the same."""
    low, high = min(values), max(values)
    room = share * (high - low) if high > low else abs(high) / 10 or 1.0
    return low - room, high + room


def limits(values: Sequence[float], log: bool) -> tuple[float, float]:
    """The ends of the axis upwards; of a logarithmic one at least a decade apart, so that it has ticks."""
    if not log:
        return widened(values, 0.06)
    low, high = math.log10(min(values)), math.log10(max(values))
    missing = max(0.0, 1 - (high - low)) / 2 + 0.04
    return 10 ** (low - missing), 10 ** (high + missing)


def told(series: Series) -> str:
    """A line in words."""
    (x, first), (end, last) = series.points[0], series.points[-1]
    return f"{series.name}: from {first:.4g} at {x:g} to {last:.4g} at {end:g}."


def drawn(series: Series, x_axis: Axis, y_axis: Axis) -> Line:
    """A line in its place; of few points each is a dot too."""
    places = tuple((x_axis.at(x), y_axis.at(y)) for x, y in series.points)
    path = "M" + "L".join(f"{x:g} {y:g}" for x, y in places)
    return Line(series.name, series.look, path, places if len(places) <= 12 else ())


def cumulative_chart(title: str, label: str, series: Sequence[Series]) -> Chart | None:
    """Shares of runs by error ratio, from 1 to 6: each line's points are its corners, the shares in per cent."""
    if not series:
        return None
    x_axis, y_axis = Axis(*STEP_RATIOS, LEFT, WIDTH - RIGHT), Axis(0, 102, HEIGHT - BOTTOM, TOP)
    shares = range(0, 101, 20)
    return Chart(
        title=title,
        about="Share of runs whose error ratio is at most r. " + " ".join(map(told_shares, series)),
        x_label=f"{label} r",
        y_label="runs with a ratio of at most r",
        lines=tuple(Line(each.name, each.look, steps(each.points, x_axis, y_axis)) for each in series),
        x_ticks=x_axis.ticks(),
        y_ticks=tuple(Tick(y_axis.at(share), f"{share}%") for share in shares),
        rules=tuple(Rule(x_axis.at(ratio), "") for ratio in (2.0, 3.0)),
    )


def told_shares(series: Series) -> str:
    """A cumulative line in words: its shares at the ratios that the field counts."""
    shares = [f"{max((y for x, y in series.points if x <= r), default=0):.0f}% at {r}" for r in (2, 3)]
    return f"{series.name}: {', '.join(shares)}."


def steps(points: Points, x_axis: Axis, y_axis: Axis) -> str:
    """The path of a line that rises in steps."""
    places = [(x_axis.at(x), y_axis.at(y)) for x, y in points]
    moves = [f"H{x:g}V{y:g}" for x, y in places[1:]]
    return f"M{places[0][0]:g} {places[0][1]:g}" + "".join(moves)
