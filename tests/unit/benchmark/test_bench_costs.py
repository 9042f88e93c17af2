"""The cost of a plan: from results, from what was measured before, or from iterations; and plans without data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from job_costs import COSTS, costs_text

import invkit
from invkit.benchmark.costs import HERE, JobCost, job_costs, known_costs
from invkit.benchmark.plan import Plan, make_plan
from invkit.benchmark.reporting import cost_lines
from invkit.benchmark.suite import load_suite, parse_suite, selected
from invkit.core.durations import duration_text
from invkit.core.errors import InputError
from invkit.datasets import Lai, Levin

BENCHMARKS = Path(invkit.__file__).parent.parent / "benchmarks"
ITERATION = known_costs()["iteration"]


def planned(tmp_path: Path, recipes: str, device: str = "cpu", dataset: str = '"levin"') -> Plan:
    text = f'datasets = [{dataset}]\nrecipes = [{recipes}]\nmetrics = ["seconds"]\ndevice = "{device}"\n'
    return make_plan(parse_suite(text), tmp_path, count_only=True)


def cost(tmp_path: Path, recipe: str, device: str = "cpu", dataset: str = '"levin"') -> JobCost:
    (only,) = job_costs(planned(tmp_path, recipe, device, dataset).jobs).values()
    return only


def test_the_file_holds_what_the_committed_results_say() -> None:
    assert COSTS.read_text(encoding="utf-8") == costs_text(), "run: python benchmarks/job_costs.py"


class TestOneJob:
    def test_a_recipe_that_was_measured_costs_as_much(self, tmp_path: Path) -> None:
        assert cost(tmp_path, '"fast"').seconds == known_costs()["levin"]["seconds"]["fast"]
        assert cost(tmp_path, '"fast"', dataset='"lai"').seconds == known_costs()["lai"]["seconds"]["fast"]
        assert cost(tmp_path, '"fast"', "cuda").seconds == cost(tmp_path, '"fast"').seconds  # it has no network
        assert "measured on one core" in cost(tmp_path, '"fast"').basis

    @pytest.mark.parametrize("device", ["cpu", "cuda", "cuda:1"])
    def test_networks_cost_iterations_channels_and_pixels(self, tmp_path: Path, device: str) -> None:
        one = ITERATION[device.partition(":")[0]]["float32"]
        assert cost(tmp_path, '"selfdeblur"', device).seconds == pytest.approx(5000 * one)
        changed = '{ name = "selfdeblur", overrides = ["solver.iterations=600", "image_prior.channels=32"] }'
        assert cost(tmp_path, changed, device).seconds == pytest.approx(600 * one / 4)
        pixels = known_costs()["lai"]["pixels"] / 255**2
        assert cost(tmp_path, '"selfdeblur"', device, '"lai"').seconds == pytest.approx(5000 * one * pixels)

    def test_a_precision_that_was_measured_counts(self, tmp_path: Path) -> None:
        lower = cost(tmp_path, '{ name = "selfdeblur", overrides = ["solver.precision=bfloat16"] }')
        assert lower.seconds == pytest.approx(5000 * ITERATION["cpu"]["bfloat16"])

    def test_settings_make_a_measured_cost_worthless(self, tmp_path: Path) -> None:
        assert cost(tmp_path, '{ name = "pan-l0", overrides = ["next=wiener"] }') == JobCost()

    def test_pictures_of_no_usual_size_have_no_cost(self, tmp_path: Path) -> None:
        assert cost(tmp_path, '"selfdeblur"', dataset='{ name = "synthetic", params = { number = 1 } }') == JobCost()

    def test_results_count_more_than_what_was_measured_before(self, tmp_path: Path) -> None:
        done = [{"status": "done", "recipe": "fast", "dataset": "levin", "seconds": s} for s in (1.0, 3.0)]
        failed = {"status": "failed", "recipe": "fast", "dataset": "levin", "seconds": None}
        found = job_costs(planned(tmp_path, '"fast", "pan-l0"').jobs, [*done, failed])
        assert found["fast", "levin"] == JobCost(2.0, HERE)
        assert found["pan-l0", "levin"].seconds == known_costs()["levin"]["seconds"]["pan-l0"]


def test_the_lines_say_the_total_and_what_it_leaves_out(tmp_path: Path) -> None:
    plan = planned(tmp_path, '"fast", "selfdeblur-coarse"')
    lines = cost_lines(plan, plan.jobs, job_costs(plan.jobs))
    seconds = 32 * known_costs()["levin"]["seconds"]["fast"]
    assert lines[0] == (
        f"64 of 64 jobs to do, about {duration_text(seconds)} one after the other, without selfdeblur-coarse, whose "
        "time is unknown"
    )
    assert lines[1].startswith("Time of fast: measured")
    assert "invkit data fetch levin" in lines[-1]


def test_a_total_of_unknown_times_is_not_told_as_none(tmp_path: Path) -> None:
    plan = planned(tmp_path, '"selfdeblur-coarse"')
    expected = "32 of 32 jobs to do, their time is unknown until the first are done"
    assert cost_lines(plan, plan.jobs, job_costs(plan.jobs))[0] == expected
    assert cost_lines(plan, [], job_costs(plan.jobs))[0].startswith("0 of 32 jobs to do, about 0 s")


class TestWithoutData:
    def test_a_plan_that_is_to_be_run_needs_them(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="invkit data fetch levin"):
            make_plan(load_suite(BENCHMARKS / "table1.toml"), tmp_path)

    def test_only_absent_datasets_whose_cases_are_known_can_be_counted(self, tmp_path: Path) -> None:
        folder = '{ name = "folder", params = { path = "nowhere" } }'
        with pytest.raises(InputError, match="nowhere"):
            planned(tmp_path, '"wiener"', dataset=folder)

    @pytest.mark.parametrize(
        ("name", "preset", "jobs"),
        [
            *(("table1", "paper", 2 * 32), ("table1", "cpu", 2 * 3), ("table2", "paper", 4 * 32)),
            *(("table3", "paper", 26 * 32), ("table4", "paper", 6 * 100), ("figure3", "paper", 2)),
        ],
    )
    def test_the_tables_of_the_paper_are_counted_with_their_time(
        self, tmp_path: Path, name: str, preset: str, jobs: int
    ) -> None:
        plan = make_plan(load_suite(BENCHMARKS / f"{name}.toml", preset), tmp_path, count_only=True)
        costs = job_costs(plan.jobs)
        assert len(plan.jobs) == jobs
        assert set(plan.absent) == {spec.label for spec in plan.suite.datasets}
        assert all(each.seconds is not None and each.seconds > 0 for each in costs.values())
        assert all(each.seconds < 3600 for each in costs.values() if each.seconds is not None)

    @pytest.mark.parametrize(("dataset", "number"), [(Levin, 32), (Lai, 100)])
    def test_listed_cases_are_those_that_are_there(self, data_root: Path, dataset: Any, number: int) -> None:
        assert list(dataset(data_root).listed_cases()) == list(dataset(data_root).cases())
        assert len(dataset(Path("nowhere")).listed_cases()) == number


def test_the_paper_s_settings_are_those_of_the_presets(tmp_path: Path) -> None:
    """The recipe selfdeblur-delta has small networks; the row of the paper has the full ones."""
    for name, until in (("table3", 1000), ("table4", 500)):
        suite = selected(load_suite(BENCHMARKS / f"{name}.toml", "paper"), limit=1)
        recipes = {job.label: job.recipe for job in make_plan(suite, tmp_path, count_only=True).jobs}
        delta, released = recipes["selfdeblur-delta"], recipes["selfdeblur-released"]
        assert delta.solver == recipes["selfdeblur"].solver
        assert delta.image_prior == recipes["selfdeblur"].image_prior
        assert [link.name for link in delta.links()] == ["selfdeblur", "sparse-admm"]
        assert released.fidelity[0].until_iteration == until
