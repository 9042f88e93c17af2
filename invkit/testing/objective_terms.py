"""Checks of fidelities and regularizers."""

from __future__ import annotations

import torch
from torch import Tensor

from ..core.fidelity_abilities import Separable
from ..core.interfaces import Denoising, Fidelity, Proximable, Regularizer, Reweightable
from ..core.ranges import SumOverData
from ..numerics.finite_differences import apply_filters
from .common import (
    ParameterValues,
    assert_documented,
    assert_images_independent,
    assert_portable,
    assert_pure,
    assert_random_state_untouched,
    assert_unchanged,
    build,
    demand,
    drawn,
)

__all__ = ["check_fidelity", "check_regularizer"]

COMPARED_SHAPE = (2, 3, 24, 20)
PENALISED_SHAPE = (2, 1, 24, 20)
EQUAL_DATA_TOLERANCE = 1e-6  # rounding of a mean of float32 values near one
PROX_STEPS = (1e-2, 1.0, 10.0, 500.0)  # of a sum over the values and of a mean, which is 480 times less


def check_fidelity(component: type[Fidelity], params: ParameterValues | None = None) -> None:
    """Every property of a fidelity: documented, pure, >= 0, zero for equal data, with finite gradients and its prox."""
    assert_documented(component)
    fidelity = build(component, {}, params)
    predicted, data = drawn(COMPARED_SHAPE, seed=1), drawn(COMPARED_SHAPE, seed=2)
    assert_portable(fidelity, predicted, data)
    assert_per_image(fidelity, predicted, data)
    value, same = fidelity(predicted, data), float(fidelity(data, data).abs().max())
    demand(bool((value > 0).all()), f"{component.__name__} of different data is {value.tolist()}, not positive")
    demand(same <= EQUAL_DATA_TOLERANCE, f"{component.__name__} of equal data is {same:.3g}, not zero")
    for point in (predicted, data, torch.zeros_like(data), torch.ones_like(data)):
        assert_differentiable(fidelity, point, data)
    assert_differentiable(fidelity, predicted.double(), data.double())
    if isinstance(fidelity, SumOverData):
        assert_each_datum_weighted(fidelity, value, predicted, data)
    if isinstance(fidelity, Separable):
        assert_mean_of_values(fidelity, predicted, data)
        for step in PROX_STEPS:
            assert_data_prox(fidelity, predicted, data, step)
            assert_data_prox(fidelity, predicted, data, step * (0.5 + data))  # one for each value
    stage = fidelity.at(10)
    demand(isinstance(stage, Fidelity), f"{component.__name__}.at(iteration) gives {stage!r}, not a Fidelity")


def check_regularizer(component: type[Regularizer], params: ParameterValues | None = None) -> None:
    """Every property of a regularizer: documented, pure, one finite number per image, finite gradients everywhere."""
    assert_documented(component)
    regularizer = build(component, {}, params)
    value = drawn(PENALISED_SHAPE, seed=1)
    assert_portable(regularizer, value)
    assert_per_image(regularizer, value)
    for point in (value, torch.zeros(PENALISED_SHAPE), torch.full(PENALISED_SHAPE, 0.5), value.double()):
        assert_differentiable(regularizer, point)
    if isinstance(regularizer, Proximable):
        assert_penalty_of_coefficients(regularizer, value)
        for step in PROX_STEPS:
            assert_prox(regularizer, coefficients_of(regularizer, value), step)
    if isinstance(regularizer, Reweightable):
        for point in (value, torch.full(PENALISED_SHAPE, 0.5), (2 * value).round()):
            assert_majorised(regularizer, coefficients_of(regularizer, point))


def assert_per_image(term: Fidelity | Regularizer, *images: Tensor) -> None:
    """Batches (B, C, H, W) -> (B,), each image separately, the same at every call."""
    assert_pure(term, *images)
    assert_images_independent(term, *images)
    shape = tuple(term(*images).shape)
    demand(shape == (len(images[0]),), f"{type(term).__name__} gives shape {shape}, not (B,)")


def assert_differentiable(term: Fidelity | Regularizer, point: Tensor, *others: Tensor) -> None:
    """Value and gradient in ``point`` are finite and in its precision; ``others`` are further arguments."""
    name, leaf = type(term).__name__, point.clone().requires_grad_()
    value = term(leaf, *others)
    demand(value.dtype == point.dtype, f"{name} gives {value.dtype} for {point.dtype}")
    demand(bool(value.isfinite().all()), f"{name} is not finite")
    demand(value.requires_grad, f"{name} is not differentiable")
    (gradient,) = torch.autograd.grad(value.sum(), leaf)
    demand(bool(gradient.isfinite().all()), f"{name} has gradients that are not finite")


def assert_each_datum_weighted(fidelity: SumOverData, value: Tensor, predicted: Tensor, data: Tensor) -> None:
    """``weighted`` is linear in the weights, with weights of one it is the fidelity, and each datum counts by its own.

    Args:
        fidelity: the fidelity.
        value: of prediction and data, (B,).
        predicted: (B, C, H, W).
        data: (B, C, H, W).
    """
    name, weights = type(fidelity).__name__, drawn(COMPARED_SHAPE, seed=3)
    parts = [fidelity.weighted(predicted, data, each) for each in (weights, 1 - weights)]
    demand(torch.allclose(sum(parts, 0 * value), value, rtol=1e-5), f"{name}.weighted does not add up to {name}")
    weights[..., 4:9, 3:7] = 0
    expected = fidelity.weighted(predicted, data, weights)
    other = fidelity.weighted(predicted, torch.where(weights > 0, data, 1 - data), weights)
    demand(torch.equal(expected, other), f"{name}.weighted depends on data of weight zero")


def assert_mean_of_values(fidelity: Separable, predicted: Tensor, data: Tensor) -> None:
    """``forward`` is the mean of ``values``, which depend on one value of each image only."""
    name, values = type(fidelity).__name__, fidelity.values(predicted, data)
    demand(values.shape == data.shape, f"{name}.values gives shape {tuple(values.shape)}, not that of the data")
    same = torch.allclose(values.mean((1, 2, 3)), fidelity(predicted, data), rtol=1e-5)  # rounding of sums
    demand(same, f"{name}.forward is not the mean of {name}.values")
    apart = fidelity.values(predicted.flip(-1), data.flip(-1)).flip(-1)
    demand(torch.allclose(values, apart, rtol=1e-5), f"{name}.values mixes the values of an image")


def assert_data_prox(fidelity: Separable, predicted: Tensor, data: Tensor, step: float | Tensor) -> None:
    """``prox`` minimises ``step * values + (z - predicted)^2 / 2`` for each value, among points around the solution.

    Args:
        fidelity: the fidelity.
        predicted: (B, C, H, W).
        data: (B, C, H, W).
        step: > 0, a number or (B, C, H, W).
    """
    name, before = type(fidelity).__name__, (predicted.clone(), data.clone())
    with assert_unchanged(fidelity), assert_random_state_untouched(f"calling {name}.prox"):
        solution = fidelity.prox(predicted, data, step)
    unchanged = torch.equal(before[0], predicted) and torch.equal(before[1], data)
    demand(unchanged, f"{name}.prox overwrites what it is given")
    demand(solution.dtype == predicted.dtype, f"{name}.prox gives {solution.dtype} for {predicted.dtype}")
    demand(bool(solution.isfinite().all()), f"{name}.prox is not finite")
    given, measured, found = predicted.double(), data.double(), solution.double()

    def objective(point: Tensor) -> Tensor:
        return step * fidelity.values(point, measured) + (point - given).square() / 2

    lowest = objective(found) - 1e-5 * objective(given).clamp(min=1e-3)  # the solution is rounded to float32
    others = [found + size for size in (-0.1, -1e-2, -1e-3, 1e-3, 1e-2, 0.1)]
    lower = [bool((objective(one.clamp(min=fidelity.least)) < lowest).any()) for one in [*others, given, measured]]
    demand(not any(lower), f"{name}.prox does not minimise, with step {step}")


def coefficients_of(regularizer: Proximable, value: Tensor) -> Tensor:
    """Apply the regularizer's filters: (B, C, H, W) -> (K, B, C, H, W)."""
    return apply_filters(value, regularizer.filters, wrap=False)


def assert_penalty_of_coefficients(regularizer: Proximable, value: Tensor) -> None:
    """``forward`` is ``penalty`` of the filtered value; neither changes the regularizer."""
    name = type(regularizer).__name__
    with assert_unchanged(regularizer), assert_random_state_untouched(f"calling {name}.penalty"):
        penalty = regularizer.penalty(coefficients_of(regularizer, value))
    demand(tuple(penalty.shape) == (len(value),), f"{name}.penalty gives shape {tuple(penalty.shape)}, not (B,)")
    same = torch.allclose(penalty, regularizer(value), rtol=1e-5)  # rounding of sums
    demand(same, f"{name}.forward(value) is not {name}.penalty of the value filtered by its filters")


def assert_prox(regularizer: Proximable, coefficients: Tensor, step: float) -> None:
    """``prox`` minimises ``step * g(z) + |z - coefficients|^2 / 2`` among the points tried.

    They are the coefficients, zero, mixtures of these with the solution, and points around it. A denoiser (`Denoising`)
    need not minimise anything, and only `assert_map` applies to it.

    Args:
        regularizer: the regularizer.
        coefficients: (K, B, C, H, W).
        step: > 0.
    """
    name, solution = type(regularizer).__name__, assert_map(regularizer, coefficients, step)
    if isinstance(regularizer, Denoising):
        return
    given, found = coefficients.double(), solution.double()

    def objective(point: Tensor) -> float:
        return float((step * regularizer.penalty(point) + (point - given).square().sum((0, 2, 3, 4)) / 2).sum())

    lowest = objective(found) - 1e-4 * abs(objective(given))  # an iterative prox is exact to 1e-4
    lower = [objective(point) < lowest for point in comparison_points(found, given)]
    demand(not any(lower), f"{name}.prox does not minimise, with step {step}")


def assert_map(regularizer: Proximable, coefficients: Tensor, step: float) -> Tensor:
    """``prox`` returns finite values of the same shape and type, the same at every call, and changes nothing.

    Args:
        regularizer: the regularizer.
        coefficients: (K, B, C, H, W).
        step: > 0.

    Returns:
        The solution.
    """
    name, before = type(regularizer).__name__, coefficients.clone()
    with assert_unchanged(regularizer), assert_random_state_untouched(f"calling {name}.prox"):
        solution = regularizer.prox(coefficients, step)
        regularizer.prox(1 - coefficients, step)
        again = regularizer.prox(coefficients, step)
    demand(torch.equal(before, coefficients), f"{name}.prox overwrites what it is given")
    demand(solution.shape == coefficients.shape, f"{name}.prox gives shape {tuple(solution.shape)}")
    demand(solution.dtype == coefficients.dtype, f"{name}.prox gives {solution.dtype} for {coefficients.dtype}")
    demand(bool(solution.isfinite().all()), f"{name}.prox is not finite")
    demand(torch.equal(solution, again), f"{name}.prox depends on an earlier call")
    return solution


def comparison_points(found: Tensor, given: Tensor) -> list[Tensor]:
    """Return points whose value is compared with that of a minimum."""
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
    for other in comparison_points(1.5 * point, point):
        raised = (weights * (other.square() - point.square())).sum((0, 2, 3, 4)) / 2
        slack = 1e-9 * (touched.abs() + raised.abs())  # rounding of float64 sums
        above = regularizer.penalty(other) <= touched + raised + slack
        demand(bool(above.all()), f"the squares weighted by {name}.weights do not lie above its penalty")
