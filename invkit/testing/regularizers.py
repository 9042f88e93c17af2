"""Checks of regularizers."""

from __future__ import annotations

import torch
from torch import Tensor

from ..core.interfaces import Denoising, Proximable, Regularizer, Reweightable
from ..numerics.finite_differences import apply_filters
from .common import (
    Settings,
    assert_documented,
    assert_portable,
    assert_random_state_untouched,
    assert_unchanged,
    build,
    drawn,
)
from .operators import demand

__all__ = ["check_regularizer"]

SHAPE = (2, 1, 24, 20)
STEPS = (1e-2, 1.0, 10.0, 500.0)  # of a sum over the values as of a mean, which is 480 times less


def check_regularizer(component: type[Regularizer], params: Settings | None = None) -> None:
    """Every property of a regularizer: documented, pure, one finite number an image, finite gradients everywhere."""
    assert_documented(component)
    regularizer = build(component, {}, params)
    value = drawn(SHAPE, seed=1)
    assert_portable(regularizer, value)
    assert_per_image(regularizer, value)
    for point in (value, torch.zeros(SHAPE), torch.full(SHAPE, 0.5), value.double()):
        assert_differentiable(regularizer, point)
    if isinstance(regularizer, Proximable):
        assert_penalty_of_coefficients(regularizer, value)
        for step in STEPS:
            assert_prox(regularizer, coefficients_of(regularizer, value), step)
    if isinstance(regularizer, Reweightable):
        for point in (value, torch.full(SHAPE, 0.5), (2 * value).round()):
            assert_majorised(regularizer, coefficients_of(regularizer, point))


def assert_per_image(regularizer: Regularizer, value: Tensor) -> None:
    """(B, C, H, W) -> (B,), each image by itself, the same at every call."""
    name = type(regularizer).__name__
    with assert_unchanged(regularizer), assert_random_state_untouched(f"calling {name}"):
        penalty, again = regularizer(value), regularizer(value)
    demand(tuple(penalty.shape) == (len(value),), f"{name} gives shape {tuple(penalty.shape)}, not (B,)")
    demand(torch.equal(penalty, again), f"two calls of {name} give different values")
    alone = torch.cat([regularizer(image[None]) for image in value])
    demand(torch.allclose(penalty, alone, rtol=1e-5), f"{name} mixes the images of a batch")  # rounding of sums


def assert_differentiable(regularizer: Regularizer, point: Tensor) -> None:
    """Value and gradient are finite and in the point's precision."""
    name, leaf = type(regularizer).__name__, point.clone().requires_grad_()
    penalty = regularizer(leaf)
    demand(penalty.dtype == point.dtype, f"{name} gives {penalty.dtype} for {point.dtype}")
    demand(bool(penalty.isfinite().all()), f"{name} is not finite")
    demand(penalty.requires_grad, f"{name} is not differentiable")
    (gradient,) = torch.autograd.grad(penalty.sum(), leaf)
    demand(bool(gradient.isfinite().all()), f"{name} has gradients that are not finite")


def coefficients_of(regularizer: Proximable, value: Tensor) -> Tensor:
    """What the penalty is taken of: (B, C, H, W) -> (K, B, C, H, W)."""
    return apply_filters(value, regularizer.filters, wrap=False)


def assert_penalty_of_coefficients(regularizer: Proximable, value: Tensor) -> None:
    """``forward`` is ``penalty`` of the filtered value; both leave the regularizer as it was."""
    name = type(regularizer).__name__
    with assert_unchanged(regularizer), assert_random_state_untouched(f"calling {name}.penalty"):
        penalty = regularizer.penalty(coefficients_of(regularizer, value))
    demand(tuple(penalty.shape) == (len(value),), f"{name}.penalty gives shape {tuple(penalty.shape)}, not (B,)")
    same = torch.allclose(penalty, regularizer(value), rtol=1e-5)  # rounding of sums
    demand(same, f"{name}.forward(value) is not {name}.penalty of the value filtered by its filters")


def assert_prox(regularizer: Proximable, coefficients: Tensor, step: float) -> None:
    """``prox`` lowers ``step * g(z) + |z - coefficients|^2 / 2`` below its value anywhere else.

    Tried are the coefficients themselves, zero, mixtures of these with the solution, and points around it. A denoiser
    (`Denoising`) need not minimise anything; of it only what `assert_map` asks is asked.
    """
    name, solution = type(regularizer).__name__, assert_map(regularizer, coefficients, step)
    if isinstance(regularizer, Denoising):
        return
    given, found = coefficients.double(), solution.double()

    def objective(point: Tensor) -> float:
        return float((step * regularizer.penalty(point) + (point - given).square().sum((0, 2, 3, 4)) / 2).sum())

    lowest = objective(found) - 1e-4 * abs(objective(given))  # an iterative prox ends within 1e-4
    lower = [objective(point) < lowest for point in others(found, given)]
    demand(not any(lower), f"{name}.prox does not minimise, with step {step}")


def assert_map(regularizer: Proximable, coefficients: Tensor, step: float) -> Tensor:
    """``prox`` gives what is finite and of the same kind, the same when it is called again, and changes nothing."""
    name, before = type(regularizer).__name__, coefficients.clone()
    with assert_unchanged(regularizer), assert_random_state_untouched(f"calling {name}.prox"):
        solution = regularizer.prox(coefficients, step)
        regularizer.prox(1 - coefficients, step)
        again = regularizer.prox(coefficients, step)
    demand(torch.equal(before, coefficients), f"{name}.prox overwrites what it is given")
    demand(solution.shape == coefficients.shape, f"{name}.prox gives shape {tuple(solution.shape)}")
    demand(solution.dtype == coefficients.dtype, f"{name}.prox gives {solution.dtype} for {coefficients.dtype}")
    demand(bool(solution.isfinite().all()), f"{name}.prox is not finite")
    demand(torch.equal(solution, again), f"{name}.prox goes on from what it was given before")
    return solution


def others(found: Tensor, given: Tensor) -> list[Tensor]:
    """Points to compare a minimum with."""
    noises = [drawn(tuple(found.shape), seed, found.dtype) for seed in range(5)]
    mixed = [torch.where(noise < 0.5, found, other) for noise in noises for other in (given, torch.zeros_like(given))]
    near = [found + size * (noise - 0.5) for noise in noises for size in (1e-3, 1e-2)]
    return [given, torch.zeros_like(given), 0.98 * found, 1.02 * found, *mixed, *near]


def assert_majorised(regularizer: Reweightable, coefficients: Tensor) -> None:
    """The squares weighted by ``weights`` lie above the penalty, and touch it at the coefficients."""
    name, point = type(regularizer).__name__, coefficients.double().clone()
    with assert_unchanged(regularizer), assert_random_state_untouched(f"calling {name}.weights"):
        weights = regularizer.weights(point)
    demand(torch.equal(point, coefficients.double()), f"{name}.weights overwrites what it is given")
    demand(weights.shape == point.shape, f"{name}.weights gives shape {tuple(weights.shape)}")
    demand(bool(weights.isfinite().all()), f"{name} has weights that are not finite")
    demand(bool((weights >= 0).all()), f"{name} has negative weights")
    touched = regularizer.penalty(point)
    for other in others(1.5 * point, point):
        raised = (weights * (other.square() - point.square())).sum((0, 2, 3, 4)) / 2
        slack = 1e-9 * (touched.abs() + raised.abs())  # rounding of float64 sums
        above = regularizer.penalty(other) <= touched + raised + slack
        demand(bool(above.all()), f"the squares weighted by {name}.weights do not lie above its penalty")
