"""All jobs of a plan that have no result yet: done, kept and told of, one after the other or by many processes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from ..core.solver import deferred_interrupt
from .digests import code_digest
from .jobs import Finished, perform
from .plan import Job, Plan, check
from .store import JobStore

__all__ = ["Execute", "Outcome", "Teller", "missing", "run_plan", "serially"]

Execute: TypeAlias = Callable[[Sequence[Job], threading.Event], Iterator[Finished]]
"""Does jobs, gives them as they are finished, and stops soon after the event is set."""


class Teller(Protocol):
    """Who is told how a suite goes on."""

    def begun(self, jobs: Sequence[Job], present: int) -> None:
        """Before the first of ``jobs``; of the plan's others ``present`` are there already."""

    def finished(self, finished: Finished) -> None:
        """After each job, when its result is kept."""


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Attributes:
        done: jobs that this run did, whatever came of them.
        left: jobs that it was to do and did not, as it was interrupted.
        records: of all jobs of the plan that have one, by id, in its order.
    """

    done: int
    left: int
    records: Mapping[str, Mapping[str, Any]]

    def count(self, status: str) -> int:
        """How many jobs of the plan are "done", "failed" or "skipped"."""
        return sum(record["status"] == status for record in self.records.values())

    def of_other_code(self) -> int:
        """How many results a program has made whose sources are not this one's, as happens to who is changing them."""
        return sum(record.get("code") != code_digest() for record in self.records.values())


def serially(jobs: Sequence[Job], asked: threading.Event) -> Iterator[Finished]:
    """Do jobs here, one after the other; the one that is interrupted counts as not begun."""
    for job in jobs:
        if asked.is_set():
            return
        finished = perform(job, asked)
        if finished.interrupted:
            return
        yield finished


def missing(plan: Plan, store: JobStore, retry_failed: bool = False) -> list[Job]:
    """The jobs without a result; with ``retry_failed`` those too whose result is an error."""
    records = store.records([job.id for job in plan.jobs])
    again = {key for key, record in records.items() if retry_failed and record["status"] == "failed"}
    return [job for job in plan.jobs if job.id not in records or job.id in again]


def run_plan(
    plan: Plan, store: JobStore, teller: Teller, execute: Execute = serially, *, retry_failed: bool = False
) -> Outcome:
    """Do what is missing of a plan, and keep each result as soon as it is there.

    The first Ctrl-C (or SIGTERM) ends the run with what is done; the second at once, by ``KeyboardInterrupt``.

    Args:
        plan: what is to be done.
        store: where results are kept.
        teller: who is told.
        execute: who does the jobs.
        retry_failed: do those again whose result is an error.

    Raises:
        InvkitError: a recipe of the plan cannot be used, before anything is computed; results cannot be written, or
            another run writes there.
    """
    with store.opened():
        todo = missing(plan, store, retry_failed)
        if todo:
            check(plan)
        store.write_suite(plan.facts)
        teller.begun(todo, len(plan.jobs) - len(todo))
        with deferred_interrupt() as asked:
            done = keep_all(execute(todo, asked) if todo else (), store, teller)
    return Outcome(done, len(todo) - done, store.records([job.id for job in plan.jobs]))


def keep_all(results: Iterable[Finished], store: JobStore, teller: Teller) -> int:
    """Keep every result and tell of it; gives their number."""
    done = 0
    for finished in results:
        store.write(finished.record, finished.files)
        done += 1
        teller.finished(finished)
    return done
