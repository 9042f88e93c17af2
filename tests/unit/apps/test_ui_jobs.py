"""The queue of the web page with workers that only send messages, and how a worker process ends."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import pytest

pytest.importorskip("nicegui", reason="NiceGUI is not installed; get it with pip install 'invkit[ui]'")

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

from narrow import known

from invkit.apps.ui.jobs import JobQueue, WorkerProcess, exit_reason
from invkit.apps.ui.messages import (
    RUN_FOLDER,
    Done,
    Failed,
    Iterated,
    RestorationRequest,
    RunFacts,
    Saving,
    WorkerMessage,
    WorkerOrder,
    read_message,
)
from invkit.apps.ui.store import FACTS_FILE, VIEW_FOLDER, RunStore

Act = Callable[[JobQueue, Path], Awaitable[None]]
Scene = Callable[..., None]


def facts_of_a_run(request: RestorationRequest) -> RunFacts:
    return RunFacts(
        request=request, recipe="fast", stopped="finished", seconds=1, iterations=7, width=12, height=8, kernel=None
    )


ITERATED = Iterated(stage="fast", iteration=1, iterations=9, channels=1, previews=1)


class ScriptedWorker(WorkerProcess):
    """A worker without a process. It sends the given messages; at None it waits until it is stopped or killed."""

    def __init__(self, *messages: WorkerMessage | None) -> None:
        self.messages, self.go, self.is_killed = messages, asyncio.Event(), False

    async def carry_out(self, order: WorkerOrder) -> AsyncIterator[WorkerMessage]:
        for message in self.messages:
            if message is None:
                await self.go.wait()
                if self.is_killed:
                    yield Failed(error="it was killed")
                    return
            else:
                if isinstance(message, Done):
                    view = order.folder / RUN_FOLDER / VIEW_FOLDER
                    view.mkdir(parents=True)
                    (view / FACTS_FILE).write_text(facts_of_a_run(order.request).model_dump_json())
                await asyncio.sleep(0)
                yield message

    def stop(self) -> None:
        self.go.set()

    async def kill(self) -> None:
        self.is_killed = True
        self.go.set()


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    """Runs a coroutine with a photograph and a queue that has the given workers."""
    store = RunStore(tmp_path / "ui")
    photo = tmp_path / "photo.png"
    photo.write_bytes(b"pixels")

    def play(act: Act, *workers: ScriptedWorker) -> None:
        async def whole() -> None:
            line = iter([*workers, ScriptedWorker()])

            async def start() -> ScriptedWorker:
                return next(line)

            queue = JobQueue(store, start_worker=start)
            serving = asyncio.create_task(queue.run())
            try:
                await asyncio.wait_for(act(queue, photo), 20)
            finally:
                serving.cancel()

        asyncio.run(whole())

    yield play
    store.close()


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.001)


def test_a_job_that_is_done_is_in_the_gallery_and_its_work_is_gone(scene: Scene) -> None:
    async def act(queue: JobQueue, photo: Path) -> None:
        job = queue.add(RestorationRequest(photo="cat.png"), photo)
        await until(lambda: job.is_over)
        await until(lambda: not queue.jobs)
        assert job.state == "done"
        assert known(queue.store.find(job.id)).request.photo == "cat.png"
        assert not list(queue.store.work.iterdir())

    scene(act, ScriptedWorker(ITERATED, Saving(), Done()))


def test_jobs_are_done_one_at_a_time_in_their_order(scene: Scene) -> None:
    first, second = (ScriptedWorker(ITERATED, None, Done()) for _ in range(2))

    async def act(queue: JobQueue, photo: Path) -> None:
        jobs = [queue.add(RestorationRequest(photo=name), photo) for name in ("a", "b")]
        await until(lambda: jobs[0].state == "solving")
        assert [queue.position(job) for job in jobs] == [0, 1]
        assert jobs[1].state == "waiting"
        queue.stop(jobs[0])
        await until(lambda: jobs[1].state == "solving")
        assert jobs[0].state == "done"
        assert queue.position(jobs[1]) == 0
        queue.stop(jobs[1])
        await until(lambda: jobs[1].is_over)
        assert first.is_killed  # each job has a process of its own

    scene(act, first, second)


def test_a_cancelled_job_keeps_nothing_and_the_next_one_begins(scene: Scene) -> None:
    async def act(queue: JobQueue, photo: Path) -> None:
        jobs = [queue.add(RestorationRequest(photo=name), photo) for name in ("a", "b")]
        await until(lambda: jobs[0].state == "solving")
        await queue.cancel(jobs[0])
        await until(lambda: jobs[1].state == "done")
        await until(lambda: not queue.jobs)
        assert jobs[0].state == "cancelled"
        assert [run.id for run in queue.store.gallery()] == [jobs[1].id]
        assert not list(queue.store.work.iterdir())

    scene(act, ScriptedWorker(ITERATED, None, Done()), ScriptedWorker(ITERATED, Done()))


def test_a_job_that_waits_can_be_cancelled(scene: Scene) -> None:
    async def act(queue: JobQueue, photo: Path) -> None:
        jobs = [queue.add(RestorationRequest(photo=name), photo) for name in ("a", "b")]
        await until(lambda: jobs[0].state == "solving")
        await queue.cancel(jobs[1])
        assert queue.jobs == [jobs[0]]
        assert not jobs[1].folder.exists()

    scene(act, ScriptedWorker(ITERATED, None))


def test_a_failure_is_told_and_the_next_one_begins(scene: Scene) -> None:
    async def act(queue: JobQueue, photo: Path) -> None:
        jobs = [queue.add(RestorationRequest(photo=name), photo) for name in ("a", "b")]
        await until(lambda: jobs[1].is_over)
        assert [(job.state, job.error) for job in jobs] == [("failed", "too small"), ("done", "")]

    scene(act, ScriptedWorker(Failed(error="too small")), ScriptedWorker(Done()))


def test_a_job_has_a_file_of_its_own(scene: Scene) -> None:
    async def act(queue: JobQueue, photo: Path) -> None:
        job = queue.add(RestorationRequest(photo="a"), photo)
        photo.unlink()
        assert job.photo.read_bytes() == b"pixels"

    scene(act)


def test_a_process_that_exits_without_a_message_has_failed() -> None:
    assert "memory" in exit_reason(-9)
    assert "code 3" in exit_reason(3)


@pytest.mark.parametrize("line", [b"", b"hello", b'{"kind": "tea"}'])
def test_other_lines_are_refused(line: bytes) -> None:
    with pytest.raises(ValueError, match="validation error"):
        read_message(line)


def test_a_worker_exits_when_the_page_has_gone() -> None:
    code = "import invkit.apps.ui.worker as worker; worker.preload = lambda: None; worker.run_worker()"
    done = subprocess.run([sys.executable, "-c", code], stdin=subprocess.DEVNULL, capture_output=True, timeout=120)
    assert (done.returncode, done.stdout) == (0, b"")
