"""What stands beside the recipes in a table: the blurry input, and the published rows that belong to the suite."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from suite_folder import SuiteFolder

import invkit
from invkit.benchmark.formats import as_page, statistics_lines
from invkit.benchmark.plan import Planner, make_plan
from invkit.benchmark.published import published_tables
from invkit.benchmark.records import read_results
from invkit.benchmark.suite import load_suite, parse_suite
from invkit.benchmark.tables import INPUT, ResultTable, tables_of
from invkit.core.errors import InputError

BENCHMARKS = Path(invkit.__file__).parent.parent / "benchmarks"
MEASURED = {"psnr": 20.0, "error-ratio": 12.0}


@pytest.fixture
def suite(tmp_path: Path) -> SuiteFolder:
    """Two recipes on two cases whose inputs were measured."""
    folder = SuiteFolder(tmp_path)
    for place, case in enumerate(("i1", "i2")):
        facts: dict[str, Any] = {"groups": {"part": "xy"[place]}, "input_metrics": {**MEASURED, "psnr": 20.0 + place}}
        for recipe in ("one", "two"):
            folder.done(recipe, case, {"psnr": 30.0, "error-ratio": 1.5, "seconds": 3.0}, **facts)
    return folder


def only(suite: SuiteFolder, **how: Any) -> ResultTable:
    (table,) = tables_of(read_results(suite.plan()), interval="none", **how)
    return table


def names(table: ResultTable) -> list[str]:
    return [row.name for row in table.rows]


def cells(table: ResultTable) -> list[str]:
    return [cell.text for row in table.rows if row.name == INPUT for cell in row.cells]


class TestBlurryInput:
    def test_its_row_follows_the_recipes_and_has_no_cost(self, suite: SuiteFolder) -> None:
        table = only(suite)
        assert names(table) == ["one", "two", INPUT]
        assert cells(table) == ["20.50", "20.50", "20.00", "12.00", "0%", "0%", "–"]  # noqa: RUF001

    def test_it_is_never_the_best_and_the_recipes_still_are(self, suite: SuiteFolder) -> None:
        for case in ("i1", "i2"):
            suite.done("three", case, {"psnr": 10.0, "error-ratio": 20.0, "seconds": 9.0}, input_metrics=MEASURED)
        rows = {row.name: [cell.bold for cell in row.cells] for row in only(suite).rows}
        assert rows["one"][0]
        assert not any(rows["three"] + rows[INPUT])

    def test_seeds_do_not_count_it_twice(self, suite: SuiteFolder) -> None:
        suite.done("one", "i2", {"psnr": 31.0}, seed=1, input_metrics={**MEASURED, "psnr": 21.0})
        (table,) = tables_of(read_results(suite.plan()), interval="seeds")
        assert cells(table)[0] == "20.50"

    def test_results_made_before_it_was_measured_have_no_row(self, suite: SuiteFolder) -> None:
        suite.done("one", "i3", {"psnr": 31.0})
        assert names(only(suite)) == ["one", "two"]
        assert {line["kind"] for line in statistics_lines(read_results(suite.plan()))} == {"measured"}

    def test_one_measured_result_of_a_case_is_enough(self, suite: SuiteFolder) -> None:
        suite.done("three", "i1", {"psnr": 31.0})
        assert names(only(suite))[-1] == INPUT

    def test_a_case_that_every_recipe_failed_on_does_not_count(self, suite: SuiteFolder) -> None:
        suite.failed("one", "i3")
        assert cells(only(suite))[0] == "20.50"

    def test_a_table_of_costs_alone_has_no_row(self, suite: SuiteFolder) -> None:
        assert names(only(suite, metrics=["seconds"])) == ["one", "two"]

    def test_by_group_it_has_a_figure_for_each_value(self, suite: SuiteFolder) -> None:
        assert cells(only(suite, by="part", metrics=["psnr"])) == ["20.00", "21.00", "20.50"]

    def test_files_tell_it_apart_from_recipes(self, suite: SuiteFolder) -> None:
        results = read_results(suite.plan())
        lines = [line for line in statistics_lines(results, by="part") if line["kind"] == "input"]
        assert {(line["metric"], line["group"]): line["mean"] for line in lines} == {
            **{("psnr", ""): 20.5, ("psnr", "x"): 20.0, ("psnr", "y"): 21.0},
            **{("error-ratio", group): 12.0 for group in ("", "x", "y")},
        }
        assert "| blurry input | 20.50 |" in as_page("md", "", tables_of(results, interval="none"))


BELONGING = {
    "table1": {"SelfDeblur, joint", "SelfDeblur, alternating"},
    "table2": {
        *("SelfDeblur, one hidden layer", "SelfDeblur, k- (no hidden layer)"),
        *("SelfDeblur, k+ (two hidden layers)", "Double-DIP"),
    },
    "table3": {
        *("known kernel Δ", "Krishnan et al. 2011 Δ", "Cho & Lee 2009 Δ", "Levin et al. 2011 Δ", "Xu & Jia 2010 Δ"),
        *("Sun et al. 2013 Δ", "Zuo et al. 2016 Δ", "Pan et al. 2016 (dark channel) Δ", "SRN", "SelfDeblur Δ"),
        *("SelfDeblur", "PMP", "SelfDeblur, its images", "W-DIP, its images", "known kernel, the data's images"),
        "blurry images",
    },
    "table4": {
        *("Cho & Lee 2009 Δ", "Xu & Jia 2010 Δ", "Xu et al. 2013 (L0) Δ", "Michaeli & Irani 2014 Δ"),
        *("Perrone & Favaro 2014 Δ", "Pan et al. 2014 (L0) Δ", "Pan et al. 2016 (dark channel) Δ"),
        *("SelfDeblur Δ", "SelfDeblur"),
    },
    "figure3": set(),
    "levin_harder": set(),
}


class TestPublished:
    @pytest.mark.parametrize("preset", [None, "paper", "cpu"])
    @pytest.mark.parametrize("name", BELONGING)
    def test_a_table_of_the_paper_has_its_rows_and_no_others(
        self, tmp_path: Path, name: str, preset: str | None
    ) -> None:
        if name == "levin_harder":
            preset = "noise1" if preset else None
        planned = load_suite(BENCHMARKS / f"{name}.toml", preset)
        without_data = planned.model_copy(update={"datasets": []})
        facts = Planner(without_data, None).facts()
        dataset = planned.datasets[0]
        folder = SuiteFolder(tmp_path, dataset=dataset.label)
        folder.done("one", "i1", {spec.label: 1.0 for spec in planned.metrics})
        entry = {"name": dataset.name, "label": dataset.label, "title": dataset.name}
        root = folder.plan(datasets=[entry], metrics=facts["metrics"], published=facts["published"])
        (table,) = tables_of(read_results(root), published=True)
        assert {row.name for row in table.rows if row.published} == BELONGING[name]

    def test_a_suite_that_does_not_say_shows_all_of_its_dataset(self, suite: SuiteFolder) -> None:
        entry = {"name": "levin", "label": "toy", "title": "Levin"}
        for facts in ({}, {"published": None}):
            (table,) = tables_of(read_results(suite.plan(datasets=[entry], **facts)), published=True)
            assert {"SelfDeblur", "SelfDeblur, joint", "Double-DIP", "PMP"} <= set(names(table))

    def test_every_published_table_has_an_id_of_its_own(self) -> None:
        ids = [table["id"] for table in published_tables()]
        assert len(set(ids)) == len(ids)

    def test_a_suite_that_names_an_unknown_table_is_refused_with_the_nearest(self) -> None:
        text = 'published = ["selfdeblur-tabel1"]\ndatasets = ["levin"]\nrecipes = ["wiener"]\nmetrics = ["seconds"]\n'
        with pytest.raises(InputError, match=r"published: there is no table 'selfdeblur-tabel1'.*selfdeblur-table1"):
            make_plan(parse_suite(text), None)
