"""What a run says on the way and at its end."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from .jobs import Finished
from .plan import Job, Plan
from .runner import Outcome

__all__ = ["Reporter", "plan_table", "summary"]

COLUMNS = 4  # metrics of the summary; tables have them all


class Reporter:
    """A bar over the whole suite, or a line for each job where the console is no terminal.

    The time left is guessed from what jobs of the same recipe took.

    Args:
        console: where it is shown.
        workers: jobs done at the same time.
    """

    def __init__(self, console: Console, workers: int = 1) -> None:
        self.console, self.workers = console, workers
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}"),
        )
        self.bar = Progress(*columns, console=console, disable=not console.is_terminal)
        self.task = self.bar.add_task("benchmark", left="")
        self.waiting: dict[str, int] = {}
        self.walls: dict[str, list[float]] = {}
        self.done = self.total = 0

    def __enter__(self) -> Reporter:
        """Nothing is shown before the first job."""
        return self

    def __exit__(self, *error: object) -> None:
        """Leave the bar as it stands."""
        self.bar.stop()

    def begun(self, jobs: Sequence[Job], present: int) -> None:
        """Show where the suite stands."""
        for job in jobs:
            self.waiting[job.label] = self.waiting.get(job.label, 0) + 1
        self.done, self.total = present, present + len(jobs)
        self.say(f"{self.total} jobs, {present} of them done already")
        self.bar.update(self.task, total=self.total, completed=present)
        if jobs:
            self.bar.start()

    def finished(self, finished: Finished) -> None:
        """Count a job, and say how it went."""
        record = finished.record
        self.done += 1
        self.waiting[record["recipe"]] -= 1
        self.walls.setdefault(record["recipe"], []).append(finished.wall)
        left = f"{timedelta(seconds=round(self.left()))} left"
        self.bar.update(self.task, completed=self.done, left=left)
        if self.bar.disable or record["status"] == "failed":
            self.say(f"[{self.done}/{self.total}] {words(record)}, {left}")

    def left(self) -> float:
        """Seconds that the jobs still to be done will take."""
        usual = statistics.fmean(wall for some in self.walls.values() for wall in some)
        each = {label: statistics.fmean(some) for label, some in self.walls.items()}
        return sum(count * each.get(label, usual) for label, count in self.waiting.items()) / self.workers

    def say(self, line: str) -> None:
        """A line above the bar."""
        self.console.print(line, markup=False, highlight=False, soft_wrap=True)


def words(record: Mapping[str, Any]) -> str:
    """How a job went, in a line."""
    name = f"{record['recipe']} on {record['dataset']} {record['case']}, seed {record['seed']}"
    if record["status"] != "done":
        return f"{name}: {record['status']}, {first_line(record['error']['message'])}"
    label, value = next(iter(record["metrics"].items()))
    return f"{name}: {label} {shown(value)}, {record['seconds']:.2f} s"


def first_line(text: str) -> str:
    """The first line of a message."""
    return text.strip().partition("\n")[0]


def shown(value: float | None) -> str:
    """A figure to four digits, a dash for none."""
    return "-" if value is None else f"{value:.4g}"


def plan_table(plan: Plan, missing: Sequence[Job]) -> Table:
    """How many jobs there are of each recipe and dataset, and how many of them are still to be done."""
    table = Table("recipe", "dataset", "jobs", "to do", title=plan.suite.title or None)
    for pair in pairs(plan):
        table.add_row(
            *pair, *(str(sum((j.label, j.dataset.label) == pair for j in jobs)) for jobs in (plan.jobs, missing))
        )
    return table


def summary(plan: Plan, outcome: Outcome) -> Table:
    """The means of the first metrics for each recipe and dataset."""
    metrics = plan.facts["metrics"][:COLUMNS]
    table = Table(title=plan.suite.title or None)
    for head in ("recipe", "dataset", "jobs"):
        table.add_column(head, no_wrap=head == "recipe", overflow="fold")
    for metric in metrics:
        unit = f" ({metric['unit']})" if metric["unit"] else ""
        table.add_column(f"{metric['label']}{unit}", justify="right", overflow="fold")
    for pair in pairs(plan):
        own = [record for record in outcome.records.values() if (record["recipe"], record["dataset"]) == pair]
        figures = [mean([record["metrics"].get(metric["label"]) for record in own]) for metric in metrics]
        table.add_row(*pair, counted(own), *map(shown, figures))
    return table


def pairs(plan: Plan) -> list[tuple[str, str]]:
    """The labels of every recipe with every dataset."""
    return [(recipe.label, dataset.label) for recipe in plan.suite.recipes for dataset in plan.suite.datasets]


def counted(records: Sequence[Mapping[str, Any]]) -> str:
    """How many jobs there are of each kind, as "30 done, 2 failed"."""
    counts = Counter(record["status"] for record in records)
    return ", ".join(f"{count} {status}" for status, count in counts.items()) or "-"


def mean(figures: Sequence[float | None]) -> float | None:
    """The mean of those that could be measured."""
    known = [figure for figure in figures if figure is not None]
    return statistics.fmean(known) if known else None
