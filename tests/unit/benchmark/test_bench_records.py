"""What a suite has left is read as it is: only what was planned, and nothing lost without a word."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from narrow import known
from suite_folder import SuiteFolder, add_pictures

from invkit.benchmark.records import natural, read_results
from invkit.core.errors import InputError


@pytest.fixture
def suite(tmp_path: Path) -> SuiteFolder:
    return SuiteFolder(tmp_path)


def test_only_results_of_the_plan_count(suite: SuiteFolder) -> None:
    suite.done("a", "one", 30.0)
    suite.done("a", "two", 31.0, planned=False)
    store = read_results(suite.plan())
    assert [record.case for record in store.records] == ["one"]
    assert store.ignored == 1
    assert store.progress() == "1 of 1 jobs done, 1 results of other plans ignored"


def test_missing_failed_and_skipped_jobs_are_told_apart(suite: SuiteFolder) -> None:
    suite.done("a", "one", 30.0)
    suite.failed("a", "two")
    suite.write("a", "three", 0, True, {"status": "skipped"})
    suite.job("a", "four")
    suite.job("b", "one")
    store = read_results(suite.plan())
    assert store.progress() == "1 of 5 jobs done, 1 failed, 1 skipped"
    assert [store.on(store.datasets[0]).missing(recipe) for recipe in "ab"] == [1, 1]
    assert [(r.done, r.failed) for r in store.records] == [(True, False), (False, True), (False, False)]


def test_a_job_belongs_to_the_longest_labels_that_fit(suite: SuiteFolder) -> None:
    suite.recipes = ["fast", "fast--toy"]  # a label that holds the sign between labels
    suite.job("fast--toy", "x")
    suite.job("fast", "x")
    store = read_results(suite.plan())
    assert store.on(store.datasets[0]).missing("fast--toy") == 1
    assert store.on(store.datasets[0]).missing("fast") == 1


def test_without_a_plan_the_newest_of_equal_results_counts(suite: SuiteFolder) -> None:
    suite.done("a", "one", 30.0, started="2030-01-02")
    suite.done("a", "one", 20.0, started="2030-01-01", digits="f" * 12)
    store = read_results(suite.root)
    assert [record.metrics for record in store.records] == [{"psnr": 30.0}]
    assert store.ignored == 1
    assert [metric.label for metric in store.metrics] == ["psnr"]


def test_a_file_that_is_no_result_is_a_missing_job(suite: SuiteFolder) -> None:
    suite.done("a", "one", 30.0)
    (suite.done("a", "two", 30.0) / "result.json").write_text("{", encoding="utf-8")
    store = read_results(suite.plan())
    assert store.on(store.datasets[0]).missing("a") == 1
    assert "1 unreadable" in store.progress()


def test_null_and_nan_are_no_figures_and_infinity_is(suite: SuiteFolder) -> None:
    suite.done("a", "one", {"psnr": None, "error-ratio": math.nan, "seconds": math.inf})
    (record,) = read_results(suite.plan()).records
    assert record.metrics == {"seconds": math.inf}


def test_pictures_are_read_and_may_be_absent(suite: SuiteFolder) -> None:
    folder = suite.done("a", "one", 30.0, snapshots=[{"iteration": 4, "seconds": 1.0, "metrics": {"psnr": 20.0}}])
    suite.done("a", "two", 30.0)
    add_pictures(folder, snapshots=[4])
    with_them, without = read_results(suite.plan()).records
    assert known(with_them.picture()).shape == (40, 56)
    assert known(with_them.kernel()).sum() == pytest.approx(1)
    assert known(with_them.snapshots[0].picture).name == "snapshot-4.png"
    assert without.picture() is None
    assert without.kernel() is None


@pytest.mark.parametrize("content", ["{", "[]", '{"jobs": 3}', '{"jobs": [], "datasets": [{}]}'])
def test_a_broken_plan_is_an_error_that_says_what_to_do(suite: SuiteFolder, content: str) -> None:
    suite.done("a", "one", 30.0)
    (suite.root / "suite.json").write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match="run the suite again"):
        read_results(suite.root)


def test_a_folder_without_results_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no results"):
        read_results(tmp_path / "nowhere")


def test_numbers_in_names_sort_as_numbers() -> None:
    assert sorted(["k" + "9" * 5000, "k08", "k7", "k0"], key=natural) == ["k0", "k7", "k08", "k" + "9" * 5000]
    assert sorted(["k10", "k9", "k", "10", "9", "a-2-b", "a-10-b"], key=natural) == [
        "9",
        "10",
        "a-2-b",
        "a-10-b",
        "k",
        "k9",
        "k10",
    ]


def test_a_record_tells_code_and_machine_apart(suite: SuiteFolder) -> None:
    suite.done("a", "one", 30.0)
    suite.done("a", "two", 30.0, code="d" * 64, machine={"host": "there"})
    one, two = read_results(suite.plan()).records
    assert one.made_by != two.made_by
    assert one.machine != two.machine
    assert json.dumps(one.made_by) == '"code cccccccccccc, invkit 1"'


def test_a_kernel_file_that_is_none_is_left_out(suite: SuiteFolder) -> None:
    folder = suite.done("a", "one", 30.0)
    np.save(folder / "kernel.npy", np.zeros(0))
    (record,) = read_results(suite.plan()).records
    assert record.kernel() is None
