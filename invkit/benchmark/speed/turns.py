"""The versions take turns, one run each, so that whatever else the machine does falls on all alike."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, TypeAlias

from ...core.errors import InputError
from ...core.runtime.environment import thread_variables
from .setting import VERSIONS, Setting
from .worker import arguments_of

__all__ = ["Measured", "take_turns"]

Progress: TypeAlias = Callable[[str, int, float | None], None]
"""Told of what is begun, of the rounds done, and of the seconds left, None before the first round."""


@dataclass
class Measured:
    """What was measured, by version.

    Attributes:
        surveys: flops, bytes and peak bytes of each stage.
        rounds: of each round that was done, seconds by stage.
        peaks: bytes, the most memory of all rounds.
        machine: what the figures depend on.
        unavailable: why a version was left out.
        interrupted: whether Ctrl-C has cut the last round.
    """

    surveys: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    rounds: list[dict[str, dict[str, float]]] = field(default_factory=list)
    peaks: dict[str, int] = field(default_factory=dict)
    machine: dict[str, Any] = field(default_factory=dict)
    unavailable: dict[str, str] = field(default_factory=dict)
    interrupted: bool = False


class Worker:
    """A process that works on one version, ended at the end of a ``with`` statement.

    Args:
        version: its name.
        setting: where and how large.
    """

    def __init__(self, version: str, setting: Setting) -> None:
        self.version = version
        threads = {} if setting.threads is None else thread_variables(setting.threads)
        self.process = subprocess.Popen(
            arguments_of(version, setting),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **threads},
            start_new_session=True,  # Ctrl-C must not reach it, even before it can ignore it
        )

    def __enter__(self) -> Worker:
        """It has begun already."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it, whatever it is doing."""
        self.process.terminate()
        self.process.communicate()

    def ask(self, word: str) -> dict[str, Any]:
        """The answer to a word; raises `InputError` where the work failed."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            self.process.stdin.write(word + "\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = self.process.stdout.readline()  # what it has said before it ended
        if not line:
            raise InputError(
                f"the process that times '{self.version}' has ended with code {self.process.wait()}; if memory has run "
                "out, --size small takes a quarter of it"
            )
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise InputError(f"'{self.version}' cannot be timed: {answer['error']}")
        return answer


def take_turns(setting: Setting, rounds: int, progress: Progress, versions: Sequence[str] = VERSIONS) -> Measured:
    """Measure.

    Ctrl-C keeps the rounds that were done; before there is one, it is raised.

    Args:
        setting: where and how large.
        rounds: runs of each version that count.
        progress: who is told how it goes on.
        versions: which of `VERSIONS`.

    Raises:
        InputError: there is no such device, or not enough memory.
    """
    measured = Measured()
    with ExitStack() as stack:
        workers = [stack.enter_context(Worker(version, setting)) for version in versions]
        for worker in workers:
            progress(f"{worker.version}, without a clock", 0, None)
            answer = worker.ask("survey")
            if "unavailable" in answer:
                measured.unavailable[worker.version] = answer["unavailable"]
                continue
            measured.surveys[worker.version], measured.machine = answer["stages"], answer["machine"]
        try:
            all_rounds([worker for worker in workers if worker.version in measured.surveys], rounds, progress, measured)
        except KeyboardInterrupt:
            measured.interrupted = True
            if not measured.rounds:
                raise
    return measured


def all_rounds(workers: Sequence[Worker], rounds: int, progress: Progress, measured: Measured) -> None:
    """Let each version run once a round; a round counts when all of it is done."""
    begun = time.monotonic()
    for turn in range(rounds):
        left = (time.monotonic() - begun) / turn * (rounds - turn) if turn else None
        answers = {}
        for worker in workers:
            progress(worker.version, turn, left)
            answers[worker.version] = worker.ask("run")
        measured.rounds.append({version: answer["seconds"] for version, answer in answers.items()})
        measured.peaks = {version: answer["peak_bytes"] for version, answer in answers.items()}
        progress("done", turn + 1, (time.monotonic() - begun) / (turn + 1) * (rounds - turn - 1))
