"""Who takes the steps of a run: one after the other, or as a graph of the device that is recorded once."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Annotated, Any, Literal, TypeAlias

import torch
from pydantic import Field
from torch import Tensor

from ..core.errors import AssemblyError
from .graphs import GRAPHS, Graph
from .host_access import HostAccess

__all__ = ["Execution", "Outcome", "Replay"]

Execution = Annotated[
    Literal["auto", "plain", "graph"],
    Field(description="graph: steps are recorded once and replayed by a GPU; auto: where that can be done"),
]

Outcome: TypeAlias = tuple[Tensor, Tensor, Tensor]
"""Image (B, C, H, W), kernel (B, 1, h, w) and losses, one or (B,), of a step."""

PREPARATION = 3  # plain steps before one is recorded, in which libraries choose and prepare what they will use


class Replay:
    """Takes the steps of one run: a few plainly, then one recorded as a graph, which is replayed from then on.

    All of them are steps of the solve; none is done twice. The last of the plain ones is watched: one that waits for
    the device, as ``float(tensor)`` does, or copies to or from it cannot be recorded. Then, and where recording fails,
    the run goes on plainly with a warning that says why.

    It belongs to one run. A copy of it, also one by pickle, begins with plain steps, as a run does that was resumed.

    Args:
        execution: "plain": never a graph. "graph": an error instead of the warning.
        device: of the run.
    """

    def __init__(self, execution: Execution = "plain", device: torch.device | str = "cpu") -> None:
        self.execution, self.device = execution, torch.device(device)
        self.graphs = None if execution == "plain" else GRAPHS.get(self.device.type)
        self.forget()

    def __reduce__(self) -> tuple[Any, ...]:
        return Replay, (self.execution, self.device)

    def forget(self) -> None:
        """Begin anew: tensors that a graph would go on to read were replaced."""
        self.key: Sequence[object] | None = None
        self.graph: Graph | None = None
        self.outcome: Outcome | None = None
        self.prepared = 0

    def __call__(self, advance: Callable[[], Outcome], key: Sequence[object], generator: torch.Generator) -> Outcome:
        """Take a step.

        Args:
            advance: the step; it may read and write tensors, and nothing else that changes from step to step.
            key: what it depends on beside tensors: where that changes, a graph is recorded anew.
            generator: which it may draw from.

        Returns:
            What it returns, without gradients. The next step may write over it.

        Raises:
            AssemblyError: execution is "graph", and the step cannot be recorded.
        """
        if self.graphs is not None and key != self.key:
            self.forget()
            self.key, self.graph = key, self.graphs(self.device)
        if self.graph is not None and self.outcome is None:
            if self.prepared < PREPARATION:
                return self.prepare(advance)
            self.record(advance, generator)
        if self.graph is None or self.outcome is None:
            return detached(advance())
        self.graph.replay()
        return self.outcome

    def prepare(self, advance: Callable[[], Outcome]) -> Outcome:
        """A plain step where the graph will be recorded."""
        assert self.graph is not None
        self.prepared += 1
        watch = HostAccess(self.device) if self.prepared == PREPARATION else None
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
        """Go on plainly; raises `AssemblyError` where the user insists on a graph."""
        words = f"a step of this solve cannot be recorded as a graph: {reason}"
        if self.execution == "graph":
            raise AssemblyError(f"{words}; use solver.params.execution=plain, or another component")
        self.graphs = self.graph = None
        told = (
            f"{words}; it goes on step by step, which is slower; solver.params.execution=plain does so without a word"
        )
        warnings.warn(told, RuntimeWarning, stacklevel=2)


def detached(outcome: Outcome) -> Outcome:
    """Without what leads back to where it comes from, which would hold on to memory."""
    image, kernel, losses = outcome
    return image.detach(), kernel.detach(), losses.detach()
