"""Worker processes: they call functions, have their share of the threads, and end when they are not needed."""

from __future__ import annotations

import multiprocessing
import operator
import os
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
import torch

from invkit.core.runtime import workers
from invkit.core.runtime.workers import WorkerLostError, Workers, can_start_workers, dismiss_workers, worker_pool

MODULE = "invkit.core.runtime.threads"


@pytest.fixture(autouse=True)
def three_threads(torch_threads: Callable[[int], None]) -> Iterator[None]:
    """Three threads, whatever the machine has; no worker is left afterwards."""
    torch_threads(3)
    yield
    dismiss_workers()


def pids(number: int) -> set[int]:
    with worker_pool(number, MODULE) as pool:
        return {pool.ask(process, None) for _ in range(4)}


def process(_: None) -> int:
    return os.getpid()


def answer(_: None) -> list[object]:
    return [torch.get_num_threads(), os.environ["OMP_NUM_THREADS"], signal.getsignal(signal.SIGINT) is signal.SIG_IGN]


def is_worker(process: psutil.Process) -> bool:
    try:
        return "popen_loky" in " ".join(process.cmdline())
    except psutil.Error:  # it has just ended
        return False


def none_left(seconds: float = 10.0) -> bool:
    """Whether this process soon has no child processes but the resource tracker of loky."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if not [child for child in psutil.Process().children() if is_worker(child)]:
            return True
        time.sleep(0.1)
    return False


def test_workers_are_other_processes_and_stay_for_the_next_task() -> None:
    first, second = pids(1), pids(1)
    assert first == second
    assert os.getpid() not in first
    dismiss_workers()
    assert none_left()
    assert not pids(1) & first


def test_the_threads_are_divided_and_restored_afterwards() -> None:
    with worker_pool(2, MODULE) as pool:
        assert torch.get_num_threads() == 1
        assert pool.ask(answer, None) == [1, "1", True]
    assert torch.get_num_threads() == 3


def test_tensors_are_sent_and_returned() -> None:
    with worker_pool(1, MODULE) as pool:
        given = torch.arange(6.0).view(2, 3)
        found = pool.ask(torch.neg, given)
    torch.testing.assert_close(found, -given, rtol=0, atol=0)
    assert torch.equal(given, torch.arange(6.0).view(2, 3))


def test_an_error_of_a_function_in_a_worker_is_raised_here() -> None:
    with worker_pool(1, MODULE) as pool, pytest.raises(ValueError, match="invalid literal"):
        pool.ask(int, "three")


def test_each_worker_has_a_thread_that_asks_it() -> None:
    found: list[int] = []
    with worker_pool(2, MODULE) as pool:
        pool.start(lambda: found.append(pool.ask(operator.neg, 4)))
        while pool.are_busy(0.05):
            pass
    assert found == [-4, -4]


def test_an_error_of_such_a_thread_is_raised_here() -> None:
    with worker_pool(1, MODULE) as pool:
        pool.start(lambda: operator.truediv(1, 0))
        with pytest.raises(ZeroDivisionError):
            pool.are_busy(10)


def test_a_worker_that_ends_is_lost_and_replaced() -> None:
    with worker_pool(1, MODULE) as pool, pytest.raises(WorkerLostError):
        pool.ask(os._exit, 1)
    assert not pool.ended
    with worker_pool(1, MODULE) as pool:
        assert pool.ask(operator.neg, 4) == -4


def test_an_error_ends_busy_workers() -> None:
    started = time.monotonic()
    lost: list[WorkerLostError] = []

    def ask() -> None:
        try:
            pool.ask(time.sleep, 600)
        except WorkerLostError as error:
            lost.append(error)

    with suppress(KeyboardInterrupt), worker_pool(1, MODULE) as pool:
        pool.start(ask)
        assert pool.are_busy(0.2)
        raise KeyboardInterrupt
    assert pool.ended
    assert len(lost) == 1
    assert none_left()
    assert time.monotonic() - started < 60


def test_idle_workers_end_by_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "IDLE_SECONDS", 3.0)
    first = pids(1)
    assert none_left()
    assert not pids(1) & first  # new ones are started at the next request


def test_workers_end_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "asking.py"
    script.write_text(
        "import os, torch\n"
        "from invkit.core.runtime.workers import worker_pool\n"
        "torch.set_num_threads(2)\n"
        "with worker_pool(1, 'invkit.core.runtime.threads') as pool:\n"
        "    print(pool.ask(eval, '__import__(\"os\").getpid()'), flush=True)\n"
        "    pool.start(lambda: pool.ask(bytes, 10**8))\n"  # more than a pipe without a reader holds
        "    os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    until = time.monotonic() + 20
    while psutil.pid_exists(int(done.stdout)):
        assert time.monotonic() < until
        time.sleep(0.05)


def test_workers_that_were_killed_are_replaced() -> None:
    first = pids(1)
    for pid in first:
        psutil.Process(pid).kill()
        psutil.Process(pid).wait()
    time.sleep(0.5)  # until loky has noticed
    assert not pids(1) & first


def test_a_second_thread_has_no_workers() -> None:
    with worker_pool(1, MODULE) as pool:
        found: list[Workers] = []

        def ask_for_a_pool() -> None:
            with worker_pool(1, MODULE) as mine:
                found.append(mine)

        thread = threading.Thread(target=ask_for_a_pool)
        thread.start()
        thread.join()
        assert found == [Workers()]
        assert pool.ask(operator.neg, 4) == -4
    assert torch.get_num_threads() == 3
    with worker_pool(1, MODULE) as pool:
        assert pool.number == 1


def test_the_pool_is_empty_with_a_warning_if_no_worker_can_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(kind: object) -> None:
        raise OSError("no semaphores here")

    monkeypatch.setattr(workers, "kept_pool", none)
    with pytest.warns(UserWarning, match="no worker process can be started, so one process .*no semaphores here"):
        assert workers.start_workers((1, 1, MODULE)) == Workers()


def test_a_forked_process_has_no_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    pids(1)
    context = multiprocessing.get_context("fork")
    queue = context.SimpleQueue()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 warns of any fork of a process with threads
        child = context.Process(target=lambda: queue.put((can_start_workers(), len(workers._pools))))
        child.start()
    child.join(60)
    assert queue.get() == (False, 0)


def test_a_pool_of_no_workers_starts_and_changes_nothing() -> None:
    with worker_pool(0, MODULE) as pool:
        assert torch.get_num_threads() == 3
        pool.start(lambda: pytest.fail("there is no worker to ask"))
        assert not pool.are_busy(0)
    assert pool == Workers()


def test_a_daemonic_process_cannot_start_workers() -> None:
    assert can_start_workers()
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        assert pool.apply(can_start_workers) is False
