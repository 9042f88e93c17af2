"""Figures of single cases: the images with a part enlarged, the kernels, and the snapshots and losses of a solve."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..core.evaluation import Floats
from ..media.kernels import centred_kernel, padded_kernel, size_text
from .records import DatasetResults, MetricInfo, Record
from .result_files import read_kernel_file, read_picture
from .scenes import Choice, DatasetSamples, PictureWindow, busiest, cropped_to_shape
from .style import MUTED_GREY, RECIPE_COLORS, SMALL_FONT_SIZE, blank, looks, named_figure, plain_axes, without_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

__all__ = ["kernel_figure", "record_text", "snapshot_figure", "strip_figure"]

Kernel = npt.NDArray[np.float64]
MAX_COLUMNS = 6  # pictures in a row
LOSS_PANELS = 4  # in a row
TILE_WIDTH, KERNEL_WIDTH = 2.0, 1.15  # inches, of a picture and of a kernel in a row
NAME_HEIGHT = 0.36  # inches above a picture, for its name
KERNEL_INSET = 0.3  # side of the kernel in the corner of a picture, as a share of the picture's width
BLURRY, SHARP, TRUE_KERNEL = "blurry", "sharp", "true"  # the pictures and the kernel of the dataset
FRAME: dict[str, Any] = {"edgecolor": "#F0E442", "linewidth": 1.2}  # of the enlarged part; visible on light and dark


class PictureTile(NamedTuple):
    """A picture with its name and a remark, and perhaps a kernel; the picture is None if there is no file."""

    name: str
    about: str
    picture: Floats | None
    kernel: Kernel | None = None


def strip_figure(
    results: DatasetResults, metric: MetricInfo | None, choice: Choice, samples: DatasetSamples
) -> Figure | None:
    """The results of all recipes for a case, and below each the same part enlarged; None without any result.

    The part is where the sharp picture has the highest gradient energy; without it, the first result decides.

    Args:
        results: on the dataset.
        metric: whose value is shown, or None.
        choice: the case.
        samples: the data of the dataset.
    """
    records, sample = results.of_case(choice.case), samples.of(choice.case)
    tiles = [PictureTile(recipe, record_text(one, metric), one.picture()) for recipe, one in records.items()]
    reference = next((tile.picture for tile in tiles if tile.picture is not None), None)
    if reference is None:
        return None
    if sample is not None:
        tiles.insert(0, PictureTile(BLURRY, "", sample.image))
    if sample is not None and sample.truth is not None:
        reference = cropped_to_shape(sample.truth, sample.image.shape)
        tiles.append(PictureTile(SHARP, "", reference))
    (rows, columns), shape = balanced_rows(len(tiles)), reference.shape[0] / reference.shape[1]
    figure = named_figure(
        (TILE_WIDTH * columns, rows * (NAME_HEIGHT + TILE_WIDTH * (shape + 1))), results, choice.text()
    )
    panels = figure.subplots(2 * rows, columns, squeeze=False, height_ratios=[shape, 1] * rows)
    window = busiest(reference)
    for place in range(rows * columns):
        row, column = divmod(place, columns)
        pair = panels[2 * row, column], panels[2 * row + 1, column]
        if place < len(tiles):
            draw_strip(pair, tiles[place], window)
        else:
            blank(pair[0])
            blank(pair[1])
    return figure


def record_text(record: Record, metric: MetricInfo | None) -> str:
    """The value of a result, as "33.07 dB"; the error of a failed one."""
    if not record.done:
        return record.error.partition(":")[0] or record.status
    return metric_text(record.metrics, metric)


def metric_text(values: Mapping[str, float], metric: MetricInfo | None) -> str:
    """The value of a metric with its unit; empty if there is none."""
    if metric is None or metric.label not in values:
        return ""
    return f"{values[metric.label]:.2f} {metric.unit}" if metric.unit else f"{values[metric.label]:.3f}"


def balanced_rows(count: int) -> tuple[int, int]:
    """Rows and columns for a number of pictures, all rows about equally full."""
    rows = -(-count // MAX_COLUMNS)
    return rows, -(-count // rows)


def draw_strip(pair: tuple[Axes, Axes], tile: PictureTile, window: PictureWindow) -> None:
    """A picture with a frame around the enlarged part, and that part.

    Args:
        pair: axes of the picture and of the part.
        tile: the picture.
        window: the part.
    """
    from matplotlib.patches import Rectangle

    draw_tile(pair[0], tile)
    if tile.picture is None:
        blank(pair[1])
        return
    top, left, height, width = window.pixels(*tile.picture.shape[:2])
    pair[0].add_patch(Rectangle((left - 0.5, top - 0.5), width, height, fill=False, **FRAME))
    show_picture(pair[1], window.cut(tile.picture)).set_interpolation("lanczos")
    pair[1].spines[:].set(visible=True, **FRAME)


def draw_tile(axes: Axes, tile: PictureTile) -> None:
    """A picture with its name on the left above it, the remark on the right, and its kernel in the corner."""
    long = len(tile.name) + len(tile.about) > 26
    axes.set_title(f"{tile.name}\n" if long else tile.name, fontsize=8, loc="left", pad=3)
    axes.set_title(tile.about, fontsize=SMALL_FONT_SIZE, loc="right", fontweight="normal", color="0.25", pad=3)
    if tile.picture is None:
        blank(axes, "no picture")
        return
    show_picture(axes, tile.picture)
    if tile.kernel is not None:
        height = KERNEL_INSET * tile.picture.shape[1] / tile.picture.shape[0]
        inset = axes.inset_axes((1 - KERNEL_INSET, 0, KERNEL_INSET, height))
        inset.imshow(tile.kernel, cmap="gray", vmin=0, interpolation="nearest", aspect="auto")
        without_axes(inset)
        inset.spines[:].set(visible=True, color="0.6", linewidth=0.6)


def show_picture(axes: Axes, picture: Floats) -> AxesImage:
    """A picture (H, W) or (H, W, 3) in its own tones: 0 is black, 1 is white."""
    without_axes(axes)
    return axes.imshow(np.clip(picture, 0, 1), cmap="gray", vmin=0, vmax=1, aspect="auto")


def kernel_figure(results: DatasetResults, choices: Sequence[Choice], samples: DatasetSamples) -> Figure | None:
    """A row of kernels for each case, each kernel centred and scaled to its own maximum; None without any kernel.

    The kernels of a case have one pixel size, so that their extents can be compared.

    Args:
        results: on the dataset.
        choices: the cases.
        samples: the data of the dataset, for the true kernels.
    """
    rows: dict[Choice, dict[str, Kernel]] = {}
    for choice in choices:
        estimated = {recipe: record.kernel() for recipe, record in results.of_case(choice.case).items()}
        kernels = {recipe: kernel for recipe, kernel in estimated.items() if kernel is not None}
        sample = samples.of(choice.case)
        if kernels and sample is not None and sample.kernel is not None:
            kernels[TRUE_KERNEL] = np.asarray(sample.kernel, dtype=np.float64)
        rows |= {choice: kernels} if kernels else {}
    if not rows:
        return None
    order = (TRUE_KERNEL, *(recipe.label for recipe in results.suite.recipes))
    names = [name for name in order if any(name in kernels for kernels in rows.values())]
    size = KERNEL_WIDTH * len(names), KERNEL_WIDTH * len(rows) + 0.25
    figure = named_figure(size, results, "each kernel centred, its maximum white")
    panels = figure.subplots(len(rows), len(names), squeeze=False)
    for row, (choice, kernels) in zip(panels, rows.items(), strict=True):
        side = max(max(centred_kernel(kernel).shape) for kernel in kernels.values())
        for axes, name in zip(row, names, strict=True):
            draw_kernel(axes, kernels.get(name), side)
        beside: dict[str, Any] = {"rotation": 90, "ha": "right", "va": "center", "multialignment": "center"}
        name, font = f"{choice.case}\n{choice.why}".strip(), {"fontsize": SMALL_FONT_SIZE, "color": MUTED_GREY}
        row[0].text(-0.08, 0.5, name, transform=row[0].transAxes, **beside, **font)
    for axes, name in zip(panels[0], names, strict=True):
        axes.set_title(name, fontsize=8, loc="center", fontweight="bold", pad=4)
    return figure


def draw_kernel(axes: Axes, kernel: Kernel | None, side: int) -> None:
    """A kernel in the centre of a square, with its size; a text if there is none.

    Args:
        axes: the axes.
        kernel: (h, w), or None.
        side: of the square, pixels.
    """
    if kernel is None:
        blank(axes, "none")
        return
    axes.imshow(padded_kernel(centred_kernel(kernel), side), cmap="gray", vmin=0, interpolation="nearest")
    without_axes(axes)
    size = size_text(*kernel.shape)
    axes.text(0.96, 0.04, size, transform=axes.transAxes, ha="right", va="bottom", fontsize=6, color="0.8")


def snapshot_figure(record: Record, results: DatasetResults, metric: MetricInfo | None) -> Figure | None:
    """The image and kernel of a recipe during its solve, and below them the loss and the metric over the iterations.

    None if no snapshot has a picture.

    Args:
        record: the result of the recipe.
        results: on the same dataset.
        metric: whose values are shown, or None.
    """
    tiles = [
        PictureTile(
            f"iteration {taken.iteration}",
            metric_text(taken.metrics, metric),
            read_picture(taken.picture),
            None if taken.kernel is None else read_kernel_file(taken.kernel),
        )
        for taken in record.snapshots
        if taken.picture is not None
    ]
    if not tiles:
        return None
    result, text = record.picture(), record_text(record, metric)
    tiles.append(PictureTile(f"result ({record.iterations})", text, result, record.kernel()))
    rows, columns = balanced_rows(len(tiles))
    height = TILE_WIDTH * (1.0 if result is None else result.shape[0] / result.shape[1]) + NAME_HEIGHT
    figure = named_figure((TILE_WIDTH * columns, rows * height + 2), results, f"{record.recipe}, {record.case}")
    above, below = figure.subfigures(2, 1, height_ratios=[rows * height, 2], squeeze=False)[:, 0]
    panels = above.subplots(rows, columns, squeeze=False).ravel()
    for axes, tile in zip(panels, tiles, strict=False):
        draw_tile(axes, tile)
    for axes in panels[len(tiles) :]:
        blank(axes)
    losses, values = below.subplots(1, 2)
    draw_losses(losses, [record])
    plain_axes(losses, "iteration", "loss")
    points = metric_curve(record, metric)
    if points:
        values.plot(*zip(*points, strict=True), color=RECIPE_COLORS[1], marker="o", markersize=4)
    plain_axes(values, "iteration", metric.titled if metric else "")
    for axes in (losses, values):
        for taken in record.snapshots:
            axes.axvline(taken.iteration, color=MUTED_GREY, linewidth=0.6, linestyle=":", zorder=0)
        axes.set_xlim(0, None)
    return figure


def loss_figure(results: DatasetResults, choice: Choice) -> Figure | None:
    """The losses of a case, one panel for each recipe, as losses of two recipes do not compare; None without any."""
    runs: dict[str, list[Record]] = {}
    for record in results.records:
        if record.case == choice.case and record.history:
            runs.setdefault(record.recipe, []).append(record)
    if not runs:
        return None
    columns, style = min(LOSS_PANELS, len(runs)), looks(results.suite.recipes)
    rows = -(-len(runs) // columns)
    figure = named_figure((2.35 * columns, 1.75 * rows), results, choice.text())
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for place, (label, records) in enumerate(runs.items()):
        panels[place].set_prop_cycle(color=[style[label].color])
        draw_losses(panels[place], records)
        panels[place].set_title(label, fontsize=8, color=style[label].color)
        is_lowest = place >= len(runs) - columns
        plain_axes(panels[place], "iteration" if is_lowest else "", "" if place % columns else "loss")
    for empty in panels[len(runs) :]:
        empty.remove()
    return figure


def draw_losses(axes: Axes, records: Sequence[Record]) -> None:
    """The losses of each seed, on a logarithmic scale if all of them are positive."""
    for record in records:
        few = "." if len(record.history) < 3 else ""
        alpha = 1.0 if len(records) == 1 else 0.6
        axes.plot(*loss_curve(record), linewidth=1.0, alpha=alpha, marker=few)
    if all(np.nanmin(record.history, initial=np.inf) > 0 for record in records):
        axes.set_yscale("log")
    axes.tick_params(labelsize=SMALL_FONT_SIZE)


def loss_curve(record: Record) -> tuple[npt.NDArray[np.int64], Sequence[float]]:
    """The iterations, counted from 1, and the losses of a run."""
    return 1 + record.history_every * np.arange(len(record.history)), record.history


def metric_curve(record: Record, metric: MetricInfo | None) -> list[tuple[int, float]]:
    """Iterations and finite values of the snapshots and of the result."""
    if metric is None:
        return []
    values = [(taken.iteration, taken.metrics) for taken in record.snapshots]
    values += [] if record.iterations is None else [(record.iterations, record.metrics)]
    found = {iteration: metrics[metric.label] for iteration, metrics in values if metric.label in metrics}
    return sorted((iteration, value) for iteration, value in found.items() if np.isfinite(value))
