"""How figures look: one colour a recipe through all of them, names beside the lines, nothing that is not needed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from .records import Named

__all__ = ["GREY", "SMALL", "Look", "blank", "looks", "plain_axes", "save", "styled", "titles"]

COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Okabe and Ito's colours, which the colour-blind can tell apart, but for the yellow, which is faint on white."""
LINES: tuple[Any, ...] = ("-", (0, (4, 1.5)), (0, (1, 1.2)))  # when the colours are used up
MARKERS = "osD^vPX"
GREY = "0.45"
SMALL = 7.5  # points
FORMATS = ("png", "svg")
STYLE: Mapping[str, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],  # comes with Matplotlib, so that figures are the same everywhere
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelcolor": "0.25",
    "axes.edgecolor": "0.5",
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "0.9",
    "grid.linewidth": 0.6,
    "xtick.color": "0.35",
    "ytick.color": "0.35",
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "lines.linewidth": 1.6,
    "svg.fonttype": "none",  # texts stay texts
    "svg.hashsalt": "invkit",  # the same figure gives the same file
}


@dataclass(frozen=True)
class Look:
    """A recipe's colour, kind of line and marker."""

    color: str
    line: Any
    marker: str


def looks(recipes: Sequence[Named]) -> dict[str, Look]:
    """The look of each recipe of a suite, the same in all its figures."""
    count = len(COLORS)
    return {
        recipe.label: Look(COLORS[i % count], LINES[i // count % len(LINES)], MARKERS[(i + i // count) % len(MARKERS)])
        for i, recipe in enumerate(recipes)
    }


@contextmanager
def styled() -> Iterator[None]:
    """Matplotlib's settings for these figures; its own are back afterwards."""
    import matplotlib as mpl

    settings: Any = dict(STYLE)
    with mpl.rc_context(settings):
        yield


def save(figure: Figure, path: Path) -> list[Path]:
    """Write a figure as PNG and SVG beside each other; ``path`` is without suffix. Needs no display."""
    written = []
    for kind in FORMATS:
        file = path.with_name(f"{path.name}.{kind}")
        about = {"Date": None} if kind == "svg" else None  # a date would change the file each time
        figure.savefig(file, dpi=200, facecolor="white", metadata=about, bbox_inches="tight", pad_inches=0.12)
        written.append(file)
    return written


def titles(axes: Axes, title: str, about: str) -> None:
    """A bold title, and below it, small, what there is to say of the figure."""
    axes.set_title(title, pad=18)
    axes.annotate(
        about, (0, 1), xycoords="axes fraction", xytext=(0, 6), textcoords="offset points", fontsize=SMALL, color=GREY
    )


def plain_axes(axes: Axes, x: str, y: str) -> None:
    """Names of the axes, no ticks' marks."""
    axes.set(xlabel=x, ylabel=y)
    axes.tick_params(length=0, which="both")


def blank(axes: Axes, text: str = "") -> None:
    """An empty place for a picture, with a word in it."""
    axes.set_axis_off()
    axes.text(0.5, 0.5, text, ha="center", va="center", transform=axes.transAxes, color=GREY, fontsize=SMALL, wrap=True)
