"""Progress under a notebook's cell."""

from __future__ import annotations

import time
from datetime import timedelta
from html import escape
from uuid import uuid4

from ..problem import Problem
from ..solver import Observer, State, StopReason

__all__ = ["NotebookBar"]

REFRESH = 0.25  # seconds: reading the loss waits for the device, so it is not read at every step


class NotebookBar(Observer):
    """Shows iterations, loss, elapsed and remaining time as one line under the cell, updated in place.

    It needs IPython and no widgets, and leaves one line in a notebook that is saved.

    Args:
        title: what stands before the bar.
        after: seconds before it appears, with the next iteration, so that nothing flickers for a short solve.
    """

    def __init__(self, title: str = "solving", *, after: float = 0.0) -> None:
        self.title, self.after = title, after
        self.place = uuid4().hex
        self.appeared = False
        self.shown = self.begun = time.monotonic()
        self.first = self.iterations = 0

    def started(self, problem: Problem, state: State, iterations: int) -> None:
        """Take the time; a resumed run goes on from where it stands."""
        self.shown = self.begun = time.monotonic()
        self.first, self.iterations = state.iteration, iterations

    def stepped(self, problem: Problem, state: State) -> None:
        """Update the line, at most four times a second."""
        now = time.monotonic()
        if now - self.shown >= REFRESH and now - self.begun >= self.after:
            self._show(state)

    def stopped(self, problem: Problem, state: State, reason: StopReason | None) -> None:
        """Leave the line as it stands at the end; one that has not appeared yet never does."""
        if self.appeared:
            self._show(state)

    def _show(self, state: State) -> None:
        from IPython.display import display

        words = self._words(state)
        bar = f'<progress value="{state.iteration}" max="{self.iterations}" style="vertical-align:middle"></progress>'
        line = {"text/html": f"{bar} {escape(words)}", "text/plain": words}
        display(line, raw=True, display_id=self.place, update=self.appeared)
        self.appeared, self.shown = True, time.monotonic()

    def _words(self, state: State) -> str:
        spent = time.monotonic() - self.begun
        each = spent / max(1, state.iteration - self.first)
        elapsed, left = (timedelta(seconds=round(s)) for s in (spent, each * (self.iterations - state.iteration)))
        return f"{self.title}: {state.iteration}/{self.iterations}, loss {state.loss:.3e}, {elapsed}, {left} left"
