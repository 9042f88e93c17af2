"""Checks of observers, on a deconvolution of a few pixels."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from ..core import registry
from ..core.problem import Problem
from ..core.result import Result
from ..core.solver import Observer, Solver, State
from .common import Settings, assert_documented, assert_random_state_untouched, build
from .operators import demand
from .solvers import assert_left_alone, small_problem

__all__ = ["check_observer"]

ITERATIONS = 4


class TrialError(Exception):
    """What `Faulty` raises."""


class Faulty(Observer):
    """Ends a solve with an error."""

    def stepped(self, problem: Problem, state: State) -> None:
        """Raise."""
        raise TrialError


class Saver(Observer):
    """Keeps the state after the second step."""

    def stepped(self, problem: Problem, state: State) -> None:
        """Keep it."""
        if state.iteration == ITERATIONS // 2:
            self.saved = state.state_dict()


def check_observer(component: type[Observer], params: Settings | None = None) -> None:
    """Every property of an observer: documented, and it changes nothing in what it watches.

    It watches several solves, a resumed one and one that fails, and is built without writing anything.
    """
    assert_documented(component)
    solver: Solver[Any] = build(registry.load(Solver.family, "joint-adam"), {}, {"iterations": ITERATIONS})
    problem, saver = small_problem(solver), Saver()
    alone = solver.solve(problem, observers=[saver])
    with built(component, params) as observer:
        for resume in (None, saver.saved, None):
            with assert_left_alone(problem, component.__name__):
                assert_same(alone, solver.solve(problem, observers=[observer], resume=resume), component.__name__)
        assert_survives_failure(observer, solver, problem)


@contextmanager
def built(component: type[Observer], params: Settings | None) -> Iterator[Observer]:
    """An observer in a folder of its own that does not exist yet, and does not when it has been built."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "run"
        with assert_random_state_untouched(f"building {component.__name__}"):
            observer = build(component, {"folder": folder}, params)
        demand(not folder.exists(), f"{component.__name__} writes to its folder before it is started")
        yield observer


def assert_same(alone: Result, watched: Result, name: str) -> None:
    """A solve that was watched is equal, to the bit, to one that was not."""
    same = all(
        torch.equal(torch.as_tensor(one), torch.as_tensor(other))
        for one, other in ((alone.image, watched.image), (alone.kernel, watched.kernel))
    )
    demand(same and alone.history == watched.history, f"a solve watched by {name} ends otherwise than one that is not")


def assert_survives_failure(observer: Observer, solver: Solver[Any], problem: Problem) -> None:
    """An error of the solve stays the error, with ``stopped`` having been told of it."""
    try:
        solver.solve(problem, observers=[observer, Faulty()])
    except TrialError:
        return
    raise AssertionError(f"{type(observer).__name__} hides the error of a solve that it watches")
