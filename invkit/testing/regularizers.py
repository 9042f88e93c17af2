"""Checks of regularizers."""

from __future__ import annotations

import torch
from torch import Tensor

from ..interfaces import Proximable, Regularizer
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
        for step in (1e-2, 1.0):
            assert_prox(regularizer, value, step)


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


def assert_prox(regularizer: Proximable, value: Tensor, step: float) -> None:
    """``prox`` lowers ``step * R(u) + |u - value|^2 / 2`` below its value at ``value`` and near ``prox`` itself."""
    name, solution = type(regularizer).__name__, regularizer.prox(value, step)
    demand(solution.shape == value.shape, f"{name}.prox gives shape {tuple(solution.shape)}")

    def objective(point: Tensor) -> float:
        return float((step * regularizer(point) + (point - value).square().sum((1, 2, 3)) / 2).sum())

    lowest = objective(solution) - 1e-4 * abs(objective(value))  # an iterative prox ends within 1e-4
    others = [value, *(solution + 1e-2 * (drawn(SHAPE, seed) - 0.5) for seed in range(5))]
    demand(all(lowest <= objective(other) for other in others), f"{name}.prox does not minimise, with step {step}")
