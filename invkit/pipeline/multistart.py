"""Several candidates to start from: each finds a kernel, and the one whose restoration scores best is used."""

from __future__ import annotations

import threading
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from ..core.errors import DivergedError, InvkitError, NotApplicableError
from ..core.problem import one_thread_for_networks
from ..core.result import Result
from ..core.runtime.workers import WorkerLostError, Workers, worker_pool
from ..core.solver import Counting, after_interrupt, deferred_interrupt
from ..numerics.geometry import Size
from .assemble import Assembly
from .kernel_frame import KernelFrame, fitted
from .selection import Selection
from .sequence import Outcome, Referee, StageSequence
from .solved_candidate import KernelPlace, SolvedCandidate, compared_kernels
from .stages import RunControl, Stage, at_place, next_place, stages_that_find_kernel
from .worker_count import worthwhile_workers

__all__ = ["solve_stages"]

POLL_SECONDS = 0.2  # between two checks whether all candidates are done


def solve_stages(
    stages: Sequence[Stage],
    first: Assembly,
    device: torch.device,
    control: RunControl,
    frame: KernelFrame,
    resume: Mapping[str, Any] | None = None,
) -> Outcome:
    """Solve the stages in order; from the best candidate if the first stage has several.

    The first Ctrl-C ends the solve in progress; the rest follows as `StageSequence` and `Multistart` say. A second one
    acts as usual.

    Args:
        stages: of `plan_stages`.
        first: the first of them, assembled; not used if it has candidates.
        device: where to solve.
        control: observers and time limit.
        frame: of the kernel, for candidates.
        resume: a saved state of the first stage to continue from; None with candidates.

    Raises:
        InvkitError: a stage failed; names it.
    """
    with deferred_interrupt() as interrupted:
        referee = Referee.of(stages, device)
        if stages[0].candidates:
            multistart = Multistart(stages, frame, device, control, interrupted, referee, guarantees_last=True)
            return multistart.solve_all(worthwhile_workers(stages[0], device, control))
        return StageSequence(list(stages), device, referee, control, interrupted).solve_all(first, resume)


@dataclass
class Multistart:
    """The candidates of one solve.

    They are solved in order. Each kernel passes through the stages that follow. The referee restores an image with the
    kernel of each stage, by the last stage, from the data of the first and at one noise level. The selection scores
    these images, since a stage that refines one kernel may ruin another. The last stage is then solved from the best
    kernel. Without a selection, it is solved from the last kernel of the only candidate.

    The frame of a candidate grows until its kernel fits (`KernelFrame`). Its kernel then passes on in the smallest
    frame that holds it.

    The first candidate that gives a kernel fixes the noise level, and the frame that the others start with. Workers may
    then solve the others, with identical results.

    After Ctrl-C or the time limit has stopped a candidate, no other one is started, and the best of the completed ones
    is used; the first is kept in any case. A candidate that diverges or does not apply is dropped, unless all are.

    Attributes:
        stages: of `plan_stages`.
        frame: of the unknown kernel.
        device: where to solve.
        control: observers and time limit; observers of the first stage only are not used.
        interrupted: set by Ctrl-C.
        referee: restores an image with any kernel.
        guarantees_last: whether the last stage has some time in any case, as `StageSequence.limit` says.
        started: on the monotonic clock.
        waiting: indices of candidates that nobody has started.
        done: those that gave a kernel, by index.
        failed: why the others diverged or do not apply, by index.
        stop: how the first incomplete candidate was stopped.
        lock: guards these four; threads that ask workers change them too.
    """

    stages: Sequence[Stage]
    frame: KernelFrame
    device: torch.device
    control: RunControl
    interrupted: threading.Event
    referee: Referee
    guarantees_last: bool = False
    started: float = field(default_factory=time.monotonic)
    waiting: list[int] = field(init=False)
    done: dict[int, SolvedCandidate] = field(default_factory=dict)
    failed: dict[int, InvkitError] = field(default_factory=dict)
    stop: str | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        """Every candidate waits."""
        self.waiting = list(range(len(self.candidates)))

    def solve_all(self, workers: int = 0) -> Outcome:
        """Solve all candidates with this many workers, select one, and solve the last stage.

        Raises:
            InvkitError: the last stage or every candidate failed.
        """
        first = self.stages[0]
        select = Selection.of(first.recipe, first.seed, first.data)
        with worker_pool(workers, __name__) as pool:
            self.solve_here(pool)
            self.wait_for(pool)
            self.solve_here(pool)  # the candidates whose worker was lost
        if not self.done:
            reasons = [f"{self.candidates[index][0].recipe.name} ({why})" for index, why in sorted(self.failed.items())]
            diverged = any(isinstance(why, DivergedError) for why in self.failed.values())
            raise (DivergedError if diverged else NotApplicableError)(f"all candidates failed: {'; '.join(reasons)}")
        self.done = dict(sorted(self.done.items()))
        scores = self.scores(select)
        best = min(scores, key=lambda place: scores[place].get("sum", 0.0))
        return self.outcome(best, scores)

    def solve_here(self, pool: Workers) -> None:
        """Solve waiting candidates in this process; start the workers once the noise level is fixed."""
        while (index := self.next_waiting()) is not None:
            if self.referee.fixed and not pool.threads:
                pool.start(lambda: self.ask_worker(pool))
            self.attempt(index)

    def next_waiting(self) -> int | None:
        """The next candidate to start; None if there is none, or no time for it."""
        with self.lock:
            if not self.waiting or (self.done and self.is_over()):
                return None
            return self.waiting.pop(0)

    def ask_worker(self, pool: Workers) -> None:
        """Have one worker solve waiting candidates; one whose worker is lost waits again."""
        while (index := self.next_waiting()) is not None:
            try:
                found, stop = pool.ask(solve_in_worker, self.worker_task(index))
            except WorkerLostError as error:
                with self.lock:
                    self.waiting.append(index)
                if not (pool.ended or self.interrupted.is_set()):
                    name = self.candidates[index][0].recipe.name
                    warnings.warn(f"{name} is solved once more because its worker was lost: {error}", stacklevel=1)
                return
            except Exception:
                with self.lock:
                    self.waiting.clear()  # the error is raised as soon as this process has solved its candidate
                raise
            self.keep(index, found, stop)

    def worker_task(self, index: int) -> WorkerTask:
        """What a worker needs to solve a candidate; its last stage sees the referee's data, not a larger picture."""
        stages = self.stages if len(self.stages) == 1 else [*self.stages[:-1], self.referee.stage]
        left = self.seconds_left()
        deadline = None if left is None else time.time() + left
        return WorkerTask(stages, self.frame, replace(self.referee, restored={}), index, deadline)

    def wait_for(self, pool: Workers) -> None:
        """Wait until every worker has solved its candidate; Ctrl-C ends busy workers."""
        if not pool.are_busy(0):
            return
        with self.progress_bar() as show:
            while pool.are_busy(POLL_SECONDS):
                if self.interrupted.is_set():
                    pool.end()
                    return
                show(len(self.done) + len(self.failed))

    def progress_bar(self) -> AbstractContextManager[Callable[[int], None]]:
        """A bar of the completed candidates, if the observer can count."""
        make = self.titled().progress
        bar = None if make is None else make("candidates")
        return bar.counting(len(self.candidates)) if isinstance(bar, Counting) else nullcontext(lambda done: None)

    def scores(self, select: Selection) -> dict[KernelPlace, dict[str, float]]:
        """The scores of the kernels to choose from; empty scores for a single one.

        These are the kernels with a restoration; if there is none, the last kernel of each candidate.
        """
        restored = {(index, number): x for index, one in self.done.items() for number, x in one.restorations.items()}
        if len(restored) < 2:
            return {place: {} for place in restored or [(index, one.last) for index, one in self.done.items()]}
        return dict(zip(restored, select(list(restored.values())), strict=True))

    @property
    def candidates(self) -> Sequence[Sequence[Stage]]:
        """The stages of each."""
        return self.stages[0].candidates

    def is_over(self) -> bool:
        """Whether there is no time for another candidate; records why."""
        left = self.seconds_left()
        if self.interrupted.is_set():
            self.stop = self.stop or "interrupted"
        elif left is not None and left < max(one.seconds for one in self.done.values()):
            self.stop = self.stop or "time limit"
        return self.stop is not None

    def seconds_left(self) -> float | None:
        """Seconds until the time limit; None without one."""
        limit = self.control.time_limit
        return None if limit is None else max(limit - (time.monotonic() - self.started), 0.0)

    def attempt(self, index: int) -> None:
        """Solve one candidate in this process."""
        started = time.monotonic()
        try:
            with at_place(f"candidates.{index}"):
                found = self.own_stages_solved(index)
            sequence = self.following_stages_solved(found, index)
            restorations = self.restorations(sequence, len(found.stages) - 1)
        except (DivergedError, NotApplicableError) as error:
            self.keep(index, type(error)(str(error)), None)  # a traceback would keep the problem in memory
            return
        seconds = time.monotonic() - started
        solved = SolvedCandidate(sequence.stages, sequence.solved, restorations, found.facts, seconds)
        self.keep(index, solved, sequence.stop)

    def keep(self, index: int, found: SolvedCandidate | InvkitError, stop: str | None) -> None:
        """Keep a candidate that was completed, or is the first with a kernel; or why it gave none.

        Args:
            index: of the candidate.
            found: its kernel, or the reason why it gave none.
            stop: how it was stopped; None if it was completed.
        """
        with self.lock:
            self.stop = self.stop or stop
            if isinstance(found, InvkitError):
                self.failed[index] = found
            elif not (stop and self.done):
                self.done[index] = found

    def own_stages_solved(self, index: int) -> Outcome:
        """The outcome of a candidate's own stages."""
        own = stages_that_find_kernel(self.candidates[index])
        if own[0].candidates:
            control, referee = self.control_of(index), Referee.of(own, self.device)
            return Multistart(own, self.frame, self.device, control, self.interrupted, referee).solve_all()
        frame, referee = self.frame, Referee.of(self.candidates[index], self.device)
        if any(stage.recipe.needs_improvement for stage in self.stages):
            # their log gradient prefers the flat images of far too large kernels
            frame = KernelFrame.of_size(frame.size)
        elif own[0].recipe.measurement.kernel_size == "largest":
            frame = frame.largest()
        outcomes: dict[Size, Outcome] = {}

        def estimate(size: Size) -> tuple[Tensor, bool]:
            control = self.control_of(index)
            sequence = StageSequence(list(own), self.device, referee, control, self.interrupted, guarantees_last=False)
            assembly = own[0].assembled(size, None)
            with one_thread_for_networks(assembly.problem):
                outcomes[size] = sequence.solve_all(assembly)
            return outcomes[size].kernel, outcomes[size].stop is not None

        frame = frame.fitting(estimate)
        found = outcomes[frame.size]
        if not self.referee.fixed:
            self.frame = frame
        return found if frame.is_fixed else found.with_kernel(fitted(found.kernel, frame.limit))

    def following_stages_solved(self, found: Outcome, index: int) -> StageSequence:
        """The stages that follow, except the last, from the kernel of a candidate; skipped if it was stopped."""
        following = [replace(stage, candidates=()) for stage in self.stages[:-1]]
        sequence = self.sequence([*found.stages, *following], found.solved, found.stop, self.control_of(index))
        for depth in range(len(following)):
            sequence.solve_next(len(found.stages) + depth, next_place(depth))
        return sequence

    def restorations(self, sequence: StageSequence, first: int) -> dict[int, Result]:
        """The referee's restorations with the kernels of the stages from the first one on that gave a new kernel.

        Only with the last kernel if a stage has a selection of its own, which has chosen already. None if there is no
        selection, or no time.
        """
        found: dict[int, Result] = {}
        if any(stage.recipe.needs_improvement for stage in sequence.stages):
            first = max(number for number, solved in enumerate(sequence.solved) if solved)
        for number in range(first, len(sequence.solved) if self.stages[0].recipe.selection else first):
            solved = sequence.solved[number]
            restored = None if sequence.stop or solved is None else sequence.restoration(solved, len(sequence.stages))
            if restored is None:
                return {}
            if not any(restored is earlier for earlier in found.values()):
                found[number] = restored
        return found

    def sequence(
        self, stages: list[Stage], solved: Sequence[Result | None], stop: str | None, control: RunControl
    ) -> StageSequence:
        """A sequence of which some stages are solved already.

        Args:
            stages: all of them.
            solved: the results of the first ones.
            stop: how one of these was stopped, or None.
            control: observers and time limit.
        """
        sequence = StageSequence(
            stages, self.device, self.referee, control, self.interrupted, guarantees_last=False, stop=stop
        )
        sequence.solved.extend(solved)
        return sequence

    def control_of(self, index: int) -> RunControl:
        """The control of one candidate: the rest of the time, and its number in the titles of progress bars."""
        return replace(self.titled(f" {index + 1} of {len(self.candidates)}"), time_limit=self.seconds_left())

    def titled(self, which: str = "") -> RunControl:
        """The control without observers of the first stage only, and with the recipe in the titles of bars."""
        make, whole = self.control.progress, self.stages[0].recipe.name
        progress = None if make is None else lambda title: make(f"{whole}{which}: {title}")
        return replace(self.control, first_stage_observers=(), progress=progress)

    def outcome(self, best: KernelPlace, scores: Mapping[KernelPlace, Mapping[str, float]]) -> Outcome:
        """Solve the last stage from the best kernel.

        Args:
            best: the place of the selected kernel.
            scores: by place.
        """
        selected, last = self.done[best[0]], replace(self.stages[-1], candidates=())
        sequence = self.sequence([*selected.stages, last], selected.accepted(best[1]), self.stop, self.titled())
        sequence = replace(sequence, guarantees_last=self.guarantees_last, started=self.started)
        extra = time.monotonic() - self.started - sum(result.seconds for result in selected.solved if result)
        sequence.solve_next(len(selected.stages), next_place(len(self.stages) - 1))
        entries = [self.entry(index, best, scores) for index in range(len(self.candidates))]
        compared = compared_kernels(self.done, scores)
        return Outcome(sequence.stages, sequence.solved, sequence.stop, {"candidates": entries}, extra, compared)

    def entry(self, index: int, best: KernelPlace, scores: Mapping[KernelPlace, Mapping[str, float]]) -> dict[str, Any]:
        """The entry of a candidate in the result's details, with the scores of its best kernel.

        Args:
            index: of the candidate.
            best: the place of the selected kernel.
            scores: by place.
        """
        entry = {"name": self.candidates[index][0].recipe.name, "selected": index == best[0]}
        if index in self.failed:
            failure = self.failed[index]
            return {**entry, "skipped" if isinstance(failure, NotApplicableError) else "failed": str(failure)}
        if index not in self.done:
            return {**entry, "skipped": self.stop}
        own = {number: scores[at, number] for at, number in scores if at == index}
        return {**entry, **self.done[index].entry(own)}


@dataclass(frozen=True)
class WorkerTask:
    """A candidate for a worker to solve.

    Attributes:
        stages: of `plan_stages`; the last sees the data of the first.
        frame: of the unknown kernel.
        referee: at its fixed noise level.
        index: of the candidate.
        deadline: in seconds of the clock that all processes share; a worker may still be loading.
    """

    stages: Sequence[Stage]
    frame: KernelFrame
    referee: Referee
    index: int
    deadline: float | None


def solve_in_worker(task: WorkerTask) -> tuple[SolvedCandidate | InvkitError, str | None]:
    """Solve a candidate in a worker; returns the arguments of `Multistart.keep`."""
    limit = None if task.deadline is None else max(task.deadline - time.time(), 0.0)
    control, never = RunControl(time_limit=limit), threading.Event()
    multistart = Multistart(task.stages, task.frame, torch.device("cpu"), control, never, task.referee)
    with after_interrupt():  # signals are for the asking process; the system may still end this one
        multistart.attempt(task.index)
    if task.index in multistart.failed:
        return multistart.failed[task.index], multistart.stop
    one = multistart.done[task.index]
    return replace(one, stages=[replace(stage, candidates=()) for stage in one.stages]), multistart.stop
