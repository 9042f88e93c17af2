"""The code and the commands of the page on uncertainty work."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import invkit
from invkit.apps.cli.main import app
from invkit.datasets.synthetic import blur_image
from invkit.media.images import write_image

PAGE = (Path(invkit.__file__).parent.parent / "docs" / "howto" / "uncertainty.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, flags=re.DOTALL)


COMMANDS = [line for block in blocks("bash") for line in block.splitlines()]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder of the page, with a small photograph and its kernel."""
    blocky = np.kron(np.random.default_rng(0).uniform(0.1, 0.9, (8, 8)), np.ones((8, 8)))
    kernel = np.full((3, 5), 1 / 15)
    write_image(tmp_path / "photo.png", blur_image(blocky, kernel), bits=8)
    np.save(tmp_path / "kernel.npy", kernel)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_python_code_runs(folder: Path) -> None:
    names: dict[str, Any] = {}
    [code] = blocks("python")
    exec(compile(code, "uncertainty.md", "exec", dont_inherit=True), names)
    assert (names["low"] < names["high"]).all()
    assert names["low"].shape == (62, 60)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_does_what_the_page_says(folder: Path, command: str) -> None:
    outcome = CliRunner().invoke(app, shlex.split(command)[1:])
    output = folder / ("deconvolved" if "deconvolve" in command else "deblurred")
    assert outcome.exit_code == 0, outcome.output
    kernel = {"kernel_deviation.npy"} if "deblur" in command else set()
    assert {"uncertainty.png", "image_deviation.npy"} | kernel <= {path.name for path in output.iterdir()}


def test_the_options_help_says_what_the_interval_is() -> None:
    shown = CliRunner().invoke(app, ["deconvolve", "--help"], env={"COLUMNS": "200"}).output
    words = " ".join(re.sub(r"[│╭╮╰╯─]", " ", shown).split())
    assert "--uncertainty" in words
    assert "9 in 10 true pixels" in words
