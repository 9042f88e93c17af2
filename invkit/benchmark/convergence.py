"""Figures of what happens on the way: losses, and snapshots of image and kernel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from .columns import titled
from .records import MetricOf, Named, Record, Snapshot, Store, read_kernel_file, read_picture
from .scenes import Choice, of_case
from .strips import GAP, HEAD, TILE, TOP, arranged, draw_picture, figure_of, headline, name_above
from .style import GREY, SMALL, blank, looks, plain_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["loss_figure", "snapshot_figure"]

COLUMNS = 4
INSET = 0.3  # of a picture's width, the side of the kernel in its corner


def loss_figure(store: Store, dataset: Named, choice: Choice) -> Figure | None:
    """The losses of a case, a panel for each recipe, as losses of two recipes do not compare; None without any."""
    from matplotlib.figure import Figure

    runs = {recipe.label: with_history(store, dataset.label, recipe.label, choice.case) for recipe in store.recipes}
    runs = {label: records for label, records in runs.items() if records}
    if not runs:
        return None
    columns = min(COLUMNS, len(runs))
    rows = -(-len(runs) // columns)
    figure, style = Figure(figsize=(2.35 * columns, 1.75 * rows + TOP + 0.25)), looks(store.recipes)
    headline(figure, dataset.heading, choice.words())
    grid = figure.add_gridspec(
        rows,
        columns,
        left=0.04,
        right=1,
        bottom=0,
        top=1 - (TOP + 0.25) / (1.75 * rows + TOP + 0.25),
        hspace=0.55,
        wspace=0.3,
    )
    for place, (label, records) in enumerate(runs.items()):
        axes = figure.add_subplot(grid[place // columns, place % columns])
        draw_losses(axes, records, style[label].color)
        axes.set_title(label, fontsize=8, color=style[label].color)
        plain_axes(axes, "iteration" if place >= len(runs) - columns else "", "loss" if place % columns == 0 else "")
    return figure


def with_history(store: Store, dataset: str, recipe: str, case: str) -> list[Record]:
    """The runs of a case that have losses, one for each seed."""
    return [record for record in store.of(dataset, recipe) if record.case == case and record.history]


def draw_losses(axes: Axes, records: Sequence[Record], color: str) -> None:
    """The losses of each seed, on a logarithmic scale where all of them are positive."""
    for record in records:
        iterations, losses = losses_of(record)
        few = "." if len(record.history) < 3 else ""
        axes.plot(iterations, losses, color=color, linewidth=1.0, alpha=1.0 if len(records) == 1 else 0.6, marker=few)
    if all(np.nanmin(record.history, initial=np.inf) > 0 for record in records):
        axes.set_yscale("log")
    axes.tick_params(labelsize=SMALL)


def losses_of(record: Record) -> tuple[np.ndarray[tuple[int], np.dtype[np.int64]], Sequence[float]]:
    """At which iterations, counted from 1, the losses were."""
    return 1 + record.history_every * np.arange(len(record.history)), record.history


def snapshot_figure(
    store: Store, dataset: Named, metric: MetricOf | None, recipe: str, choice: Choice
) -> Figure | None:
    """How a recipe's image and kernel come about: snapshots in a row, with the loss and the metric below.

    None where no snapshot's picture is there.
    """
    record = of_case(store, dataset.label, choice.case).get(recipe)
    taken = [each for each in record.snapshots if each.picture is not None] if record is not None else []
    if record is None or not taken:
        return None
    return drawn_snapshots(dataset, metric, record, taken, choice)


def drawn_snapshots(
    dataset: Named, metric: MetricOf | None, record: Record, taken: Sequence[Snapshot], choice: Choice
) -> Figure:
    """The figure of `snapshot_figure`; the last picture is the result."""
    from matplotlib.figure import Figure

    count = len(taken) + 1
    (rows, columns), tile = arranged(count), TILE
    result = record.picture()
    shape = 1.0 if result is None else result.shape[0] / result.shape[1]
    heights = [*([HEAD, tile * shape] * rows), 0.55, 1.5]
    total = sum(heights) + TOP
    width = columns * (tile + GAP)
    figure = Figure(figsize=(width, total))
    headline(figure, f"{dataset.heading}: {record.recipe}", choice.words())
    grid = figure.add_gridspec(
        len(heights),
        columns,
        height_ratios=heights,
        hspace=0,
        wspace=GAP / tile,
        left=0,
        right=1,
        bottom=0,
        top=1 - TOP / total,
    )
    for place in range(count):
        axes = figure.add_subplot(grid[2 * (place // columns) + 1, place % columns])
        draw_snapshot(axes, record, taken[place] if place < len(taken) else None, metric)
    below = grid[-1, :].subgridspec(1, 2, wspace=0.22)
    draw_course((figure.add_subplot(below[0, 0]), figure.add_subplot(below[0, 1])), record, metric)
    return figure


def draw_snapshot(axes: Axes, record: Record, taken: Snapshot | None, metric: MetricOf | None) -> None:
    """A snapshot, or the result where it is None, with its kernel in the corner."""
    if taken is None:
        picture, kernel = record.picture(), record.kernel()
        name, about = f"result ({record.iterations})", figure_of(record, metric)
    else:
        picture = None if taken.picture is None else read_picture(taken.picture)
        kernel = None if taken.kernel is None else read_kernel_file(taken.kernel)
        name, about = f"iteration {taken.iteration}", figure_of_snapshot(taken, metric)
    name_above(axes, name, about)
    if picture is None:
        blank(axes, "no picture")
        return
    draw_picture(axes, picture)
    if kernel is not None:
        inset = axes.inset_axes((1 - INSET, 0, INSET, INSET * picture.shape[1] / picture.shape[0]))
        inset.imshow(kernel, cmap="gray", vmin=0, interpolation="nearest", aspect="auto")
        inset.set(xticks=[], yticks=[])
        inset.grid(visible=False)
        inset.spines[:].set(visible=True, color="0.6", linewidth=0.6)


def figure_of_snapshot(taken: Snapshot, metric: MetricOf | None) -> str:
    """A snapshot's figure in words."""
    value = taken.metrics.get(metric.label) if metric is not None else None
    return "" if metric is None or value is None else f"{value:.2f} {metric.unit}".strip()


def draw_course(places: tuple[Axes, Axes], record: Record, metric: MetricOf | None) -> None:
    """The loss and the metric over the iterations, with lines where the snapshots were taken."""
    left, right = places
    draw_losses(left, [record], "#0072B2")
    plain_axes(left, "iteration", "loss")
    points = course(record, metric)
    right.plot(*zip(*points, strict=True), color="#D55E00", marker="o", markersize=4) if points else blank(right)
    plain_axes(right, "iteration", titled(metric) if metric else "")
    for axes in places:
        for taken in record.snapshots:
            axes.axvline(taken.iteration, color=GREY, linewidth=0.6, linestyle=":", zorder=0)
        axes.set_xlim(0, None)


def course(record: Record, metric: MetricOf | None) -> list[tuple[int, float]]:
    """Iterations and figures of the snapshots and of the result, as far as they are known."""
    if metric is None:
        return []
    points = [
        (taken.iteration, taken.metrics[metric.label]) for taken in record.snapshots if metric.label in taken.metrics
    ]
    if record.iterations is not None and metric.label in record.metrics:
        points.append((record.iterations, record.metrics[metric.label]))
    return sorted({iteration: value for iteration, value in points if np.isfinite(value)}.items())
