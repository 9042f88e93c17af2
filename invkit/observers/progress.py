"""A progress bar with the loss and the time left."""

from __future__ import annotations

import time

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from ..problem import Problem
from ..solver import Observer, State

__all__ = ["ProgressBar"]

REFRESH = 0.25  # seconds: reading the loss waits for the device, so it is not read at every step


class ProgressBar(Observer):
    """Shows iterations, loss, elapsed and remaining time on the standard error; silent where that is no terminal."""

    def __init__(self, title: str = "solving", console: Console | None = None) -> None:
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
        self.progress = Progress(*columns, console=console, disable=not console.is_terminal)
        self.task = self.progress.add_task(title, loss="-", start=False)
        self.shown = 0.0

    def started(self, problem: Problem, state: State, iterations: int) -> None:
        """Start the bar where a resumed run stands."""
        self.progress.start()
        self.progress.update(self.task, total=iterations, completed=state.iteration)
        self.progress.start_task(self.task)

    def stepped(self, problem: Problem, state: State) -> None:
        """Move the bar, at most four times a second."""
        if not self.progress.disable and time.monotonic() - self.shown >= REFRESH:
            self._show(state)

    def stopped(self, problem: Problem, state: State) -> None:
        """Leave the bar as it stands at the end."""
        if not self.progress.disable:
            self._show(state)
        self.progress.stop()

    def _show(self, state: State) -> None:
        self.progress.update(self.task, completed=state.iteration, loss=f"{state.loss:.3e}")
        self.shown = time.monotonic()
