"""The queue of the web page, with workers that only tell; and the process itself at its edges."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import pytest

pytest.importorskip("nicegui", reason="NiceGUI is not installed; get it with pip install 'invkit[ui]'")

from invkit.apps.ui.asked import Asked
from invkit.apps.ui.jobs import Queue
from invkit.apps.ui.messages import MADE, Done, Failed, Ready, Saving, Step, read_news
from invkit.apps.ui.process import Worker, why
from invkit.apps.ui.store import FACTS, VIEW, Store

STEP = Step(title="fast", iteration=1, iterations=9, channels=1, pictures=1)


class Telling(Worker):
    """A worker without a process: tells what it is given, then waits until it is asked to finish or ended."""

    def __init__(self, *news):
        self.news, self.go, self.ended, self.orders = news, asyncio.Event(), False, []

    async def do(self, order):
        self.orders.append(order)
        for one in self.news:
            if one is None:
                await self.go.wait()
                if self.ended:
                    yield Failed(words="it was killed")
                    return
            else:
                if isinstance(one, Done):
                    view = order.folder / MADE / VIEW
                    view.mkdir(parents=True)
                    (view / FACTS).write_text('{"asked": ' + order.asked.model_dump_json() + "}")
                await asyncio.sleep(0)
                yield one

    def finish(self):
        self.go.set()

    async def end(self):
        self.ended = True
        self.go.set()


@pytest.fixture
def scene(tmp_path):
    """Runs a coroutine with a queue whose workers are those given, and a photograph."""
    store = Store(tmp_path / "ui")
    photo = tmp_path / "photo.png"
    photo.write_bytes(b"pixels")

    def play(act, *workers):
        async def whole():
            line = iter([*workers, Telling()])

            async def start():
                return next(line)

            queue = Queue(store, start=start)
            serving = asyncio.create_task(queue.serve())
            try:
                await asyncio.wait_for(act(queue, photo), 20)
            finally:
                serving.cancel()

        asyncio.run(whole())

    yield play
    store.close()


async def until(condition):
    while not condition():
        await asyncio.sleep(0.001)


def test_a_job_that_is_done_is_in_the_gallery_and_its_work_is_gone(scene):
    async def act(queue, photo):
        job = queue.add(Asked(photo="cat.png"), photo)
        await until(lambda: job.is_over)
        await until(lambda: not queue.jobs)
        assert job.state == "done"
        assert queue.store.run(job.id).asked.photo == "cat.png"
        assert not list(queue.store.work.iterdir())

    scene(act, Telling(Ready(), STEP, Saving(), Done()))


def test_jobs_are_done_one_at_a_time_in_their_order(scene):
    first, second = (Telling(STEP, None, Done()) for _ in range(2))

    async def act(queue, photo):
        jobs = [queue.add(Asked(photo=name), photo) for name in ("a", "b")]
        await until(lambda: jobs[0].state == "solving")
        assert [queue.place(job) for job in jobs] == [0, 1]
        assert jobs[1].state == "waiting"
        queue.finish(jobs[0])
        await until(lambda: jobs[1].state == "solving")
        assert jobs[0].state == "done"
        assert queue.place(jobs[1]) == 0
        queue.finish(jobs[1])
        await until(lambda: jobs[1].is_over)
        assert first.ended  # each job has a process of its own

    scene(act, first, second)


def test_a_cancelled_job_keeps_nothing_and_the_next_one_begins(scene):
    async def act(queue, photo):
        jobs = [queue.add(Asked(photo=name), photo) for name in ("a", "b")]
        await until(lambda: jobs[0].state == "solving")
        await queue.cancel(jobs[0])
        await until(lambda: jobs[1].state == "done")
        await until(lambda: not queue.jobs)
        assert jobs[0].state == "cancelled"
        assert [run.id for run in queue.store.gallery()] == [jobs[1].id]
        assert not list(queue.store.work.iterdir())

    scene(act, Telling(STEP, None, Done()), Telling(STEP, Done()))


def test_a_job_that_waits_can_be_cancelled(scene):
    async def act(queue, photo):
        jobs = [queue.add(Asked(photo=name), photo) for name in ("a", "b")]
        await until(lambda: jobs[0].state == "solving")
        await queue.cancel(jobs[1])
        assert queue.jobs == [jobs[0]]
        assert not jobs[1].folder.exists()

    scene(act, Telling(STEP, None))


def test_a_failure_is_told_and_the_next_one_begins(scene):
    async def act(queue, photo):
        jobs = [queue.add(Asked(photo=name), photo) for name in ("a", "b")]
        await until(lambda: jobs[1].is_over)
        assert [(job.state, job.words) for job in jobs] == [("failed", "too small"), ("done", "")]

    scene(act, Telling(Failed(words="too small")), Telling(Done()))


def test_a_job_has_a_file_of_its_own(scene):
    async def act(queue, photo):
        job = queue.add(Asked(photo="a"), photo)
        photo.unlink()
        assert job.photo.read_bytes() == b"pixels"

    scene(act)


def test_a_process_that_ends_without_a_word_has_failed():
    assert "memory" in why(-9)
    assert "code 3" in why(3)


@pytest.mark.parametrize("line", [b"", b"hello", b'{"what": "tea"}'])
def test_other_lines_are_no_news(line):
    with pytest.raises(ValueError, match="validation error"):
        read_news(line)


def test_a_worker_ends_with_the_page():
    code = (
        "import invkit.apps.ui.restoring as r; r.warm_up = lambda: None; from invkit.apps.ui.worker import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], stdin=subprocess.DEVNULL, capture_output=True, timeout=120)
    assert done.returncode == 0
    assert read_news(done.stdout.splitlines()[0]) == Ready()
