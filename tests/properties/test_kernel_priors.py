"""Whatever is done to a kernel prior, its kernel stays on the simplex; every registered prior, and variants."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from invkit.core import registry
from invkit.core.interfaces import KernelPrior
from invkit.kernel_priors.simplex import project_with_lazy_gradient, softmax_kernel
from invkit.testing import assert_kernel
from invkit.testing.common import build, drawn

SMALL_NETWORK = {"channels": 8, "skip_channels": 4, "latent_channels": 2}
VARIANTS = {
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

LOSSES = {
    "linear": lambda kernel, target: 1e6 * (kernel * target).sum(),
    "least squares": lambda kernel, target: (kernel - target).square().sum(),
    "log barrier": lambda kernel, target: -(kernel + 1e-6).log().mean(),
    "largest": lambda kernel, target: -kernel.max(),
    "absolute": lambda kernel, target: (kernel - target).abs().sum(),
}
OPTIMIZERS = {
    "adam": lambda parameters: torch.optim.Adam(parameters, lr=0.3),
    "huge adam": lambda parameters: torch.optim.Adam(parameters, lr=100.0),
    "sgd": lambda parameters: torch.optim.SGD(parameters, lr=1e-3, momentum=0.9),
}


def prior_of(name, params, shape, dtype):
    start = drawn(shape, seed=1) + 0.1
    start = start / start.sum((1, 2, 3), keepdim=True)
    return build(registry.load("kernel_priors", name), {"shape": shape, "start": start}, params).to(dtype)


def assert_finite_gradients(prior, value):
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
    name, params, shape, dtype, steps, loss, optimizer, seed
):
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
def test_kernel_stays_on_the_simplex_for_extreme_parameters(name, params, shape, dtype, size, share, seed):
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
def test_softmax_does_not_overflow(size, scale, dtype, seed):
    shape = (2, 1, *size)
    logits = ((2 * drawn(shape, seed, torch.float64) - 1) * scale).to(dtype).requires_grad_()
    kernel = softmax_kernel(logits, shape)
    assert_kernel(kernel, shape)
    (gradient,) = torch.autograd.grad((kernel * drawn(shape, 3)).sum(), logits)
    assert bool(gradient.isfinite().all())


def projection_by_bisection(point):
    """The threshold t with sum(max(point - t, 0)) = 1 by halving an interval: another road than sorting."""
    low, high = point.min() - 1, point.max()
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if (point - middle).clamp(min=0).sum() > 1 else (low, middle)
    return (point - high).clamp(min=0)


@settings(max_examples=60, deadline=None)
@given(count=st.integers(1, 40), scale=st.sampled_from([0.0, 1e-3, 1.0, 1e4]), seed=seeds)
def test_projection_is_the_nearest_point_of_the_simplex_for_every_row(count, scale, seed):
    points = (2 * drawn((3, count), seed, torch.float64) - 1) * scale
    expected = torch.stack([projection_by_bisection(point) for point in points])
    # bisection ends at a spacing of float64 numbers of the points' size
    assert torch.allclose(project_with_lazy_gradient(points), expected, atol=1e-11)


@settings(max_examples=20, deadline=None)
@given(count=st.integers(1, 40), seed=seeds)
def test_projection_leaves_the_simplex_where_it_is(count, seed):
    weights = drawn((2, count), seed, torch.float64) + 1e-3
    weights = weights / weights.sum(1, keepdim=True)
    assert torch.allclose(project_with_lazy_gradient(weights), weights, atol=1e-14)  # rounding of a sum
