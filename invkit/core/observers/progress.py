"""A progress bar with the loss and the time left."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from ..problem import Problem
from ..solver import Counting, State, StopReason

__all__ = ["ProgressBar"]

REFRESH = 0.25  # seconds: reading the loss waits for the device, so it is not read at every step
LINE_EVERY = 60.0  # seconds


class ProgressBar(Counting):
    """Shows iterations, loss, elapsed and remaining time on the standard error.

    Where that is no terminal (a log file, a batch job) it writes a line a minute instead.

    Args:
        title: what stands before the bar.
        console: where it is shown; None for the standard error.
        after: seconds before it appears, with the next iteration, so that nothing flickers for a short solve.
    """

    def __init__(self, title: str = "solving", console: Console | None = None, *, after: float = 0.0) -> None:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("loss {task.fields[loss]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
        )
        console = console or Console(stderr=True)
        self.console, self.title = console, title
        self.progress = Progress(*columns, console=console, disable=not console.is_terminal)
        self.task = self.progress.add_task(escape(title), loss="-", start=False)
        self.shown = self.begun = time.monotonic()
        self.first = self.iterations = 0
        self.after = after

    def started(self, problem: Problem, state: State, iterations: int) -> None:
        """Start the bar where a resumed run stands."""
        self.shown = self.begun = time.monotonic()
        self.first, self.iterations = state.iteration, iterations
        self.progress.update(self.task, total=iterations, completed=state.iteration)
        self.progress.start_task(self.task)
        if self.after <= 0:
            self.progress.start()

    def stepped(self, problem: Problem, state: State) -> None:
        """Move the bar, at most four times a second; or write the minute's line."""
        since = time.monotonic() - self.shown
        if self.progress.disable and since >= LINE_EVERY:
            self._write(state)
        elif not self.progress.disable and since >= REFRESH:
            self._show(state)
            if time.monotonic() - self.begun >= self.after:
                self.progress.start()  # does nothing where it has begun

    def stopped(self, problem: Problem, state: State, reason: StopReason | None) -> None:
        """Leave the bar as it stands at the end; one that has not appeared yet never does."""
        if self.progress.live.is_started:
            self._show(state)
            self.progress.stop()

    @contextmanager
    def counting(self, total: int) -> Iterator[Callable[[int], None]]:
        """The same bar over parts of a work; no lines where that is no terminal."""
        begun = time.monotonic()
        self.progress.update(self.task, total=total)
        self.progress.start_task(self.task)

        def counted(done: int) -> None:
            self.progress.update(self.task, completed=done)
            if time.monotonic() - begun >= self.after:
                self.progress.start()

        try:
            yield counted
        finally:
            if self.progress.live.is_started:
                self.progress.stop()

    def _show(self, state: State) -> None:
        self.progress.update(self.task, completed=state.iteration, loss=f"{state.loss:.3e}")
        self.shown = time.monotonic()

    def _write(self, state: State) -> None:
        each = (time.monotonic() - self.begun) / (state.iteration - self.first)
        left = timedelta(seconds=round(each * (self.iterations - state.iteration)))
        words = f"{self.title}: iteration {state.iteration} of {self.iterations}, loss {state.loss:.3e}, {left} left"
        self.console.print(words, markup=False, highlight=False, soft_wrap=True)
        self.shown = time.monotonic()
