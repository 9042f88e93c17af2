"""Checks of solvers, on a blind deconvolution of 24x24 pixels."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from .. import registry
from ..errors import PluginError
from ..fidelities.mse import MSE
from ..operators.convolution import Convolution
from ..parameters import parameters_of
from ..problem import Problem, Term
from ..result import Result
from ..solver import Observer, Solver, State
from .common import (
    Settings,
    assert_documented,
    assert_random_state_untouched,
    build,
    differing,
    drawn,
    snapshot,
)
from .operators import demand
from .priors import assert_image, assert_kernel

__all__ = ["check_solver", "small_problem"]

DATA_SHAPE, KERNEL_SHAPE = (1, 1, 24, 24), (1, 1, 5, 4)
ITERATIONS, SAVED_AT = 30, 11

USUAL = {"image_prior": "pixels", "kernel_prior": "simplex", "regularizers": "tv"}
FAMILIES = {"image_prior": "image_priors", "kernel_prior": "kernel_priors", "regularizers": "regularizers"}


class Keeper(Observer):
    """Saves the state once, through a file's bytes, as a checkpoint does."""

    saved: Mapping[str, Any]

    def stepped(self, problem: Problem, state: State) -> None:
        """Save at one iteration."""
        if state.iteration == SAVED_AT:
            file = io.BytesIO()
            torch.save(state.state_dict(), file)
            file.seek(0)
            self.saved = torch.load(file, weights_only=True)


def check_solver(component: type[Solver[Any]], params: Settings | None = None) -> None:
    """Every property of a solver: it lowers the objective, leaves the problem as it was, and resumes to the bit."""
    assert_documented(component)
    short = {"iterations": ITERATIONS} if "iterations" in parameters_of(component).model_fields else {}
    solver = build(component, {}, {**short, **({} if params is None else params)})
    problem, keeper = small_problem(component), Keeper()
    before, untouched = modules(problem), problem.data.clone()
    with assert_random_state_untouched(f"solving with {component.__name__}"):
        result = solver.solve(problem, observers=[keeper])
    demand(not differing(before, modules(problem)), f"{component.__name__} changes the problem's components")
    demand(torch.equal(untouched, problem.data), f"{component.__name__} changes the problem's data")
    assert_lower(problem, result, component.__name__)
    if solver.iterations > SAVED_AT:
        assert_same(result, solver.solve(problem, resume=keeper.saved), component.__name__)


def small_problem(component: type[Solver[Any]]) -> Problem:
    """A blurred 24x24 image with the usual components, or ones with the abilities the solver needs."""
    operator, kernel = Convolution(), drawn(KERNEL_SHAPE, seed=6)
    kernel = kernel / kernel.sum()
    image_shape = operator.image_shape(DATA_SHAPE, KERNEL_SHAPE)
    # Coarse blocks: an image that a blur damages, so that there is an objective to lower.
    blocks = torch.nn.functional.interpolate(drawn((1, 1, 5, 5), seed=5), size=image_shape[2:])
    data = operator(blocks, kernel)
    start = torch.full(KERNEL_SHAPE, 1 / kernel.numel())
    return Problem(
        data=data,
        operator=operator,
        image_prior=build(able(component, "image_prior"), {"shape": image_shape, "start": data}),
        kernel_prior=build(able(component, "kernel_prior"), {"shape": KERNEL_SHAPE, "start": start}),
        fidelity=MSE(),
        regularizers=(Term(build(able(component, "regularizers")), 1e-6),),
    )


def able(solver: type[Solver[Any]], part: str) -> type[Any]:
    """The usual component of a part, or else the first registered one that has the ability the solver needs."""
    family, needed = FAMILIES[part], {str(k): v for k, v in solver.needs.items()}.get(part, object)
    for name in [USUAL[part], *registry.names(family)]:
        try:
            found: type[Any] = registry.load(family, name)
        except PluginError:
            continue  # another distribution's fault
        if issubclass(found, needed):
            return found
    raise AssertionError(f"{solver.__name__} needs a {needed.__name__}, and no registered component of {family} is one")


def modules(problem: Problem) -> dict[str, Tensor]:
    """Every parameter and buffer of a problem's components."""
    named: dict[str, nn.Module] = {"image prior": problem.image_prior, "kernel prior": problem.kernel_prior, "operator": problem.operator}
    return {f"{part}: {name}": value for part, module in named.items() for name, value in snapshot(module).items()}


@torch.no_grad()
def assert_lower(problem: Problem, result: Result, name: str) -> None:
    """The result is a valid image and kernel with a lower objective than where the priors started."""
    image, kernel = torch.as_tensor(result.image), torch.as_tensor(result.kernel)
    assert_image(image, problem.image_prior.shape)
    assert_kernel(kernel, problem.kernel_prior.shape)
    start = float(problem.objective(problem.image_prior(), problem.kernel_prior()))
    end = float(problem.objective(image, kernel))
    demand(end < start, f"{name} ends at an objective of {end:.4g}, having started at {start:.4g}")
    demand(len(result.history) == result.iterations, f"{name} records {len(result.history)} losses")


def assert_same(whole: Result, resumed: Result, name: str) -> None:
    """A resumed solve gives the bits of the uninterrupted one."""
    demand(whole.history == resumed.history, f"{name} resumed has another history of losses")
    for part, one, other in (("image", whole.image, resumed.image), ("kernel", whole.kernel, resumed.kernel)):
        demand(
            torch.equal(torch.as_tensor(one), torch.as_tensor(other)),
            f"{name} resumed from a saved state gives another {part} than uninterrupted",
        )
