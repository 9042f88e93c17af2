"""The code and the commands of the page on other inverse problems work."""

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
from invkit.core import registry
from invkit.media.images import write_image

PAGE = (Path(invkit.__file__).parent.parent / "docs" / "howto" / "problems.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, flags=re.DOTALL)


COMMANDS = [line for block in blocks("bash") for line in block.replace("\\\n", " ").splitlines()]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder of the page, with small files of its names."""
    rng = np.random.default_rng(0)
    blocky = np.kron(rng.uniform(0.1, 0.9, (8, 8)), np.ones((4, 4)))
    mask = (rng.random(blocky.shape) < 0.7).astype(float)
    for name, picture in {
        "noisy.png": blocky,
        "small.png": blocky,
        "holes.png": mask * blocky,
        "mask.png": mask,
    }.items():
        write_image(tmp_path / name, picture, bits=8)
    write_image(tmp_path / "photo.jpg", np.kron(blocky, np.ones((2, 2))), bits=8)
    np.save(tmp_path / "projections.npy", rng.random((1, 12, 24)))
    np.save(tmp_path / "kspace.npy", rng.standard_normal((4, 24, 24)))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_python_code_runs_from_top_to_bottom() -> None:
    names: dict[str, Any] = {}
    try:
        exec(compile("\n".join(blocks("python")), "problems.md", "exec", dont_inherit=True), names)
    finally:
        registry.unregister("operators", "column-gain")
        registry.unregister("kernel_priors", "gains")
    assert names["result"].kernel.shape == (1, 48, 48)
    assert names["together"].kernel.shape == (2, 5, 5)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_succeeds(folder: Path, command: str) -> None:
    outcome = CliRunner().invoke(app, shlex.split(command, comments=True)[1:], catch_exceptions=False)
    assert outcome.exit_code == 0
    assert (folder / "solved" / "image.png").exists()


def test_several_frames_are_given_one_by_one(folder: Path) -> None:
    command = "solve multi-frame --image noisy.png --image holes.png --kernel-size 5 --set solver.iterations=3"
    assert CliRunner().invoke(app, command.split(), catch_exceptions=False).exit_code == 0
    assert np.load(folder / "solved" / "kernel.npy").shape == (2, 5, 5)
