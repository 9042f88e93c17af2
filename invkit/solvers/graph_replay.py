"""Steps of a solve, taken one by one or as a graph of the device that is recorded once and replayed."""

from __future__ import annotations

import threading
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Literal, TypeAlias, TypeVar

import torch
from torch import Tensor

from ..core.errors import AssemblyError
from .host_access import HostAccess

__all__ = ["GRAPHS", "CUDAGraph", "Execution", "Graph", "Outcome", "Replay"]

Recorded = TypeVar("Recorded")

Execution = Literal["auto", "plain", "graph"]

Outcome: TypeAlias = tuple[Tensor, Tensor, Tensor]
"""Image (B, C, H, W), kernel (B, 1, h, w) and losses, scalar or (B,), of a step."""

PLAIN_STEPS_BEFORE_GRAPH = 3  # libraries choose and prepare their algorithms in these steps
RECORDING_LOCK = threading.Lock()  # torch records one graph at a time in a process


class Graph(ABC):
    """Work on one device that can be repeated on the same memory.

    Args:
        device: where the work runs.
    """

    @abstractmethod
    def __init__(self, device: torch.device) -> None: ...

    @abstractmethod
    def aside(self) -> AbstractContextManager[None]:
        """Run the enclosed work where the graph will be recorded, so that libraries prepare themselves there."""

    @abstractmethod
    def record(self, work: Callable[[], Recorded], generator: torch.Generator) -> Recorded:
        """Record the work without doing it.

        Args:
            work: calls torch, and has no other effects.
            generator: the only generator from which the work may draw.

        Returns:
            What the work returns. Its tensors have no values before the first replay, and new values after each.

        Raises:
            RuntimeError: the work cannot be recorded. Its tensors and the generator are unchanged.
        """

    @abstractmethod
    def replay(self) -> None:
        """Repeat the recorded work with new random numbers."""


class CUDAGraph(Graph):
    """A graph of an Nvidia GPU, with a stream and a memory pool of its own.

    It follows the order of "CUDA semantics: CUDA Graphs" in PyTorch's notes. Work of other threads on the device does
    not break the recording, so several solves, as on the web page, do not disturb each other.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self.graph = torch.cuda.CUDAGraph()

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Run on the stream on which the graph will be recorded, after the work queued on the current stream."""
        current = torch.cuda.current_stream(self.device)
        self.stream.wait_stream(current)
        with torch.cuda.stream(self.stream):
            yield
        current.wait_stream(self.stream)

    def record(self, work: Callable[[], Recorded], generator: torch.Generator) -> Recorded:
        """See `Graph.record`."""
        before = generator.clone_state()
        self.graph.register_generator_state(generator)
        try:
            with RECORDING_LOCK, torch.cuda.graph(self.graph, stream=self.stream, capture_error_mode="thread_local"):
                return work()
        except RuntimeError:
            generator.graphsafe_set_state(before)  # the old state may still wait for the end of the graph
            raise

    def replay(self) -> None:
        """Replay on the current stream."""
        self.graph.replay()


GRAPHS: dict[str, type[Graph]] = {"cuda": CUDAGraph}
"""The class of graphs for each type of device that has them."""


class Replay:
    """Takes the steps of one run: a few plain steps, then one recorded as a graph, which is replayed from then on.

    Every one of them is a step of the solve; none is repeated. The last plain step is watched: a step that waits for
    the device, for example by ``float(tensor)``, or copies to or from it cannot be recorded. In this case, and if
    recording fails, the run continues with plain steps, and a warning gives the reason.

    A replay belongs to one run. Its copies and pickles start with plain steps, as a resumed run does.

    Args:
        execution: "plain": never record a graph. "graph": raise an error instead of the warning.
        device: of the run.
    """

    def __init__(self, execution: Execution = "plain", device: torch.device | str = "cpu") -> None:
        self.execution, self.device = execution, torch.device(device)
        self.graphs = None if execution == "plain" else GRAPHS.get(self.device.type)
        self.forget()

    def __reduce__(self) -> tuple[Any, ...]:
        return Replay, (self.execution, self.device)

    def forget(self) -> None:
        """Discard the graph, because tensors that it reads were replaced."""
        self.key: Sequence[object] | None = None
        self.graph: Graph | None = None
        self.outcome: Outcome | None = None
        self.plain_steps = 0

    def __call__(self, advance: Callable[[], Outcome], key: Sequence[object], generator: torch.Generator) -> Outcome:
        """Take a step.

        Args:
            advance: the step. Between steps, only the values of tensors that it reads or writes may change.
            key: everything else on which the step depends. A new key discards the graph.
            generator: the only generator from which the step may draw.

        Returns:
            What the step returns, without gradients. The next step may overwrite it.

        Raises:
            AssemblyError: execution is "graph", and the step cannot be recorded.
        """
        if self.graphs is not None and key != self.key:
            self.forget()
            self.key, self.graph = key, self.graphs(self.device)
        if self.graph is not None and self.outcome is None:
            if self.plain_steps < PLAIN_STEPS_BEFORE_GRAPH:
                return self.prepare(advance)
            self.record(advance, generator)
        if self.graph is None or self.outcome is None:
            return detached(advance())
        self.graph.replay()
        return self.outcome

    def prepare(self, advance: Callable[[], Outcome]) -> Outcome:
        """Take a plain step where the graph will be recorded."""
        assert self.graph is not None
        self.plain_steps += 1
        watch = HostAccess(self.device) if self.plain_steps == PLAIN_STEPS_BEFORE_GRAPH else None
        watched: AbstractContextManager[object] = nullcontext() if watch is None else watch
        with self.graph.aside(), watched:
            outcome = detached(advance())
        if watch is not None and watch.found:
            self.give_up(f"it waits for the device or copies to or from it: {'; '.join(watch.found)}")
        return outcome

    def record(self, advance: Callable[[], Outcome], generator: torch.Generator) -> None:
        """Record a step, or give up."""
        assert self.graph is not None
        try:
            self.outcome = self.graph.record(lambda: detached(advance()), generator)
        except RuntimeError as error:
            self.give_up(f"recording it failed: {error}")

    def give_up(self, reason: str) -> None:
        """Continue with plain steps; raise `AssemblyError` if the user requires a graph."""
        problem = f"a step of this solve cannot be recorded as a graph: {reason}"
        if self.execution == "graph":
            raise AssemblyError(f"{problem}; use execution=plain, or another component")
        self.graphs = self.graph = None
        remedy = "the solve continues step by step, which is slower; execution=plain avoids this warning"
        warnings.warn(f"{problem}; {remedy}", RuntimeWarning, stacklevel=2)


def detached(outcome: Outcome) -> Outcome:
    """Detach an outcome from its autograd graph, which would keep memory in use."""
    image, kernel, losses = outcome
    return image.detach(), kernel.detach(), losses.detach()
