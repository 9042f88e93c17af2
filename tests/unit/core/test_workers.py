"""Helpers: processes that do what they are asked, are told apart from this one, and end when they are not wanted."""

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
    """Three, whatever the machine has; and no process stays."""
    torch_threads(3)
    yield
    dismiss_workers()


def pids(number: int) -> set[int]:
    with worker_pool(number, MODULE) as others:
        return {others.ask(process, None) for _ in range(4)}


def process(_: None) -> int:
    return os.getpid()


def answer(_: None) -> list[object]:
    return [torch.get_num_threads(), os.environ["OMP_NUM_THREADS"], signal.getsignal(signal.SIGINT) is signal.SIG_IGN]


def is_helper(process: psutil.Process) -> bool:
    try:
        return "popen_loky" in " ".join(process.cmdline())
    except psutil.Error:  # it has just ended
        return False


def none_left(seconds: float = 10.0) -> bool:
    """Whether, soon, this process has no other but loky's own that keeps count of resources."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if not [child for child in psutil.Process().children() if is_helper(child)]:
            return True
        time.sleep(0.1)
    return False


def test_they_are_other_processes_and_stay_for_the_next_work() -> None:
    first, second = pids(1), pids(1)
    assert first == second
    assert os.getpid() not in first
    dismiss_workers()
    assert none_left()
    assert not pids(1) & first


def test_the_threads_are_shared_out_and_are_there_again_afterwards() -> None:
    with worker_pool(2, MODULE) as others:
        assert torch.get_num_threads() == 1
        assert others.ask(answer, None) == [1, "1", True]
    assert torch.get_num_threads() == 3


def test_tensors_go_there_and_back() -> None:
    with worker_pool(1, MODULE) as others:
        given = torch.arange(6.0).view(2, 3)
        found = others.ask(torch.neg, given)
    torch.testing.assert_close(found, -given, rtol=0, atol=0)
    assert torch.equal(given, torch.arange(6.0).view(2, 3))


def test_what_a_function_raises_there_is_raised_here() -> None:
    with worker_pool(1, MODULE) as others, pytest.raises(ValueError, match="invalid literal"):
        others.ask(int, "three")


def test_each_has_a_turn_beside_this_process() -> None:
    found: list[int] = []
    with worker_pool(2, MODULE) as others:
        others.start(lambda: found.append(others.ask(operator.neg, 4)))
        while others.are_busy(0.05):
            pass
    assert found == [-4, -4]


def test_what_a_turn_raises_is_raised_here() -> None:
    with worker_pool(1, MODULE) as others:
        others.start(lambda: operator.truediv(1, 0))
        with pytest.raises(ZeroDivisionError):
            others.are_busy(10)


def test_one_that_ends_is_lost_and_the_next_is_new() -> None:
    with worker_pool(1, MODULE) as others, pytest.raises(WorkerLostError):
        others.ask(os._exit, 1)
    assert not others.ended
    with worker_pool(1, MODULE) as others:
        assert others.ask(operator.neg, 4) == -4


def test_an_error_ends_them_in_whatever_they_are() -> None:
    begun, lost = time.monotonic(), []

    def turn() -> None:
        try:
            others.ask(time.sleep, 600)
        except WorkerLostError as error:
            lost.append(error)

    with suppress(KeyboardInterrupt), worker_pool(1, MODULE) as others:
        others.start(turn)
        assert others.are_busy(0.2)
        raise KeyboardInterrupt
    assert others.ended
    assert len(lost) == 1
    assert none_left()
    assert time.monotonic() - begun < 60


def test_they_end_by_themselves_when_they_are_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "IDLE_SECONDS", 3.0)
    first = pids(1)
    assert none_left()
    assert not pids(1) & first  # and are started anew when they are asked again


def test_they_end_with_a_process_that_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "asking.py"
    script.write_text(
        "import os, torch\n"
        "from invkit.core.runtime.workers import worker_pool\n"
        "torch.set_num_threads(2)\n"
        "with worker_pool(1, 'invkit.core.runtime.threads') as others:\n"
        "    print(others.ask(eval, '__import__(\"os\").getpid()'), flush=True)\n"
        "    others.start(lambda: others.ask(bytes, 10**8))\n"  # more than a pipe holds when nobody reads
        "    os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    until = time.monotonic() + 20
    while psutil.pid_exists(int(done.stdout)):
        assert time.monotonic() < until
        time.sleep(0.05)


def test_those_that_were_killed_meanwhile_are_replaced() -> None:
    first = pids(1)
    for pid in first:
        psutil.Process(pid).kill()
        psutil.Process(pid).wait()
    time.sleep(0.5)  # until loky has seen it
    assert not pids(1) & first


def test_another_thread_s_work_does_without() -> None:
    with worker_pool(1, MODULE) as others:
        found: list[Workers] = []

        def also() -> None:
            with worker_pool(1, MODULE) as mine:
                found.append(mine)

        thread = threading.Thread(target=also)
        thread.start()
        thread.join()
        assert found == [Workers()]
        assert others.ask(operator.neg, 4) == -4
    assert torch.get_num_threads() == 3
    with worker_pool(1, MODULE) as others:
        assert others.number == 1


def test_where_none_can_be_started_one_process_does_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(kind: object) -> None:
        raise OSError("no semaphores here")

    monkeypatch.setattr(workers, "started", none)
    with pytest.warns(UserWarning, match="one process does the work of several.*no semaphores here"):
        assert workers.begun((1, 1, MODULE)) == Workers()


def test_a_forked_process_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    pids(1)
    context = multiprocessing.get_context("fork")
    queue = context.SimpleQueue()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 warns of any fork among threads
        child = context.Process(target=lambda: queue.put((can_start_workers(), len(workers._pools))))
        child.start()
    child.join(60)
    assert queue.get() == (False, 0)


def test_without_any_nothing_is_started_nor_set() -> None:
    with worker_pool(0, MODULE) as others:
        assert torch.get_num_threads() == 3
        others.start(lambda: pytest.fail("there is nobody to ask"))
        assert not others.are_busy(0)
    assert others == Workers()


def test_a_daemonic_process_cannot_be_helped() -> None:
    assert can_start_workers()
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        assert pool.apply(can_start_workers) is False
