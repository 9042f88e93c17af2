"""Worker processes that share the work of one process among the cores.

Processes are used instead of threads because the operations are so short that Python's lock lets only one thread run.
Workers are spawned, not forked, and need no guard around a script's main part (loky provides this). A worker spends one
to two seconds loading libraries while the asking process already works.
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

from .process import SAFE_PATH, on_safe_path, print_apart
from .threads import at_most_threads, thread_variables

if TYPE_CHECKING:
    from loky import ProcessPoolExecutor

__all__ = ["WorkerLostError", "Workers", "affordable_workers", "can_start_workers", "dismiss_workers", "worker_pool"]

Task = TypeVar("Task")
Answer = TypeVar("Answer")
PoolKind = tuple[int, int, str]  # number of processes, threads of each, module that they import

IDLE_SECONDS = 20.0  # idle workers end after this time; until then they serve the next photograph
PARENT_CHECK_SECONDS = 0.5  # between two checks that the asking process still exists


class WorkerLostError(Exception):
    """A worker ended before its task did: the system killed it, mostly for lack of memory, or it was dismissed."""


@dataclass
class Workers:
    """A pool of worker processes, with one thread of this process for each worker.

    Attributes:
        pool: the processes; None without workers.
        number: of processes.
        threads: the running threads of this process that ask the workers.
        ended: whether `end` was called; a worker that ended otherwise was lost.
    """

    pool: ProcessPoolExecutor | None = None
    number: int = 0
    threads: list[Future[None]] = field(default_factory=list)
    ended: bool = False

    def start(self, ask: Callable[[], None]) -> None:
        """Run a function that asks one worker in a thread of its own, once for each worker."""
        if self.number:
            executor = ThreadPoolExecutor(self.number)
            self.threads += [executor.submit(ask) for _ in range(self.number)]
            executor.shutdown(wait=False)  # each thread ends with its function

    def ask(self, function: Callable[[Task], Answer], task: Task) -> Answer:
        """Call a module-level function in a free worker and wait for its result.

        Raises:
            WorkerLostError: the worker ended before.
            Exception: whatever the function raises.
        """
        from loky.process_executor import ShutdownExecutorError

        assert self.pool is not None
        try:
            answer: Answer = self.pool.submit(function, task).result()
        except (BrokenProcessPool, ShutdownExecutorError) as error:
            raise WorkerLostError(str(error).partition("\n")[0]) from error
        return answer

    def are_busy(self, seconds: float) -> bool:
        """Whether a worker is still busy after this many seconds; raises what one of the threads raised."""
        done, busy = wait(self.threads, seconds)
        for thread in done:
            thread.result()
        return bool(busy)

    def end(self) -> None:
        """Kill the workers, whatever they do; a later request starts new ones."""
        self.ended = True
        if self.pool is not None:
            self.pool.shutdown(wait=False, kill_workers=True)
            wait(self.threads)


def dismiss_workers() -> None:
    """End the idle workers now instead of after `IDLE_SECONDS`."""
    while _pools:
        _pools.popitem()[1].shutdown(wait=False)


def can_start_workers() -> bool:
    """Whether this process may start workers; a process that is itself a worker shares the cores already."""
    return multiprocessing.parent_process() is None


def affordable_workers(size: int) -> int:
    """The number of workers that fit in the free memory if each needs ``size`` bytes."""
    return int(psutil.virtual_memory().available // size)


@contextmanager
def worker_pool(number: int, module: str) -> Iterator[Workers]:
    """A pool of workers for the length of a ``with`` statement.

    The threads of torch are divided among the workers and this process, which has all of them again afterwards. An
    error kills busy workers. The pool is empty if another thread of this process has workers, or if the system starts
    none; a warning then says why.

    Args:
        number: of workers.
        module: that every worker imports first.
    """
    if number == 0 or not _in_use.acquire(blocking=False):
        yield Workers()
        return
    try:
        threads_each = max(1, torch.get_num_threads() // (number + 1))
        pool = start_workers((number, threads_each, module))
        with at_most_threads(threads_each) if pool.number else nullcontext():
            try:
                yield pool
            except BaseException:
                pool.end()
                raise
    finally:
        _in_use.release()


_in_use = Lock()  # torch has one thread count for the process, which two users could not restore
_pools: dict[PoolKind, ProcessPoolExecutor] = {}

if sys.platform != "win32":
    os.register_at_fork(after_in_child=_pools.clear)  # the pools belong to the process that was forked


def start_workers(kind: PoolKind) -> Workers:
    """The kept workers if they are of this kind and alive, else new ones; empty if none can be started."""
    try:
        with on_safe_path():  # also for the resource tracker, which starts with the first pool
            return Workers(kept_pool(kind), kind[0])
    except (OSError, NotImplementedError, RuntimeError) as error:  # of the system, or of an interpreter that shuts down
        warnings.warn(f"no worker process can be started, so one process does all the work: {error}", stacklevel=4)
        return Workers()


def kept_pool(kind: PoolKind) -> ProcessPoolExecutor:
    """The pool of this kind, which stays for the next request.

    Raises:
        OSError, NotImplementedError, RuntimeError: no process can be started.
    """
    from loky.process_executor import ShutdownExecutorError

    try:
        if kind in _pools:
            return with_processes(_pools[kind])
    except (BrokenProcessPool, ShutdownExecutorError):
        _pools.clear()  # some workers were lost or ended
    dismiss_workers()
    _pools[kind] = with_processes(new_pool(kind))
    return _pools[kind]


def new_pool(kind: PoolKind) -> ProcessPoolExecutor:
    """Processes that end when they have been idle for `IDLE_SECONDS`."""
    from loky import ProcessPoolExecutor

    number, threads, module = kind
    # Freed memory that a worker keeps for its next image is no leak.
    environment = {**thread_variables(threads), **SAFE_PATH, "LOKY_MAX_MEMORY_LEAK_SIZE": str(2**60)}
    initial = (os.getpid(), threads, module)
    return ProcessPoolExecutor(
        number, timeout=IDLE_SECONDS, initializer=prepare_worker, initargs=initial, env=environment
    )


def with_processes(pool: ProcessPoolExecutor) -> ProcessPoolExecutor:
    """Start the processes of a pool now; loky would start them with the first task."""
    with interrupts_blocked():
        pool.submit(str)
    return pool


@contextmanager
def interrupts_blocked() -> Iterator[None]:
    """Processes that start inside ignore Ctrl-C, which is meant for the asking process."""
    if sys.platform == "win32":
        yield  # `prepare_worker` ignores it there, a moment later
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def prepare_worker(parent: int, threads: int, module: str) -> None:
    """Prepare a worker process.

    Args:
        parent: process identifier of the asking process.
        threads: that torch uses in the worker.
        module: to import.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    print_apart()
    Thread(target=end_with_parent, args=(parent,), daemon=True).start()
    torch.set_num_threads(threads)
    import_module(module)


def end_with_parent(parent: int) -> None:
    """End this worker once its parent has ended; a killed parent could not end it."""
    while os.getppid() == parent and psutil.pid_exists(parent):  # Windows keeps naming a parent that has ended
        time.sleep(PARENT_CHECK_SECONDS)
    os._exit(1)
