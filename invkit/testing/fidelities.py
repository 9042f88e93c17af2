"""Checks of fidelities."""

from __future__ import annotations

import torch
from torch import Tensor

from ..core.interfaces import Fidelity
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

__all__ = ["check_fidelity"]

SHAPE = (2, 3, 24, 20)
ROUNDING = 1e-6  # of a mean of float32 values near one


def check_fidelity(component: type[Fidelity], params: Settings | None = None) -> None:
    """Every property of a fidelity: documented, pure, >= 0 and zero for equal data, with finite gradients."""
    assert_documented(component)
    fidelity = build(component, {}, params)
    predicted, data = drawn(SHAPE, seed=1), drawn(SHAPE, seed=2)
    assert_portable(fidelity, predicted, data)
    assert_compares(fidelity, predicted, data)
    for point in (predicted, data, torch.zeros_like(data), torch.ones_like(data)):
        assert_differentiable(fidelity, point, data)
    assert_differentiable(fidelity, predicted.double(), data.double())
    stage = fidelity.at(10)
    demand(isinstance(stage, Fidelity), f"{component.__name__}.at(iteration) gives {stage!r}, not a Fidelity")


def assert_compares(fidelity: Fidelity, predicted: Tensor, data: Tensor) -> None:
    """Two (B, C, H, W) -> (B,), each image by itself; zero for equal ones, positive for different ones."""
    name = type(fidelity).__name__
    with assert_unchanged(fidelity), assert_random_state_untouched(f"calling {name}"):
        value, again = fidelity(predicted, data), fidelity(predicted, data)
    demand(tuple(value.shape) == (len(data),), f"{name} gives shape {tuple(value.shape)}, not (B,)")
    demand(torch.equal(value, again), f"two calls of {name} give different values")
    demand(bool((value > 0).all()), f"{name} of different data is {value.tolist()}, not positive")
    same = float(fidelity(data, data).abs().max())
    demand(same <= ROUNDING, f"{name} of equal data is {same:.3g}, not zero")
    alone = torch.cat([fidelity(predicted[i : i + 1], data[i : i + 1]) for i in range(len(data))])
    demand(torch.allclose(value, alone, rtol=1e-5), f"{name} mixes the images of a batch")  # rounding of sums


def assert_differentiable(fidelity: Fidelity, predicted: Tensor, data: Tensor) -> None:
    """Value and gradient in the prediction are finite and in its precision."""
    name, leaf = type(fidelity).__name__, predicted.clone().requires_grad_()
    value = fidelity(leaf, data)
    demand(value.dtype == predicted.dtype, f"{name} gives {value.dtype} for {predicted.dtype}")
    demand(bool(value.isfinite().all()), f"{name} is not finite")
    (gradient,) = torch.autograd.grad(value.sum(), leaf)
    demand(bool(gradient.isfinite().all()), f"{name} has gradients that are not finite")
