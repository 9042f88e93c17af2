"""Figures of numbers: error ratios, quality against time, and quality case by case."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .records import DatasetResults, MetricInfo, Record, natural
from .statistics import SUCCESS_RATIOS, means_over_seeds
from .style import MUTED_GREY, SMALL_FONT_SIZE, add_legend, headed, looks, plain_axes, without_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["case_figure", "cumulative_shares", "has_ratio", "ratio_figure", "time_figure"]

RATIO_RANGE = (1.0, 6.0)  # of the horizontal axis, as usual in the field
MAX_CASE_NAMES = 60  # cases whose names are readable below a figure
MAX_CASE_VALUES = 40  # cases whose values are readable in the map
FAILED_SIGN = "×"  # noqa: RUF001
QUARTILE_LINE: dict[str, Any] = {"linewidth": 1.1, "alpha": 0.55, "solid_capstyle": "butt"}


def ratio_figure(results: DatasetResults, metric: MetricInfo) -> Figure | None:
    """The share of runs whose error ratio is at most r, for r from 1 to 6; None without a value.

    A failed run counts as a run with an infinite ratio.
    """
    from matplotlib.figure import Figure

    recipes = results.with_metric(metric.label)
    if not recipes:
        return None
    axes, style, lines = Figure(figsize=(5.6, 3.6)).add_subplot(), looks(results.suite.recipes), []
    for label, records in recipes.items():
        shares = cumulative_shares([r.metrics.get(metric.label, math.inf) for r in records if has_ratio(r, metric)])
        look, name = style[label], with_failures(label, records)
        lines += axes.step(*shares, where="post", color=look.color, linestyle=look.line, label=name)
    axes.set(xlim=RATIO_RANGE, ylim=(0, 102), yticks=range(0, 101, 20))
    axes.yaxis.set_major_formatter("{x:.0f}%")
    for limit in SUCCESS_RATIOS:
        axes.axvline(limit, color="0.75", linewidth=0.8, linestyle=":", zorder=0)
    plain_axes(axes, f"{metric.label} r", "share of runs with a ratio of at most r")
    headed(axes, results.dataset.heading, results.progress())
    add_legend(axes, lines)
    return axes.get_figure(root=True)


def has_ratio(record: Record, metric: MetricInfo) -> bool:
    """Whether a run has an error ratio, or failed before it had one."""
    return record.failed or (record.done and metric.label in record.metrics)


def cumulative_shares(ratios: Sequence[float]) -> tuple[list[float], list[float]]:
    """The corners of the cumulative histogram from r = 1 to 6: r, and the share of ratios of at most r in per cent."""
    low, high = RATIO_RANGE
    inside = sorted({min(max(ratio, low), high) for ratio in ratios if ratio <= high} | {low, high})
    return inside, [100 * sum(ratio <= r for ratio in ratios) / len(ratios) for r in inside]


def with_failures(label: str, records: Sequence[Record]) -> str:
    """The name of a recipe, with the number of its failed jobs."""
    failed = sum(record.failed for record in records)
    return f"{label} ({failed} failed)" if failed else label


def time_figure(results: DatasetResults, metric: MetricInfo) -> Figure | None:
    """Quality against seconds: the median over the runs, and lines from quartile to quartile; None without a value."""
    from matplotlib.figure import Figure

    recipes = {label: timed_values(some, metric.label) for label, some in results.with_metric(metric.label).items()}
    recipes = {label: points for label, points in recipes.items() if points.size}
    if not recipes:
        return None
    axes, style, medians = Figure(figsize=(6.0, 3.8)).add_subplot(), looks(results.suite.recipes), []
    axes.set_xscale("log")
    for label, points in recipes.items():
        low, (x, y), high = np.percentile(points, (25, 50, 75), axis=0)
        look, name = style[label], with_failures(label, results.of(label))
        axes.plot([low[0], high[0]], [y, y], color=look.color, **QUARTILE_LINE)
        axes.plot([x, x], [low[1], high[1]], color=look.color, **QUARTILE_LINE)
        medians += axes.plot([x], [y], look.marker, color=look.color, markeredgecolor="white", label=name)
    axes.margins(0.12)
    seconds_axis(axes)
    plain_axes(axes, "seconds for an image", metric.titled)
    headed(axes, results.dataset.heading, f"median and quartiles; {results.progress()}")
    add_legend(axes, medians)
    return axes.get_figure(root=True)


def timed_values(records: Sequence[Record], metric: str) -> npt.NDArray[np.float64]:
    """(N, 2): seconds and the finite value of a metric for each run."""
    pairs = [(r.seconds, r.metrics[metric]) for r in records if r.done and r.seconds and metric in r.metrics]
    return np.array([pair for pair in pairs if np.isfinite(pair).all()], dtype=np.float64).reshape(-1, 2)


def seconds_axis(axes: Axes) -> None:
    """Plain numbers on a logarithmic axis, at 1, 2 and 5 times the powers of ten if there is space."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    low, high = axes.get_xlim()
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if high / low < 300 else (1.0,)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def case_figure(results: DatasetResults, metric: MetricInfo) -> Figure | None:
    """Case by case: above, the sorted values of each recipe; below, a map with the cases from hard to easy."""
    from matplotlib.figure import Figure

    values = case_values(results, metric)
    if not values:
        return None
    lower_is_better, style, lines = metric.better == "lower", looks(results.suite.recipes), []
    cases = from_hard_to_easy(values, lower=lower_is_better)
    width, height = min(12.0, max(6.0, 0.29 * len(cases) + 2)), 0.27 * len(values) + 0.2
    figure = Figure(figsize=(width, 3.9 + height))
    upper, lower = figure.subplots(2, 1, height_ratios=[3.0, height], gridspec_kw={"hspace": 0.75 / (1.5 + height / 2)})
    for label, each in values.items():
        ordered = sorted((value for value in each.values() if math.isfinite(value)), reverse=lower_is_better)
        if ordered:
            share, look = (np.arange(len(ordered)) + 0.5) / len(ordered), style[label]
            shown: dict[str, Any] = {"color": look.color, "linestyle": look.line, "marker": ".", "markersize": 3}
            lines += upper.plot(share, ordered, label=label, **shown)
    upper.set_xlim(0, 1)
    upper.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    plain_axes(upper, "cases, those of each recipe from its worst to its best", metric.titled)
    headed(upper, results.dataset.heading, results.progress())
    add_legend(upper, lines)
    draw_map(lower, results, metric, cases)
    return figure


def case_values(results: DatasetResults, metric: MetricInfo) -> dict[str, dict[str, float]]:
    """The mean over the seeds by recipe and case."""
    return {label: means_over_seeds(some, metric.label) for label, some in results.with_metric(metric.label).items()}


def from_hard_to_easy(values: Mapping[str, Mapping[str, float]], *, lower: bool) -> list[str]:
    """All cases, ordered by the mean of the recipes' finite values; ``lower`` says that lower values are better."""
    cases = sorted({case for each in values.values() for case in each}, key=natural)
    means = {}
    for case in cases:
        finite = [each[case] for each in values.values() if case in each and math.isfinite(each[case])]
        means[case] = float(np.mean(finite)) if finite else math.inf
    return sorted(cases, key=lambda case: means[case], reverse=lower)


def draw_map(axes: Axes, results: DatasetResults, metric: MetricInfo, cases: Sequence[str]) -> None:
    """A coloured square for each recipe and case, with its value if there is space, and a cross if a run failed.

    Args:
        axes: the axes.
        results: the results.
        metric: the metric.
        cases: in their order.
    """
    values = case_values(results, metric)
    table = np.array([[each.get(case, np.nan) for case in cases] for each in values.values()])
    shades = "cividis_r" if metric.better == "lower" else "cividis"
    finite = np.where(np.isfinite(table), table, np.nan)
    drawn = axes.imshow(finite, aspect="auto", cmap=shades, interpolation="nearest")
    without_axes(axes)
    axes.set_yticks(range(len(values)), list(values))
    if len(cases) <= MAX_CASE_NAMES:
        axes.set_xticks(range(len(cases)), cases, rotation=90, fontsize=6.5)
    axes.tick_params(length=0)
    failed = {(record.recipe, record.case) for record in results.records if record.failed}
    brightness: npt.NDArray[np.float64] = np.ma.filled(np.ma.asarray(drawn.norm(table)), 1.0)
    for (row, column), value in np.ndenumerate(table):
        crossed = (list(values)[row], cases[column]) in failed
        text = FAILED_SIGN if crossed else short_number(value) if len(cases) <= MAX_CASE_VALUES else ""
        color = "black" if crossed or brightness[row, column] > 0.45 else "white"
        axes.text(column, row, text, ha="center", va="center", fontsize=6, color=color)
    bar = drawn.axes.figure.colorbar(drawn, ax=axes, fraction=0.02, pad=0.015)
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=SMALL_FONT_SIZE, length=0)
    about = f"{metric.titled}, the cases from hard to easy"
    axes.set_title(about, fontsize=SMALL_FONT_SIZE, fontweight="normal", color=MUTED_GREY)


def short_number(value: float) -> str:
    """A value for a small square."""
    if not math.isfinite(value):
        return "" if math.isnan(value) else "∞"
    return f"{value:.0f}" if abs(value) >= 10 else f"{value:.1f}" if abs(value) >= 1 else f"{value:.2f}".lstrip("0")
