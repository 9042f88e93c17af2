"""Observers that the command line names, and the files that they write to the folder of the run."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import invkit
from invkit import Observer, Problem
from invkit.apps.cli.main import main
from invkit.core import registry
from invkit.core.errors import InputError, RecipeError, UnknownNameError
from invkit.core.solver import State, StopSolve
from invkit.fidelities.norms import MSE
from invkit.image_priors.pixels import Pixels
from invkit.kernel_priors.simplex import SimplexKernel
from invkit.media.snapshot_files import SnapshotFiles
from invkit.operators.convolution import Convolution
from invkit.pipeline.observers import observers_of, read_observer
from invkit.solvers.adam import JointAdam


@pytest.fixture
def problem() -> Problem:
    data = torch.rand(1, 1, 12, 12, generator=torch.Generator().manual_seed(0))
    return Problem(data, Convolution(), Pixels((1, 1, 14, 14), data), SimplexKernel((1, 1, 3, 3)), MSE())


@pytest.mark.parametrize(
    ("text", "name", "params"),
    [
        ("snapshots", "snapshots", {}),
        ("snapshots:every=5", "snapshots", {"every": 5}),
        ("my-plugin:board", "my-plugin:board", {}),
        ("my-plugin:board:every=5, label=a word", "my-plugin:board", {"every": 5, "label": "a word"}),
        ("board:sizes=[1, 2],path=C:/runs,rate=1e-3", "board", {"sizes": [1, 2], "path": "C:/runs", "rate": 1e-3}),
        ("board:title=a=b", "board", {"title": "a=b"}),
    ],
)
def test_names_and_parameters_are_read(text: str, name: str, params: dict[str, Any]) -> None:
    spec = read_observer(text)
    assert (spec.name, spec.params) == (name, params)


@pytest.mark.parametrize("text", ["", "every=5", "snapshots:=5", ":every=5"])
def test_other_forms_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="NAME:KEY=VALUE"):
        read_observer(text)


def test_an_unknown_name_and_an_unknown_parameter_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="'snapshot' in observers; did you mean 'snapshots'"):
        observers_of(["snapshot"], tmp_path, 0)
    with pytest.raises(RecipeError, match=r"--observe: snapshots.evry is not known; did you mean 'every'"):
        observers_of(["snapshots:evry=3"], tmp_path, 0)
    with pytest.raises(RecipeError, match="greater than 0"):
        observers_of(["snapshots:every=0"], tmp_path, 0)
    assert list(tmp_path.iterdir()) == []


class Faulty(Observer):
    """Fails at the second step."""

    def __init__(self) -> None:
        self.calls: list[int | str | None] = []

    def stepped(self, problem: Problem, state: State) -> None:
        self.calls.append(state.iteration)
        if state.iteration == 2:
            raise OSError("the disk is full")

    def stopped(self, problem: Problem, state: State, reason: str | None) -> None:
        self.calls.append(reason)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "snapshots").iterdir())


def test_pictures_are_written_at_the_right_iterations_and_at_the_end_of_each_solve(
    problem: Problem, tmp_path: Path
) -> None:
    observer = SnapshotFiles(tmp_path, every=2)
    for iterations in (5, 2):
        JointAdam(iterations=iterations).solve(problem, observers=[observer])
    stems = [
        f"{when}-{what}"
        for when in ("01-00002", "01-00004", "01-00005", "02-00002")
        for what in ("image.png", "kernel.npy", "kernel.png")
    ]
    assert names(tmp_path) == stems
    assert np.asarray(invkit.media.images.read_image(tmp_path / "snapshots" / stems[0]).pixels).shape[:2] == (14, 14)


def test_a_new_run_removes_old_pictures_only_and_a_resumed_one_keeps_them(problem: Problem, tmp_path: Path) -> None:
    solver = JointAdam(iterations=3)
    solver.solve(problem, observers=[SnapshotFiles(tmp_path, every=1)])
    (tmp_path / "snapshots" / "mine.png").write_bytes(b"mine")
    state = solver.start(problem)
    for _ in range(2):
        state = solver.step(problem, state)
        state.iteration += 1
    solver.solve(problem, observers=[SnapshotFiles(tmp_path, every=5)], resume=state.state_dict())
    assert len(names(tmp_path)) == 10
    solver.solve(problem, observers=[SnapshotFiles(tmp_path, every=5)])
    assert names(tmp_path) == ["01-00003-image.png", "01-00003-kernel.npy", "01-00003-kernel.png", "mine.png"]


RECIPE = """
name = "few"
image_prior = "pixels"
kernel_prior = "simplex"
next = "wiener"
solver = { name = "joint-adam", params = { iterations = 4 } }
"""


@pytest.fixture
def few(tmp_path: Path) -> list[Any]:
    """A recipe of two stages, and a photograph."""
    (tmp_path / "few.toml").write_text(RECIPE, encoding="utf-8")
    np.save(tmp_path / "photo.npy", np.random.default_rng(0).uniform(size=(20, 24, 3)).astype(np.float32))
    return [tmp_path / "photo.npy", "--recipe", tmp_path / "few.toml", "--kernel-size", 5, "-o", tmp_path / "out"]


def run(monkeypatch: pytest.MonkeyPatch, *words: Any) -> str | int:
    monkeypatch.setattr(sys, "argv", ["invkit", *map(str, words)])
    with pytest.raises(SystemExit) as stop:
        main()
    return stop.value.code or 0


def test_the_command_line_takes_several_observers(
    few: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    registry.register("observers", "faulty", Faulty)
    try:
        warnings.simplefilter("always")  # until the end of the test, as pytest does with all filters
        code = run(monkeypatch, "deblur", *few, "--observe", "snapshots:every=3", "--observe", "faulty")
    finally:
        registry.unregister("observers", "faulty")
    assert code == 0
    assert "the observer 'faulty' has failed" in capsys.readouterr().err
    assert {name[:8] for name in names(tmp_path / "out")} == {"01-00003", "01-00004", "02-00001"}
    assert (tmp_path / "out" / "result.json").exists()


def test_the_command_line_refuses_before_it_computes(
    few: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "deblur", *few, "--observe", "snapshots:every=often") == 2
    assert "snapshots.every: should be an integer, got 'often'" in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "out").exists()


def test_a_failing_observer_in_python_does_not_end_a_restoration(few: list[Any]) -> None:
    with pytest.warns(RuntimeWarning, match=r"'Faulty' has failed \(OSError: the disk is full\)"):
        result = invkit.deblur(few[0], recipe=few[2], kernel_size=5, observers=[Faulty()], progress=False)
    assert result.is_complete


def test_an_observer_may_end_a_restoration_whose_image_is_still_made(few: list[Any]) -> None:
    class Impatient(Observer):
        def stepped(self, problem: Problem, state: State) -> None:
            if state.iteration == 2:
                raise StopSolve

    result = invkit.deblur(few[0], recipe=few[2], kernel_size=5, observers=[Impatient()], progress=False)
    assert (result.stopped, result.is_complete) == ("observer", False)
    assert [stage["iterations"] for stage in result.details["stages"]] == [2, 1]


def test_python_takes_instances(few: list[Any], tmp_path: Path) -> None:
    class Faithful(Faulty):
        """Does not fail."""

        def stepped(self, problem: Problem, state: State) -> None:
            self.calls.append(state.iteration)

    faithful = Faithful()
    invkit.deblur(few[0], recipe=few[2], kernel_size=5, observers=[faithful], progress=False)
    assert faithful.calls == [1, 2, 3, 4, "finished", 1, "converged"]
