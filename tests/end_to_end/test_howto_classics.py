"""The page that compares a method with the classics: its suite gives the table of the page."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import invkit
from invkit.apps.cli.main import app
from invkit.benchmark.records import read_results
from invkit.benchmark.tables import tables_of

PAGE = (Path(invkit.__file__).parent.parent / "docs" / "howto" / "classics.md").read_text(encoding="utf-8")
NAME, SECONDS = 0, -1  # columns; the last one depends on the machine

# Processors round differently, and the outer iterations of a blind method amplify this: data that differ by a millionth
# changed single images by up to 1.6 dB (benchmarks/results/classical.json, the control), most by less than 0.2.
TOLERANCES = {"psnr, dB": 1.0, "median": 1.0, "minimum": 1.5, "ssim": 0.02, "kernel-similarity": 0.1}


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, flags=re.DOTALL)


def table_rows() -> list[list[str]]:
    """The rows of the page's table, its heads first."""
    lines = [line for line in PAGE.splitlines() if line.startswith("| ") and "---" not in line]
    return [[cell.strip(" *") for cell in line.strip("|").split("|")] for line in lines]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder of the page, with its recipe and its suite."""
    for name, text in zip(("mine.toml", "classics.toml"), blocks("toml"), strict=True):
        (tmp_path / name).write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
def test_the_commands_give_the_table_of_the_page(folder: Path) -> None:
    (commands,) = blocks("bash")
    for command in commands.splitlines():
        outcome = CliRunner().invoke(app, shlex.split(command)[1:], catch_exceptions=False)
        assert outcome.exit_code == 0
    (table,) = tables_of(read_results(folder / "tried"), interval="none")
    heads, *rows = table_rows()
    assert tuple(heads) == table.heads
    assert [row[NAME] for row in rows] == [row.name for row in table.rows]
    for row, measured in zip(rows, table.rows, strict=True):
        for head, shown, cell in list(zip(heads[1:], row[1:], measured.cells, strict=True))[:SECONDS]:
            if cell.text == "–":  # noqa: RUF001  an empty cell
                assert shown == cell.text
            else:
                assert float(cell.text) == pytest.approx(float(shown), abs=TOLERANCES[head]), (row[NAME], head)


def test_the_error_ratio_is_that_of_the_page(folder: Path) -> None:
    (code,) = blocks("python")
    names: dict[str, Any] = {}
    exec(compile(code, "classics.md", "exec", dont_inherit=True), names)
    (shown,) = re.findall(r"# (\d\.\d+)$", code, flags=re.MULTILINE)
    assert names["ratio"] == pytest.approx(float(shown), rel=0.3)  # a decibel, as above
