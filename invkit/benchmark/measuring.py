"""The time, processor work and memory of a computation, its intermediate states, and the machine it runs on."""

from __future__ import annotations

import atexit
import ctypes
import gc
import platform
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import psutil
import torch
from torch import Tensor

from ..core.problem import Problem
from ..core.solver import Observer, State

__all__ = ["Meter", "SnapshotKeeper", "SolverSnapshot", "cpu_name", "machine_facts"]

MEMORY_PERIOD = 0.015  # seconds between two samples of the memory


@dataclass
class Meter:
    """Measures the computation inside a ``with`` statement.

    On the CPU, memory is the largest growth of the process, sampled every 15 ms. Memory that earlier jobs have freed is
    returned to the system first, if the C library can do so, because it would hide the growth.

    Attributes:
        seconds: of the clock.
        cpu_seconds: of all threads of the process.
        grown: largest growth of the process, bytes.
        allocated: largest allocation of torch on each GPU, bytes, by its index.
    """

    seconds: float = 0.0
    cpu_seconds: float = 0.0
    grown: int = 0
    allocated: dict[int, int] = field(default_factory=dict)

    def __enter__(self) -> Meter:
        """Start the clocks last."""
        return_memory()
        self._process, self._done = psutil.Process(), threading.Event()
        self._resident = self._process.memory_info().rss
        if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]  # before, torch raises, and peaks are zero
            for gpu in range(torch.cuda.device_count()):
                torch.cuda.reset_peak_memory_stats(gpu)
        self._thread = threading.Thread(target=self._sample_until_done, daemon=True)
        self._thread.start()
        self._started = time.perf_counter(), time.process_time()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the clocks first."""
        self.seconds, self.cpu_seconds = self.elapsed()
        self._done.set()
        self._thread.join()
        self._sample()
        self.allocated = {gpu: torch.cuda.max_memory_allocated(gpu) for gpu in range(torch.cuda.device_count())}

    def elapsed(self) -> tuple[float, float]:
        """Seconds of the clock, and of all threads, since the start."""
        return time.perf_counter() - self._started[0], time.process_time() - self._started[1]

    def peak(self, device: torch.device) -> int:
        """The peak memory of a device, bytes: on a GPU the allocated memory, otherwise the growth of the process."""
        if device.type == "cuda":
            return self.allocated.get(torch.cuda.current_device() if device.index is None else device.index, 0)
        return self.grown

    def _sample_until_done(self) -> None:
        while not self._done.wait(MEMORY_PERIOD):
            self._sample()

    def _sample(self) -> None:
        self.grown = max(self.grown, self._process.memory_info().rss - self._resident)


def return_memory() -> None:
    """Return unused memory to the system."""
    freeze_garbage()
    gc.collect()
    if sys.platform.startswith("linux"):
        with suppress(OSError, AttributeError):  # another C library
            ctypes.CDLL("libc.so.6").malloc_trim(0)


@cache
def freeze_garbage() -> None:
    """Exempt all present objects from garbage collection, once a process; otherwise each collection takes 0.2 s."""
    gc.collect()
    gc.freeze()
    atexit.register(gc.unfreeze)  # some libraries warn about objects that are not collected at the end


class SolverSnapshot(NamedTuple):
    """Image and kernel during a solve.

    Attributes:
        image: (B, C, H, W), on the CPU, of the size of the solver's unknown.
        kernel: (B, 1, h, w), on the CPU.
        data_size: (H', W') of the data of the stage.
        seconds, cpu_seconds: since the start of the measurement.
    """

    image: Tensor
    kernel: Tensor
    data_size: tuple[int, int]
    seconds: float
    cpu_seconds: float


class SnapshotKeeper(Observer):
    """Keeps image and kernel after chosen iterations, counted over all stages of a recipe.

    Args:
        iterations: the chosen ones.
        meter: of the computation.

    Attributes:
        kept: the snapshots by iteration.
    """

    def __init__(self, iterations: Sequence[int], meter: Meter) -> None:
        self.wanted, self.meter = frozenset(iterations), meter
        self.kept: dict[int, SolverSnapshot] = {}
        self._before = self._done = 0

    def started(self, problem: Problem, state: State, iterations: int) -> None:
        """Continue to count from the previous stage."""
        self._before = self._done

    def stepped(self, problem: Problem, state: State) -> None:
        """Keep a copy after a chosen iteration."""
        self._done = self._before + state.iteration
        if self._done in self.wanted:
            image, kernel = (value.detach().cpu().clone() for value in state.estimate())
            size = (problem.data.shape[-2], problem.data.shape[-1])
            self.kept[self._done] = SolverSnapshot(image, kernel, size, *self.meter.elapsed())


def machine_facts(device: torch.device | None = None) -> dict[str, Any]:
    """The machine, JSON-like: host, processor, cores, threads, and the device that is used."""
    kind = "cpu" if device is None else device.type
    return {
        "host": platform.node(),
        "cpu": cpu_name(),
        "cores": psutil.cpu_count(logical=True),
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name(device) if kind == "cuda" else kind,
    }


@cache
def cpu_name() -> str:
    """The name of the processor, as far as the system gives it."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
