"""Running one solver inside another: only its steps, without signals, observers, limits or losses."""

from __future__ import annotations

from abc import abstractmethod
from typing import TypeVar

from torch import Tensor

from ..core.problem import Problem, threads_for
from ..core.solver import Solver, State

__all__ = ["Advancing", "run_inner"]

InnerState = TypeVar("InnerState", bound=State)


class Advancing(Solver[InnerState]):
    """The ability of a solver to iterate without computing its loss, which no inner solve needs."""

    @abstractmethod
    def advance(self, problem: Problem, state: InnerState) -> InnerState:
        """Do one iteration."""

    @abstractmethod
    def loss(self, problem: Problem, state: InnerState) -> Tensor:
        """Return the loss after an iteration, as a scalar tensor."""

    def step(self, problem: Problem, state: InnerState) -> InnerState:
        """Do one iteration and record its loss."""
        state = self.advance(problem, state)
        state.losses.append(self.loss(problem, state))
        return state


def run_inner(solver: Solver[InnerState], problem: Problem) -> InnerState:
    """Solve to the end from the problem's priors; raise what the solver's steps raise.

    Returns:
        The last state with its loss. Earlier losses are recorded only by solvers that are not `Advancing`.
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
