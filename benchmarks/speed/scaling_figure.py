"""The figure of scaling.py: seconds against pixels and against the kernel's side, both axes logarithmic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from scaling import KERNEL, LARGEST, by_kernel, by_pixels, exponent, names

from invkit.benchmark.labels import spread, within
from invkit.benchmark.style import COLORS, GREY, MARKERS, SMALL, plain_axes, styled, titles

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Row: TypeAlias = dict[str, Any]
Over: TypeAlias = Literal["side", "kernel"]

PARTS = {
    "iteration": "One iteration of a solver",
    "block": "Building blocks",
    "recipe": "Whole recipes (dashed: their stages)",
}
SIZE = (9.6, 10.4)  # inches
LINE = 11.5  # points, from one name to the next
SHARES = (0.05, 0.95)  # of a recipe's seconds at the largest size: stages between them have lines of their own


@dataclass(frozen=True)
class Line:
    """One line.

    Attributes:
        what: the workload.
        sizes: of photograph or kernel, pixels along the side.
        seconds: at each.
        stage: of a recipe, or nothing for the whole.
    """

    what: str
    sizes: list[int]
    seconds: list[float]
    stage: str = ""

    def text(self, over: Over) -> str:
        """The name, with the exponent: the legend."""
        if over == "side":
            slope, unit = exponent([n**2 for n in self.sizes[-LARGEST:]], self.seconds[-LARGEST:]), "n"
        else:
            slope, unit = exponent(self.sizes, self.seconds), "k"
        name = self.stage or self.what
        return name if slope is None else f"{name}  ${unit}^{{{slope:.2f}}}$"


def draw(report: Mapping[str, Any], file: Path) -> None:
    """Write the figure: a row for each part, pixels on the left and kernels on the right."""
    from matplotlib.figure import Figure

    with styled():
        figure = Figure(figsize=SIZE)
        figure.subplots_adjust(left=0.07, right=0.84, top=0.945, bottom=0.05, hspace=0.42, wspace=0.72)
        panels = figure.subplots(len(PARTS), 2)
        for (left, right), (part, title) in zip(panels, PARTS.items(), strict=True):
            rows = [row for row in report["rows"] if row["part"] == part]
            panel(figure, left, rows, "side")
            panel(figure, right, rows, "kernel")
            titles(left, title, f"kernel of {KERNEL} px; n: pixels, exponents of the {LARGEST} largest")
            titles(right, " ", f"{photographs(rows)}; k: kernel's side")
        file.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(file, dpi=150, facecolor="white")


def panel(figure: Figure, axes: Axes, rows: Sequence[Row], over: Over) -> None:
    """One pair of axes, with the names beside the lines."""
    lines, styles = lines_of(rows, over), styles_of(rows)
    for line in lines:
        color, marker = styles[line.what]
        look = {"marker": "", "linestyle": (0, (3, 1.5)), "linewidth": 1.1} if line.stage else {"marker": marker}
        axes.plot(line.sizes, line.seconds, color=color, markersize=4, markeredgewidth=0.8, **look)
    axes.set_xscale("log", base=2 if over == "side" else 10)
    axes.set_yscale("log")
    ticks = sorted({size for line in lines for size in line.sizes})
    axes.set_xticks(ticks, [f"{n}²" if over == "side" else str(n) for n in ticks])
    axes.minorticks_off()
    seconds_axis(axes)
    plain_axes(axes, "pixels" if over == "side" else "kernel's side, px", "seconds")
    label(figure, axes, lines, {line.what: styles[line.what][0] for line in lines}, over)


def styles_of(rows: Sequence[Row]) -> dict[str, tuple[str, str]]:
    """Colour and marker of each workload, the same in both panels; beyond the colours there is grey."""
    colors = [*COLORS, GREY]
    return {what: (colors[i % len(colors)], MARKERS[i % len(MARKERS)]) for i, what in enumerate(names(rows))}


def seconds_axis(axes: Axes) -> None:
    """Plain numbers, at 1, 2 and 5 times the powers of ten where there is room."""
    from matplotlib.ticker import LogLocator

    low, high = axes.get_ylim()
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if high / low < 300 else (1.0,)))
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")


def lines_of(rows: Sequence[Row], over: Over) -> list[Line]:
    """The lines of a panel: every workload that varies there, each followed by its stages."""
    chosen = {what: (by_pixels if over == "side" else by_kernel)(rows, what) for what in names(rows)}
    lines = []
    for what, own in chosen.items():
        if own:
            sizes = [row[over] for row in own]
            lines.append(Line(what, sizes, [row["seconds"] for row in own]))
            lines += [
                Line(what, sizes, [row["stages"][stage] for row in own], stage)
                for stage, seconds in own[-1].get("stages", {}).items()
                if SHARES[0] < seconds / own[-1]["seconds"] < SHARES[1]
            ]
    return lines


def photographs(rows: Sequence[Row]) -> str:
    """The sizes of the photographs while kernels vary, in words; of two sizes which is whose."""
    sides: dict[int, list[str]] = {}
    for what in names(rows):
        for row in by_kernel(rows, what)[:1]:
            sides.setdefault(row["side"], []).append(what)
    most = max(sides, key=lambda side: len(sides[side]))
    others = [f"{', '.join(whats)} {side}²" for side, whats in sides.items() if side != most]
    return "; ".join([f"{most}² pixels", *others])


def label(figure: Figure, axes: Axes, lines: Sequence[Line], colors: Mapping[str, str], over: Over) -> None:
    """Names at the right, in the order of the lines' ends; those of lines that end earlier above their ends."""
    from matplotlib.patheffects import withStroke

    last, halo = max(line.sizes[-1] for line in lines), withStroke(linewidth=2.5, foreground="white")
    for line in lines:
        if line.sizes[-1] < last:
            above: dict[str, Any] = {
                "xytext": (4, 6),
                "textcoords": "offset points",
                "ha": "right",
                "path_effects": [halo],
            }
            end = (line.sizes[-1], line.seconds[-1])
            axes.annotate(line.text(over), end, **above, fontsize=SMALL + 0.5, color=colors[line.what])
    tall = figure.get_size_inches()[1] * 72 * axes.get_position().height  # points
    to_axes = axes.transScale + axes.transLimits
    there = [line for line in lines if line.sizes[-1] == last]
    ends = [to_axes.transform((last, line.seconds[-1])) for line in there]
    order = sorted(range(len(there)), key=lambda i: float(ends[i][1]))
    places = within(spread([float(ends[i][1]) for i in order], LINE / tall), LINE / tall)
    for i, place in zip(order, places, strict=True):
        beside(axes, there[i].text(over), (ends[i], (1.06, place)), colors[there[i].what])


def beside(axes: Axes, text: str, places: tuple[Sequence[float], Sequence[float]], color: str) -> None:
    """A name at the second place, a thin line to it from the first; both as shares of the axes."""
    axes.annotate(
        text,
        xy=places[0],
        xytext=places[1],
        xycoords="axes fraction",
        textcoords="axes fraction",
        va="center",
        fontsize=SMALL + 0.5,
        color=color,
        annotation_clip=False,
        arrowprops={"arrowstyle": "-", "color": GREY, "linewidth": 0.4, "shrinkA": 1, "shrinkB": 2}
        | {"relpos": (0, 0.5)},
    )
