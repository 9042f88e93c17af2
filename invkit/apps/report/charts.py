"""Line charts inside a page. Matplotlib draws them as SVG; the page's style sheet sets their colours and dashes."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Sequence
from io import BytesIO
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias
from xml.etree import ElementTree

from ...media.animation import evenly
from ...media.figures import load_matplotlib

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["Chart", "Points", "Series", "line_chart", "look_class", "ratio_chart"]

Points: TypeAlias = Sequence[tuple[float, float]]

CHART_WIDTH, CHART_HEIGHT = 360, 210  # units of the drawing, about pixels
AXES_PLACE = (60 / CHART_WIDTH, 36 / CHART_HEIGHT, 292 / CHART_WIDTH, 164 / CHART_HEIGHT)
MAX_LINE_POINTS = 160  # of a line; a screen shows no more
MAX_DOTS = 12  # lines of so few points show each point as a dot
MAX_TICKS = 5
RATIO_LIMITS = (1, 6)  # the error ratios of the field's usual chart
SMALLEST_LOG = 1e-300  # a logarithmic axis needs larger values
SETTINGS: Any = {  # of Matplotlib
    "svg.fonttype": "none",  # texts stay texts
    "text.parse_math": False,  # names may contain $
    **dict.fromkeys(("axes.spines.left", "axes.spines.right", "axes.spines.top", "xtick.bottom", "ytick.left"), False),
    **{"grid.alpha": 0.3, "grid.color": "black", "grid.linewidth": 0.7, "lines.linewidth": 1.8},
    **{"axes.unicode_minus": False, "lines.solid_capstyle": "butt"},
}


class Series(NamedTuple):
    """A line: its name, its look (a number that `look_class` makes a colour and a dash), and its points."""

    name: str
    look: int
    points: Points


class Chart(NamedTuple):
    """A drawn chart: its title, a description in words, the elements of its SVG, and the series that the key lists."""

    title: str
    about: str
    svg: str
    key: Sequence[Series]
    width: int = CHART_WIDTH
    height: int = CHART_HEIGHT


def look_class(look: int) -> str:
    """The classes in the style sheet of a method's colour and dash."""
    return f"c{look % 7} d{look // 7 % 3}"


def line_chart(
    title: str,
    labels: tuple[str, str],
    series: Iterable[Series],
    *,
    rules: Sequence[tuple[float, str]] = (),
    log: bool = False,
    keyed: bool = True,
) -> Chart | None:
    """A chart of lines. Points that are not finite are left out; None if no points are left.

    Args:
        title: of the chart.
        labels: of the horizontal and the vertical axis.
        series: the lines.
        rules: the place of each vertical line on the horizontal axis, and its text.
        log: use a logarithmic vertical axis if all values are positive.
        keyed: list the names below the chart.
    """
    finite = [Series(s.name, s.look, [point for point in s.points if all(map(math.isfinite, point))]) for s in series]
    lines = [Series(s.name, s.look, evenly(s.points, MAX_LINE_POINTS)) for s in finite if s.points]
    if not lines:
        return None

    def draw(axes: Axes) -> None:
        for line in lines:
            draw_series(axes, line)
        axes.margins(x=0, y=0.06)
        values = [y for line in lines for _, y in line.points]
        if log and min(values) > SMALLEST_LOG:
            use_decades(axes, values)
        low, high = axes.get_xlim()
        draw_rules(axes, [rule for rule in rules if low < rule[0] < high])

    texts = [f"{labels[1]} against {labels[0]}."]
    for line in lines:
        (x, first), (end, last) = line.points[0], line.points[-1]
        texts.append(f"{line.name}: from {first:.4g} at {x:g} to {last:.4g} at {end:g}.")
    return Chart(title, " ".join(texts), drawing(draw, labels), lines if keyed else ())


def ratio_chart(title: str, label: str, series: Sequence[Series]) -> Chart | None:
    """The share of runs with an error ratio of at most r, for r from 1 to 6; None without series.

    Args:
        title: of the chart.
        label: name of the ratio.
        series: lines that rise in steps, their points (ratio, per cent).
    """

    def draw(axes: Axes) -> None:
        for line in series:
            axes.step(*zip(*line.points, strict=True), where="post", color="black", gid=look_class(line.look))
        axes.set(xlim=RATIO_LIMITS, ylim=(0, 102), yticks=range(0, 101, 20))
        axes.yaxis.set_major_formatter("{x:.0f}%")
        draw_rules(axes, [(2, ""), (3, "")])

    texts = ["Share of runs whose error ratio is at most r."]
    for line in series:
        shares = [f"{max((y for x, y in line.points if x <= r), default=0):.0f}% at {r}" for r in (2, 3)]
        texts.append(f"{line.name}: {', '.join(shares)}.")
    labels = f"{label} r", "runs with a ratio of at most r"
    return Chart(title, " ".join(texts), drawing(draw, labels), series) if series else None


def draw_series(axes: Axes, line: Series) -> None:
    """Draw a line, and dots if it has few points."""
    look = look_class(line.look)
    axes.plot(*zip(*line.points, strict=True), color="black", gid=look, clip_on=False)
    if len(line.points) <= MAX_DOTS:  # short round lines, because markers need unique ids
        dots = zip(*[pair for point in line.points for pair in (point, point, (math.nan, math.nan))], strict=True)
        axes.plot(*dots, color="black", linewidth=5, solid_capstyle="round", gid=look.split()[0], clip_on=False)


def use_decades(axes: Axes, values: Sequence[float]) -> None:
    """Make the vertical axis logarithmic. It spans at least one decade, so that it has ticks."""
    from matplotlib.ticker import LogLocator, NullLocator

    low, high = math.log10(min(values)), math.log10(max(values))
    margin = max(0.0, 1 - (high - low)) / 2 + 0.04
    axes.set(yscale="log", ylim=(10 ** (low - margin), 10 ** (high + margin)))
    axes.yaxis.set_major_locator(LogLocator(numticks=MAX_TICKS))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter("{x:g}")


def draw_rules(axes: Axes, rules: Sequence[tuple[float, str]]) -> None:
    """Draw vertical lines with texts at their top, in three rows so that neighbours do not overlap."""
    for number, (place, text) in enumerate(rules):
        axes.axvline(place, color="black", linewidth=0.8, dashes=(2, 3), clip_on=False)
        at = (place, 1 - 0.07 * (number % 3))
        axes.annotate(text, at, (4, 0), axes.get_xaxis_transform(), "offset points", va="top", annotation_clip=False)


def drawing(draw: Callable[[Axes], None], labels: tuple[str, str]) -> str:
    """The SVG elements of a chart; ``draw`` draws the lines on its axes."""
    load_matplotlib()
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    with mpl.rc_context(SETTINGS):
        figure = Figure(figsize=(CHART_WIDTH / 72, CHART_HEIGHT / 72))  # Matplotlib's SVG has 72 units an inch
        FigureCanvasSVG(figure)
        axes = figure.add_axes(AXES_PLACE)
        axes.xaxis.set_major_locator(MaxNLocator(MAX_TICKS, steps=[1, 2, 5, 10], integer=True))
        axes.yaxis.set_major_locator(MaxNLocator(MAX_TICKS - 1, steps=[1, 2, 5, 10]))
        draw(axes)
        axes.grid(axis="y")
        axes.set(xlabel=labels[0], ylabel=labels[1])
        axes.yaxis.set_label_coords(-50 / 292, 0.5)
        for patch in (figure.patch, axes.patch):
            patch.set_visible(False)
        return inline_svg(figure)


def inline_svg(figure: Figure) -> str:
    """The SVG elements of a figure for use inside HTML.

    Black becomes ``currentColor``. Fonts, ids, definitions and clipping are removed, because they would apply to, or
    could collide with, the rest of the page. An artist's gid becomes a class. Coordinates are rounded to 0.1.
    """
    buffer = BytesIO()
    figure.savefig(buffer, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    root = ElementTree.fromstring(buffer.getvalue())
    for element in root.iter():
        found = dict(element.attrib)
        style = [part.strip() for part in found.pop("style", "").split(";") if "font" not in part]
        path = " ".join(found.pop("d", "").split())
        found["class"] = gid if re.fullmatch(r"c\d( d\d)?", gid := found.pop("id", "")) else ""
        found["style"] = ";".join(style).replace("#000000", "currentColor")
        found["d"] = re.sub(r"\d+\.\d+", lambda number: f"{float(number[0]):.1f}", path)
        found.pop("clip-path", None)
        element.attrib = {name: value for name, value in found.items() if value}
        element.tag = element.tag.rpartition("}")[2]
        element.text, element.tail = element.text if element.tag == "text" else None, None
    return "".join(ElementTree.tostring(child, encoding="unicode") for child in root if child.tag == "g")
