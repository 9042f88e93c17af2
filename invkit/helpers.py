"""Processes that do parts of a work beside the one that was asked for it, so that no core is idle.

Processes and not threads, where the operations are so short that Python's lock lets only one thread run. They are
started anew, not forked, and know of the one that starts them only where it imports from, so that a script needs no
guard around its main part (loky sees to that). Loading libraries takes them a second or two, while others work on.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib import import_module
from threading import Thread
from typing import TYPE_CHECKING, TypeVar

import psutil
import torch

from .threads import threads_at_most

if TYPE_CHECKING:
    from loky import ProcessPoolExecutor

__all__ = ["HelperLostError", "Helpers", "affordable", "can_help", "dismiss", "helped"]

Given = TypeVar("Given")
Found = TypeVar("Found")

Kind = tuple[int, int, str]  # number of processes, threads of each, module that they have imported

IDLE = 20.0  # seconds without work after which the processes end: the next photograph may follow soon
MEMORY = 2**30  # bytes for a helper: half of it for libraries, half for what it does
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


class HelperLostError(Exception):
    """A helper ended before its work did: by the system, mostly for want of memory, or since it was not wanted more."""


@dataclass
class Helpers:
    """Some processes, each with a thread here that asks it.

    Attributes:
        pool: the processes, None where there are none.
        number: of them.
        turns: what their threads do.
        ended: whether they were ended, and not lost.
    """

    pool: ProcessPoolExecutor | None = None
    number: int = 0
    turns: list[Future[None]] = field(default_factory=list)
    ended: bool = False

    def begin(self, turn: Callable[[], None]) -> None:
        """Have a function that asks run beside, once for each process."""
        if self.number:
            threads = ThreadPoolExecutor(self.number)
            self.turns += [threads.submit(turn) for _ in range(self.number)]
            threads.shutdown(wait=False)  # each thread ends with its turn

    def ask(self, function: Callable[[Given], Found], given: Given) -> Found:
        """What a module's function gives in a process that is free; waits for it.

        Raises:
            HelperLostError: the process has ended before.
            Exception: what the function raises.
        """
        from loky.process_executor import ShutdownExecutorError

        assert self.pool is not None
        try:
            found: Found = self.pool.submit(function, given).result()
        except (BrokenProcessPool, ShutdownExecutorError) as error:
            _kept.clear()
            raise HelperLostError(str(error)) from error
        return found

    def are_busy(self, seconds: float) -> bool:
        """Whether one is still at work after so many seconds; raises what a turn has raised."""
        done, busy = wait(self.turns, seconds)
        for turn in done:
            turn.result()
        return bool(busy)

    def end(self) -> None:
        """End the processes at once, in whatever they are; who asks later gets new ones."""
        self.ended = True
        if self.pool is not None:
            _kept.clear()
            self.pool.shutdown(wait=False, kill_workers=True)
            wait(self.turns)


def dismiss() -> None:
    """Let those that are kept for the next work end now, and not only once they have been idle for long."""
    while _kept:
        _kept.popitem()[1].shutdown(wait=False)


def can_help() -> bool:
    """Whether this process may start others: a daemonic one, as of a pool, may not."""
    return not multiprocessing.current_process().daemon


def affordable() -> int:
    """How many helpers there is memory for."""
    return int(psutil.virtual_memory().available // MEMORY)


@contextmanager
def helped(number: int, module: str) -> Iterator[Helpers]:
    """So many processes that have a module imported, for the length of a ``with`` statement.

    The threads that torch uses are shared out among them and this one, which has them all back afterwards. What an
    error finds at work is ended.
    """
    if number == 0:
        yield Helpers()
        return
    each = max(1, torch.get_num_threads() // (number + 1))
    with threads_at_most(each):
        helpers = Helpers(processes((number, each, module)), number)
        try:
            yield helpers
        except BaseException:
            helpers.end()
            raise


_kept: dict[Kind, ProcessPoolExecutor] = {}


def processes(kind: Kind) -> ProcessPoolExecutor:
    """Those that are kept, or where these are of another kind, new ones; they stay for what is asked next."""
    if kind not in _kept:
        dismiss()
        _kept[kind] = started(kind)
    return _kept[kind]


def started(kind: Kind) -> ProcessPoolExecutor:
    """Processes that begin to get ready, and end when they have been idle."""
    from loky import ProcessPoolExecutor

    number, threads, module = kind
    environment = dict.fromkeys(THREADS, str(threads))
    ready = (os.getpid(), threads, module)
    pool = ProcessPoolExecutor(number, timeout=IDLE, initializer=get_ready, initargs=ready, env=environment)
    pool.submit(str)  # else they would be started when the first is asked
    return pool


def get_ready(asking: int, threads: int, module: str) -> None:
    """What a process does first; Ctrl-C is for the one that asks, which ends it.

    Args:
        asking: the identifier of the process that asks.
        threads: that torch is to use.
        module: to be imported.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Thread(target=end_with, args=(asking,), daemon=True).start()
    torch.set_num_threads(threads)
    import_module(module)


def end_with(asking: int) -> None:
    """End this process as soon as another has ended, which may have been killed and cannot end it."""
    with suppress(psutil.NoSuchProcess):
        psutil.Process(asking).wait()
    os._exit(1)
