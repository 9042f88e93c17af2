"""The queue of restorations. One job runs at a time, in a worker process of its own."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from ...core.runtime.process import SAFE_PATH
from . import messages
from .messages import RestorationRequest, WorkerMessage, WorkerOrder
from .store import RunStore

__all__ = ["JobQueue", "RestorationJob", "WorkerProcess"]

WORKER_MODULE = "invkit.apps.ui.worker"
KILLED_CODE = -9  # exit code of a process that the system has killed, mostly because memory ran out

JobState = Literal["waiting", "starting", "solving", "saving", "done", "failed", "cancelled"]
FINAL_STATES: tuple[JobState, ...] = ("done", "failed", "cancelled")


class WorkerProcess:
    """A process that restores one photograph. `start` makes one."""

    def __init__(self, process: Process) -> None:
        self.process = process

    @classmethod
    async def start(cls) -> WorkerProcess:
        """Start a process, which imports the modules that it needs and then waits for an order."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", WORKER_MODULE),
            stdin=PIPE,
            stdout=PIPE,
            start_new_session=True,  # Ctrl-C in the terminal reaches the page alone, which kills the worker itself
            env={**os.environ, **SAFE_PATH},
        )
        return cls(process)

    async def carry_out(self, order: WorkerOrder) -> AsyncIterator[WorkerMessage]:
        """The worker's messages up to `Done` or `Failed`. A worker that exits without either has failed."""
        self.send(order.model_dump_json())
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            message = messages.read_message(line)
            yield message
            if isinstance(message, messages.Done | messages.Failed):
                return
        yield messages.Failed(error=exit_reason(await self.process.wait()))

    def stop(self) -> None:
        """Ask the worker to stop after the current iteration and to keep the result so far."""
        self.send(messages.STOP_COMMAND)

    def send(self, line: str) -> None:
        """Write a line to the worker, which may have exited."""
        assert self.process.stdin is not None
        with suppress(ConnectionError, RuntimeError):
            self.process.stdin.write(f"{line}\n".encode())

    async def kill(self) -> None:
        """Kill the worker and wait until it has exited."""
        with suppress(ProcessLookupError):
            self.process.kill()
        await self.process.wait()


def exit_reason(code: int) -> str:
    """Why a worker may have exited without a message."""
    if code == KILLED_CODE:
        return "the system killed the worker process, most likely because memory ran out; select a smaller region"
    return f"the worker process exited unexpectedly (code {code}); the terminal of invkit may show the reason"


@dataclass
class RestorationJob:
    """A request in the queue.

    The job's folder is removed when the job ends; the run gets the same name.
    """

    request: RestorationRequest
    folder: Path
    photo: Path  # the photograph's file in the folder
    state: JobState = "waiting"
    started: float | None = None  # when the job left the queue, in seconds of the monotonic clock
    prepared: messages.Prepared | None = None  # known before the first iteration
    latest: messages.Iterated | None = None  # the newest previews
    error: str = ""  # why the job has failed

    @property
    def id(self) -> str:
        """The name of the job's folder, and of the run."""
        return self.folder.name

    @property
    def is_over(self) -> bool:
        """Whether the job has reached a final state."""
        return self.state in FINAL_STATES

    @property
    def seconds(self) -> float:
        """Seconds since the job left the queue."""
        return 0.0 if self.started is None else time.monotonic() - self.started

    def receive(self, message: WorkerMessage) -> None:
        """Update the job from a message of its worker; a final state remains."""
        if self.is_over:
            return
        self.state = message.kind
        if isinstance(message, messages.Prepared):
            self.prepared = message
        elif isinstance(message, messages.Iterated):
            self.latest = message
        elif isinstance(message, messages.Failed):
            self.error = message.error


@dataclass
class JobQueue:
    """The jobs, first in, first out. One worker is always ready, because its imports take seconds."""

    store: RunStore
    device: str = "auto"  # where to solve, as in `invkit.deblur`
    start_worker: Callable[[], Awaitable[WorkerProcess]] = WorkerProcess.start
    jobs: list[RestorationJob] = field(default_factory=list)  # those that are not over; the first one runs
    _added: asyncio.Event = field(default_factory=asyncio.Event)
    _worker: WorkerProcess | None = None

    def add(self, request: RestorationRequest, photo: Path) -> RestorationJob:
        """Queue a request. The caller may delete the photograph's file afterwards."""
        folder = self.store.new_work()
        copy = folder / f"photo{photo.suffix}"
        try:
            os.link(photo, copy)
        except OSError:  # a file system without links
            shutil.copyfile(photo, copy)
        job = RestorationJob(request, folder, copy)
        self.jobs.append(job)
        self._added.set()
        return job

    def position(self, job: RestorationJob) -> int:
        """The number of jobs before this one; 0 for the running job."""
        return self.jobs.index(job) if job in self.jobs else 0

    async def cancel(self, job: RestorationJob) -> None:
        """Remove a job, and kill its worker if the job is running. Nothing is kept."""
        if job.is_over:
            return
        is_running, job.state = job.started is not None, "cancelled"
        if is_running and self._worker:
            await self._worker.kill()
        elif not is_running:
            self.remove(job)

    def stop(self, job: RestorationJob) -> None:
        """Let a job stop after the current iteration, with the result so far."""
        if job.state == "solving" and self._worker:
            self._worker.stop()

    async def run(self) -> None:
        """Run the jobs one after the other, without end."""
        while True:
            self._worker = await self.start_worker()
            while not self.jobs:
                self._added.clear()
                await self._added.wait()
            await self.run_job(self._worker, self.jobs[0])
            await self._worker.kill()

    async def close(self) -> None:
        """Kill the worker."""
        if self._worker:
            await self._worker.kill()

    async def run_job(self, worker: WorkerProcess, job: RestorationJob) -> None:
        """Let a worker carry out a job."""
        job.started, job.state = time.monotonic(), "starting"
        order = WorkerOrder(request=job.request, photo=job.photo, folder=job.folder, device=self.device)
        try:
            async for message in worker.carry_out(order):
                if isinstance(message, messages.Done) and not job.is_over:
                    self.store.keep(job.folder / messages.RUN_FOLDER, job.id)
                job.receive(message)
        except (OSError, ValueError) as error:
            job.receive(messages.Failed(error=str(error)))
        self.remove(job)

    def remove(self, job: RestorationJob) -> None:
        """Remove a job that is over, with its folder."""
        self.jobs.remove(job)
        shutil.rmtree(job.folder, ignore_errors=True)
