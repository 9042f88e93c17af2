"""Who is told of the end of each stage: a stopwatch, or a survey of work and memory."""

from __future__ import annotations

import re
import sys
import time
from abc import ABC, abstractmethod
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import psutil
import torch

from .counting import Tally, Work

__all__ = ["Laps", "Memory", "Stopwatch", "Survey"]


class Laps(ABC):
    """Splits a computation into stages, each named at its end; what happened since the last end belongs to it."""

    @abstractmethod
    def lap(self, stage: str, least: int = 0) -> None:
        """A stage is over; stages of one name add up.

        Args:
            stage: its name.
            least: bytes that it had to read and write at least, where that is more than was counted.
        """


class Stopwatch(Laps):
    """Seconds of stages; waits for the device at the end of each.

    Attributes:
        seconds: by stage.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.seconds: dict[str, float] = {}
        wait(device)
        self.since = time.perf_counter()

    def lap(self, stage: str, least: int = 0) -> None:
        """See `Laps.lap`."""
        wait(self.device)
        now = time.perf_counter()
        self.seconds[stage] = self.seconds.get(stage, 0.0) + now - self.since
        self.since = now


class Survey(Laps):
    """Arithmetic, traffic and peak memory of stages, while it is entered; too slow to be timed.

    Attributes:
        works: by stage.
        peaks: bytes, by stage.
    """

    def __init__(self, device: torch.device) -> None:
        self.tally, self.memory, self.entered = Tally(), Memory(device), ExitStack()
        self.works: dict[str, Work] = {}
        self.peaks: dict[str, int] = {}

    def __enter__(self) -> Survey:
        """Begin to count."""
        self.memory.reset()
        self.entered.enter_context(self.tally)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Count no more."""
        self.entered.close()

    def lap(self, stage: str, least: int = 0) -> None:
        """See `Laps.lap`."""
        counted, whole = self.tally.taken(), self.works.setdefault(stage, Work())
        whole.flops += counted.flops
        whole.bytes += max(counted.bytes, least)
        self.peaks[stage] = max(self.peaks.get(stage, 0), self.memory.peak())
        self.memory.reset()

    def told(self) -> dict[str, dict[str, Any]]:
        """All of it, for JSON."""
        return {
            stage: {"flops": dict(work.flops), "bytes": work.bytes, "peak_bytes": self.peaks[stage]}
            for stage, work in self.works.items()
        }


class Memory:
    """The most memory used since the last reset.

    Of a GPU it is what torch has allocated there, of anything else what of this process lies in memory, libraries
    included. Only Linux can forget an earlier peak of that; elsewhere, what lies there now stands for it.

    Args:
        device: whose.
    """

    STATUS, FORGET = Path("/proc/self/status"), Path("/proc/self/clear_refs")

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def reset(self) -> None:
        """Forget the peak."""
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
        elif sys.platform == "linux":
            with suppress(OSError):  # a system that keeps its processes from it: peaks then only grow
                self.FORGET.write_text("5")  # proc(5): resets the peak of the resident set

    def peak(self) -> int:
        """Bytes."""
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.device)
        if sys.platform == "linux":
            found = re.search(r"VmHWM:\s*(\d+) kB", self.STATUS.read_text())
            if found is not None:
                return int(found[1]) * 1024
        return int(psutil.Process().memory_info().rss)


def wait(device: torch.device) -> None:
    """Until the device has done all that it was asked to."""
    getattr(torch, device.type).synchronize()
