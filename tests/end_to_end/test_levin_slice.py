"""A slice of benchmarks/table3.toml: a few figures of Levin's images hold, and the suites of the paper can be run."""

from __future__ import annotations

from pathlib import Path

import pytest

from invkit.benchmark.jobs import perform
from invkit.benchmark.plan import make_plan
from invkit.benchmark.suite import load_suite, selected

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
SUITES = sorted(path.name for path in BENCHMARKS.glob("*.toml"))


@pytest.fixture(scope="module")
def jobs(data_root):
    """The jobs of the table, by recipe and case."""
    plan = make_plan(load_suite(BENCHMARKS / "table3.toml"), data_root)
    return {(job.label, job.case.name): job for job in plan.jobs}


@pytest.mark.parametrize(
    ("recipe", "image", "kernel", "least"),
    [
        # half a decibel below what the table has, for other processors' rounding
        ("known-wiener", 3, 5, 34.0),
        ("known-hyper-laplacian", 1, 5, 36.3),
        ("known-tv-admm", 1, 5, 36.3),
        ("known-richardson-lucy", 3, 5, 33.0),
        ("known-sparse-irls", 1, 5, 36.6),
        ("known-sparse-admm", 1, 5, 36.6),
        ("cho-lee", 3, 5, 36.5),
        ("xu-l0", 3, 5, 36.5),
        ("pan-l0", 3, 5, 35.5),
        ("pmp", 1, 6, 34.5),
        ("fast-map", 3, 5, 37.0),
    ],
)
def test_a_recipe_restores_what_the_table_says(jobs, recipe, image, kernel, least):
    record = perform(jobs[recipe, f"im{image}_kernel{kernel}"]).record
    assert record["status"] == "done"
    assert record["metrics"]["psnr"] > least


def test_the_kernel_size_given_is_the_true_one_and_four_more(jobs):
    assert jobs["fast-map", "im3_kernel5"].case.kernel_size == (17, 17)


@pytest.mark.parametrize("preset", [None, "cpu", "paper"])
@pytest.mark.parametrize("suite", SUITES)
def test_every_suite_of_the_paper_can_be_planned(data_root, suite, preset):
    plan = make_plan(selected(load_suite(BENCHMARKS / suite, preset), limit=2), data_root)
    assert plan.jobs
