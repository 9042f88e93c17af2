"""Running one solver inside another: its steps alone, without signals, observers and limits."""

from __future__ import annotations

from typing import TypeVar

from ..problem import Problem
from ..solver import Solver, State

__all__ = ["run_inner"]

S = TypeVar("S", bound=State)


def run_inner(solver: Solver[S], problem: Problem) -> S:
    """Solve to the end, from where the problem's priors are; raises what the solver's steps raise."""
    state = solver.start(problem)
    steps = solver.steps(problem)
    while state.iteration < steps and not state.converged:
        state = solver.step(problem, state)
        state.iteration += 1
    return state
