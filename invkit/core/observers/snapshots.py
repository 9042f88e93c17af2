"""Keeps how image and kernel evolve."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import InputError
from ..problem import Problem
from ..result import Snapshot
from ..solver import Recorder, State, StopReason

__all__ = ["Snapshots"]


class Snapshots(Recorder):
    """Keeps a copy of image and kernel every so many iterations and at the end of each solve, for `Result.snapshots`.

    Args:
        every: iterations between two copies.

    Raises:
        InputError: ``every`` is less than 1.
    """

    def __init__(self, every: int = 100) -> None:
        if every < 1:
            raise InputError(f"snapshots are taken every 1 or more iterations, not every {every}")
        self.every = every
        self._taken: list[Snapshot] = []
        self._solves = self._last = 0

    def recorded(self) -> Sequence[Snapshot]:
        """The copies, in the order they were taken."""
        return self._taken

    def started(self, problem: Problem, state: State, iterations: int) -> None:
        """Count the solves: a recipe may have several stages."""
        self._solves, self._last = self._solves + 1, state.iteration

    def stepped(self, problem: Problem, state: State) -> None:
        """Keep a copy when the iteration is a multiple of ``every``."""
        if state.iteration % self.every == 0:
            self._take(state)

    def stopped(self, problem: Problem, state: State, reason: StopReason | None) -> None:
        """Keep the last, but for that of a step that an error has cut short."""
        if reason is not None and state.iteration != self._last:
            self._take(state)

    def _take(self, state: State) -> None:
        image, kernel = (value.detach().cpu().clone() for value in state.estimate())
        self._taken.append(Snapshot(self._solves, state.iteration, state.loss, image, kernel))
        self._last = state.iteration
