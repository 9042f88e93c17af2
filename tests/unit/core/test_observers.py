"""Progress and snapshots watch a solve without changing it."""

from __future__ import annotations

import io

import pytest
import torch
from rich.console import Console

from invkit import Problem
from invkit.core.observers import progress
from invkit.core.observers.progress import ProgressBar
from invkit.core.observers.snapshots import Snapshots
from invkit.core.solver import Observer
from invkit.fidelities.norms import MSE
from invkit.image_priors.pixels import Pixels
from invkit.kernel_priors.simplex import SimplexKernel
from invkit.operators.convolution import Convolution
from invkit.solvers.adam import JointAdam
from invkit.testing.solvers import FailingSolver, TrialError


@pytest.fixture
def problem() -> Problem:
    data = torch.rand(1, 1, 12, 12, generator=torch.Generator().manual_seed(0))
    return Problem(data, Convolution(), Pixels((1, 1, 14, 14), data), SimplexKernel((1, 1, 3, 3)), MSE())


def test_watching_changes_nothing(problem: Problem) -> None:
    solver = JointAdam(iterations=6)
    alone = solver.solve(problem)
    watched = solver.solve(problem, observers=[ProgressBar("x", Console(file=io.StringIO())), Snapshots(2)])
    assert torch.equal(torch.as_tensor(alone.image), torch.as_tensor(watched.image))
    assert alone.history == watched.history


def test_the_bar_shows_loss_and_time_left_on_a_terminal(problem: Problem) -> None:
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=120)
    JointAdam(iterations=6).solve(problem, observers=[ProgressBar("[small]", console)])
    shown = screen.getvalue()
    assert "[small]" in shown
    assert "6/6" in shown
    assert "loss" in shown


def test_a_bar_appears_only_for_what_takes_its_time(problem: Problem, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "REFRESH_SECONDS", 0.0)
    shown = {}
    for after in (1e-9, 1e9):
        console = Console(file=io.StringIO(), force_terminal=True, width=120)
        JointAdam(iterations=6).solve(problem, observers=[ProgressBar("small", console, after=after)])
        shown[after] = console.file.getvalue()  # type: ignore[attr-defined]
    assert "6/6" in shown[1e-9]
    assert shown[1e9] == ""


def test_a_log_file_gets_lines(problem: Problem, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "LOG_SECONDS", 0.0)
    log = io.StringIO()
    JointAdam(iterations=3).solve(problem, observers=[ProgressBar("small", Console(file=log))])
    lines = log.getvalue().splitlines()
    assert [line.split(",")[0] for line in lines] == [f"small: iteration {i} of 3" for i in (1, 2, 3)]
    assert all("left" in line for line in lines)


@pytest.mark.parametrize(("after", "appears"), [(0.0, True), (1e9, False)])
def test_the_bar_counts_parts_of_a_work_that_takes_its_time(after: float, appears: bool) -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=120)
    with ProgressBar("candidates", console, after=after).counting(9) as counted:
        for done in (7, 8):
            counted(done)
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert ("8/9" in shown) is appears
    assert (shown == "") is not appears
    assert shown.count("\x1b[?25l") == shown.count("\x1b[?25h")  # the cursor that a bar hides is there again


def test_snapshots_are_copies_at_the_right_iterations(problem: Problem) -> None:
    taken = Snapshots(every=2)
    result = JointAdam(iterations=5).solve(problem, observers=[taken])
    assert [(one.solve, one.iteration) for one in result.snapshots] == [(1, 2), (1, 4), (1, 5)]
    second, fourth, last = (one.image for one in result.snapshots)
    assert not torch.equal(second, fourth)
    assert not torch.equal(fourth, last)
    assert torch.equal(last, torch.as_tensor(result.image))
    assert [one.loss for one in result.snapshots] == [result.history[i] for i in (1, 3, 4)]
    with pytest.raises(ValueError, match="every 1 or more"):
        Snapshots(every=0)


def test_every_observer_is_stopped_with_the_reason(problem: Problem) -> None:
    told: list[object] = []

    class Listener(Observer):
        def stopped(self, problem: object, state: object, reason: object) -> None:
            told.append(reason)

    JointAdam(iterations=2).solve(problem, observers=[Listener()])
    with pytest.raises(TrialError):
        FailingSolver(JointAdam(iterations=2)).solve(problem, observers=[Listener(), Listener()])
    assert told == ["finished", None, None]
