"""The kernel of every registered prior stays on the simplex, for all parameters and after any steps."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from invkit.core import registry
from invkit.core.interfaces import KernelPrior
from invkit.kernel_priors.simplex import project_with_lazy_gradient, softmax_kernel
from invkit.numerics.geometry import Shape
from invkit.testing import assert_kernel
from invkit.testing.common import build, drawn

SMALL_NETWORK = {"channels": 8, "skip_channels": 4, "latent_channels": 2}
VARIANTS: dict[str, list[dict[str, Any]]] = {
    "dip-skip": [SMALL_NETWORK],
    "gaussian": [{}, {"anisotropic": True}, {"sigma": 0.05}],
    "simplex": [{}, {"parametrization": "projection"}],
    "softmax-fcn": [{"hidden": 20, "layers": n, "activation": a} for n in (0, 1, 2) for a in ("relu6", "leaky-relu")],
}
NAMES = [
    name for name in registry.names("kernel_priors") if issubclass(registry.load("kernel_priors", name), KernelPrior)
]
CASES = [(name, params) for name in NAMES for params in VARIANTS.get(name, [{}])]

shapes = st.tuples(st.integers(1, 2), st.just(1), st.integers(1, 9), st.integers(1, 9))
dtypes = st.sampled_from([torch.float32, torch.float64])
seeds = st.integers(0, 2**32 - 1)

LOSSES: dict[str, Any] = {
    "linear": lambda kernel, target: 1e6 * (kernel * target).sum(),
    "least squares": lambda kernel, target: (kernel - target).square().sum(),
    "log barrier": lambda kernel, target: -(kernel + 1e-6).log().mean(),
    "largest": lambda kernel, target: -kernel.max(),
    "absolute": lambda kernel, target: (kernel - target).abs().sum(),
}
OPTIMIZERS: dict[str, Any] = {
    "adam": lambda parameters: torch.optim.Adam(parameters, lr=0.3),
    "huge adam": lambda parameters: torch.optim.Adam(parameters, lr=100.0),
    "sgd": lambda parameters: torch.optim.SGD(parameters, lr=1e-3, momentum=0.9),
}


def prior_of(name: str, params: dict[str, Any], shape: Shape, dtype: torch.dtype) -> Any:
    start = drawn(shape, seed=1) + 0.1
    start = start / start.sum((1, 2, 3), keepdim=True)
    return build(registry.load("kernel_priors", name), {"shape": shape, "start": start}, params).to(dtype)


def assert_finite_gradients(prior: Any, value: Tensor) -> None:
    if value.requires_grad:
        gradients = torch.autograd.grad((value * drawn(tuple(value.shape), 2, value.dtype)).sum(), prior.parameters())
        assert all(bool(gradient.isfinite().all()) for gradient in gradients)


@pytest.mark.parametrize(("name", "params"), CASES)
@settings(max_examples=12, deadline=None)
@given(
    shape=shapes,
    dtype=dtypes,
    steps=st.integers(0, 6),
    loss=st.sampled_from(sorted(LOSSES)),
    optimizer=st.sampled_from(sorted(OPTIMIZERS)),
    seed=seeds,
)
def test_kernel_stays_on_the_simplex_after_any_steps_on_any_loss(
    name: str,
    params: dict[str, Any],
    shape: Shape,
    dtype: torch.dtype,
    steps: int,
    loss: str,
    optimizer: str,
    seed: int,
) -> None:
    prior = prior_of(name, params, shape, dtype)
    parameters, target = list(prior.parameters()), drawn(shape, seed, dtype)
    if parameters:
        descent = OPTIMIZERS[optimizer](parameters)
        for _ in range(steps):
            descent.zero_grad()
            LOSSES[loss](prior(), target).backward()
            descent.step()
    kernel = prior()
    assert kernel.dtype == dtype
    assert_kernel(kernel, shape)
    assert_finite_gradients(prior, kernel)


@pytest.mark.parametrize(("name", "params"), CASES)
@settings(max_examples=12, deadline=None)
@given(shape=shapes, dtype=dtypes, size=st.sampled_from([1.0, 30.0, 1e4]), share=st.floats(0, 1), seed=seeds)
def test_kernel_stays_on_the_simplex_for_extreme_parameters(
    name: str, params: dict[str, Any], shape: Shape, dtype: torch.dtype, size: float, share: float, seed: int
) -> None:
    prior = prior_of(name, params, shape, dtype)
    with torch.no_grad():
        for number, parameter in enumerate(prior.parameters()):
            signs = drawn(tuple(parameter.shape), (seed + number) % 2**32) < share
            parameter.copy_(torch.where(signs, size, -size))
    kernel = prior()
    assert_kernel(kernel, shape)
    assert_finite_gradients(prior, kernel)


@settings(max_examples=40, deadline=None)
@given(
    size=st.sampled_from([(1, 1), (3, 4), (27, 27), (75, 75)]),
    scale=st.sampled_from([0.0, 1.0, 1e4, 1e20, 3e38]),
    dtype=st.sampled_from([torch.bfloat16, torch.float32, torch.float64]),
    seed=seeds,
)
def test_softmax_does_not_overflow(size: tuple[int, int], scale: float, dtype: torch.dtype, seed: int) -> None:
    shape = (2, 1, *size)
    logits = ((2 * drawn(shape, seed, torch.float64) - 1) * scale).to(dtype).requires_grad_()
    kernel = softmax_kernel(logits, shape)
    assert_kernel(kernel, shape)
    (gradient,) = torch.autograd.grad((kernel * drawn(shape, 3)).sum(), logits)
    assert bool(gradient.isfinite().all())


def projection_by_bisection(point: Tensor) -> Tensor:
    """The threshold t with sum(max(point - t, 0)) = 1 by bisection, independent of the sorting algorithm."""
    low, high = point.min() - 1, point.max()
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if (point - middle).clamp(min=0).sum() > 1 else (low, middle)
    return (point - high).clamp(min=0)


@settings(max_examples=60, deadline=None)
@given(count=st.integers(1, 40), scale=st.sampled_from([0.0, 1e-3, 1.0, 1e4]), seed=seeds)
def test_projection_is_the_nearest_point_of_the_simplex_for_every_row(count: int, scale: float, seed: int) -> None:
    points = (2 * drawn((3, count), seed, torch.float64) - 1) * scale
    expected = torch.stack([projection_by_bisection(point) for point in points])
    # bisection ends at the spacing of float64 numbers of that size
    assert torch.allclose(project_with_lazy_gradient(points), expected, atol=1e-11)


@settings(max_examples=20, deadline=None)
@given(count=st.integers(1, 40), seed=seeds)
def test_projection_does_not_change_points_of_the_simplex(count: int, seed: int) -> None:
    weights = drawn((2, count), seed, torch.float64) + 1e-3
    weights = weights / weights.sum(1, keepdim=True)
    assert torch.allclose(project_with_lazy_gradient(weights), weights, atol=1e-14)  # rounding of a sum
