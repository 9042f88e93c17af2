"""The jobs of a plan that have no result yet are done, and each result is kept at once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from ..core.solver import deferred_interrupt
from .plan import BenchmarkJob, Plan, check_recipes
from .store import Finished, JobStore, code_digest

__all__ = ["Execute", "Perform", "ProgressListener", "RunOutcome", "missing_jobs", "run_plan", "serially"]

Perform: TypeAlias = Callable[[BenchmarkJob, threading.Event | None], Finished]
"""Does one job: `invkit.benchmark.jobs.perform`."""

Execute: TypeAlias = Callable[[Sequence[BenchmarkJob], threading.Event], Iterator[Finished]]
"""Does many jobs, yields each when it is finished, and stops soon after the event is set."""


class ProgressListener(Protocol):
    """An object that is called as a suite makes progress."""

    def run_started(self, jobs: Sequence[BenchmarkJob], present: int) -> None:
        """Before the first of ``jobs``; ``present`` other jobs of the plan have a result already."""

    def job_finished(self, finished: Finished) -> None:
        """After each job, when its result is kept."""


@dataclass(frozen=True)
class RunOutcome:
    """How a run ended.

    Attributes:
        done: jobs that this run has finished, with or without an error.
        left: jobs that this run has not finished because it was interrupted.
        records: the records of the plan, by job id, in its order.
        exit_code: of a program that was interrupted as this run was; used if jobs are left.
    """

    done: int
    left: int
    records: Mapping[str, Mapping[str, Any]]
    exit_code: int

    def count(self, status: str) -> int:
        """The number of jobs that are "done", "failed" or "skipped"."""
        return sum(record["status"] == status for record in self.records.values())

    def of_other_code(self) -> int:
        """The number of results from other sources of invkit than the present ones."""
        return sum(record.get("code") != code_digest() for record in self.records.values())


def serially(perform: Perform) -> Execute:
    """Do jobs in this process, one after the other; an interrupted job counts as not started."""

    def execute(jobs: Sequence[BenchmarkJob], interrupted: threading.Event) -> Iterator[Finished]:
        for job in jobs:
            if interrupted.is_set():
                return
            finished = perform(job, interrupted)
            if finished.interrupted:
                return
            yield finished

    return execute


def missing_jobs(plan: Plan, store: JobStore, retry_failed: bool = False) -> list[BenchmarkJob]:
    """The jobs of a plan without a result.

    Args:
        plan: the plan.
        store: the results.
        retry_failed: whether jobs count whose result is an error.
    """
    records = store.records(job.id for job in plan.jobs)
    again = {key for key, record in records.items() if retry_failed and record["status"] == "failed"}
    return [job for job in plan.jobs if job.id not in records or job.id in again]


def run_plan(
    plan: Plan, store: JobStore, listener: ProgressListener, execute: Execute, *, retry_failed: bool = False
) -> RunOutcome:
    """Do the missing jobs of a plan, and keep each result at once.

    The first Ctrl-C (or SIGTERM) ends the run with the results so far. The second ends it at once, by
    ``KeyboardInterrupt``.

    Args:
        plan: the plan.
        store: where the results are kept.
        listener: is called as jobs finish.
        execute: does the jobs, as `serially` or `invkit.benchmark.dask_runner.on_workers`.
        retry_failed: whether jobs are repeated whose result is an error.

    Raises:
        InvkitError: a recipe of the plan cannot be used, before anything is computed; the results cannot be written;
            or another run writes there.
    """
    with store.opened():
        todo = missing_jobs(plan, store, retry_failed)
        if todo:
            check_recipes(plan)
        store.write_suite(plan.facts)
        listener.run_started(todo, len(plan.jobs) - len(todo))
        done = 0
        with deferred_interrupt() as interrupted:
            for finished in execute(todo, interrupted) if todo else ():
                store.write(finished)
                done += 1
                listener.job_finished(finished)
    return RunOutcome(done, len(todo) - done, store.records(job.id for job in plan.jobs), interrupted.exit_code)
