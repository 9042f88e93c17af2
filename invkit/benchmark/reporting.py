"""The messages of a run: its plan and its progress."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from ..core.durations import duration_text
from .costs import JobCost
from .plan import BenchmarkJob, Plan
from .store import Finished

__all__ = ["Reporter", "cost_lines", "plan_table"]


class Reporter:
    """A progress bar for the whole suite, or a line for each job if the console is not a terminal.

    The time left is estimated from the jobs of the same recipe.

    Args:
        console: where it is shown.
        workers: jobs that run at the same time.
    """

    def __init__(self, console: Console, workers: int = 1) -> None:
        self.console, self.workers = console, workers
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self.bar = Progress(*columns, TextColumn("{task.fields[left]}"), console=console)
        self.bar.disable = not console.is_terminal
        self.task = self.bar.add_task("benchmark", left="")
        self.waiting: Counter[str] = Counter()
        self.walls: dict[str, list[float]] = {}
        self.done = self.total = 0

    def __enter__(self) -> Reporter:
        """Nothing is shown before the first job."""
        return self

    def __exit__(self, *error: object) -> None:
        """Leave the bar as it stands."""
        self.bar.stop()

    def run_started(self, jobs: Sequence[BenchmarkJob], present: int) -> None:
        """Show the number of jobs."""
        self.waiting.update(job.label for job in jobs)
        self.done, self.total = present, present + len(jobs)
        self.say(f"{self.total} jobs, {present} of them done already")
        self.bar.update(self.task, total=self.total, completed=present)
        if jobs:
            self.bar.start()

    def job_finished(self, finished: Finished) -> None:
        """Count a job, and show its result."""
        record = finished.record
        self.done += 1
        self.waiting[record["recipe"]] -= 1
        self.walls.setdefault(record["recipe"], []).append(finished.wall)
        left = f"{timedelta(seconds=round(self.seconds_left()))} left"
        self.bar.update(self.task, completed=self.done, left=left)
        if self.bar.disable or record["status"] == "failed":
            self.say(f"[{self.done}/{self.total}] {result_line(record)}, {left}")

    def seconds_left(self) -> float:
        """The estimated seconds until the last job is finished."""
        usual = statistics.fmean(wall for some in self.walls.values() for wall in some)
        each = {label: statistics.fmean(some) for label, some in self.walls.items()}
        return sum(count * each.get(label, usual) for label, count in self.waiting.items()) / self.workers

    def say(self, line: str) -> None:
        """Print a line above the bar."""
        self.console.print(line, markup=False, highlight=False, soft_wrap=True)


def result_line(record: Mapping[str, Any]) -> str:
    """The result of a job in one line."""
    name = f"{record['recipe']} on {record['dataset']} {record['case']}, seed {record['seed']}"
    if record["status"] != "done":
        return f"{name}: {record['status']}, {record['error']['message'].strip().partition(chr(10))[0]}"
    label, value = next(iter(record["metrics"].items()))
    return f"{name}: {label} {'-' if value is None else f'{value:.4g}'}, {record['seconds']:.2f} s"


def plan_table(plan: Plan, missing: Sequence[BenchmarkJob], costs: Mapping[tuple[str, str], JobCost]) -> Table:
    """The number of jobs of each recipe and dataset, how many have no result yet, and the time of one and of these.

    Args:
        plan: the plan.
        missing: its jobs without a result.
        costs: of a job, by the labels of recipe and dataset.
    """
    table = Table("recipe", "dataset", title=plan.suite.title or None)
    for head in ("jobs", "to do", "a job", "all to do"):
        table.add_column(head, justify="right")
    every, left = (Counter((job.label, job.dataset.label) for job in jobs) for jobs in (plan.jobs, missing))
    for recipe in plan.suite.recipes:
        for dataset in plan.suite.datasets:
            pair = recipe.label, dataset.label
            seconds = costs[pair].seconds
            times = ["unknown" if seconds is None else duration_text(n * seconds) for n in (1, left[pair])]
            table.add_row(*pair, str(every[pair]), str(left[pair]), *times)
    return table


def cost_lines(plan: Plan, missing: Sequence[BenchmarkJob], costs: Mapping[tuple[str, str], JobCost]) -> list[str]:
    """The total of a plan, how the times are known, and the datasets that are absent; arguments as `plan_table`."""
    left = Counter((job.label, job.dataset.label) for job in missing)
    known = {pair: cost for pair, cost in costs.items() if cost.seconds is not None}
    total = sum(count * (costs[pair].seconds or 0.0) for pair, count in left.items())
    unknown = [recipe for recipe, dataset in left if (recipe, dataset) not in known]
    without = f", without {', '.join(dict.fromkeys(unknown))}, whose time is unknown" if unknown else ""
    about = f"about {duration_text(total)} one after the other{without}"
    if left and len(unknown) == len(left):
        about = "their time is unknown until the first are done"
    lines = [f"{len(missing)} of {len(plan.jobs)} jobs to do, {about}"]
    for basis in dict.fromkeys(known[pair].basis for pair in left if pair in known):
        recipes = dict.fromkeys(recipe for recipe, dataset in left if costs[recipe, dataset].basis == basis)
        lines.append(f"Time of {', '.join(recipes)}: {basis}.")
    lines += [f"All jobs on '{label}' count as to do: {message}" for label, message in plan.absent.items()]
    return lines
