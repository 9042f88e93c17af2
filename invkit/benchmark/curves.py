"""Figures of numbers: error ratios, quality against time, quality case by case."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from .columns import titled
from .labels import label_ends, label_points
from .records import MetricOf, Named, Record, Store, natural
from .statistics import SHARES, over_cases
from .style import GREY, SMALL, looks, plain_axes, titles

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["case_figure", "progress_of", "ratio_figure", "time_figure"]

RATIOS = (1.0, 6.0)  # as the field draws them
NAMED = 60  # cases whose names can be read below a figure
NUMBERED = 40  # cases whose figures can be read in the map
QUARTILES = (25, 75)
CROSS = "×"  # noqa: RUF001


def progress_of(store: Store, dataset: str) -> str:
    """How many of a dataset's jobs the figures are of."""
    records = store.of(dataset)
    jobs = sum(store.missing(dataset, recipe.label) for recipe in store.recipes) + len(records)
    failed = sum(record.failed for record in records)
    done = f"{sum(record.done for record in records)} of {jobs} jobs done"
    return f"{done}, {failed} failed" if failed else done


def with_figures(store: Store, dataset: str, metric: str) -> dict[str, list[Record]]:
    """The records of those recipes that have a figure."""
    records = {recipe.label: store.of(dataset, recipe.label) for recipe in store.recipes}
    return {label: some for label, some in records.items() if any(metric in record.metrics for record in some)}


def ratio_figure(store: Store, dataset: Named, metric: MetricOf) -> Figure | None:
    """The share of images whose error ratio is at most r, for r from 1 to 6; None without a figure.

    A failed run counts as one of an infinite ratio.
    """
    from matplotlib.figure import Figure

    recipes = with_figures(store, dataset.label, metric.label)
    if not recipes:
        return None
    figure = Figure(figsize=(5.6, 3.6))
    axes, style, curves = figure.add_subplot(), looks(store.recipes), {}
    for label, records in recipes.items():
        ratios = [record.metrics.get(metric.label, math.inf) for record in records if counts(record, metric)]
        curves[label] = cumulative(ratios)
        axes.step(*curves[label], where="post", color=style[label].color, linestyle=style[label].line)
    order = sorted(curves, key=lambda label: area(*curves[label]), reverse=True)
    axes.set(xlim=RATIOS, ylim=(0, 102), yticks=range(0, 101, 20))
    axes.yaxis.set_major_formatter("{x:.0f}%")
    for limit in SHARES:
        axes.axvline(limit, color="0.75", linewidth=0.8, linestyle=":", zorder=0)
    plain_axes(axes, f"{metric.label} r", "share of runs with a ratio of at most r")
    titles(axes, dataset.heading, progress_of(store, dataset.label))
    ends = {label: curves[label][1][-1] for label in order}
    label_ends(figure, axes, ends, style, {label: with_failures(label, some) for label, some in recipes.items()})
    return figure


def area(x: Sequence[float], y: Sequence[float]) -> float:
    """The area below a line of steps."""
    return float(np.sum(np.diff(x) * np.asarray(y)[:-1]))


def counts(record: Record, metric: MetricOf) -> bool:
    """Whether a run has a ratio, or failed to have one."""
    return record.failed or (record.done and metric.label in record.metrics)


def cumulative(ratios: Sequence[float]) -> tuple[list[float], list[float]]:
    """The corners of the cumulative histogram from r = 1 to 6: r, and the share in per cent."""
    low, high = RATIOS
    inside = sorted({min(max(ratio, low), high) for ratio in ratios if ratio <= high} | {low, high})
    return inside, [100 * sum(ratio <= r for ratio in ratios) / len(ratios) for r in inside]


def with_failures(label: str, records: Sequence[Record]) -> str:
    """A recipe's name, with how many of its jobs failed."""
    failed = sum(record.failed for record in records)
    return f"{label} ({failed} failed)" if failed else label


def time_figure(store: Store, dataset: Named, metric: MetricOf) -> Figure | None:
    """Quality against seconds: the median over the runs, a line from quartile to quartile; None without a figure."""
    from matplotlib.figure import Figure

    recipes = {
        label: points
        for label, records in with_figures(store, dataset.label, metric.label).items()
        if (points := timed(records, metric.label)).size
    }
    if not recipes:
        return None
    figure, style = Figure(figsize=(6.0, 3.8)), looks(store.recipes)
    axes = figure.add_subplot()
    axes.set_xscale("log")
    for label, points in recipes.items():
        middle, (low, high) = np.median(points, axis=0), np.percentile(points, QUARTILES, axis=0)
        color = style[label].color
        axes.plot([low[0], high[0]], [middle[1]] * 2, color=color, linewidth=1.1, alpha=0.55, solid_capstyle="butt")
        axes.plot([middle[0]] * 2, [low[1], high[1]], color=color, linewidth=1.1, alpha=0.55, solid_capstyle="butt")
        axes.plot(*middle, style[label].marker, color=color, markersize=6, markeredgecolor="white", markeredgewidth=0.7)
    axes.margins(0.12)
    seconds_axis(axes)
    plain_axes(axes, "seconds for an image", titled(metric))
    titles(axes, dataset.heading, f"median and quartiles; {progress_of(store, dataset.label)}")
    texts = {label: with_failures(label, store.of(dataset.label, label)) for label in recipes}
    label_points(figure, axes, recipes, style, texts)
    return figure


def timed(records: Sequence[Record], metric: str) -> npt.NDArray[np.float64]:
    """(N, 2): seconds and the finite figure of each run."""
    pairs = [(r.seconds, r.metrics[metric]) for r in records if r.done and r.seconds and metric in r.metrics]
    return np.array([pair for pair in pairs if np.isfinite(pair).all()], dtype=np.float64).reshape(-1, 2)


def seconds_axis(axes: Axes) -> None:
    """Plain numbers on a logarithmic axis, at 1, 2 and 5 times the powers of ten where there is room."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    low, high = axes.get_xlim()
    steps = (1.0, 2.0, 5.0) if high / low < 300 else (1.0,)
    axes.xaxis.set_major_locator(LogLocator(subs=steps))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def case_figure(store: Store, dataset: Named, metric: MetricOf) -> Figure | None:
    """Case by case: above each recipe's figures in their order, below a map with the cases from hard to easy."""
    from matplotlib.figure import Figure

    values = {
        label: over_cases(some, metric.label)
        for label, some in with_figures(store, dataset.label, metric.label).items()
    }
    if not values:
        return None
    cases = from_hard_to_easy(values, lower=metric.better == "lower")
    width, rows = min(12.0, max(6.0, 0.29 * len(cases) + 2)), 0.27 * len(values) + 0.2
    figure = Figure(figsize=(width, 3.0 + rows + 0.9))
    grid = figure.add_gridspec(2, 1, height_ratios=[3.0, rows], hspace=0.75 / (1.5 + rows / 2))
    upper, lower = figure.add_subplot(grid[0]), figure.add_subplot(grid[1])
    draw_sorted(figure, upper, values, metric, store)
    titles(upper, dataset.heading, progress_of(store, dataset.label))
    draw_map(figure, lower, values, cases, metric, store.of(dataset.label))
    return figure


def from_hard_to_easy(values: Mapping[str, Mapping[str, float]], *, lower: bool) -> list[str]:
    """All cases by the mean of the recipes' finite figures."""
    cases = sorted({case for each in values.values() for case in each}, key=natural)
    means = {}
    for case in cases:
        finite = [each[case] for each in values.values() if case in each and math.isfinite(each[case])]
        means[case] = float(np.mean(finite)) if finite else math.inf
    return sorted(cases, key=lambda case: means[case], reverse=lower)


def draw_sorted(
    figure: Figure, axes: Axes, values: Mapping[str, Mapping[str, float]], metric: MetricOf, store: Store
) -> None:
    """Each recipe's figures from its worst to its best."""
    style, ends = looks(store.recipes), {}
    for label, each in values.items():
        ordered = sorted((v for v in each.values() if math.isfinite(v)), reverse=metric.better == "lower")
        if ordered:
            share = (np.arange(len(ordered)) + 0.5) / len(ordered)
            axes.plot(share, ordered, color=style[label].color, linestyle=style[label].line, marker=".", markersize=3)
            ends[label] = ordered[-1]
    axes.set_xlim(0, 1)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    plain_axes(axes, "cases, each recipe's from its worst to its best", titled(metric))
    label_ends(figure, axes, ends, style, {label: label for label in ends})


def draw_map(
    figure: Figure,
    axes: Axes,
    values: Mapping[str, Mapping[str, float]],
    cases: Sequence[str],
    metric: MetricOf,
    records: Sequence[Record],
) -> None:
    """A square for each recipe and case; a cross where it failed, empty where there is nothing."""
    table = np.array([[each.get(case, np.nan) for case in cases] for each in values.values()])
    shades = "cividis_r" if metric.better == "lower" else "cividis"
    drawn = axes.imshow(
        np.where(np.isfinite(table), table, np.nan), aspect="auto", cmap=shades, interpolation="nearest"
    )
    axes.set_yticks(range(len(values)), list(values))
    axes.set_xticks(range(len(cases)), cases if len(cases) <= NAMED else [""] * len(cases), rotation=90, fontsize=6.5)
    axes.tick_params(length=0)
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    failed = {(record.recipe, record.case) for record in records if record.failed}
    shades_of: npt.NDArray[np.float64] = np.ma.filled(np.ma.asarray(drawn.norm(table)), 1.0)
    for (row, column), value in np.ndenumerate(table):
        crossed = (list(values)[row], cases[column]) in failed
        text, dark = (CROSS, True) if crossed else (number(value, len(cases)), shades_of[row, column] > 0.45)
        axes.text(column, row, text, ha="center", va="center", fontsize=6, color="black" if dark else "white")
    bar = figure.colorbar(drawn, ax=axes, fraction=0.02, pad=0.015)
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=SMALL, length=0)
    axes.set_title(f"{titled(metric)}, the cases from hard to easy", fontsize=SMALL, fontweight="normal", color=GREY)


def number(value: float, cases: int) -> str:
    """A figure for a small square, where there is room."""
    if cases > NUMBERED or math.isnan(value):
        return ""
    if math.isinf(value):
        return "∞"
    return f"{value:.0f}" if abs(value) >= 10 else f"{value:.1f}" if abs(value) >= 1 else f"{value:.2f}".lstrip("0")
