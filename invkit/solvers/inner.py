"""Running one solver inside another: its steps alone, without signals, observers, limits and losses."""

from __future__ import annotations

from abc import abstractmethod
from typing import TypeVar

from torch import Tensor

from ..core.problem import Problem
from ..core.runtime.threads import threads_for
from ..core.solver import Solver, State

__all__ = ["Advancing", "run_inner"]

S = TypeVar("S", bound=State)


class Advancing(Solver[S]):
    """The ability of a solver to go on without its loss, which takes time and which nobody sees of an inner solve."""

    @abstractmethod
    def advance(self, problem: Problem, state: S) -> S:
        """One iteration."""

    @abstractmethod
    def loss(self, problem: Problem, state: S) -> Tensor:
        """The loss after an iteration, no dimension."""

    def step(self, problem: Problem, state: S) -> S:
        """One iteration, and its loss."""
        state = self.advance(problem, state)
        state.losses.append(self.loss(problem, state))
        return state


def run_inner(solver: Solver[S], problem: Problem) -> S:
    """Solve to the end, from where the problem's priors are; raises what the solver's steps raise.

    Returns:
        The last state, with its loss; with those before it only where the solver cannot do without them.
    """
    step = solver.advance if isinstance(solver, Advancing) else solver.step
    with threads_for(problem):
        state, steps = solver.start(problem), solver.steps(problem)
        while state.iteration < steps and not state.converged:
            state = step(problem, state)
            state.iteration += 1
        if isinstance(solver, Advancing):
            state.losses.append(solver.loss(problem, state))
    return state
