"""The code and the commands of the page on operators that are not linear work."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import invkit
from invkit.apps.cli.main import app
from invkit.core import registry
from invkit.core.errors import AssemblyError
from invkit.media.images import write_image
from invkit.operators.phase_retrieval import PhaseRetrieval

PAGE = (Path(invkit.__file__).parent.parent / "docs" / "howto" / "nonlinear.md").read_text(encoding="utf-8")
REGISTERED = {"film": "operators", "smeared-light": "operators", "free-curve": "kernel_priors"}


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, flags=re.DOTALL)


COMMANDS = blocks("bash")[0].splitlines()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder of the page, with small files of its names."""
    blocky = np.kron(np.random.default_rng(0).uniform(0.1, 0.9, (8, 8)), np.ones((4, 4)))
    operator = PhaseRetrieval()
    masks = operator.drawn_masks((1, 3, 32, 32))
    write_image(tmp_path / "photo.jpg", blocky, bits=8)
    np.save(tmp_path / "kernel.npy", np.full((3, 3), 1 / 9))
    np.save(tmp_path / "masks.npy", masks.numpy())
    np.save(tmp_path / "patterns.npy", 500 * operator(torch.from_numpy(blocky).float()[None, None], masks)[0].numpy())
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_python_code_runs_from_top_to_bottom() -> None:
    names: dict[str, Any] = {}
    try:
        exec(compile("\n".join(blocks("python")), "nonlinear.md", "exec", dont_inherit=True), names)
    finally:
        for name, family in REGISTERED.items():
            registry.unregister(family, name)
    assert not names["found"].has_kernel


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_succeeds(folder: Path, command: str) -> None:
    outcome = CliRunner().invoke(app, shlex.split(command)[1:], catch_exceptions=False)
    assert outcome.exit_code == 0
    assert any((folder / place / "image.png").exists() for place in ("deconvolved", "solved", "drawn"))


def test_the_masks_that_are_drawn_give_the_same_image_as_the_same_masks_from_a_file(folder: Path) -> None:
    for more in ("--kernel masks.npy --output given", "--output drawn"):
        command = f"solve phase-retrieval --image patterns.npy {more}"
        assert CliRunner().invoke(app, command.split(), catch_exceptions=False).exit_code == 0
    given, drawn = (np.load(folder / place / "image.npy") for place in ("given", "drawn"))
    np.testing.assert_array_equal(given, drawn)
    assert given.max() > 100  # in the units of the patterns


def test_a_solver_of_linear_operators_names_those_that_would_do(folder: Path) -> None:
    command = "deconvolve photo.jpg --kernel kernel.npy --recipe tv-admm --set operator=gamma-blur"
    with pytest.raises(AssemblyError, match=r"'gamma-blur' does not qualify") as refused:
        CliRunner().invoke(app, command.split(), catch_exceptions=False)
    assert "solvers for 'gamma-blur' are alternating-adam, diffusion, joint-adam, proximal-gradient" in str(
        refused.value
    )
    assert not (folder / "deconvolved").exists()
