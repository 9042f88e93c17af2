"""Processes that do parts of a work beside the one that was asked for it, so that no core is idle.

Processes and not threads, where the operations are so short that Python's lock lets only one thread run. They are
started anew, not forked, and know of the one that starts them only where it imports from, so that a script needs no
guard around its main part (loky sees to that). Loading libraries takes them a second or two, while others work on.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from importlib import import_module
from threading import Lock, Thread
from typing import TYPE_CHECKING, TypeVar

import psutil
import torch

from .environment import thread_variables
from .threads import threads_at_most

if TYPE_CHECKING:
    from loky import ProcessPoolExecutor

__all__ = ["WorkerLostError", "Workers", "affordable", "can_help", "dismiss", "helped"]

Given = TypeVar("Given")
Found = TypeVar("Found")

Kind = tuple[int, int, str]  # number of processes, threads of each, module that they have imported

IDLE = 20.0  # seconds without work after which the processes end: the next photograph may follow soon
LOOK = 0.5  # seconds between two looks at whether the process that asks is there


class WorkerLostError(Exception):
    """A helper ended before its work did: by the system, mostly for want of memory, or since it was not wanted more."""


@dataclass
class Workers:
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
            raise WorkerLostError(str(error).partition("\n")[0]) from error
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
            self.pool.shutdown(wait=False, kill_workers=True)
            wait(self.turns)


def dismiss() -> None:
    """Let those that are kept for the next work end now, and not only once they have been idle for long."""
    while _kept:
        _kept.popitem()[1].shutdown(wait=False)


def can_help() -> bool:
    """Whether this process may start others: one that was itself started for a work shares the cores already."""
    return multiprocessing.parent_process() is None


def affordable(size: int) -> int:
    """How many helpers of so many bytes there is memory for."""
    return int(psutil.virtual_memory().available // size)


@contextmanager
def helped(number: int, module: str) -> Iterator[Workers]:
    """So many processes that have a module imported, for the length of a ``with`` statement.

    The threads that torch uses are shared out among them and this one, which has them all back afterwards. What an
    error finds at work is ended. There are none where another thread of this process has some, or where the system
    starts none, of which a warning tells.
    """
    if number == 0 or not _taken.acquire(blocking=False):
        yield Workers()
        return
    try:
        each = max(1, torch.get_num_threads() // (number + 1))
        helpers = begun((number, each, module))
        with threads_at_most(each) if helpers.number else nullcontext():
            try:
                yield helpers
            except BaseException:
                helpers.end()
                raise
    finally:
        _taken.release()


_taken = Lock()  # torch has one number of threads, which two at a time would not put back
_kept: dict[Kind, ProcessPoolExecutor] = {}

if sys.platform != "win32":
    os.register_at_fork(after_in_child=_kept.clear)  # they belong to the process that was forked


def begun(kind: Kind) -> Workers:
    """Those that are kept, if they are of this kind and alive, or new ones, which begin to get ready; or none."""
    try:
        return Workers(processes(kind), kind[0])
    except (OSError, NotImplementedError, RuntimeError) as error:  # of the system, and of an interpreter that ends
        warnings.warn(f"one process does the work of several, since no other can be started: {error}", stacklevel=4)
        return Workers()


def processes(kind: Kind) -> ProcessPoolExecutor:
    """The processes; they stay for what is asked next.

    Raises:
        OSError, NotImplementedError, RuntimeError: none can be started.
    """
    from loky.process_executor import ShutdownExecutorError

    try:
        if kind in _kept:
            woken(_kept[kind])
            return _kept[kind]
    except (BrokenProcessPool, ShutdownExecutorError):
        _kept.clear()  # some were lost or ended
    dismiss()
    _kept[kind] = woken(started(kind))
    return _kept[kind]


def started(kind: Kind) -> ProcessPoolExecutor:
    """Processes that end when they have been idle."""
    from loky import ProcessPoolExecutor

    number, threads, module = kind
    # What invkit keeps of freed memory for the next photograph is no leak.
    environment = {**thread_variables(threads), "LOKY_MAX_MEMORY_LEAK_SIZE": str(2**60)}
    ready = (os.getpid(), threads, module)
    return ProcessPoolExecutor(number, timeout=IDLE, initializer=get_ready, initargs=ready, env=environment)


def woken(pool: ProcessPoolExecutor) -> ProcessPoolExecutor:
    """Have the processes started that are not there: else they would be when the first is asked."""
    with deaf():
        pool.submit(str)
    return pool


@contextmanager
def deaf() -> Iterator[None]:
    """What is started meanwhile does not hear Ctrl-C, which is for the one that asks."""
    if sys.platform == "win32":
        yield  # `get_ready` sees to it, if a little late
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def get_ready(asking: int, threads: int, module: str) -> None:
    """What a process does first.

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
    """End this process when its parent has ended, which may have been killed and could not end it."""
    while os.getppid() == asking and psutil.pid_exists(asking):  # Windows names a parent that there is no more
        time.sleep(LOOK)
    os._exit(1)
