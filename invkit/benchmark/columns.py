"""The columns of a table: which figure stands there, how it is written, and which is the best."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from .published import ALL
from .records import MetricOf, Record
from .statistics import SHARES, share_at_most, summarise

__all__ = ["Column", "Figure", "Interval", "by_group", "has_shares", "same", "side_by_side", "titled"]

Interval = Literal["cases", "seeds", "none"]
NONE = "–"  # noqa: RUF001  a dash, as tables have it
EVERY = "all"  # the head of the column over all groups
DIGITS = {"dB": 2, "MB": 0}
SIGNIFICANT = 3  # digits of seconds, which differ by orders of magnitude


class Figure(NamedTuple):
    """A figure, and half of its confidence interval; None where there is none."""

    value: float | None
    half: float | None = None


@dataclass(frozen=True)
class Column:
    """A statistic of a metric over some cases.

    Attributes:
        head: what stands above.
        metric: the metric.
        statistic: "mean", "median", "minimum", "maximum" or "share 2", the share of figures of at most 2.
        by, group: the cases: those whose group ``by`` is ``group``, or all.
    """

    head: str
    metric: MetricOf
    statistic: str = "mean"
    by: str = ""
    group: str = ALL

    def figure(self, records: Iterable[Record], interval: Interval) -> Figure:
        """The figure of a recipe's records."""
        cases = [record for record in records if self.group in (ALL, record.groups.get(self.by))]
        kind, _, limit = self.statistic.partition(" ")
        if kind == "share":
            return Figure(share_at_most(cases, self.metric.label, float(limit)))
        summary = summarise(cases, self.metric.label)
        if kind != "mean":
            return Figure({"median": summary.median, "minimum": summary.minimum, "maximum": summary.maximum}[kind])
        over_seeds = interval == "seeds" or (interval == "cases" and summary.cases == 1)
        half = summary.over_seeds if over_seeds else summary.over_cases
        return Figure(summary.mean, None if interval == "none" else half)

    def texts(self, figures: Sequence[Figure]) -> list[str]:
        """The figures as they stand in the table, with as many digits as tell them apart in print."""
        digits = DIGITS.get(self.metric.unit, 4 if all(small(figure) for figure in figures) else 2)
        return [self.text(figure, digits) for figure in figures]

    def text(self, figure: Figure, digits: int) -> str:
        """One figure, for instance "33.07 ± 0.41", "88%" or "12.3"."""
        if figure.value is None:
            return NONE
        if not math.isfinite(figure.value):
            return "∞" if figure.value > 0 else "-∞"
        if self.statistic.startswith("share"):
            return f"{figure.value:.0%}"
        if self.metric.unit == "s":
            digits = min(max(0, SIGNIFICANT - 1 - magnitude(figure.value)), SIGNIFICANT)
        spread = "" if figure.half is None else f" ± {figure.half:.{digits}f}"
        return f"{figure.value:.{digits}f}{spread}"

    def best(self, texts: Iterable[str]) -> str | None:
        """The best of figures as printed; None where nobody has said what is better, or there are not two."""
        better = "higher" if self.statistic.startswith("share") else self.metric.better
        values = [text for text in texts if text != NONE]
        if better not in ("higher", "lower") or len(values) < 2:
            return None
        return (max if better == "higher" else min)(values, key=printed)


def same(text: str, other: str) -> bool:
    """Whether two figures are equal as printed, whatever their intervals."""
    return text != NONE and printed(text) == printed(other)


def printed(text: str) -> float:
    """The number that a text of `Column.text` shows."""
    number = text.partition(" ")[0].removesuffix("%").replace("∞", "inf")
    return float(number)


def small(figure: Figure) -> bool:
    """Whether a figure is at most one, as similarities are."""
    return figure.value is None or abs(figure.value) <= 1


def magnitude(value: float) -> int:
    """The power of ten of a number's first digit."""
    return math.floor(math.log10(abs(value))) if value else 0


def side_by_side(metrics: Sequence[MetricOf]) -> list[Column]:
    """All metrics in one table: the mean; of the first the median and the worst; of error ratios the shares."""
    return [column for place, metric in enumerate(metrics) for column in columns_of(metric, first=not place)]


def columns_of(metric: MetricOf, *, first: bool) -> list[Column]:
    """The columns of a metric; the first has more."""
    columns = [Column(titled(metric), metric)]
    if first:
        worst = "maximum" if metric.better == "lower" else "minimum"
        columns += [Column(statistic, metric, statistic) for statistic in ("median", worst)]
    if has_shares(metric):
        columns += [Column(f"{metric.label} ≤ {limit:g}", metric, f"share {limit:g}") for limit in SHARES]
    return columns


def has_shares(metric: MetricOf) -> bool:
    """Whether the shares of at most 2 and 3 mean anything: of ratios of squared errors, by Levin et al."""
    return metric.name == "error-ratio" and metric.params.get("kind", "ssd") == "ssd"


def by_group(metric: MetricOf, by: str, values: Sequence[str]) -> list[Column]:
    """The mean of one metric for each value of a group, and over all cases."""
    return [*(Column(value, metric, by=by, group=value) for value in values), Column(EVERY, metric, by=by)]


def titled(metric: MetricOf) -> str:
    """A metric's label with its unit, where the label does not tell it."""
    told = not metric.unit or (metric.unit == "s" and "seconds" in metric.label)
    return metric.label if told else f"{metric.label}, {metric.unit}"
