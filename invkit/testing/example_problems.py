"""Deconvolutions of 24x24 pixels, on which solvers are checked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import nn

from ..core import registry
from ..core.errors import InvkitError, PluginError
from ..core.interfaces import (
    Fidelity,
    ForwardOperator,
    GriddedBlur,
    KernelPrior,
    LinearOperator,
    OperatorParameterPrior,
)
from ..core.problem import Problem, Term
from ..core.solver import Solver
from ..numerics.geometry import Shape
from .common import build, demand, drawn
from .map_steps import strokes

__all__ = [
    "DEFAULT_COMPONENTS",
    "SMALL_DATA_SHAPE",
    "blurred_problem",
    "classes_of",
    "nonlinear_problems",
    "other_fidelities",
    "small_problem",
]

SMALL_DATA_SHAPE: Shape = (1, 1, 24, 24)
SMALL_KERNEL_SIZE = (9, 8)  # large enough for a pyramid of two levels
SMALL_WEIGHT = 1e-3  # of the regularizer

DEFAULT_COMPONENTS = {
    "operator": "convolution",
    "image_prior": "pixels",
    "kernel_prior": "simplex",
    "fidelity": "mse",
    "regularizers": "tv",
}


def small_problem(solver: Solver[Any]) -> Problem:
    """Return a problem with a blurred 24x24 image that the solver accepts.

    Raises:
        AssertionError: it refuses all problems that were tried; the message gives the last reason.
    """
    refusal: InvkitError | None = None
    for chosen in component_choices(type(solver)):
        try:
            problem = blurred_problem(chosen)
            solver.check(problem)
        except InvkitError as error:
            refusal = error
            continue
        return problem
    raise AssertionError(f"{type(solver).__name__} refuses every problem of registered components: {refusal}")


def component_choices(solver: type[Solver[Any]]) -> Iterator[dict[str, type[Any]]]:
    """Yield components for each part: the first with the abilities, these with one exchanged, and no regularizer."""
    candidates = {part: suitable_components(solver, part) for part in DEFAULT_COMPONENTS}
    first = {part: components[0] for part, components in candidates.items()}
    yield first
    for part in reversed(DEFAULT_COMPONENTS):  # most often the regularizer must change
        for other in candidates[part][1:]:
            yield {**first, part: other}
    del first["regularizers"]
    yield first


def suitable_components(solver: type[Solver[Any]], part: str) -> list[type[Any]]:
    """Return the registered components of a part with the ability that the solver needs, the default one first."""
    needed: type = {str(k): v for k, v in solver.needs.items()}.get(part, object)
    found = [component for component in registered_components(part) if issubclass(component, needed)]
    demand(bool(found), f"{solver.__name__} needs a {needed.__name__}, and no registered component of {part} is one")
    return found


def registered_components(part: str) -> Iterator[type[Any]]:
    """Yield the registered components of a part that may stand in a problem with a kernel, the default one first."""
    for name in dict.fromkeys([DEFAULT_COMPONENTS[part], *registry.names(registry.PLACES[part])]):
        try:
            component: type[Any] = registry.load(registry.PLACES[part], name)
        except PluginError:
            continue  # a fault of another distribution
        if serves_kernels(component):
            yield component


def classes_of(problem: Problem) -> dict[str, type[Any]]:
    """Return the class of each part of a problem, as `blurred_problem` takes them."""
    chosen = {part: type(getattr(problem, part)) for part in DEFAULT_COMPONENTS if part != "regularizers"}
    if problem.regularizers:
        chosen["regularizers"] = type(problem.regularizers[0].regularizer)
    return chosen


def nonlinear_problems(problem: Problem) -> list[Problem]:
    """Return the problem under each registered operator that is not linear and has a kernel."""
    found = [one for one in registered_components("operator") if not issubclass(one, LinearOperator)]
    return [blurred_problem({**classes_of(problem), "operator": operator}) for operator in found]


def other_fidelities(solver: Solver[Any], problem: Problem) -> list[Fidelity]:
    """Return one of each registered fidelity with the ability that the solver needs, but that of the problem."""
    kinds = suitable_components(type(solver), "fidelity")
    return [build(kind) for kind in kinds if kind is not type(problem.fidelity)]


def serves_kernels(component: type[Any]) -> bool:
    """Whether a component may be part of a problem with an unknown kernel, on which solvers are checked."""
    kind = component.parameter_prior if issubclass(component, ForwardOperator) else component
    return not issubclass(kind, OperatorParameterPrior) or issubclass(kind, KernelPrior)


def blurred_problem(
    chosen: Mapping[str, type[Any]], data_shape: Shape = SMALL_DATA_SHAPE, dtype: torch.dtype = torch.float32
) -> Problem:
    """Return a problem of these components; a kernel prior that accepts a start starts from the true kernel.

    From there every method should improve the image. A blind start would fail with so few pixels.

    Args:
        chosen: the class of each part; there may be no regularizer.
        data_shape: (B, C, H, W).
        dtype: of the data.
    """
    operator = build(chosen["operator"])
    if isinstance(operator, GriddedBlur):  # which blurs one image
        data_shape = (1, *data_shape[1:])
    batch, channels = data_shape[:2]
    kernel = strokes(operator.parameter_shape(data_shape, SMALL_KERNEL_SIZE)[0], SMALL_KERNEL_SIZE).to(dtype)
    kernel_prior = build(chosen["kernel_prior"], {"shape": tuple(kernel.shape), "start": kernel, "guess": None})
    shape = operator.image_shape(data_shape, kernel_prior.shape)
    # Coarse blocks, which a blur damages, so that the solver can improve them.
    coarse = drawn((batch, channels, 5, 5), seed=5, dtype=dtype)
    data = operator(nn.functional.interpolate(coarse, size=shape[2:]), kernel).clamp(0, 1)
    return Problem(
        data=data,
        operator=operator,
        image_prior=build(chosen["image_prior"], {"shape": shape, "start": data}),
        kernel_prior=kernel_prior,
        fidelity=build(chosen["fidelity"]),
        regularizers=[Term(build(chosen["regularizers"]), SMALL_WEIGHT)] if "regularizers" in chosen else (),
    )
