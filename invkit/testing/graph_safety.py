"""Whether a component can be part of a step that a GPU replays, told without a GPU."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn

from ..core import registry
from ..core.interfaces import Fidelity, ForwardOperator, ImagePrior, OperatorParameterPrior, Regularizer
from ..numerics.geometry import Size
from ..solvers.adam import AdamSolver
from ..solvers.host_access import HostAccess
from .common import Settings, build, drawn
from .graphs import RecordedGraph, emulated_graphs
from .operators import demand
from .priors import IMAGE_SHAPE, given_to_image, given_to_kernel
from .solvers import assert_same, small_problem

__all__ = ["check_graph_safe", "graph_safety_cases", "host_accesses"]

CPU = torch.device("cpu")
KERNEL_SIZE: Size = (3, 4)
STEPS = 12  # of a solver: some before a graph, and more of it


@dataclass
class Work:
    """A computation with its gradient, as often as one likes.

    Args:
        value: what is computed.
        leaves: what it depends on.
    """

    value: Callable[[], Tensor]
    leaves: list[Tensor]

    def __call__(self) -> tuple[Tensor, list[Tensor]]:
        """The value, and the gradients of its squares for those leaves that have one."""
        value, wanted = self.value(), [leaf for leaf in self.leaves if leaf.requires_grad]
        if not wanted or not value.requires_grad:
            return value.detach(), []
        found = torch.autograd.grad(value.abs().square().sum(), wanted, allow_unused=True)
        return value.detach(), [gradient for gradient in found if gradient is not None]

    @torch.no_grad()
    def move(self) -> None:
        """Another point, in the same memory."""
        for leaf in self.leaves:
            if leaf.is_floating_point():
                leaf.mul_(0.875)


def host_accesses(work: Callable[[], object]) -> list[str]:
    """What of some work on a CPU would let a GPU wait for the host, or the host for it, with the place of each.

    Such are values read into Python, as by ``float``, ``bool``, ``tolist``, choosing by a mask, and tensors that are
    made without saying where. Once before it is looked at the work is done, as what happens only then is harmless.
    """
    work()
    with HostAccess(CPU) as watch:
        work()
    return watch.found


def check_graph_safe(component: type[Any], params: Settings | None = None) -> None:
    """A GPU can record what a component does in a step, forth and back, and replay it with the same result.

    Such are image priors, priors of an operator's unknown, operators, fidelities and differentiable regularizers, and
    solvers that are an `AdamSolver`. One that fails works all the same: steps with it are taken one by one.

    Args:
        component: the class.
        params: that differ from its defaults.

    Raises:
        AssertionError: it waits for the device, or a replay gives something else.
    """
    if issubclass(component, AdamSolver):
        assert_replays_solve(component, params)
        return
    for work in works(component, params):
        found = host_accesses(work)
        demand(not found, f"{component.__name__} waits for the device or copies to or from it: {'; '.join(found)}")
        assert_replays(work, component.__name__)


def works(component: type[Any], params: Settings | None) -> list[Work]:
    """What a component does in a step, small."""
    if issubclass(component, OperatorParameterPrior):
        return [work_of(build(component, given_to_kernel(shape, component), params)) for shape in component.examples]
    if issubclass(component, ImagePrior):
        return [work_of(build(component, given_to_image(IMAGE_SHAPE), params))]
    built = build(component, {}, params)
    if isinstance(built, ForwardOperator):
        data_shape = built.example
        kernel_shape = built.parameter_shape(data_shape, KERNEL_SIZE)
        kernel = built.parameter_prior.allowed(drawn(kernel_shape, seed=2))
        return [work_of(built, drawn(built.image_shape(data_shape, kernel_shape), seed=1), kernel)]
    assert isinstance(built, Fidelity | Regularizer), f"{component.__name__} is no part of a step"
    image = drawn((2, 3, 24, 20), seed=1)
    return [
        work_of(built, image, drawn((2, 3, 24, 20), seed=2)) if isinstance(built, Fidelity) else work_of(built, image)
    ]


def work_of(module: nn.Module, *given: Tensor) -> Work:
    """A call of a module, with its gradient for what it was given and for its parameters."""
    leaves = [each.requires_grad_() for each in given]
    return Work(lambda: module(*leaves), [*leaves, *module.parameters()])


def assert_replays(work: Work, name: str) -> None:
    """At another point a replay gives what doing it again gives, to the bit."""
    graph = RecordedGraph(CPU)
    value, gradients = graph.record(work, torch.Generator())
    work.move()
    graph.replay()
    expected, others = work()
    same = [torch.equal(one, other) for one, other in zip((value, *gradients), (expected, *others), strict=True)]
    demand(all(same), f"{name} replayed gives something else: it keeps a number that changes outside of tensors")


def assert_replays_solve(component: type[AdamSolver], params: Settings | None) -> None:
    """A solve whose steps are replayed is the solve, to the bit."""
    chosen = {"iterations": STEPS, **({} if params is None else params)}
    plain, replayed = (build(component, {}, {**chosen, "execution": each}) for each in ("plain", "graph"))
    problem = small_problem(plain)
    expected = plain.solve(problem)
    with emulated_graphs():
        assert_same(expected, replayed.solve(problem), f"{component.__name__} replayed")


def graph_safety_cases(distribution: str | None = None) -> list[tuple[str, str]]:
    """(family, name) of every registered component that `check_graph_safe` is for; loads solvers alone."""
    families = ("image_priors", "kernel_priors", "operators", "fidelities", "regularizers")
    parts = chain.from_iterable(registry.entries(family) for family in families)
    solvers = (each for each in registry.entries("solvers") if trains(f"{each.distribution}:{each.name}"))
    found = [*parts, *solvers]
    return [(e.family, f"{e.distribution}:{e.name}") for e in found if distribution in (None, e.distribution)]


def trains(solver: str) -> bool:
    """Whether a registered solver is an `AdamSolver`."""
    component: type[Any] = registry.load("solvers", solver)
    return issubclass(component, AdamSolver)
