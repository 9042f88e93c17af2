"""Jobs, one at a time, in the order they were asked for."""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from .asked import Asked
from .messages import MADE, Begun, Done, Failed, News, Order, Saving, Step
from .process import Worker
from .store import Store

__all__ = ["Job", "JobState", "Queue"]

JobState = Literal["waiting", "starting", "solving", "saving", "done", "failed", "cancelled"]
OVER: tuple[JobState, ...] = ("done", "failed", "cancelled")


@dataclass
class Job:
    """A photograph on its way.

    Attributes:
        asked: of it.
        folder: of its work, which it has until it is over; the name of that is the run's.
        photo: the file in it.
        state: where it is.
        begun: when it left the queue, on the monotonic clock.
        facts: what is known of it before the first step.
        step: the newest pictures.
        words: why it has failed.
    """

    asked: Asked
    folder: Path
    photo: Path
    state: JobState = "waiting"
    begun: float | None = None
    facts: Begun | None = None
    step: Step | None = None
    words: str = ""

    @property
    def id(self) -> str:
        """The name of its folder, and of the run that it becomes."""
        return self.folder.name

    @property
    def is_over(self) -> bool:
        """Whether nothing more happens to it."""
        return self.state in OVER

    @property
    def seconds(self) -> float:
        """Since it left the queue."""
        return 0.0 if self.begun is None else time.monotonic() - self.begun

    @property
    def is_grey(self) -> bool:
        """Whether the newest picture lacks the colours that the photograph has."""
        return bool(self.facts and self.step and self.step.channels < self.facts.channels)

    def hear(self, news: News) -> None:
        """Take over what its worker tells; one that is over stays so."""
        if self.is_over:
            return
        match news:
            case Begun():
                self.facts = news
            case Step():
                self.step, self.state = news, "solving"
            case Saving():
                self.state = "saving"
            case Done():
                self.state = "done"
            case Failed():
                self.words, self.state = news.words, "failed"


@dataclass
class Queue:
    """Who waits, and who is served. One worker is always ready for the next: what it imports takes seconds.

    Attributes:
        store: where the work is.
        device: where to solve, as for `invkit.deblur`.
        start: begins a worker.
        jobs: those that are not over, in their order; the first is the one that is served.
    """

    store: Store
    device: str = "auto"
    start: Callable[[], Awaitable[Worker]] = Worker.started
    jobs: list[Job] = field(default_factory=list)
    _came: asyncio.Event = field(default_factory=asyncio.Event)
    _worker: Worker | None = None

    def add(self, asked: Asked, photo: Path) -> Job:
        """Queue a photograph; the file is the caller's, and may be gone later."""
        folder = self.store.new_work()
        own = folder / f"photo{photo.suffix}"
        try:
            os.link(photo, own)
        except OSError:  # a file system without links
            shutil.copyfile(photo, own)
        job = Job(asked, folder, own)
        self.jobs.append(job)
        self._came.set()
        return job

    def place(self, job: Job) -> int:
        """How many are before it; 0 is the one that is served."""
        return self.jobs.index(job) if job in self.jobs else 0

    async def cancel(self, job: Job) -> None:
        """Take a job out, and end it where it is being served; nothing is kept of it."""
        if job.is_over:
            return
        is_served, job.state = job.begun is not None, "cancelled"
        if is_served and self._worker:
            await self._worker.end()
        elif not is_served:
            self.leave(job)

    def finish(self, job: Job) -> None:
        """Have a job stop after the step it is in, with the result so far."""
        if job.state == "solving" and self._worker:
            self._worker.finish()

    async def serve(self) -> None:
        """Do one job after the other, for ever."""
        while True:
            self._worker = await self.start()
            await self.serve_one(self._worker, await self.next())
            await self._worker.end()

    async def close(self) -> None:
        """End the worker, in whatever it is."""
        if self._worker:
            await self._worker.end()

    async def next(self) -> Job:
        """The first in the queue, as soon as there is one."""
        while not self.jobs:
            self._came.clear()
            await self._came.wait()
        return self.jobs[0]

    async def serve_one(self, worker: Worker, job: Job) -> None:
        """Have a worker do a job."""
        job.begun, job.state = time.monotonic(), "starting"
        order = Order(asked=job.asked, photo=job.photo, folder=job.folder, device=self.device)
        try:
            async for news in worker.do(order):
                if isinstance(news, Done) and not job.is_over:
                    self.store.keep(job.folder / MADE, job.id)
                job.hear(news)
        except (OSError, ValueError) as error:
            job.hear(Failed(words=str(error)))
        self.leave(job)

    def leave(self, job: Job) -> None:
        """Forget a job that is over, and remove its work."""
        self.jobs.remove(job)
        shutil.rmtree(job.folder, ignore_errors=True)
