"""Copies of image and kernel during a solve."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import InputError
from ..problem import Problem
from ..result import Snapshot
from ..solver import Recorder, State, StopReason

__all__ = ["Snapshots"]


class Snapshots(Recorder):
    """Copies image and kernel at regular iterations and at the end of each solve, for `Result.snapshots`.

    Args:
        every: iterations between two copies.

    Raises:
        InputError: ``every`` is less than 1.

    Example:
        >>> Snapshots(every=10).recorded()
        []
    """

    def __init__(self, every: int = 100) -> None:
        if every < 1:
            raise InputError(f"snapshots are taken every 1 or more iterations, not every {every}")
        self.every = every
        self._taken: list[Snapshot] = []
        self._solves = self._last = 0

    def recorded(self) -> Sequence[Snapshot]:
        """The copies, in their order."""
        return self._taken

    def started(self, problem: Problem, state: State, iterations: int) -> None:
        """Count the solves: a recipe may have several stages."""
        self._solves, self._last = self._solves + 1, state.iteration

    def stepped(self, problem: Problem, state: State) -> None:
        """Take a copy if the iteration is a multiple of ``every``."""
        if state.iteration % self.every == 0:
            self._take(state)

    def stopped(self, problem: Problem, state: State, reason: StopReason | None) -> None:
        """Take a copy of the last state, unless an error has interrupted its step."""
        if reason is not None and state.iteration != self._last:
            self._take(state)

    def _take(self, state: State) -> None:
        image, kernel = (value.detach().cpu().clone() for value in state.estimate())
        self._taken.append(Snapshot(self._solves, state.iteration, state.loss, image, kernel))
        self._last = state.iteration
