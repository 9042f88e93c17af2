"""The page's end of a worker."""

from __future__ import annotations

import asyncio
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import suppress

from .messages import FINISH, Done, Failed, News, Order, read_news

__all__ = ["Worker"]

MODULE = "invkit.apps.ui.worker"
KILLED = -9  # return code of a process that the system has ended, mostly for its memory


class Worker:
    """A process that restores one photograph; make one with `started`."""

    def __init__(self, process: Process) -> None:
        self.process = process

    @classmethod
    async def started(cls) -> Worker:
        """A process that begins to import what it will need."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", MODULE),
            stdin=PIPE,
            stdout=PIPE,
            start_new_session=True,  # Ctrl-C in the terminal is for the page, which ends the worker itself
            env={**os.environ, "MPLBACKEND": "Agg"},
        )
        return cls(process)

    async def do(self, order: Order) -> AsyncIterator[News]:
        """What the worker tells until it is done or has failed; one that ends without a word has failed."""
        self.say(order.model_dump_json())
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            news = read_news(line)
            yield news
            if isinstance(news, Done | Failed):
                return
        yield Failed(words=why(await self.process.wait()))

    def finish(self) -> None:
        """Have it stop after the step it is in, and keep the result so far."""
        self.say(FINISH)

    def say(self, line: str) -> None:
        """Write a line to it; it may have ended meanwhile."""
        assert self.process.stdin is not None
        with suppress(ConnectionError, RuntimeError):
            self.process.stdin.write(f"{line}\n".encode())

    async def end(self) -> None:
        """End it at once, in whatever it is, and wait until it has."""
        with suppress(ProcessLookupError):
            self.process.kill()
        await self.process.wait()


def why(code: int) -> str:
    """What it means that a worker has ended without a word."""
    if code == KILLED:
        return "the process that restored it was ended by the system, mostly for want of memory; mark a smaller part"
    return f"the process that restored it has ended unexpectedly (code {code}); its terminal may say why"
