"""What the measuring scripts share: the command line, the facts of a run and the file of its results."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch
from results_file import command_line, print_rows, run_facts, write_results

from invkit import __version__


def test_the_output_is_an_option_with_the_default_of_the_script(tmp_path: Path) -> None:
    assert command_line("What it measures.").parse_args([]).output is None
    assert command_line("What it measures.", tmp_path).parse_args([]).output == tmp_path
    assert command_line("What it measures.", tmp_path).parse_args(["--output", "a.json"]).output == Path("a.json")


def test_the_facts_tell_the_command_the_machine_and_the_versions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["benchmarks/counts.py", "--output", "my results.json"])
    facts = json.loads(json.dumps(run_facts()))
    assert facts["command"] == "python benchmarks/counts.py --output 'my results.json'"
    assert facts["versions"]["invkit"] == __version__
    assert facts["machine"]["threads"] == torch.get_num_threads()
    assert len(facts["machine"]["load_average"]) == 3


def test_results_are_read_as_they_were_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "new" / "results.json"
    results = {"rows": [{"recipe": "fast", "psnr": 30.5}]}
    write_results(file, results)
    assert json.loads(file.read_text(encoding="utf-8")) == results
    print_rows(results)
    assert capsys.readouterr().out == f"written to {file}\nrecipe fast  psnr 30.5\n"


def test_nothing_is_written_without_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    write_results(None, {"rows": []})
    assert capsys.readouterr().out == ""
