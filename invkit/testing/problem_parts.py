"""Checks that a solver uses each part of a problem, or refuses it before it computes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from ..core.errors import AssemblyError
from ..core.interfaces import Fidelity, ForwardOperator
from ..core.problem import Problem, WeightedData
from ..core.ranges import Ranged
from ..core.result import Result
from ..core.solver import Solver, State
from ..numerics.geometry import Shape
from .common import demand
from .priors import assert_image, assert_kernel

__all__ = [
    "assert_better",
    "assert_data_weights_used",
    "assert_fidelity_used",
    "assert_operator_used",
    "assert_range_kept",
    "assert_regularizers_used",
    "squared_problem",
    "state_after_few",
]

FEW_STEPS = 2  # enough to see the form of a result


LATER_ITERATIONS = (100, 1000, 10_000)
BRIGHTER, CEILING = 1.5, 1.9  # added to data in [0, 1]; highest value of their image
GRADED_WEIGHT = 4.0  # of a part of the data, beside 1
LIGHT_WEIGHT, HEAVY_WEIGHT = 1e-3, 10.0  # of a regularizer; gradients of a small picture need much


class FourthPower(Fidelity):
    """A fidelity without abilities."""

    def forward(self, predicted: Tensor, data: Tensor) -> Tensor:
        """The mean fourth power of the difference, (B, C, H, W) -> (B,)."""
        return (predicted - data).square().square().mean((1, 2, 3))


class Squared(ForwardOperator):
    """The square of another operator's data, which is not linear and has no adjoint."""

    def __init__(self, inner: ForwardOperator) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, image: Tensor, kernel: Tensor) -> Tensor:
        """Image (B, C, H, W) and kernel (B, 1, h, w) -> data (B, C, H', W')."""
        data: Tensor = self.inner(image, kernel)
        return data.square()

    def image_shape(self, data_shape: Shape, kernel_shape: Shape) -> Shape:
        """That of the other operator."""
        return self.inner.image_shape(data_shape, kernel_shape)


def assert_fidelity_used(solver: Solver[Any], problem: Problem, others: Sequence[Fidelity]) -> None:
    """A solver minimises each fidelity, so that its result differs with it, or refuses it by type before any step.

    Args:
        solver: the solver.
        problem: one that it solves.
        others: fidelities of other kinds than that of the problem; one without abilities is added.
    """
    name = type(solver).__name__
    for fidelity in (FourthPower(), *others):
        other = replace(problem, fidelity=fidelity)
        if not accepts(solver, other):
            continue
        used = differ(solver.solve(problem), solver.solve(other)) or differ_later(solver, problem, other)
        demand(used, f"{name} ignores the problem's fidelity; name those that it minimises in 'needs'")


def squared_problem(problem: Problem) -> Problem:
    """The problem of the squared data."""
    return replace(problem, operator=Squared(problem.operator), data=problem.data.square())


def assert_operator_used(solver: Solver[Any], others: Sequence[Problem]) -> None:
    """A solver solves problems with an operator that is not linear, or refuses them by type before any step.

    Args:
        solver: the solver.
        others: problems with such operators.
    """
    name = type(solver).__name__
    for problem in others:
        if accepts(solver, problem):
            result = solver.solve(problem)
            found = torch.as_tensor(result.image), torch.as_tensor(result.kernel)
            where = f"under {type(problem.operator).__name__}, which is not linear, and which it does not refuse,"
            assert_better(problem, *found, f"{name}, {where}")


@torch.no_grad()
def assert_better(problem: Problem, image: Tensor, kernel: Tensor, name: str) -> None:
    """Image and kernel are valid and explain the data better than the start of the priors.

    The fidelity must be lower, not the objective: some methods minimise another objective than the problem's, for
    example on a periodic image, on gradients, or several alternately, and at `SMALL_WEIGHT` no regularizer justifies a
    worse fit.

    Args:
        problem: the problem.
        image: the solver's image.
        kernel: the solver's kernel.
        name: of the solver, for the message.
    """
    assert_image(image, problem.image_prior.shape)
    assert_kernel(kernel, problem.kernel_prior.shape)
    start, end = (
        float(problem.fidelity(problem.operator(x, k), problem.data).sum())
        for x, k in ((problem.image_prior(), problem.kernel_prior()), (image, kernel))
    )
    demand(end < start, f"{name} ends at a fidelity of {end:.4g}, having started at {start:.4g}")


def assert_range_kept(solver: Solver[Any], problem: Problem) -> None:
    """A solver keeps the image in the image prior's range, which may lie above white, or refuses it before any step.

    Args:
        solver: the solver.
        problem: one that it solves.
    """
    name, prior = type(solver).__name__, problem.image_prior
    if not isinstance(prior, Ranged):
        return
    data = BRIGHTER + problem.data
    brighter = replace(problem, data=data, image_prior=prior.in_range(BRIGHTER, CEILING))
    if not accepts(solver, brighter):
        return
    low, high = (float(end) for end in state_after_few(solver, brighter).estimate()[0].aminmax())
    demand(BRIGHTER <= low < high <= CEILING, f"{name} gives values from {low} to {high} for a range of 1.5 to 1.9")


def assert_regularizers_used(solver: Solver[Any], problem: Problem) -> None:
    """A solver uses each regularizer, whether it is on the image or on the kernel, or refuses it before any step.

    Args:
        solver: the solver.
        problem: one that it solves, with a regularizer on the image.
    """
    name = type(solver).__name__
    for target in ("image", "kernel"):
        light, heavy = (regularized(problem, target, weight) for weight in (LIGHT_WEIGHT, HEAVY_WEIGHT))
        if not (problem.regularizers and accepts(solver, heavy)):
            continue
        # whole solves, as some use them in the last step only
        used = differ(solver.solve(light), solver.solve(heavy)) or differ_later(solver, light, heavy)
        demand(used, f"{name} ignores regularizers on the {target}; refuse them in 'check'")


def differ(one: Result, other: Result) -> bool:
    """Whether two results have another image or another kernel."""
    return not (np.array_equal(one.image, other.image) and np.array_equal(one.kernel, other.kernel))


def differ_later(solver: Solver[Any], one: Problem, other: Problem) -> bool:
    """Whether the steps for two problems differ at a later iteration, in a phase that a short solve does not reach."""
    for iteration in LATER_ITERATIONS:
        estimates = []
        for problem in (one, other):
            state: State = solver.start(problem)
            for number in range(iteration, iteration + FEW_STEPS):
                state.iteration = number
                state = solver.step(problem, state)
            estimates.append(state.estimate())
        if not all(torch.equal(a, b) for a, b in zip(*estimates, strict=True)):
            return True
    return False


def regularized(problem: Problem, target: Literal["image", "kernel"], weight: float) -> Problem:
    """The problem with its regularizers at another weight, on the image or, beside its own, on the kernel."""
    terms = [replace(term, target=target, weight=weight) for term in problem.regularizers]
    return replace(problem, regularizers=terms if target == "image" else [*problem.regularizers, *terms])


def assert_data_weights_used(solver: Solver[Any], problem: Problem) -> None:
    """A solver uses the weights of the data, or refuses them by type before any step.

    Values of weight zero change no bit of the result, and weights other than 0 and 1 change it.

    Args:
        solver: the solver.
        problem: one that it solves.
    """
    name, known = type(solver).__name__, torch.ones_like(problem.data)
    known[..., 2:5, 3:9] = 0
    graded = known.clone()
    graded[..., 10:] = GRADED_WEIGHT
    for weights in (known, graded):
        first, second = (
            replace(problem, data=torch.where(weights > 0, problem.data, value), weights=weights)
            for value in (0.0, 1.0)
        )
        if not accepts(solver, first):
            continue
        demand(isinstance(solver, WeightedData), f"{name} accepts weights of the data, and is not of type WeightedData")
        one, other = (state_after_few(solver, each).estimate() for each in (first, second))
        same = all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
        demand(same, f"{name} uses the values that stand at unknown data; see Problem.observed and Problem.weighted")
    alike, unlike = (replace(problem, weights=weights) for weights in (known, graded))
    if accepts(solver, unlike):
        used = differ(solver.solve(alike), solver.solve(unlike)) or differ_later(solver, alike, unlike)
        demand(used, f"{name} ignores weights of the data that are neither 0 nor 1; see Problem.weighted")


def accepts(solver: Solver[Any], problem: Problem) -> bool:
    """Whether a solver does not refuse a problem."""
    try:
        solver.check(problem)
    except AssemblyError:
        return False
    return True


def state_after_few(solver: Solver[Any], problem: Problem) -> State:
    """Return the state after at most `FEW_STEPS` steps."""
    state: State = solver.start(problem)
    while state.iteration < min(FEW_STEPS, solver.steps(problem)) and not state.converged:
        state = solver.step(problem, state)
        state.iteration += 1
    return state
