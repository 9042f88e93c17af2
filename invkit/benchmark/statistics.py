"""Figures of a recipe over the cases of a dataset, with what they leave open."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from .records import Record

__all__ = ["SHARES", "Summary", "over_cases", "share_at_most", "summarise"]

SHARES = (2.0, 3.0)  # the error ratios at which the field counts successes
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Summary:
    """One metric of one recipe on some cases. None stands for what cannot be told.

    Attributes:
        mean: over the cases, of the means over the seeds; cases whose figure is infinite are left out, unless all are.
        over_cases: half width of the 95 % confidence interval of the mean (Student's t), the cases being a sample of
            all such images; None for fewer than two.
        over_seeds: the same for these very cases, the seeds being a sample; None for fewer than two seeds, or where a
            seed lacks a case.
        median, minimum, maximum: over the cases, of the means over the seeds; infinite ones count.
        cases, runs: how many were measured.
        infinite: cases that are left out of the mean.
    """

    mean: float | None
    over_cases: float | None
    over_seeds: float | None
    median: float | None
    minimum: float | None
    maximum: float | None
    cases: int
    runs: int
    infinite: int


def summarise(records: Iterable[Record], metric: str) -> Summary:
    """The summary of a metric over those records that have it; without any, empty."""
    values = by_case_and_seed(records, metric)
    runs = sum(map(len, values.values()))
    each = np.array([np.mean(list(seeds.values())) for seeds in values.values()])
    if not each.size:
        return Summary(None, None, None, None, None, None, 0, 0, 0)
    finite = each[np.isfinite(each)]
    left_out = each.size - finite.size if finite.size else 0
    return Summary(
        mean=float(finite.mean()) if finite.size else float(each[0]),
        over_cases=half_width(finite.tolist()),
        over_seeds=half_width(means_of_seeds(values)),
        median=middle(each.tolist()),
        minimum=float(each.min()),
        maximum=float(each.max()),
        cases=each.size,
        runs=runs,
        infinite=left_out,
    )


def over_cases(records: Iterable[Record], metric: str) -> dict[str, float]:
    """Each case's mean over its seeds."""
    return {case: float(np.mean([*seeds.values()])) for case, seeds in by_case_and_seed(records, metric).items()}


def by_case_and_seed(records: Iterable[Record], metric: str) -> dict[str, dict[int, float]]:
    """The figures of a metric; a failed run has none."""
    values: dict[str, dict[int, float]] = defaultdict(dict)
    for record in records:
        if record.done and metric in record.metrics:
            values[record.case][record.seed] = record.metrics[metric]
    return dict(values)


def means_of_seeds(values: Mapping[str, Mapping[int, float]]) -> list[float]:
    """The mean over all cases for each seed; empty where a seed lacks a case, as the means would be of different ones.

    Cases with an infinite figure are left out, for every seed.
    """
    finite = [seeds for seeds in values.values() if all(math.isfinite(value) for value in seeds.values())]
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


def middle(values: Sequence[float]) -> float:
    """The median; of two middle values of which one is infinite, the other."""
    ordered = sorted(values)
    low, high = ordered[(len(ordered) - 1) // 2], ordered[len(ordered) // 2]
    return (low + high) / 2 if math.isfinite(low) == math.isfinite(high) else min(low, high, key=abs)


def share_at_most(records: Sequence[Record], metric: str, limit: float) -> float | None:
    """The share of runs whose figure is at most ``limit``; a failed run is above. None without any figure."""
    values = [record.metrics[metric] for record in records if record.done and metric in record.metrics]
    failed = sum(record.failed for record in records)
    return sum(value <= limit for value in values) / (len(values) + failed) if values else None
