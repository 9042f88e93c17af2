"""A stopwatch for the stages of a computation, and a survey of their arithmetic, memory traffic and peak memory."""

from __future__ import annotations

import math
import re
import sys
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import psutil
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.benchmark.utils.timer import timer  # waits for the GPU before it reads the clock
from torch.utils.flop_counter import flop_registry


@dataclass
class Work:
    """The arithmetic and memory traffic of some operations.

    Attributes:
        flops: floating-point operations by precision, "bfloat16" or "float32"; wider numbers count as float32, as no
            machine handles them faster.
        bytes: read and written.
    """

    flops: Counter[str] = field(default_factory=Counter)
    bytes: int = 0


class Tally(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the convolutions, matrix products and Fourier transforms of torch inside a ``with`` statement.

    The formulas of convolutions and products are those of `torch.utils.flop_counter`. A Fourier transform of n real
    numbers counts 5/2 n log2 n operations, a complex one twice as many. Each operation reads its arguments and writes
    its result once. All other operations, for example normalisations and non-linearities, could be fused with these
    and count for nothing.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.work = Work()

    def take(self) -> Work:
        """The work since the last call."""
        work, self.work = self.work, Work()
        return work

    def __torch_dispatch__(
        self, func: Any, types: Iterable[type], args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Do the operation, and count it if there is a formula."""
        given = kwargs or {}
        result = func(*args, **given)
        formula = FORMULAS.get(func.overloadpacket)
        if formula is not None:
            tensors = list(tensors_in((args, given)))
            half = tensors[0].dtype in (torch.bfloat16, torch.float16)
            self.work.flops["bfloat16" if half else "float32"] += int(formula(*args, **given, out_val=result))
            self.work.bytes += bytes_of((tensors, result))
        return result


def bytes_of(tree: object) -> int:
    """The bytes of all tensors in nested lists, tuples and dictionaries."""
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors_in(tree))


def tensors_in(tree: object) -> Iterable[Tensor]:
    """The tensors in nested lists, tuples and dictionaries."""
    if isinstance(tree, Tensor):
        yield tree
    elif isinstance(tree, list | tuple | dict):
        for item in tree.values() if isinstance(tree, dict) else tree:
            yield from tensors_in(item)


def real_transform(values: Tensor, axes: list[int], *others: Any, out_val: Tensor) -> float:
    """Operations of a transform between real and complex numbers; the real side is the longer one."""
    sizes = [max(values.shape[axis], out_val.shape[axis]) for axis in axes]
    return 2.5 * max(values.numel(), out_val.numel()) * math.log2(math.prod(sizes) or 1)


def complex_transform(values: Tensor, axes: list[int], *others: Any, out_val: Tensor) -> float:
    """Operations of a complex transform."""
    return 2 * real_transform(values, axes, out_val=out_val)


FORMULAS: dict[Any, Callable[..., float]] = {
    **flop_registry,
    torch.ops.aten._fft_r2c: real_transform,
    torch.ops.aten._fft_c2r: real_transform,
    torch.ops.aten._fft_c2c: complex_transform,
}


class StageListener(ABC):
    """Splits a computation into stages. A stage begins at the end of the previous one and is named at its own end."""

    @abstractmethod
    def end_of(self, stage: str, traffic: int = 0) -> None:
        """A stage is over; stages with the same name add up.

        Args:
            stage: its name.
            traffic: bytes that it has to read and write, if that is more than the counted bytes.
        """


class Stopwatch(StageListener):
    """Measures the seconds of stages, and waits for the GPU at the end of each.

    Attributes:
        seconds: by stage.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.since = timer()

    def end_of(self, stage: str, traffic: int = 0) -> None:
        """See `StageListener.end_of`."""
        now = timer()
        self.seconds[stage] = self.seconds.get(stage, 0.0) + now - self.since
        self.since = now


class Survey(StageListener):
    """Counts arithmetic, traffic and peak memory of stages inside a ``with`` statement; this is too slow to be timed.

    Attributes:
        works: by stage.
        peaks: bytes, by stage.
    """

    def __init__(self, device: torch.device) -> None:
        self.tally, self.memory, self.entered = Tally(), PeakMemory(device), ExitStack()
        self.works: dict[str, Work] = {}
        self.peaks: dict[str, int] = {}

    def __enter__(self) -> Survey:
        """Start to count."""
        self.memory.reset()
        self.entered.enter_context(self.tally)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop to count."""
        self.entered.close()

    def end_of(self, stage: str, traffic: int = 0) -> None:
        """See `StageListener.end_of`."""
        counted, total = self.tally.take(), self.works.setdefault(stage, Work())
        total.flops += counted.flops
        total.bytes += max(counted.bytes, traffic)
        self.peaks[stage] = max(self.peaks.get(stage, 0), self.memory.peak())
        self.memory.reset()

    def facts(self) -> dict[str, dict[str, Any]]:
        """All counts by stage, JSON-like."""
        return {
            stage: {"flops": dict(work.flops), "bytes": work.bytes, "peak_bytes": self.peaks[stage]}
            for stage, work in self.works.items()
        }


class PeakMemory:
    """The peak memory since the last reset.

    On a GPU it is the memory that torch has allocated, otherwise the resident memory of this process, with its
    libraries. Only Linux can forget an earlier peak of the resident memory. On other systems the present memory is
    used instead of the peak.

    Args:
        device: the device.
    """

    STATUS, FORGET = Path("/proc/self/status"), Path("/proc/self/clear_refs")

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def reset(self) -> None:
        """Forget the peak."""
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
        elif sys.platform == "linux":
            with suppress(OSError):  # some systems forbid this; the peaks can then only grow
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
