"""The figure of scaling.py: seconds against pixels and against the kernel's side, both axes logarithmic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from scaling import KERNEL, LARGEST, by_kernel, by_pixels, exponent, names

from invkit.benchmark.style import MUTED_GREY, RECIPE_COLORS, RECIPE_MARKERS, add_legend, headed, plain_axes, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Row: TypeAlias = dict[str, Any]
Over: TypeAlias = Literal["side", "kernel"]

PARTS = {
    "iteration": "One iteration of a solver",
    "block": "Building blocks",
    "recipe": "Whole recipes (dashed: their stages)",
}
SIZE = (9.6, 10.4)  # inches
SHARES = (0.05, 0.95)  # of a recipe's seconds at the largest size; stages between these shares have their own lines


@dataclass(frozen=True)
class Line:
    """One line.

    Attributes:
        what: the workload.
        sizes: of photograph or kernel, pixels along the side.
        seconds: at each.
        stage: of a recipe; empty for the whole recipe.
    """

    what: str
    sizes: list[int]
    seconds: list[float]
    stage: str = ""

    def text(self, over: Over) -> str:
        """The name and the exponent, for the legend."""
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
        figure = Figure(figsize=SIZE, layout="constrained")
        panels = figure.subplots(len(PARTS), 2)
        for (left, right), (part, title) in zip(panels, PARTS.items(), strict=True):
            rows = [row for row in report["rows"] if row["part"] == part]
            draw_panel(left, rows, "side")
            draw_panel(right, rows, "kernel")
            headed(left, title, f"kernel of {KERNEL} px; n: pixels, exponents of the {LARGEST} largest")
            headed(right, " ", f"{photographs(rows)}; k: kernel's side")
        file.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(file, dpi=150, facecolor="white")


def draw_panel(axes: Axes, rows: Sequence[Row], over: Over) -> None:
    """One pair of axes with a legend."""
    lines, styles, drawn = lines_of(rows, over), styles_of(rows), []
    for line in lines:
        color, marker = styles[line.what]
        look: dict[str, Any] = (
            {"marker": "", "linestyle": (0, (3, 1.5)), "linewidth": 1.1} if line.stage else {"marker": marker}
        )
        look |= {"color": color, "markersize": 4, "markeredgewidth": 0.8, "label": line.text(over)}
        drawn += axes.plot(line.sizes, line.seconds, **look)
    axes.set_xscale("log", base=2 if over == "side" else 10)
    axes.set_yscale("log")
    ticks = sorted({size for line in lines for size in line.sizes})
    axes.set_xticks(ticks, [f"{n}²" if over == "side" else str(n) for n in ticks])
    axes.minorticks_off()
    seconds_axis(axes)
    plain_axes(axes, "pixels" if over == "side" else "kernel's side, px", "seconds")
    add_legend(axes, drawn)


def styles_of(rows: Sequence[Row]) -> dict[str, tuple[str, str]]:
    """Colour and marker of each workload, the same in both panels; grey follows the colours."""
    colors = [*RECIPE_COLORS, MUTED_GREY]
    return {
        what: (colors[i % len(colors)], RECIPE_MARKERS[i % len(RECIPE_MARKERS)]) for i, what in enumerate(names(rows))
    }


def seconds_axis(axes: Axes) -> None:
    """Plain numbers, at 1, 2 and 5 times the powers of ten if there is space."""
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
    """The sizes of the photographs while kernels vary, as a text."""
    sides: dict[int, list[str]] = {}
    for what in names(rows):
        for row in by_kernel(rows, what)[:1]:
            sides.setdefault(row["side"], []).append(what)
    most = max(sides, key=lambda side: len(sides[side]))
    others = [f"{', '.join(whats)} {side}²" for side, whats in sides.items() if side != most]
    return "; ".join([f"{most}² pixels", *others])
