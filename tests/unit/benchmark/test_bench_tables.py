"""Tables say what was measured, mark what is not whole, and never mix in what was not measured here."""

from __future__ import annotations

import csv
import io
import math
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from suite_folder import METRICS, SuiteFolder

from invkit.benchmark.formats import STATISTICS_HEADS, as_csv, as_page, as_terminal, statistics_lines
from invkit.benchmark.published import PublishedRow, published_rows, published_tables
from invkit.benchmark.records import ALL, MetricInfo, SuiteItem, read_results
from invkit.benchmark.tables import ResultRow, ResultTable, tables_of
from invkit.core.errors import InputError

PSNR = MetricInfo("p", "aligned-psnr", {}, "dB", "higher")


@pytest.fixture
def suite(tmp_path: Path) -> SuiteFolder:
    """Two recipes on three cases."""
    folder = SuiteFolder(tmp_path)
    for case, group, one, other in (("i1", "x", 30.0, 31.0), ("i2", "x", 32.0, 31.0), ("i10", "y", 34.0, 31.0)):
        groups = {"part": group, "kernel": case[1:]}
        folder.done("one", case, {"psnr": one, "error-ratio": one - 30, "seconds": 0.1234}, groups=groups)
        folder.done("two", case, {"psnr": other, "error-ratio": 2.5, "seconds": 123.4}, groups=groups)
    return folder


def only(suite: SuiteFolder, **how: Any) -> ResultTable:
    (table,) = tables_of(read_results(suite.plan()), **how)
    return table


def row(table: ResultTable, name: str) -> ResultRow:
    return next(each for each in table.rows if each.name == name)


def texts(table: ResultTable, name: str) -> list[str]:
    return [cell.text for cell in row(table, name).cells]


def test_the_figures_of_a_table(suite: SuiteFolder) -> None:
    table = only(suite, interval="none")
    heads = ("recipe", "psnr, dB", "median", "minimum", "error-ratio", "error-ratio ≤ 2", "error-ratio ≤ 3", "seconds")
    assert table.heads == heads
    assert texts(table, "one") == ["32.00", "32.00", "30.00", "2.00", "67%", "67%", "0.123"]
    assert texts(table, "two") == ["31.00", "31.00", "31.00", "2.50", "0%", "100%", "123"]
    assert table.about == "6 of 6 jobs done; 3 cases; seed 0"


def test_the_best_of_each_column_is_bold(suite: SuiteFolder) -> None:
    table = only(suite)
    bold = {each.name: [cell.bold for cell in each.cells] for each in table.rows}
    assert bold["one"] == [True, True, False, True, True, False, True]
    assert bold["two"] == [False, False, True, False, False, True, False]


def test_the_interval_is_students(suite: SuiteFolder) -> None:
    # 30, 32, 34: standard error 2 / sqrt(3), times the quantile 4.303 of two degrees of freedom
    assert texts(only(suite), "one")[0] == "32.00 ± 4.97"
    assert any(note.text.startswith("±: half of the 95 %") for note in only(suite).notes)
    assert texts(only(suite, interval="seeds"), "one")[0] == "32.00"  # there is one seed


def test_of_one_case_the_interval_is_over_the_seeds(tmp_path: Path) -> None:
    folder = SuiteFolder(tmp_path, metrics=METRICS[:1])
    for seed, value in enumerate((30.0, 32.0, 34.0)):
        folder.done("one", "i1", value, seed)
    assert texts(only(folder), "one")[0] == "32.00 ± 4.97"


def test_a_single_recipe_is_not_the_best(tmp_path: Path) -> None:
    folder = SuiteFolder(tmp_path)
    folder.done("one", "i1", 30.0)
    assert not any(cell.bold for cell in only(folder).rows[0].cells)


def test_equal_figures_as_printed_are_both_bold(tmp_path: Path) -> None:
    folder = SuiteFolder(tmp_path, metrics=METRICS[:1])
    for recipe, value in (("a", 30.001), ("b", 30.0), ("c", 29.0)):
        folder.done(recipe, "i1", value)
    assert [each.cells[0].bold for each in only(folder).rows] == [True, True, False]


def test_a_recipe_with_failed_jobs_is_marked_counted_and_never_the_best(suite: SuiteFolder) -> None:
    suite.failed("one", "i3")
    suite.done("two", "i3", {"psnr": 1.0, "error-ratio": 9.0, "seconds": 1.0})
    table = only(suite)
    assert row(table, "one").marks == ("†",)
    assert not any(cell.bold for cell in row(table, "one").cells)
    (note,) = [note for note in table.notes if note.mark == "†"]
    assert "one 1 of 4 (DivergedError 1)" in note.text
    assert texts(table, "one")[4] == "50%"  # 2 of 4, the failed one being a miss
    assert table.about.startswith("7 of 8 jobs done")


def test_missing_and_skipped_jobs_and_missing_figures_are_marked(suite: SuiteFolder) -> None:
    suite.job("one", "i3")
    suite.write("two", "i3", 0, True, {"status": "skipped"})
    suite.done("three", "i1", {"seconds": 1.0})
    table = only(suite)
    assert [row(table, name).marks for name in ("one", "two", "three")] == [("‡",), ("¶",), ("*",)]
    said = " ".join(note.text for note in table.notes)
    assert "one 1 of 4" in said
    assert "two 1 of 4" in said
    assert "three psnr 1 cases, error-ratio 1 cases" in said
    assert texts(table, "three")[:3] == ["–"] * 3  # noqa: RUF001
    assert not any(cell.bold for each in table.rows for cell in each.cells)


def test_a_recipe_of_which_nothing_is_done_yet_has_its_row(suite: SuiteFolder) -> None:
    suite.job("three", "i1")
    assert row(only(suite), "three").marks == ("‡",)


def test_infinite_figures_are_left_out_and_said(suite: SuiteFolder) -> None:
    suite.done("one", "i3", {"psnr": math.inf, "error-ratio": 1.0, "seconds": 1.0})
    suite.done("two", "i3", {"psnr": 31.0, "error-ratio": 1.0, "seconds": 1.0})
    table = only(suite, interval="none")
    assert texts(table, "one")[0] == "32.00"
    assert any("one psnr 1 of 4" in note.text for note in table.notes if note.mark == "§")


def test_results_of_several_versions_or_machines_are_said(suite: SuiteFolder) -> None:
    suite.done("one", "i3", 30.0, code="d" * 64)
    suite.done("two", "i3", 30.0, machine={"host": "there", "cpu": "one", "device": "cpu"})
    said = [note.text for note in only(suite).notes]
    assert "Made by several versions of the code: code cccccccccccc (7 jobs); code dddddddddddd (1 jobs)." in said
    assert "Made on several machines, whose seconds do not compare: here (7 jobs); there (1 jobs)." in said


def test_by_group_there_is_a_column_for_each_value_in_natural_order(suite: SuiteFolder) -> None:
    store = read_results(suite.plan())
    tables = tables_of(store, by="kernel", metrics=["psnr", "seconds"], interval="none")
    assert [table.heads for table in tables] == [("recipe", "1", "2", "10", "all")] * 2
    assert texts(tables[0], "one") == ["30.00", "32.00", "34.00", "32.00"]
    assert "psnr, dB, by kernel" in tables[0].title


def test_the_whole_is_the_mean_over_cases_and_not_over_groups(suite: SuiteFolder) -> None:
    (table,) = tables_of(read_results(suite.plan()), by="part", metrics=["psnr"], interval="none")
    assert texts(table, "one") == ["31.00", "34.00", "32.00"]


def test_unknown_metrics_and_groups_are_errors(suite: SuiteFolder) -> None:
    store = read_results(suite.plan())
    with pytest.raises(InputError, match="no metric 'psnrr'; its metrics are psnr, error-ratio, seconds"):
        tables_of(store, metrics=["psnrr"])
    with pytest.raises(InputError, match="group named 'colour'; the groups are kernel, part"):
        tables_of(store, by="colour")


def test_a_metric_goes_by_its_label_or_its_name(suite: SuiteFolder) -> None:
    assert only(suite, metrics=["aligned-psnr"]).heads[1] == "psnr, dB"


def test_shares_are_of_ratios_of_squared_errors_alone(tmp_path: Path) -> None:
    folder = SuiteFolder(tmp_path, metrics=({**METRICS[1], "params": {"kind": "norm"}},))
    folder.done("one", "i1", 1.5)
    assert only(folder).heads == ("recipe", "error-ratio", "median", "maximum")


# Published rows


def lai(by: str | None = None, **params: Any) -> list[PublishedRow]:
    metrics = [MetricInfo("p", "aligned-psnr", params, "dB", "higher"), MetricInfo("s", "aligned-ssim", params)]
    return published_rows("lai", metrics, by)


def test_figures_in_another_convention_are_not_shown() -> None:
    assert lai() == []
    assert lai(luma="full") == []
    (selfdeblur,) = [each for each in lai(luma="matlab") if each.name == "SelfDeblur"]
    assert selfdeblur.values == {("p", "mean", ALL): 20.97}  # SSIM as published is of shrunken images
    assert lai(luma="matlab", shrink=True)[-1].values["s", "mean", ALL] == 0.7524
    assert published_rows("levin", [MetricInfo("p", "aligned-psnr", {"luma": "matlab"})]) == []
    assert published_rows("folder", [PSNR]) == []


def test_the_categories_of_lai_have_the_published_average() -> None:
    (each,) = [each for each in lai("category", luma="matlab", shrink=True) if each.name == "SelfDeblur"]
    for label, rounding in (("p", 0.01), ("s", 0.0001)):
        parts = [value for (of, _, part), value in each.values.items() if of == label and part != ALL]
        assert len(parts) == 5
        assert sum(parts) / 5 == pytest.approx(each.values[label, "mean", ALL], abs=rounding)


def test_what_was_published_is_plausible_and_has_a_source() -> None:
    for table in published_tables():
        assert table["source"]
        assert table["protocol"]
        assert table["cases"] == {"levin": 32, "lai": 100}[table["dataset"]]
        for each in table["rows"]:
            assert set(each) - {"name", "where"} <= set(table["metrics"])
            assert 15 < each["psnr"] < 40
            assert 0.4 < each["ssim"] < 1


def test_ratios_of_two_definitions_do_not_mix() -> None:
    def names(**params: Any) -> set[str]:
        return {each.name for each in published_rows("levin", [MetricInfo("r", "error-ratio", params)])}

    assert "SelfDeblur" in names(kind="norm")
    assert names(kind="ssd") == set()
    assert names(max_shift=10.0) == {"SelfDeblur, its images", "W-DIP, its images", "known kernel, the data's images",
                                     "blurry images"}  # fmt: skip


def levin(suite: SuiteFolder, **how: Any) -> ResultTable:
    entry = {"name": "levin", "label": "toy", "title": "Levin"}
    (table,) = tables_of(read_results(suite.plan(datasets=[entry])), published=True, **how)
    return table


def test_published_rows_come_last_are_never_bold_and_name_their_source(suite: SuiteFolder) -> None:
    table = levin(suite)
    kinds = [each.published for each in table.rows]
    assert kinds == sorted(kinds)
    assert sum(kinds) > 10
    assert not any(cell.bold for each in table.rows if each.published for cell in each.cells)
    assert row(table, "one").cells[0].bold  # 32.00, though 34.53 has been published
    note = next(note for note in table.notes if note.mark == row(table, "SelfDeblur").marks[0])
    assert "published, not measured in this suite: Ren" in note.text
    assert "Table 3" in note.text
    assert "Of 32 cases, where this table has 3." in note.text


# Formats


def test_markdown(suite: SuiteFolder) -> None:
    suite.failed("one", "i3")
    page = as_page("md", "A * suite", [levin(suite, interval="none")])
    lines = page.splitlines()
    assert lines[0] == r"# A \* suite"
    table = [line for line in lines if line.startswith("|")]
    assert len({line.count("|") for line in table}) == 1
    assert table[1].startswith("| --- | ---: |")
    assert "| one [†] | 32.00 |" in table[2]
    assert "| two | 31.00 |" in table[3]
    assert any(line.startswith("| *SelfDeblur* [1] | 33.07 |") for line in table)
    assert any(line.startswith("- [†] failed jobs") for line in lines)


def test_latex_is_escaped_and_balanced(suite: SuiteFolder) -> None:
    suite.done("a_b & c", "i1", {"psnr": 50.0, "error-ratio": 1.0, "seconds": 1.0})
    page = as_page("latex", "A suite", [only(suite)])
    assert r"a\_b \& c" in page
    assert r"\textbf{50.00}" in page
    assert r"32.00 $\pm$ 4.97" in page
    assert page.isascii()
    for name in ("table", "tabular", "minipage"):
        assert page.count(rf"\begin{{{name}}}") == page.count(rf"\end{{{name}}}") == 1
    assert re.sub(r"\\[{}]", "", page).count("{") == re.sub(r"\\[{}]", "", page).count("}")
    body = [line for line in page.splitlines() if line.endswith(r"\\")]
    assert len({len(re.findall(r"(?<!\\)&", line)) for line in body}) == 1


def test_latex_has_the_suite_s_title_and_a_label(suite: SuiteFolder) -> None:
    page = as_page("latex", "My 100 % prior", [only(suite)])
    assert r"\caption{My 100 \% prior. " in page
    (label,) = re.findall(r"\\label\{(.*)\}", page)
    assert re.fullmatch(r"tab:my-100-prior-[a-z0-9-]*[a-z0-9]", label)
    assert r"\caption{" + only(suite).title in as_page("latex", "", [only(suite)])


def test_a_column_without_a_figure_is_left_out(tmp_path: Path) -> None:
    folder = SuiteFolder(tmp_path)
    folder.done("one", "i1", {"psnr": 30.0, "error-ratio": 1.0})
    folder.done("two", "i1", {"psnr": 31.0, "error-ratio": 1.0})
    assert not any("seconds" in head for head in only(folder).heads)
    assert any(note.text == "Left out, without figures: seconds." for note in only(folder).notes)
    folder.done("two", "i2", {"psnr": 31.0, "error-ratio": 1.0, "seconds": 2.0})
    assert only(folder).heads[-1] == "seconds"


def test_html_needs_nothing_else_and_is_escaped(suite: SuiteFolder) -> None:
    suite.done("<b>", "i1", {"psnr": 50.0, "error-ratio": 1.0, "seconds": 1.0})
    page = as_page("html", "A < suite", [only(suite)])
    assert "&lt;b&gt;" in page
    assert "<h1>A &lt; suite</h1>" in page
    assert "http" not in page
    assert '<td class="best">50.00</td>' in page
    parser = Balanced()
    parser.feed(page)
    assert parser.open == []
    assert parser.rows == 4


class Balanced(HTMLParser):
    """Which tags are open, and how many rows there have been."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.rows = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.rows += tag == "tr"
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def printed(tables: list[ResultTable], width: int) -> str:
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(as_terminal("A [suite]", tables, width))
    return console.export_text()


def test_the_terminal_leaves_intervals_out_where_it_is_narrow_and_says_so(suite: SuiteFolder) -> None:
    wide, narrow = printed([only(suite)], 120), printed([only(suite)], 70)
    assert "32.00 ± 4.97" in wide
    assert "Intervals are left out" not in wide
    assert "4.97" not in narrow
    assert "32.00" in narrow
    assert "Intervals are left out" in narrow
    assert "A [suite]" in wide


def test_csv_has_a_line_for_each_recipe_metric_and_part(suite: SuiteFolder) -> None:
    suite.failed("one", "i3")
    entry = {"name": "levin", "label": "toy", "title": "Levin"}
    lines = statistics_lines(read_results(suite.plan(datasets=[entry])), by="part", published=True)
    text = as_csv(STATISTICS_HEADS, lines)
    rows = list(csv.DictReader(io.StringIO(text)))
    assert tuple(rows[0]) == STATISTICS_HEADS
    measured = [each for each in rows if each["kind"] == "measured"]
    assert len(measured) == 2 * 3 * 3  # recipes, metrics, parts and the whole
    (ratio,) = [e for e in measured if (e["recipe"], e["metric"], e["group"]) == ("one", "error-ratio", "")]
    assert {key: ratio[key] for key in ("mean", "share_at_most_2", "cases", "planned", "failed", "missing")} == {
        "mean": "2.0",
        "share_at_most_2": "0.5",
        "cases": "3",
        "planned": "4",
        "failed": "1",
        "missing": "0",
    }
    assert ratio["by"] == ""
    published = [each for each in rows if each["kind"] == "published"]
    assert {each["metric"] for each in published} == {"psnr", "seconds"}
    assert all(each["source"] and each["protocol"] for each in published)


@pytest.mark.parametrize(
    ("label", "heading"), [("levin", "Levin et al."), ("hard", "Levin et al. (hard)"), ("Levin et al.", "Levin et al.")]
)
def test_a_dataset_that_a_suite_names_by_a_label_is_headed_by_it_too(label: str, heading: str) -> None:
    assert SuiteItem(label, "Levin et al.", "levin").heading == heading
