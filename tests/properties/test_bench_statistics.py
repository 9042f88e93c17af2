"""Means, intervals and shares of benchmark results, against SciPy and by their properties."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from invkit.benchmark.records import Record
from invkit.benchmark.scenes import busiest
from invkit.benchmark.statistics import means_over_seeds, share_at_most, summarise

FIGURES = st.floats(-50, 50)


def record(case: object, value: float | None, seed: int = 0, status: str = "done") -> Record:
    """A record with one value."""
    metrics = {} if value is None else {"m": value}
    texts = {"error": "", "made_by": "", "machine": "", "started": ""}
    return Record(
        id=f"{case}-{seed}",
        folder=Path(),
        status=status,
        recipe="r",
        dataset="d",
        case=str(case),
        seed=seed,
        groups={},
        metrics=metrics,
        input_metrics={},
        seconds=1.0,
        iterations=1,
        history=(),
        history_every=1,
        snapshots=(),
        **texts,
    )


@given(st.lists(FIGURES, min_size=2, max_size=12))
def test_one_seed_is_a_plain_sample_of_cases(values: list[Any]) -> None:
    got = summarise([record(i, value) for i, value in enumerate(values)], "m")
    assert got.mean == pytest.approx(np.mean(values))
    assert (got.median, got.minimum, got.maximum) == pytest.approx((np.median(values), min(values), max(values)))
    assert got.over_seeds is None
    half = stats.t.ppf(0.975, len(values) - 1) * stats.sem(values)
    assert got.over_cases == pytest.approx(half, rel=1e-6, abs=1e-9)


@given(st.integers(2, 5).flatmap(lambda n: st.lists(st.lists(FIGURES, min_size=n, max_size=n), min_size=1, max_size=5)))
def test_the_mean_is_over_cases_and_each_interval_has_its_own_sample(table: list[list[float]]) -> None:
    records = [record(case, v, seed) for case, row in enumerate(table) for seed, v in enumerate(row)]
    got, values = summarise(records, "m"), np.array(table)
    assert got.mean == pytest.approx(values.mean(), abs=1e-9)
    assert (got.cases, got.runs) == (len(table), values.size)
    of_seeds = values.mean(axis=0)
    half = stats.t.ppf(0.975, of_seeds.size - 1) * of_seeds.std(ddof=1) / math.sqrt(of_seeds.size)
    assert got.over_seeds == pytest.approx(half, rel=1e-6, abs=1e-9)
    assert (got.over_cases is None) == (len(table) == 1)


def test_a_case_with_more_seeds_has_the_same_weight() -> None:
    records = [record("a", 10.0, 0), record("a", 20.0, 1), record("b", 30.0, 0)]
    got = summarise(records, "m")
    assert got.mean == 22.5
    assert got.over_seeds is None  # the means over seeds would belong to different cases


def test_infinite_values_are_counted_and_excluded_from_the_mean() -> None:
    got = summarise([record(0, math.inf), record(1, 30.0), record(2, 32.0)], "m")
    assert (got.mean, got.infinite, got.cases, got.median, got.maximum) == (31.0, 1, 3, 32.0, math.inf)
    assert got.over_cases == pytest.approx(stats.t.ppf(0.975, 1))  # two values with difference 2: standard error 1


def test_all_infinite_is_infinite() -> None:
    got = summarise([record(0, math.inf), record(1, math.inf)], "m")
    assert (got.mean, got.infinite, got.over_cases) == (math.inf, 0, None)


@given(st.lists(st.one_of(st.none(), FIGURES), max_size=10), FIGURES)
def test_a_failed_run_is_above_every_limit(values: list[Any], limit: float) -> None:
    records = [record(i, v, status="failed" if v is None else "done") for i, v in enumerate(values)]
    share = share_at_most(records, "m", limit)
    measured = [v for v in values if v is not None]
    if not measured:
        assert share is None
    else:
        assert share == pytest.approx(sum(v <= limit for v in measured) / len(values))


def test_skipped_runs_and_runs_without_the_value_are_not_counted() -> None:
    records = [record(0, 1.0), record(1, None), record(2, None, status="skipped")]
    assert share_at_most(records, "m", 2) == 1
    assert means_over_seeds(records, "m") == {"0": 1.0}
    assert summarise(records, "other").mean is None


@given(st.integers(30, 60), st.integers(30, 60), st.integers(0, 3))
def test_the_window_lies_inside_and_has_the_most_gradient_energy(height: int, width: int, seed: int) -> None:
    picture = np.random.default_rng(seed).random((height, width)) * 0.1
    y, x = height // 2, width // 3
    picture[y - 3 : y + 3, x - 3 : x + 3] = np.indices((6, 6)).sum(0) % 2  # the only strong edges
    window = busiest(picture)
    top, left, high, wide = window.pixels(height, width)
    assert window.cut(picture).shape == (high, wide) == (round(0.3 * min(height, width)),) * 2
    assert 0 < top <= y - 3
    assert y + 3 <= top + high < height
    assert 0 < left <= x - 3
    assert x + 3 <= left + wide < width


def test_larger_images_use_the_same_part_of_the_window() -> None:
    window = busiest(np.random.default_rng(0).random((50, 60)))
    assert window.cut(np.zeros((100, 120, 3))).shape == (30, 30, 3)
