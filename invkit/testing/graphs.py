"""Graphs without a GPU: what a component does on one can be tried on any machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from ..solvers.graph_replay import GRAPHS, Graph

__all__ = ["RecordedGraph", "emulated_graphs"]

T = TypeVar("T")


class RecordedGraph(Graph):
    """Does with torch's operations what a graph of a GPU does with kernels.

    Recorded are the operations below autograd, with the tensors that they read and write. A replay does them again on
    the memory of these tensors: what is computed goes where it went when it was recorded, random numbers are new, and
    no Python runs in between, so that whatever was a number of Python's then is that number for ever. Recording leaves
    all memory as it was, and what it made is NaN until the first replay.
    """

    def __init__(self, device: torch.device) -> None:
        self.calls: list[_Call] = []

    def aside(self) -> AbstractContextManager[None]:
        """Here it is as everywhere."""
        return nullcontext()

    def record(self, work: Callable[[], T], generator: torch.Generator) -> T:
        """See `Graph.record`; raises `RuntimeError` where the work draws from another generator."""
        recorder, before = _Recorder(generator), generator.get_state()
        try:
            with recorder:
                result = work()
        finally:
            recorder.undo()
            generator.set_state(before)
        self.calls = recorder.calls
        return result

    @torch.no_grad()
    def replay(self) -> None:
        """See `Graph.replay`."""
        for call in self.calls:
            call.again()


@contextmanager
def emulated_graphs(device_type: str = "cpu", graph: type[Graph] = RecordedGraph) -> Iterator[None]:
    """Inside, solves on such a device replay their steps as they would on a GPU."""
    before = GRAPHS.get(device_type)
    GRAPHS[device_type] = graph
    try:
        yield
    finally:
        GRAPHS.pop(device_type) if before is None else GRAPHS.update({device_type: before})


@dataclass
class _Call:
    """An operation, and which of its results take the place of those it had when it was recorded."""

    function: Any
    args: Sequence[Any]
    kwargs: Mapping[str, Any]
    results: list[tuple[int, Tensor]]

    def again(self) -> None:
        """On the same memory."""
        found = tree_leaves(self.function(*self.args, **self.kwargs))
        for place, result in self.results:
            result.copy_(found[place])


class _Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Keeps the operations, and what they overwrite of tensors that were there before."""

    def __init__(self, generator: torch.Generator) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.generator = generator
        self.calls: list[_Call] = []
        self.made: dict[int, Tensor] = {}
        self.overwritten: list[tuple[Tensor, Tensor]] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        given = dict(kwargs or {})
        read = tensors_in((args, given))
        self.check_generators((args, given))
        for tensor in written(func, args, given):
            if memory_of(tensor) not in self.made:
                self.overwritten.append((tensor, tensor.detach().clone()))
        result = func(*args, **given)
        self.keep(func, args, given, result, {memory_of(tensor) for tensor in read})
        return result

    def keep(self, func: Any, args: Sequence[Any], given: Mapping[str, Any], result: Any, known: set[int]) -> None:
        """Note the call, unless it only gives another view of what it was given."""
        leaves = tree_leaves(result)
        fresh = [(i, one) for i, one in enumerate(leaves) if isinstance(one, Tensor) and memory_of(one) not in known]
        self.made |= {memory_of(tensor): tensor for _, tensor in fresh}
        if fresh or func._schema.is_mutable:
            self.calls.append(_Call(func, args, given, [(i, tensor.detach()) for i, tensor in fresh]))

    def check_generators(self, given: Any) -> None:
        """A graph draws from what was registered with it, or from the device's own."""
        drawn_from = {id_of(leaf) for leaf in tree_leaves(given) if isinstance(leaf, torch.Generator)}
        if drawn_from - {id_of(self.generator)}:
            raise RuntimeError("a random number is drawn from a generator that the graph does not know")

    @torch.no_grad()
    def undo(self) -> None:
        """Leave everything as it was, and nothing where something will be."""
        for tensor, before in reversed(self.overwritten):
            tensor.copy_(before)
        for tensor in self.made.values():
            if tensor.is_floating_point():
                tensor.fill_(torch.nan)


def tensors_in(value: Any) -> list[Tensor]:
    """All of them."""
    return [leaf for leaf in tree_leaves(value) if isinstance(leaf, Tensor)]


def memory_of(tensor: Tensor) -> int:
    """Which memory a tensor lies in, shared by its views."""
    return int(tensor.untyped_storage()._cdata)


def id_of(generator: torch.Generator) -> int:
    """Which generator it is; an operation is given another Python object than its caller gave."""
    return int(generator._cdata)  # type: ignore[attr-defined]


def written(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[Tensor]:
    """The tensors that an operation overwrites."""
    found: list[Tensor] = []
    for place, argument in enumerate(func._schema.arguments):
        if argument.alias_info is not None and argument.alias_info.is_write:
            value = args[place] if place < len(args) else kwargs.get(argument.name)
            found += tensors_in(value)
    return found
