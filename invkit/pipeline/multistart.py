"""Several recipes to start from: each finds a kernel, and the one whose restoration selection best is gone on from."""

from __future__ import annotations

import threading
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from ..core import registry
from ..core.errors import DivergedError
from ..core.result import Result
from ..core.runtime.workers import WorkerLostError, Workers, affordable, can_help, helped
from ..core.solver import Counting, after_interrupt, deferred_interrupt
from ..numerics.geometry import size_of
from .assemble import Assembly
from .chain import Chain, Outcome
from .selection import Judge, Scoring
from .stages import Stage, Watch, later_place, placed

__all__ = ["solve_stages"]

FEW = 4  # starts that are done before another process has loaded its libraries
SMALL = 2**14  # values of a picture, of which any number of starts is
MOST = 5  # processes: more would wait for the last start
LOADING = 3.0  # seconds, of the libraries of another process
LIBRARIES = 2**29  # bytes of memory that they take
EACH = 400  # bytes for each value of a picture: some fifty pictures of its size, and their spectra
LOOK = 0.2  # seconds between two looks at whether all are done


def solve_stages(
    stages: Sequence[Stage],
    first: Assembly,
    device: torch.device,
    watch: Watch,
    resume: Mapping[str, Any] | None = None,
) -> Outcome:
    """Solve stage after stage, from the best of the starts where there are several.

    A first Ctrl-C ends the stage it meets, and what is left is solved as `Chain` and `_Starts` say. A second acts as
    usual.

    Args:
        stages: of `plan`.
        first: the first of them, assembled; where there are starts, for a kernel of the size to be found.
        device: where to solve.
        watch: observers and time limit.
        resume: the state of the first stage to go on from; where there are starts, none can be.

    Raises:
        InvkitError: a stage failed; says which.
    """
    with deferred_interrupt() as interrupted:
        if stages[0].candidates:
            judge, size = Judge.of(stages, device), size_of(first.problem.kernel_prior())
            candidates = _Starts(stages, size, device, watch, interrupted, judge, patient=True)
            return candidates.to_the_end(worth_helpers(stages[0], device, watch))
        return Chain(list(stages), device, Judge.of(stages, device), watch, interrupted).to_the_end(first, resume)


def worth_helpers(stage: Stage, device: torch.device, watch: Watch) -> int:
    """How many other processes the starts of a stage are worth.

    None for few starts, a small picture or a short time; on a GPU, which one process keeps busy; where observers are to
    see every step; and where components are registered in this process alone. Never more than there are threads to
    share out, and memory for.
    """
    values, limit = stage.data.numel(), watch.time_limit
    is_quick = len(stage.candidates) < FEW or values < SMALL or (limit is not None and limit < LOADING)
    if is_quick or device.type != "cpu" or watch.observers or registry.is_extended() or not can_help():
        return 0
    return min(min(torch.get_num_threads(), len(stage.candidates), MOST) - 1, affordable(LIBRARIES + values * EACH))


@dataclass(frozen=True)
class Tried:
    """One start, and what became of its kernel.

    Attributes:
        stages: its own that find a kernel, and those that go on from it, but for the last of all.
        solved: what they gave, None for those that were skipped.
        judged: what the last of all makes of it under the noise level that is the same for every start; None where
            nothing is compared, or not any more.
        facts: what the result's details say of a start that has starts itself.
        seconds: all of it together.
    """

    stages: Sequence[Stage]
    solved: Sequence[Result | None]
    judged: Result | None
    facts: Mapping[str, Any]
    seconds: float


@dataclass
class _Starts:
    """The starts of one solve.

    They are tried in their order. Each kernel goes through the stages that follow; its restoration by the last is what
    is scored, of the data of the first stage and under one noise level. The last stage is then solved once more, as it
    is meant, from the best kernel. Where there is only one start, nothing is scored.

    Once the noise level is settled, by the first start that comes to a kernel, it does not matter who tries the others:
    helpers take some of them, and give what this process would have got.

    Once Ctrl-C or the time limit has stopped one of them, no other is begun, and the best of those that were tried to
    their end is gone on from; the first is kept in any case. One that diverges is left out, unless none is left.

    Attributes:
        stages: of `plan`.
        kernel_size: (h, w) of the kernel to be found, pixels.
        device: where to solve.
        watch: observers and time limit; nobody watches the first stage alone, which writes checkpoints elsewhere.
        interrupted: set by Ctrl-C.
        judge: what shows how good a kernel is, the same for every start.
        patient: whether the last stage gets a share of the time in any case, as `Chain.limit` says.
        begun: when, on the monotonic clock.
        waiting: places of those that nobody has begun.
        tried: by their places, those that there is a kernel of.
        failed: by their places, why those diverged that did.
        stop: how one that did not reach its end was stopped.
        lock: held by whoever changes these four, helpers' threads or this one.
    """

    stages: Sequence[Stage]
    kernel_size: tuple[int, int]
    device: torch.device
    watch: Watch
    interrupted: threading.Event
    judge: Judge
    patient: bool = False
    begun: float = field(default_factory=time.monotonic)
    waiting: list[int] = field(init=False)
    tried: dict[int, Tried] = field(default_factory=dict)
    failed: dict[int, str] = field(default_factory=dict)
    stop: str | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        """None is begun."""
        self.waiting = list(range(len(self.candidates)))

    def to_the_end(self, helpers: int = 0) -> Outcome:
        """Try all, with so many helpers, choose, and solve the last stage.

        Raises:
            InvkitError: that or every start failed.
        """
        scoring = Scoring.of(self.stages[0], self.stages[0].data)
        with helped(helpers, __name__) as others:
            self.try_all(others)
        if not self.tried:
            whys = [f"{self.candidates[index][0].recipe.name} ({why})" for index, why in sorted(self.failed.items())]
            raise DivergedError(f"all that there is to start from has diverged: {'; '.join(whys)}")
        self.tried = dict(sorted(self.tried.items()))
        compared = self.compared(scoring)
        best = min(compared, key=lambda index: compared[index].get("sum", 0.0))
        return self.finished(best, compared)

    def try_all(self, others: Workers) -> None:
        """Try the starts with helpers, and then without them those that one was lost over."""
        self.try_some(others)
        self.wait(others)
        self.try_some(others)

    def try_some(self, others: Workers) -> None:
        """Try one start after the other until none is left, alone until the noise level is settled."""
        while (index := self.next()) is not None:
            if self.judge.settled and not others.turns:
                others.begin(lambda: self.have_tried(others))
            self.attempt(index)

    def next(self) -> int | None:
        """The next start to be begun; None where there is none, or no time for it."""
        with self.lock:
            if not self.waiting or (self.tried and self.is_over()):
                return None
            return self.waiting.pop(0)

    def have_tried(self, others: Workers) -> None:
        """Have one helper try one start after the other; one that it is lost over waits again."""
        while (index := self.next()) is not None:
            try:
                became, stop = others.ask(tried_there, self.there(index))
            except WorkerLostError as error:
                with self.lock:
                    self.waiting.append(index)
                if not (others.ended or self.interrupted.is_set()):
                    warnings.warn(self.lost(index, error), stacklevel=1)
                return
            except Exception:
                with self.lock:
                    self.waiting.clear()  # it is raised as soon as this process has done its start
                raise
            self.keep(index, became, stop)

    def there(self, index: int) -> There:
        """What a helper needs to try a start; of the last stage, which may see a larger picture, the judge's."""
        stages = self.stages if len(self.stages) == 1 else [*self.stages[:-1], self.judge.stage]
        left = self.left()
        deadline = None if left is None else time.time() + left
        return There(stages, self.kernel_size, replace(self.judge, seen={}), index, deadline)

    def lost(self, index: int, error: WorkerLostError) -> str:
        """What is said of a start whose helper was lost."""
        return f"{self.candidates[index][0].recipe.name} is tried once more, since its process was lost: {error}"

    def wait(self, others: Workers) -> None:
        """Until every helper has done its start; those that Ctrl-C finds at work are ended."""
        if not others.are_busy(0):
            return
        with self.counting() as count:
            while others.are_busy(LOOK):
                if self.interrupted.is_set():
                    others.end()
                    return
                count(len(self.tried) + len(self.failed))

    def counting(self) -> AbstractContextManager[Callable[[int], None]]:
        """A bar of the starts that are done, where it can show them."""
        make = self.titled().progress
        bar = None if make is None else make("candidates")
        return bar.counting(len(self.candidates)) if isinstance(bar, Counting) else nullcontext(lambda done: None)

    def compared(self, scoring: Scoring) -> dict[int, dict[str, float]]:
        """Of those to choose from, by their places, every score by name and their "sum"; of only one, none.

        To choose from are those that were judged; where none was, the only one that there is.
        """
        judged = {index: one.judged for index, one in self.tried.items() if one.judged}
        if len(judged) < 2:
            return {index: {} for index in judged or self.tried}
        return dict(zip(judged, scoring(list(judged.values())), strict=True))

    @property
    def candidates(self) -> Sequence[Sequence[Stage]]:
        """The stages of each."""
        return self.stages[0].candidates

    def is_over(self) -> bool:
        """Whether there is no time for another start; notes why."""
        left = self.left()
        if self.interrupted.is_set():
            self.stop = self.stop or "interrupted"
        elif left is not None and left < max(one.seconds for one in self.tried.values()):
            self.stop = self.stop or "time limit"
        return self.stop is not None

    def left(self) -> float | None:
        """Seconds until the time limit."""
        limit = self.watch.time_limit
        return None if limit is None else max(limit - (time.monotonic() - self.begun), 0.0)

    def attempt(self, index: int) -> None:
        """Try one start."""
        begun = time.monotonic()
        try:
            with placed(f"candidates.{index}"):
                found = self.found(index)
            chain = self.gone_on(found, index)
            judged = self.judged(chain)
        except DivergedError as error:
            self.keep(index, str(error), None)
            return
        self.keep(index, Tried(chain.stages, chain.solved, judged, found.facts, time.monotonic() - begun), chain.stop)

    def keep(self, index: int, became: Tried | str, stop: str | None) -> None:
        """Keep what one start gave if it came to its end, or is the first that gives anything; or why it diverged."""
        with self.lock:
            self.stop = self.stop or stop
            if isinstance(became, str):
                self.failed[index] = became
            elif not (stop and self.tried):
                self.tried[index] = became

    def found(self, index: int) -> Outcome:
        """What the stages of one start give."""
        own, watch = kernel_stages(self.candidates[index]), self.part(index)
        if own[0].candidates:
            judge = Judge.of(own, self.device)
            return _Starts(own, self.kernel_size, self.device, watch, self.interrupted, judge).to_the_end()
        first, judge = own[0].assembled(self.kernel_size, None), Judge.of(self.candidates[index], self.device)
        return Chain(list(own), self.device, judge, watch, self.interrupted, patient=False).to_the_end(first)

    def gone_on(self, found: Outcome, index: int) -> Chain:
        """The stages that follow, but for the last, from the kernel of a start; skipped once that was stopped."""
        following = [replace(stage, candidates=()) for stage in self.stages[:-1]]
        chain = self.chain([*found.stages, *following], found.solved, found.stop, self.part(index))
        for depth in range(len(following)):
            chain.go_on(len(found.stages) + depth, later_place(depth))
        return chain

    def judged(self, chain: Chain) -> Result | None:
        """What the judge makes of the kernel so far; None where there is nothing to compare it with."""
        if len(self.candidates) == 1 or chain.stop:
            return None
        return chain.judged(chain.found, len(chain.stages))

    def chain(self, stages: list[Stage], solved: Sequence[Result | None], stop: str | None, watch: Watch) -> Chain:
        """Stages of which some are solved already, to be gone on with and not to be patient."""
        chain = Chain(stages, self.device, self.judge, watch, self.interrupted, patient=False, stop=stop)
        chain.solved.extend(solved)
        return chain

    def part(self, index: int) -> Watch:
        """The watch of one start: what is left of the time, and its place in the bars' titles."""
        return replace(self.titled(f" {index + 1} of {len(self.candidates)}"), time_limit=self.left())

    def titled(self, which: str = "") -> Watch:
        """The watch without who watches the first stage alone, and with bars that say what they are part of."""
        make, whole = self.watch.progress, self.stages[0].recipe.name
        progress = None if make is None else lambda title: make(f"{whole}{which}: {title}")
        return replace(self.watch, first=(), progress=progress)

    def finished(self, best: int, compared: Mapping[int, Mapping[str, float]]) -> Outcome:
        """The last stage from the best kernel, and all that led to it."""
        chosen, last = self.tried[best], replace(self.stages[-1], candidates=())
        chain = self.chain([*chosen.stages, last], chosen.solved, self.stop, self.titled())
        chain = replace(chain, patient=self.patient, begun=self.begun)
        aside = time.monotonic() - self.begun - sum(result.seconds for result in chosen.solved if result)
        chain.go_on(len(chosen.stages), later_place(len(self.stages) - 1))
        told = [self.told(index, best, compared) for index in range(len(self.candidates))]
        return Outcome(chain.stages, chain.solved, chain.stop, {"candidates": told}, aside)

    def told(self, index: int, best: int, compared: Mapping[int, Mapping[str, float]]) -> dict[str, Any]:
        """What the result's details say of one start."""
        said = {"name": self.candidates[index][0].recipe.name, "chosen": index == best}
        if index in self.failed:
            return {**said, "failed": self.failed[index]}
        if index not in self.tried:
            return {**said, "skipped": self.stop}
        one, selection = self.tried[index], {name: round(value, 5) for name, value in compared.get(index, {}).items()}
        return {**said, "seconds": round(one.seconds, 3), "selection": selection, **one.facts}


@dataclass(frozen=True)
class There:
    """A start to be tried in another process.

    Attributes:
        stages: of `plan`, the last on the data of the first.
        kernel_size: (h, w).
        judge: settled.
        index: the start's place.
        deadline: the time limit, in seconds of the clock that all processes have; a helper may still be loading.
    """

    stages: Sequence[Stage]
    kernel_size: tuple[int, int]
    judge: Judge
    index: int
    deadline: float | None


def tried_there(asked: There) -> tuple[Tried | str, str | None]:
    """What became of a start, as `_Starts.keep` takes it, in the process that was asked for it."""
    watch = Watch(time_limit=None if asked.deadline is None else max(asked.deadline - time.time(), 0.0))
    nobody = threading.Event()
    candidates = _Starts(asked.stages, asked.kernel_size, torch.device("cpu"), watch, nobody, asked.judge)
    with after_interrupt():  # signals are for the process that asks, and for the system to end this one
        candidates.attempt(asked.index)
    if asked.index in candidates.failed:
        return candidates.failed[asked.index], candidates.stop
    one = candidates.tried[asked.index]
    return replace(one, stages=[replace(stage, candidates=()) for stage in one.stages]), candidates.stop


def kernel_stages(stages: Sequence[Stage]) -> Sequence[Stage]:
    """The stages of a start without those at its end that leave the kernel as it is.

    Where it has starts itself, all of them: they are chosen by what the last makes of them.
    """
    own = list(stages)
    while len(own) > 1 and own[-1].recipe.is_nonblind and not own[0].candidates:
        own.pop()
    return own
