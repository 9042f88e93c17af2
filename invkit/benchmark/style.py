"""The appearance of figures: one colour for each recipe in all figures, and coloured names beside the axes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..media.figures import load_matplotlib

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    from .records import DatasetResults, SuiteItem

__all__ = ["MUTED_GREY", "RECIPE_COLORS", "RECIPE_MARKERS", "SMALL_FONT_SIZE", "Look", "add_legend", "blank", "headed",
           "looks", "named_figure", "plain_axes", "save_figure", "styled", "without_axes"]  # fmt: skip

RECIPE_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""The colours of Okabe and Ito, which colour-blind readers can distinguish, without the yellow, which is faint."""
RECIPE_LINES: tuple[Any, ...] = ("-", (0, (4, 1.5)), (0, (1, 1.2)))  # used when the colours repeat
RECIPE_MARKERS = "osD^vPX"
MUTED_GREY = "0.45"  # grey of secondary texts
SMALL_FONT_SIZE = 7.5  # points


@dataclass(frozen=True)
class Look:
    """The colour, the line style and the marker of a recipe."""

    color: str
    line: Any
    marker: str


def looks(recipes: Sequence[SuiteItem]) -> dict[str, Look]:
    """The look of each recipe of a suite, by its label, the same in all figures."""
    colors, lines, markers = len(RECIPE_COLORS), len(RECIPE_LINES), len(RECIPE_MARKERS)
    return {
        recipe.label: Look(
            RECIPE_COLORS[i % colors], RECIPE_LINES[i // colors % lines], RECIPE_MARKERS[(i + i // colors) % markers]
        )
        for i, recipe in enumerate(recipes)
    }


@contextmanager
def styled() -> Iterator[None]:
    """The settings of Matplotlib for these figures, during a ``with`` statement."""
    load_matplotlib()
    import matplotlib as mpl

    with mpl.rc_context(fname=Path(__file__).with_name("figures.mplstyle")):
        yield


def save_figure(figure: Figure, path: Path) -> Path:
    """Write a figure as PNG and as SVG beside it; ``path`` has no suffix. Returns the PNG file."""
    for kind in ("svg", "png"):
        file = path.with_name(f"{path.name}.{kind}")
        about = {"Date": None} if kind == "svg" else None  # a date would change the file each time
        figure.savefig(file, dpi=200, facecolor="white", metadata=about, bbox_inches="tight", pad_inches=0.12)
    return file


def headed(axes: Axes, title: str, about: str) -> None:
    """Write a bold title, and below it a small remark.

    Args:
        axes: the axes.
        title: the title.
        about: the remark.
    """
    axes.set_title(title, pad=18)
    place: dict[str, Any] = {"xycoords": "axes fraction", "xytext": (0, 6), "textcoords": "offset points"}
    axes.annotate(about, (0, 1), **place, fontsize=SMALL_FONT_SIZE, color=MUTED_GREY)


def named_figure(size: tuple[float, float], results: DatasetResults, about: str) -> Figure:
    """A figure of pictures with a headline.

    Args:
        size: width and height without the headline, inches.
        results: the results, whose dataset is named.
        about: the contents.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(size[0], size[1] + 0.3), layout="constrained")
    figure.suptitle(f"{results.dataset.heading}: {about}", x=0, ha="left", fontsize=9, fontweight="bold")
    return figure


def plain_axes(axes: Axes, x: str, y: str) -> None:
    """Name the axes, and remove the marks of the ticks.

    Args:
        axes: the axes.
        x: name of the horizontal axis.
        y: name of the vertical axis.
    """
    axes.set(xlabel=x, ylabel=y)
    axes.tick_params(length=0, which="both")


def add_legend(axes: Axes, lines: Sequence[Line2D]) -> None:
    """Name labelled lines to the right of the axes, in their colours, in the order of their last points."""
    ordered = sorted(lines, key=lambda line: float(line.get_ydata()[-1]), reverse=True)  # type: ignore[index,arg-type]
    axes.legend(
        handles=ordered, loc="upper left", bbox_to_anchor=(1.01, 1.02), labelcolor="linecolor", handlelength=1.6
    )


def without_axes(axes: Axes) -> None:
    """Remove ticks, grid and frame, as for a picture."""
    axes.set(xticks=[], yticks=[])
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)


def blank(axes: Axes, text: str = "") -> None:
    """An empty place for a picture, with a text in it."""
    axes.set_axis_off()
    place: dict[str, Any] = {"ha": "center", "va": "center", "transform": axes.transAxes}
    axes.text(0.5, 0.5, text, **place, color=MUTED_GREY, fontsize=SMALL_FONT_SIZE, wrap=True)
