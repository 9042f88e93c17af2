"""Graphs of a device: work that is recorded once and then done again and again by a single call."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TypeVar

import torch

__all__ = ["GRAPHS", "CUDAGraph", "Graph"]

T = TypeVar("T")

RECORDING = threading.Lock()  # torch records one graph at a time in a process


class Graph(ABC):
    """Work on one device that can be done again, on the same memory.

    Args:
        device: where.
    """

    @abstractmethod
    def __init__(self, device: torch.device) -> None: ...

    @abstractmethod
    def aside(self) -> AbstractContextManager[None]:
        """What is done inside is done where the work will be recorded; libraries prepare themselves there."""

    @abstractmethod
    def record(self, work: Callable[[], T], generator: torch.Generator) -> T:
        """Record the work, without doing it.

        Args:
            work: calls torch, and has no other effects.
            generator: which it may draw from.

        Returns:
            What the work returns: tensors that have no values before the first replay, and new ones after each.

        Raises:
            RuntimeError: the work cannot be recorded. Nothing has happened to its tensors and to the generator.
        """

    @abstractmethod
    def replay(self) -> None:
        """Do the work that was recorded, with new random numbers."""


class CUDAGraph(Graph):
    """A graph of an Nvidia GPU, with a stream and a pool of memory of its own.

    The order of "CUDA semantics: CUDA Graphs" in PyTorch's notes. What other threads do on the device meanwhile is not
    looked at, so that several solves, as of the web page, do not end each other.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self.graph = torch.cuda.CUDAGraph()

    @contextmanager
    def aside(self) -> Iterator[None]:
        """On the stream on which the graph will be recorded, after what was asked of the current one."""
        current = torch.cuda.current_stream(self.device)
        self.stream.wait_stream(current)
        with torch.cuda.stream(self.stream):
            yield
        current.wait_stream(self.stream)

    def record(self, work: Callable[[], T], generator: torch.Generator) -> T:
        """See `Graph.record`."""
        before = generator.clone_state()
        self.graph.register_generator_state(generator)
        try:
            with RECORDING, torch.cuda.graph(self.graph, stream=self.stream, capture_error_mode="thread_local"):
                return work()
        except RuntimeError:
            generator.graphsafe_set_state(before)  # the old one may still wait for the graph's end
            raise

    def replay(self) -> None:
        """On the current stream."""
        self.graph.replay()


GRAPHS: dict[str, type[Graph]] = {"cuda": CUDAGraph}
"""The graphs of each type of device that has them."""
