"""Progress bars with the loss and the remaining time, for terminals, log files and notebooks."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from html import escape
from uuid import uuid4

from rich import markup
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from ..problem import Problem
from ..solver import Counting, Observer, State, StopReason

__all__ = ["NotebookBar", "ProgressBar"]

REFRESH_SECONDS = 0.25  # the loss is not read at every step, because reading waits for the device
LOG_SECONDS = 60.0  # between two lines in a log file


class TimedBar(Observer):
    """The times of a solve, which both bars show.

    Args:
        title: stands before the bar.
        after: seconds before the bar appears, with the next iteration, so that short solves do not flicker.
    """

    def __init__(self, title: str, after: float) -> None:
        self.title, self.after = title, after
        self.shown_at = self.started_at = time.monotonic()
        self.first = self.iterations = 0

    def started(self, problem: Problem, state: State, iterations: int) -> None:
        """Start the clock; a resumed run starts with its iterations done."""
        self.shown_at = self.started_at = time.monotonic()
        self.first, self.iterations = state.iteration, iterations

    def elapsed(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self.started_at

    def remaining(self, state: State) -> timedelta:
        """The time for the remaining iterations, in whole seconds."""
        per_step = self.elapsed() / max(1, state.iteration - self.first)
        return timedelta(seconds=round(per_step * (self.iterations - state.iteration)))


class ProgressBar(TimedBar, Counting):
    """Shows iterations, loss, elapsed and remaining time on the standard error, in a log file one line a minute.

    Args:
        title: stands before the bar.
        console: the place of the bar; None for the standard error.
        after: seconds before the bar appears, with the next iteration, so that short solves do not flicker.
    """

    def __init__(self, title: str = "solving", console: Console | None = None, *, after: float = 0.0) -> None:
        super().__init__(title, after)
        self.console = console = console or Console(stderr=True)
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("loss {task.fields[loss]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self.task = self.progress.add_task(markup.escape(title), loss="-", start=False)

    def started(self, problem: Problem, state: State, iterations: int) -> None:
        """Start the bar at the iterations done."""
        super().started(problem, state, iterations)
        self.progress.update(self.task, total=iterations, completed=state.iteration)
        self.progress.start_task(self.task)
        if self.after <= 0:
            self.progress.start()

    def stepped(self, problem: Problem, state: State) -> None:
        """Move the bar, at most four times a second, or write a line."""
        since = time.monotonic() - self.shown_at
        if self.progress.disable and since >= LOG_SECONDS:
            self._write_line(state)
        elif not self.progress.disable and since >= REFRESH_SECONDS:
            self._move(state)
            if self.elapsed() >= self.after:
                self.progress.start()  # no effect on a bar that has started

    def stopped(self, problem: Problem, state: State, reason: StopReason | None) -> None:
        """Show the last state; a bar that has not appeared yet never appears."""
        if self.progress.live.is_started:
            self._move(state)
            self.progress.stop()

    @contextmanager
    def counting(self, total: int) -> Iterator[Callable[[int], None]]:
        """The bar for the parts of other work; a log file gets no lines."""
        self.started_at = time.monotonic()
        self.progress.update(self.task, total=total)
        self.progress.start_task(self.task)

        def counted(done: int) -> None:
            self.progress.update(self.task, completed=done)
            if self.elapsed() >= self.after:
                self.progress.start()

        try:
            yield counted
        finally:
            if self.progress.live.is_started:
                self.progress.stop()

    def _move(self, state: State) -> None:
        self.progress.update(self.task, completed=state.iteration, loss=f"{state.loss:.3e}")
        self.shown_at = time.monotonic()

    def _write_line(self, state: State) -> None:
        count = f"iteration {state.iteration} of {self.iterations}"
        line = f"{self.title}: {count}, loss {state.loss:.3e}, {self.remaining(state)} left"
        self.console.print(line, markup=False, highlight=False, soft_wrap=True)
        self.shown_at = time.monotonic()


class NotebookBar(TimedBar):
    """Shows iterations, loss, elapsed and remaining time as one line below a notebook's cell, updated in place.

    It needs IPython but no widgets. A saved notebook keeps one line.

    Args:
        title: stands before the bar.
        after: seconds before the line appears, with the next iteration, so that short solves do not flicker.
    """

    def __init__(self, title: str = "solving", *, after: float = 0.0) -> None:
        super().__init__(title, after)
        self.display_id = uuid4().hex
        self.appeared = False

    def stepped(self, problem: Problem, state: State) -> None:
        """Update the line, at most four times a second."""
        if time.monotonic() - self.shown_at >= REFRESH_SECONDS and self.elapsed() >= self.after:
            self._show(state)

    def stopped(self, problem: Problem, state: State, reason: StopReason | None) -> None:
        """Show the last state; a line that has not appeared yet never appears."""
        if self.appeared:
            self._show(state)

    def _show(self, state: State) -> None:
        from IPython.display import display

        elapsed = timedelta(seconds=round(self.elapsed()))
        count = f"{self.title}: {state.iteration}/{self.iterations}"
        text = f"{count}, loss {state.loss:.3e}, {elapsed}, {self.remaining(state)} left"
        bar = f'<progress value="{state.iteration}" max="{self.iterations}" style="vertical-align:middle"></progress>'
        line = {"text/html": f"{bar} {escape(text)}", "text/plain": text}
        display(line, raw=True, display_id=self.display_id, update=self.appeared)
        self.appeared, self.shown_at = True, time.monotonic()
