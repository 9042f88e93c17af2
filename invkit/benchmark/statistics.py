"""Statistics of a recipe over the cases of a dataset, and the columns of tables that show them."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np

from .records import ALL, DatasetResults, MetricInfo, Record

__all__ = [
    "SUCCESS_RATIOS",
    "Column",
    "Interval",
    "Statistic",
    "Summary",
    "columns_side_by_side",
    "has_shares",
    "in_group",
    "input_records",
    "means_over_seeds",
    "same_printed",
    "share_at_most",
    "summarise",
]

Interval = Literal["cases", "seeds", "none"]
SUCCESS_RATIOS = (2.0, 3.0)  # the error ratios at which the field counts successes
CONFIDENCE = 0.95
NO_FIGURE = "–"  # noqa: RUF001  a dash, as usual in tables
UNIT_DIGITS = {"dB": 2, "MB": 0}
SECONDS_DIGITS = 3  # significant digits of seconds, which differ by orders of magnitude


@dataclass(frozen=True)
class Summary:
    """One metric of one recipe on some cases; None stands for a statistic that is not defined.

    Attributes:
        mean: over the cases, of the means over the seeds; infinite cases are left out, unless all are infinite.
        over_cases: half width of the 95 % confidence interval of the mean (Student's t), if the cases are a sample of
            all such images; None for fewer than two cases.
        over_seeds: the same for these very cases, if the seeds are a sample; None for fewer than two seeds, or if a
            seed lacks a case.
        median, minimum, maximum: over the cases, of the means over the seeds; infinite cases count.
        cases, runs: number of measured cases and runs.
        infinite: number of cases that are left out of the mean.
    """

    mean: float | None = None
    over_cases: float | None = None
    over_seeds: float | None = None
    median: float | None = None
    minimum: float | None = None
    maximum: float | None = None
    cases: int = 0
    runs: int = 0
    infinite: int = 0


def summarise(records: Iterable[Record], metric: str) -> Summary:
    """The summary of a metric, by its label, over the records that have it."""
    values = by_case_and_seed(records, metric)
    each = np.array([np.mean(list(seeds.values())) for seeds in values.values()])
    if not each.size:
        return Summary()
    finite = each[np.isfinite(each)]
    return Summary(
        mean=float(finite.mean()) if finite.size else float(each[0]),
        over_cases=half_width(finite.tolist()),
        over_seeds=half_width(means_of_seeds(values)),
        median=median_of(each.tolist()),
        minimum=float(each.min()),
        maximum=float(each.max()),
        cases=each.size,
        runs=sum(map(len, values.values())),
        infinite=each.size - finite.size if finite.size else 0,
    )


def means_over_seeds(records: Iterable[Record], metric: str) -> dict[str, float]:
    """The mean over the seeds for each case."""
    return {case: float(np.mean([*seeds.values()])) for case, seeds in by_case_and_seed(records, metric).items()}


def by_case_and_seed(records: Iterable[Record], metric: str) -> dict[str, dict[int, float]]:
    """The values of a metric; a failed run has none."""
    values: dict[str, dict[int, float]] = defaultdict(dict)
    for record in records:
        if record.done and metric in record.metrics:
            values[record.case][record.seed] = record.metrics[metric]
    return dict(values)


def means_of_seeds(values: Mapping[str, Mapping[int, float]]) -> list[float]:
    """The mean over the cases for each seed; empty if a seed lacks a case, as the means would be of different cases.

    Cases with an infinite value are left out for every seed.
    """
    finite = [seeds for seeds in values.values() if all(map(math.isfinite, seeds.values()))]
    seeds = sorted({seed for each in finite for seed in each})
    if any(set(each) != set(seeds) for each in finite):
        return []
    return [float(np.mean([each[seed] for each in finite])) for seed in seeds]


def half_width(sample: Sequence[float]) -> float | None:
    """Half of the 95 % confidence interval of a mean by Student's t; None for fewer than two values."""
    if len(sample) < 2:
        return None
    from scipy.special import stdtrit

    quantile = float(stdtrit(len(sample) - 1, (1 + CONFIDENCE) / 2))
    return quantile * float(np.std(sample, ddof=1)) / math.sqrt(len(sample))


def median_of(values: Sequence[float]) -> float:
    """The median; if one of the two central values is infinite, the other one."""
    ordered = sorted(values)
    low, high = ordered[(len(ordered) - 1) // 2], ordered[len(ordered) // 2]
    return (low + high) / 2 if math.isfinite(low) == math.isfinite(high) else min(low, high, key=abs)


def in_group(records: Iterable[Record], by: str | None, group: str) -> list[Record]:
    """The records whose cases are in a group.

    Args:
        records: the records.
        by: the name of the grouping, or None.
        group: its value, or `ALL`.
    """
    return [record for record in records if group in (ALL, record.groups.get(by or ""))]


def input_records(results: DatasetResults) -> list[Record]:
    """The blurry input of each case with a result, as the record of a recipe.

    Empty if the input of such a case was not measured, as in results of former versions: a mean over other cases than
    those of the recipes would not compare with them.
    """
    done = [record for record in results.records if record.done]
    measured = {record.case: record for record in done if record.input_metrics}
    if any(record.case not in measured for record in done):
        return []
    return [replace(record, metrics=record.input_metrics, seed=0) for record in measured.values()]


def share_at_most(records: Sequence[Record], metric: str, limit: float) -> float | None:
    """The share of runs whose metric is at most a limit; a failed run is above it. None if there is no value.

    Args:
        records: the runs.
        metric: its label.
        limit: the limit.
    """
    values = [record.metrics[metric] for record in records if record.done and metric in record.metrics]
    failed = sum(record.failed for record in records)
    return sum(value <= limit for value in values) / (len(values) + failed) if values else None


class Statistic(NamedTuple):
    """A value, and half of its confidence interval; None if they are not defined."""

    value: float | None
    half: float | None = None


@dataclass(frozen=True)
class Column:
    """A statistic of a metric over some cases.

    Attributes:
        head: the text above the column.
        metric: the metric.
        statistic: "mean", "median", "minimum", "maximum" or "share 2", the share of values of at most 2.
        by: the group that selects the cases, or an empty text.
        group: the value of that group, or `ALL`.
    """

    head: str
    metric: MetricInfo
    statistic: str = "mean"
    by: str = ""
    group: str = ALL

    @property
    def key(self) -> tuple[str, str, str]:
        """Its place among the values of a published row."""
        return self.metric.label, self.statistic, self.group

    def value(self, records: Iterable[Record], interval: Interval) -> Statistic:
        """The statistic of a recipe's records."""
        cases = in_group(records, self.by, self.group)
        kind, _, limit = self.statistic.partition(" ")
        if kind == "share":
            return Statistic(share_at_most(cases, self.metric.label, float(limit)))
        summary = summarise(cases, self.metric.label)
        if kind != "mean":
            return Statistic({"median": summary.median, "minimum": summary.minimum, "maximum": summary.maximum}[kind])
        over_seeds = interval == "seeds" or (interval == "cases" and summary.cases == 1)
        half = summary.over_seeds if over_seeds else summary.over_cases
        return Statistic(summary.mean, None if interval == "none" else half)

    def texts(self, values: Sequence[Statistic]) -> list[str]:
        """The statistics as printed in the table, with enough digits to distinguish them."""
        at_most_one = all(each.value is None or abs(each.value) <= 1 for each in values)  # as similarities are
        digits = UNIT_DIGITS.get(self.metric.unit, 4 if at_most_one else 2)
        return [self.text(each, digits) for each in values]

    def text(self, statistic: Statistic, digits: int) -> str:
        """One statistic, for instance "33.07 ± 0.41", "88%" or "12.3"."""
        value, half = statistic
        if value is None:
            return NO_FIGURE
        if not math.isfinite(value):
            return "∞" if value > 0 else "-∞"
        if self.statistic.startswith("share"):
            return f"{value:.0%}"
        if self.metric.unit == "s":
            power = math.floor(math.log10(abs(value))) if value else 0
            digits = min(max(0, SECONDS_DIGITS - 1 - power), SECONDS_DIGITS)
        return f"{value:.{digits}f}" + ("" if half is None else f" ± {half:.{digits}f}")

    def best(self, texts: Iterable[str]) -> str | None:
        """The best of printed statistics; None if the better direction is unknown, or for fewer than two."""
        better = "higher" if self.statistic.startswith("share") else self.metric.better
        values = [text for text in texts if text != NO_FIGURE]
        if better not in ("higher", "lower") or len(values) < 2:
            return None
        return (max if better == "higher" else min)(values, key=printed_number)


def same_printed(text: str, other: str) -> bool:
    """Whether two statistics are equal as printed, whatever their intervals."""
    return text != NO_FIGURE and printed_number(text) == printed_number(other)


def printed_number(text: str) -> float:
    """The number that a text of `Column.text` shows."""
    return float(text.partition(" ")[0].removesuffix("%").replace("∞", "inf"))


def columns_side_by_side(metrics: Sequence[MetricInfo]) -> list[Column]:
    """All metrics in one table: their means; also median and worst of the first, and the shares of error ratios."""
    columns: list[Column] = []
    for metric in metrics:
        columns.append(Column(metric.titled, metric))
        if metric is metrics[0]:
            worst = "maximum" if metric.better == "lower" else "minimum"
            columns += [Column(statistic, metric, statistic) for statistic in ("median", worst)]
        if has_shares(metric):
            columns += [Column(f"{metric.label} ≤ {limit:g}", metric, f"share {limit:g}") for limit in SUCCESS_RATIOS]
    return columns


def has_shares(metric: MetricInfo) -> bool:
    """Whether the shares of at most 2 and 3 are defined: only for ratios of squared errors (Levin et al.)."""
    return metric.name == "error-ratio" and metric.params.get("kind", "ssd") == "ssd"
