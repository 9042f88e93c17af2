"""``invkit bench table`` and ``invkit bench plot`` on a folder of results."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path

import pytest
from suite_folder import SuiteFolder, add_pictures
from typer.testing import CliRunner, Result

from invkit.apps.cli.bench import bench_app, whole_numbers
from invkit.apps.cli.bench_output import comma_separated
from invkit.core.errors import InputError

FIRST = {
    "md": "# A toy suite",
    "csv": "dataset,by,group,recipe",
    "latex": "% A toy suite",
    "html": "<!DOCTYPE html>",
    "json": "[\n",
}
SUFFIXES = [("t.md", "md"), ("t.csv", "csv"), ("t.tex", "latex"), ("t.html", "html"), ("t.json", "json")]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    suite = SuiteFolder(tmp_path / "suite")
    add_pictures(suite.done("one", "i0", {"psnr": 30.0, "error-ratio": 1.5, "seconds": 1.0}, history=[1.0, 0.5]))
    suite.failed("two", "i0")
    return suite.plan()


def invoke(*words: str | Path) -> Result:
    return CliRunner().invoke(bench_app, [str(word) for word in words], catch_exceptions=False)


def test_the_terminal_without_a_format(folder: Path) -> None:
    done = invoke("table", folder)
    assert done.exit_code == 0
    assert "one" in done.output
    assert "1 of 2 jobs done, 1 failed" in done.output


@pytest.mark.parametrize("kind", FIRST)
def test_a_format_is_printed(folder: Path, kind: str) -> None:
    assert invoke("table", folder, "--format", kind).output.startswith(FIRST[kind])


@pytest.mark.parametrize(("name", "kind"), SUFFIXES)
def test_a_file_tells_its_format(folder: Path, tmp_path: Path, name: str, kind: str) -> None:
    done = invoke("table", folder, "--output", tmp_path / "new" / name)
    assert (tmp_path / "new" / name).read_text("utf-8").startswith(FIRST[kind])
    assert "1 of 2 jobs done" in done.output
    assert (tmp_path / "new" / name).read_text("utf-8") == invoke("table", folder, "--format", kind).output


def test_json_says_what_csv_says(folder: Path) -> None:
    rows = json.loads(invoke("table", folder, "--json").stdout)
    lines = list(csv.DictReader(io.StringIO(invoke("table", folder, "--format", "csv").output)))
    assert len(rows) == len(lines) > 0
    for row, line in zip(rows, lines, strict=True):
        said = {key: "" if value is None else str(value) for key, value in row.items()}
        assert {key: value for key, value in line.items() if key in said} == said


def test_a_file_of_another_suffix_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"end its name in \.md, \.csv, \.tex, \.html"):
        invoke("table", folder, "--output", tmp_path / "table.xls")
    with pytest.raises(InputError, match="cannot be written"):
        invoke("table", folder, "--output", folder / "suite.json" / "t.md")


def test_metrics_are_chosen(folder: Path) -> None:
    lines = invoke("table", folder, "--format", "md", "--metrics", "seconds, psnr").output.splitlines()
    assert next(line for line in lines if line.startswith("| recipe")).split(" | ")[1] == "seconds"


def test_figures_are_drawn_into_the_folder(folder: Path) -> None:
    done = invoke("plot", folder, "--kinds", "losses", "--metric", "psnr")
    assert done.exit_code == 0
    assert (folder / "plots" / "toy--losses--i0.png").stat().st_size > 1000
    assert re.search(r"1 figures in .*plots", done.output)


def test_help_names_every_kind_of_figure() -> None:
    assert "snapshots" in invoke("plot", "--help").output


def test_each_job_is_a_line(folder: Path) -> None:
    done, failed = csv.DictReader(io.StringIO(invoke("table", folder, "--each", "--metrics", "psnr,seconds").output))
    assert (done["case"], done["recipe"], done["status"]) == ("i0", "one", "done")
    assert (float(done["psnr"]), float(done["seconds"])) == (30.0, 1.0)
    assert (failed["recipe"], failed["status"], failed["psnr"]) == ("two", "failed", "")
    assert failed["error"]
    assert "error-ratio" not in done


@pytest.mark.parametrize("others", [["--published"], ["--by", "image"], ["--format", "md"]])
def test_each_job_goes_with_no_other_table(folder: Path, others: list[str]) -> None:
    assert invoke("table", folder, "--each", *others).exit_code == 2


@pytest.mark.parametrize("text", ["", ",", " , "])
def test_an_empty_list_of_names_does_not_mean_everything(text: str) -> None:
    with pytest.raises(InputError, match="names nothing"):
        comma_separated(text)
    with pytest.raises(InputError, match="names nothing"):
        whole_numbers(text)
