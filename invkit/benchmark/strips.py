"""Figures of pictures: the recipes' results side by side with a part enlarged, and their kernels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from .records import MetricOf, Named, Record, Store
from .scenes import Choice, Samples, Window, busiest, of_case
from .style import GREY, SMALL, blank

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["arranged", "centred", "draw_kernel", "draw_picture", "figure_of", "kernel_figure", "strip_figure"]

Picture = npt.NDArray[np.floating]
ACROSS = 6  # pictures in a row
TILE = 2.0  # inches, the width of one
GAP = 0.06
HEAD = 0.36  # inches above a picture, for its name
TIMES = " × "  # noqa: RUF001
TOP = 0.3  # inches, of the headline
GIVEN = ("blurry", "sharp")  # the pictures that no recipe has made
TRUE = "true"  # the kernel that none has
MARK = "#F0E442"  # the frame of what is enlarged; yellow shows on light and dark


@dataclass(frozen=True)
class Tile:
    """A picture with its name and figure; without a picture, what there is to say instead."""

    name: str
    about: str
    picture: Picture | None


def strip_figure(
    store: Store, dataset: Named, metric: MetricOf | None, choice: Choice, samples: Samples
) -> Figure | None:
    """The results of all recipes for a case, and below each the same part enlarged; None without any result.

    The part is where the sharp picture, or without that the first result, has the most gradient energy.
    """
    tiles = tiles_of(store, dataset.label, metric, choice.case, samples)
    pictures = [tile.picture for tile in tiles if tile.picture is not None and tile.name not in GIVEN]
    if not pictures:
        return None
    truth = next((tile.picture for tile in tiles if tile.name == GIVEN[1]), None)
    reference = pictures[0] if truth is None else truth
    height, width = reference.shape[:2]
    return drawn_strips(dataset, choice, tiles, busiest(reference), height / width)


def tiles_of(store: Store, dataset: str, metric: MetricOf | None, case: str, samples: Samples) -> list[Tile]:
    """The recipes' results, then what they were made from, where it is known."""
    results = of_case(store, dataset, case)
    tiles = [Tile(recipe, figure_of(record, metric), record.picture()) for recipe, record in results.items()]
    sample = samples.of(case)
    if sample is None:
        return tiles
    truth = [] if sample.truth is None else [Tile(GIVEN[1], "", middle(sample.truth, sample.image.shape))]
    return [Tile(GIVEN[0], "", sample.image), *tiles, *truth]


def middle(picture: Picture, shape: tuple[int, ...]) -> Picture:
    """The middle of a picture that is larger than another, of that one's height and width, as metrics lay them."""
    top, left = (max(0, mine - its) // 2 for mine, its in zip(picture.shape[:2], shape[:2], strict=True))
    return picture[top : top + shape[0], left : left + shape[1]]


def figure_of(record: Record, metric: MetricOf | None) -> str:
    """A result's figure in words, as "33.07 dB"; of a failed one its error."""
    if not record.done:
        return record.error.partition(":")[0] or record.status
    if metric is None or metric.label not in record.metrics:
        return ""
    value = record.metrics[metric.label]
    return f"{value:.2f} {metric.unit}" if metric.unit else f"{value:.3f}"


def drawn_strips(dataset: Named, choice: Choice, tiles: Sequence[Tile], window: Window, shape: float) -> Figure:
    """Rows of pictures, each with a row of enlarged parts below."""
    from matplotlib.figure import Figure

    rows, columns = arranged(len(tiles))
    heights = [HEAD, TILE * shape, GAP, TILE] * rows
    figure = Figure(figsize=(columns * (TILE + GAP), sum(heights) + TOP))
    top = 1 - TOP / (sum(heights) + TOP)
    grid = figure.add_gridspec(
        len(heights), columns, height_ratios=heights, hspace=0, wspace=GAP / TILE, left=0, right=1, bottom=0, top=top
    )
    headline(figure, dataset.heading, choice.words())
    for place, tile in enumerate(tiles):
        row, column = divmod(place, columns)
        whole = figure.add_subplot(grid[4 * row + 1, column])
        part = figure.add_subplot(grid[4 * row + 3, column])
        draw_tile(whole, part, tile, window)
    return figure


def arranged(count: int) -> tuple[int, int]:
    """Rows and columns for so many pictures, the rows about equally full."""
    rows = -(-count // ACROSS)
    return rows, -(-count // rows)


def headline(figure: Figure, title: str, about: str) -> None:
    """The dataset, and below it, small, what there is to say of the figure; takes `TOP` inches."""
    height = figure.get_size_inches()[1]
    figure.text(0, 1, title, fontsize=10, fontweight="bold", va="top")
    figure.text(0, 1 - 0.19 / height, about, fontsize=SMALL, color=GREY, va="top")


def draw_tile(whole: Axes, part: Axes, tile: Tile, window: Window) -> None:
    """A picture with the frame of what is enlarged, and the enlarged part."""
    from matplotlib.patches import Rectangle

    name_above(whole, tile.name, tile.about)
    if tile.picture is None:
        blank(whole, "no picture")
        blank(part)
        return
    draw_picture(whole, tile.picture)
    top, left, height, width = window.pixels(*tile.picture.shape[:2])
    frame = Rectangle((left - 0.5, top - 0.5), width, height, fill=False, edgecolor=MARK, linewidth=1.2)
    whole.add_patch(frame)
    draw_picture(part, window.cut(tile.picture), smooth=True)
    for spine in part.spines.values():
        spine.set(visible=True, edgecolor=MARK, linewidth=1.2)


def name_above(axes: Axes, name: str, about: str) -> None:
    """A name to the left and a figure to the right, a line lower where both are long."""
    long = len(name) + len(about) > 26
    axes.set_title(f"{name}\n" if long else name, fontsize=8, loc="left", pad=3)
    axes.set_title(about, fontsize=SMALL, loc="right", fontweight="normal", color="0.25", pad=3)


def draw_picture(axes: Axes, picture: Picture, *, smooth: bool = False) -> None:
    """A picture in its own tones: black is 0, white is 1; enlarged, with smooth steps from pixel to pixel."""
    how = "lanczos" if smooth else "antialiased"
    axes.imshow(np.clip(picture, 0, 1), cmap="gray", vmin=0, vmax=1, interpolation=how, aspect="auto")
    axes.set(xticks=[], yticks=[])
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)


def kernel_figure(store: Store, dataset: Named, choices: Sequence[Choice], samples: Samples) -> Figure | None:
    """A row of kernels for each case, each centred and scaled to its own maximum; None where there are none.

    Those of a case are shown at one size of pixels, so that their extents compare.
    """
    rows = {choice: kernels_of(store, dataset.label, choice.case, samples) for choice in choices}
    rows = {choice: kernels for choice, kernels in rows.items() if set(kernels) - {TRUE}}
    if not rows:
        return None
    names = [name for name in (TRUE, *(r.label for r in store.recipes)) if any(name in k for k in rows.values())]
    return drawn_kernels(dataset, rows, names)


def kernels_of(store: Store, dataset: str, case: str, samples: Samples) -> dict[str, npt.NDArray[np.float64]]:
    """The kernels of a case by recipe, and the "true" one where it is known."""
    sample = samples.of(case)
    truth = {} if sample is None or sample.kernel is None else {TRUE: np.asarray(sample.kernel, dtype=np.float64)}
    found = {recipe: record.kernel() for recipe, record in of_case(store, dataset, case).items()}
    return truth | {recipe: kernel for recipe, kernel in found.items() if kernel is not None}


def drawn_kernels(
    dataset: Named, rows: Mapping[Choice, Mapping[str, npt.NDArray[np.float64]]], names: Sequence[str]
) -> Figure:
    """The figure of `kernel_figure`."""
    from matplotlib.figure import Figure

    tile = 1.15
    height = 1.16 * tile * len(rows) + TOP + 0.25
    figure = Figure(figsize=(tile * len(names) + 0.2, height))
    grid = figure.add_gridspec(
        len(rows), len(names), wspace=0.06, hspace=0.12, left=0, right=1, bottom=0, top=1 - (TOP + 0.25) / height
    )
    headline(figure, dataset.heading, "each kernel centred, its maximum white")
    for row, (choice, kernels) in enumerate(rows.items()):
        side = max(max(centred(kernel).shape) for kernel in kernels.values())
        for column, name in enumerate(names):
            axes = figure.add_subplot(grid[row, column])
            if name in kernels:
                draw_kernel(axes, kernels[name], side)
            else:
                blank(axes, "none")
            if row == 0:
                axes.set_title(name, fontsize=8, loc="center", fontweight="bold", pad=4)
            if column == 0:
                axes.text(
                    -0.08,
                    0.5,
                    f"{choice.case}\n{choice.why}".strip(),
                    rotation=90,
                    ha="right",
                    va="center",
                    multialignment="center",
                    transform=axes.transAxes,
                    fontsize=SMALL,
                    color=GREY,
                )
    return figure


def draw_kernel(axes: Axes, kernel: npt.NDArray[np.float64], side: int) -> None:
    """A kernel in the middle of a square of ``side`` pixels, with its size below."""
    height, width = kernel.shape
    axes.imshow(padded(centred(kernel), side), cmap="gray", vmin=0, interpolation="nearest")
    axes.set(xticks=[], yticks=[])
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    axes.text(
        0.96,
        0.04,
        f"{height}{TIMES}{width}",
        transform=axes.transAxes,
        ha="right",
        va="bottom",
        fontsize=6,
        color="0.8",
    )


def centred(kernel: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """A kernel in a square a little larger than it is, its centre of mass in the middle; empty borders are cut."""
    mass = np.clip(np.nan_to_num(kernel), 0, None)
    if mass.sum() == 0:
        return kernel
    ys, xs = np.nonzero(mass > 0.01 * mass.max())
    y, x = (round(float((np.indices(mass.shape)[axis] * mass).sum() / mass.sum())) for axis in (0, 1))
    reach = 1 + max(y - ys.min(), ys.max() - y, x - xs.min(), xs.max() - x)
    wide = np.pad(mass, reach)
    return np.asarray(wide[y : y + 2 * reach + 1, x : x + 2 * reach + 1])


def padded(square: npt.NDArray[np.float64], side: int) -> npt.NDArray[np.float64]:
    """A square in the middle of a larger one."""
    before = (side - square.shape[0]) // 2
    return np.pad(square, (before, side - square.shape[0] - before))
