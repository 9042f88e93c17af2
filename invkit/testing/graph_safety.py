"""Checks, without a GPU, that a component can be part of a step that a GPU records as a graph and replays."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from itertools import chain
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from ..core import registry
from ..core.interfaces import Fidelity, ForwardOperator, ImagePrior, OperatorParameterPrior, Regularizer
from ..solvers.adam import AdamSolver
from ..solvers.graph_replay import GRAPHS, Graph
from ..solvers.host_access import HostAccess
from .common import ParameterValues, build, demand, drawn
from .example_problems import small_problem
from .operators import CHECKED_KERNEL_SIZE
from .priors import IMAGE_SHAPE, given_to_image, given_to_kernel
from .solvers import assert_same_result

__all__ = ["RecordedGraph", "check_graph_safe", "emulated_graphs", "graph_safety_cases", "host_accesses"]

Emulated = TypeVar("Emulated")

CPU = torch.device("cpu")
REPLAYED_ITERATIONS = 12  # of a solver: some before the graph is recorded, and more of it


class RecordedGraph(Graph):
    """Emulates a GPU's graph of kernels by torch's operations.

    It records the operations below autograd with the tensors that they read and write. A replay repeats them on the
    memory of these tensors: results are written where they were written in the recording, random numbers are new, and
    no Python code runs between operations, so that Python numbers keep their recorded values. Recording restores all
    memory, and new tensors are NaN until the first replay.
    """

    def __init__(self, device: torch.device) -> None:
        self.calls: list[_Call] = []

    def aside(self) -> AbstractContextManager[None]:
        """Do nothing: a CPU has no streams."""
        return nullcontext()

    def record(self, work: Callable[[], Emulated], generator: torch.Generator) -> Emulated:
        """See `Graph.record`; raises `RuntimeError` if the work draws from another generator."""
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
    """Let solves on a type of device replay their steps as they would on a GPU, inside a ``with`` statement."""
    before = GRAPHS.get(device_type)
    GRAPHS[device_type] = graph
    try:
        yield
    finally:
        GRAPHS.pop(device_type) if before is None else GRAPHS.update({device_type: before})


@dataclass
class _Call:
    """An operation, and which of its results replace those of the recording."""

    function: Any
    args: Sequence[Any]
    kwargs: Mapping[str, Any]
    results: list[tuple[int, Tensor]]

    def again(self) -> None:
        """Repeat the operation on the same memory."""
        found = tree_leaves(self.function(*self.args, **self.kwargs))
        for place, result in self.results:
            result.copy_(found[place])


class _Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Keeps the operations, and what they overwrite of tensors that existed before."""

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
        known = {storage_id(tensor) for tensor in leaf_tensors((args, given))}
        self.check_generators((args, given))
        for tensor in overwritten_tensors(func, args, given):
            if storage_id(tensor) not in self.made:
                self.overwritten.append((tensor, tensor.detach().clone()))
        result = func(*args, **given)
        results = [(i, leaf) for i, leaf in enumerate(tree_leaves(result)) if isinstance(leaf, Tensor)]
        fresh = [(i, tensor) for i, tensor in results if storage_id(tensor) not in known]  # not views of arguments
        self.made |= {storage_id(tensor): tensor for _, tensor in fresh}
        if fresh or func._schema.is_mutable:
            self.calls.append(_Call(func, args, given, [(i, tensor.detach()) for i, tensor in fresh]))
        return result

    def check_generators(self, given: Any) -> None:
        """Raise `RuntimeError` if an operation draws from a generator that is not registered with the graph."""
        generators = {generator_id(leaf) for leaf in tree_leaves(given) if isinstance(leaf, torch.Generator)}
        if generators - {generator_id(self.generator)}:
            raise RuntimeError("a random number is drawn from a generator that the graph does not know")

    @torch.no_grad()
    def undo(self) -> None:
        """Restore overwritten tensors, and set new ones to NaN."""
        for tensor, before in reversed(self.overwritten):
            tensor.copy_(before)
        for tensor in self.made.values():
            if tensor.is_floating_point():
                tensor.fill_(torch.nan)


def leaf_tensors(value: Any) -> list[Tensor]:
    """Return all tensors in a nested value."""
    return [leaf for leaf in tree_leaves(value) if isinstance(leaf, Tensor)]


def storage_id(tensor: Tensor) -> int:
    """Identify the memory of a tensor, which its views share."""
    return int(tensor.untyped_storage()._cdata)


def generator_id(generator: torch.Generator) -> int:
    """Identify a generator; an operation receives another Python object than its caller passed."""
    return int(generator._cdata)  # type: ignore[attr-defined]


def overwritten_tensors(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[Tensor]:
    """Return the tensors that an operation overwrites.

    Args:
        func: the operation.
        args: its positional arguments.
        kwargs: its keyword arguments.
    """
    found: list[Tensor] = []
    for place, argument in enumerate(func._schema.arguments):
        if argument.alias_info is not None and argument.alias_info.is_write:
            value = args[place] if place < len(args) else kwargs.get(argument.name)
            found += leaf_tensors(value)
    return found


@dataclass
class RepeatedWork:
    """A computation with its gradient, which can be repeated.

    Args:
        value: computes the value.
        leaves: tensors on which it depends.
    """

    value: Callable[[], Tensor]
    leaves: list[Tensor]

    def __call__(self) -> tuple[Tensor, list[Tensor]]:
        """Return the value, and the gradients of its sum of squares for the leaves that have one."""
        value, wanted = self.value(), [leaf for leaf in self.leaves if leaf.requires_grad]
        if not wanted or not value.requires_grad:
            return value.detach(), []
        found = torch.autograd.grad(value.abs().square().sum(), wanted, allow_unused=True)
        return value.detach(), [gradient for gradient in found if gradient is not None]

    @torch.no_grad()
    def move(self) -> None:
        """Change the leaves in place."""
        for leaf in self.leaves:
            if leaf.is_floating_point():
                leaf.mul_(0.875)


def host_accesses(work: Callable[[], object]) -> list[str]:
    """Return the operations of some work on a CPU that would make a GPU and its host wait for each other.

    They are values read into Python, as by ``float``, ``bool`` or ``tolist``, selections by a mask, and tensors created
    without a device, each with its location. The work is done once before, since what happens only once is harmless.
    """
    work()
    with HostAccess(CPU) as watch:
        work()
    return watch.found


def check_graph_safe(component: type[Any], params: ParameterValues | None = None) -> None:
    """A GPU can record the forward and backward pass of a component in a step, and replay it with the same result.

    It is for image priors, priors of operator parameters, operators, fidelities, differentiable regularizers, and
    solvers derived from `AdamSolver`. A component that fails still works: steps with it are not replayed.

    Args:
        component: the class.
        params: keyword arguments that differ from their defaults.

    Raises:
        AssertionError: it waits for the device, or a replay gives another result.
    """
    if issubclass(component, AdamSolver):
        assert_replays_solve(component, params)
        return
    for work in work_in_step(component, params):
        found = host_accesses(work)
        demand(not found, f"{component.__name__} waits for the device or copies to or from it: {'; '.join(found)}")
        assert_replays(work, component.__name__)


def work_in_step(component: type[Any], params: ParameterValues | None) -> list[RepeatedWork]:
    """Return small examples of the work that a component does in a step."""
    if issubclass(component, OperatorParameterPrior):
        return [call_of(build(component, given_to_kernel(shape, component), params)) for shape in component.examples]
    if issubclass(component, ImagePrior):
        return [call_of(build(component, given_to_image(IMAGE_SHAPE), params))]
    built = build(component, {}, params)
    if isinstance(built, ForwardOperator):
        data_shape = built.example
        kernel_shape = built.parameter_shape(data_shape, CHECKED_KERNEL_SIZE)
        kernel = built.parameter_prior.allowed(drawn(kernel_shape, seed=2))
        return [call_of(built, drawn(built.image_shape(data_shape, kernel_shape), seed=1), kernel)]
    assert isinstance(built, Fidelity | Regularizer), f"{component.__name__} is no part of a step"
    images = [drawn((2, 3, 24, 20), seed) for seed in (1, 2)]
    return [call_of(built, *images) if isinstance(built, Fidelity) else call_of(built, images[0])]


def call_of(module: nn.Module, *given: Tensor) -> RepeatedWork:
    """Return a call of a module with the gradients in its arguments and parameters."""
    leaves = [each.requires_grad_() for each in given]
    return RepeatedWork(lambda: module(*leaves), [*leaves, *module.parameters()])


def assert_replays(work: RepeatedWork, name: str) -> None:
    """At another point, a replay is bitwise equal to repeating the work."""
    graph = RecordedGraph(CPU)
    value, gradients = graph.record(work, torch.Generator())
    work.move()
    graph.replay()
    expected, others = work()
    same = [torch.equal(one, other) for one, other in zip((value, *gradients), (expected, *others), strict=True)]
    demand(all(same), f"{name} replayed gives another result: it keeps a number that changes outside of tensors")


def assert_replays_solve(component: type[AdamSolver], params: ParameterValues | None) -> None:
    """A solve with replayed steps is bitwise equal to one with plain steps."""
    chosen = {"iterations": REPLAYED_ITERATIONS, **({} if params is None else params)}
    plain, replayed = (build(component, {}, {**chosen, "execution": each}) for each in ("plain", "graph"))
    problem = small_problem(plain)
    expected = plain.solve(problem)
    with emulated_graphs():
        assert_same_result(expected, replayed.solve(problem), f"{component.__name__} replayed")


def graph_safety_cases(distribution: str | None = None) -> list[tuple[str, str]]:
    """Return (family, name) of every registered component that `check_graph_safe` is for; only solvers are loaded."""
    families = ("image_priors", "kernel_priors", "operators", "fidelities", "regularizers")
    parts = chain.from_iterable(registry.entries(family) for family in families)
    solvers = (each for each in registry.entries("solvers") if trains_priors(f"{each.distribution}:{each.name}"))
    found = [*parts, *solvers]
    return [(e.family, f"{e.distribution}:{e.name}") for e in found if distribution in (None, e.distribution)]


def trains_priors(solver: str) -> bool:
    """Whether a registered solver is an `AdamSolver`."""
    component: type[Any] = registry.load("solvers", solver)
    return issubclass(component, AdamSolver)
