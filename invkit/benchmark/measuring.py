"""What a job takes: time, work and memory; and what it had come to on the way."""

from __future__ import annotations

import atexit
import ctypes
import gc
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from types import TracebackType

import psutil
import torch
from torch import Tensor

from ..core.problem import Problem
from ..core.solver import Observer, State

__all__ = ["Meter", "SnapshotsAt", "Taken"]

EVERY = 0.015  # seconds between two looks at the memory


@dataclass
class Meter:
    """Measures what happens within a ``with`` statement.

    Memory on the CPU is what the process has grown by at most, as seen every 15 ms. What earlier jobs have freed is
    given back to the system before, where the C library can, so that it does not hide what this one takes.

    Attributes:
        seconds: of the clock.
        cpu_seconds: of all threads of the process.
        grown: bytes that the process has grown by at most.
        allocated: bytes, the most that torch has held on each GPU, by its index.
    """

    seconds: float = 0.0
    cpu_seconds: float = 0.0
    grown: int = 0
    allocated: dict[int, int] = field(default_factory=dict)

    def __enter__(self) -> Meter:
        """Start the clocks last."""
        give_back_memory()
        self._process, self._done = psutil.Process(), threading.Event()
        self._resident = self._process.memory_info().rss
        for gpu in gpus():
            torch.cuda.reset_peak_memory_stats(gpu)
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        self.begun, self.cpu_begun = time.perf_counter(), time.process_time()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the clocks first."""
        self.seconds, self.cpu_seconds = time.perf_counter() - self.begun, time.process_time() - self.cpu_begun
        self._done.set()
        self._thread.join()
        self._look()
        self.allocated = {gpu: torch.cuda.max_memory_allocated(gpu) for gpu in gpus()}

    def peak(self, device: torch.device) -> int:
        """The memory of a device: of a GPU what was allocated there, else what the process has grown by; bytes."""
        if device.type == "cuda":
            return self.allocated.get(torch.cuda.current_device() if device.index is None else device.index, 0)
        return self.grown

    def _watch(self) -> None:
        while not self._done.wait(EVERY):
            self._look()

    def _look(self) -> None:
        self.grown = max(self.grown, self._process.memory_info().rss - self._resident)


def gpus() -> range:
    """The GPUs that this process may use."""
    return range(torch.cuda.device_count() if torch.cuda.is_available() else 0)


def give_back_memory() -> None:
    """Free what nobody needs, down to the system."""
    settle()
    gc.collect()
    if sys.platform.startswith("linux"):
        with suppress(OSError, AttributeError):  # another C library
            ctypes.CDLL("libc.so.6").malloc_trim(0)


@cache
def settle() -> None:
    """Spare the garbage collector, once a process, all that is there for good: else each call takes a fifth second."""
    gc.collect()
    gc.freeze()
    atexit.register(gc.unfreeze)  # libraries complain of what is not collected at the end


@dataclass(frozen=True, eq=False)
class Taken:
    """Image and kernel on the way.

    Attributes:
        iteration: counted over all stages.
        image: (B, C, H, W), on the CPU, as large as the solver's unknown.
        kernel: (B, 1, h, w), on the CPU.
        data_size: (H', W') of the data of the stage.
        at: what the clock showed, in the seconds of `time.perf_counter`.
        cpu_at: what the process had worked, in the seconds of `time.process_time`.
    """

    iteration: int
    image: Tensor
    kernel: Tensor
    data_size: tuple[int, int]
    at: float
    cpu_at: float


class SnapshotsAt(Observer):
    """Keeps image and kernel after chosen iterations, counted over all stages of a recipe.

    Attributes:
        taken: in the order they were taken.
    """

    def __init__(self, iterations: tuple[int, ...]) -> None:
        self.wanted = frozenset(iterations)
        self.taken: list[Taken] = []
        self._before = self._done = 0

    def started(self, problem: Problem, state: State, iterations: int) -> None:
        """Go on counting from the stage before."""
        self._before = self._done

    def stepped(self, problem: Problem, state: State) -> None:
        """Keep a copy where it is wanted."""
        self._done = self._before + state.iteration
        if self._done not in self.wanted:
            return
        image, kernel = (value.detach().cpu().clone() for value in state.estimate())
        size = (problem.data.shape[-2], problem.data.shape[-1])
        self.taken.append(Taken(self._done, image, kernel, size, time.perf_counter(), time.process_time()))
