"""Regularizers as functions: non-negative, zero on constants, homogeneous, convex, differentiable."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from invkit.regularizers.deepinv_priors import DeepinvPrior
from invkit.regularizers.l2 import KernelL2
from invkit.regularizers.tv import TotalVariation
from invkit.testing.common import drawn

shapes = st.tuples(st.integers(1, 2), st.integers(1, 3), st.integers(1, 8), st.integers(1, 8))
seeds = st.integers(0, 2**32 - 1)
smoothings = st.sampled_from([0.0, 1e-6, 1e-3, 0.5])
factors = st.floats(-100, 100)

TV_LIKE = [TotalVariation(isotropic=i, smoothing=s) for i in (True, False) for s in (0.0, 1e-3)] + [
    DeepinvPrior(prior="TVPrior"),
    DeepinvPrior(prior="TVL1Prior"),
]
HOMOGENEOUS = [
    (TotalVariation(smoothing=0), 1),
    (TotalVariation(isotropic=False, smoothing=0), 1),
    (KernelL2(), 2),
    (DeepinvPrior(prior="TVPrior"), 1),
    (DeepinvPrior(prior="L1Prior"), 1),
    (DeepinvPrior(prior="Tikhonov"), 2),
]
ALL = [*TV_LIKE, *(regularizer for regularizer, _ in HOMOGENEOUS)]


def label(value: Any) -> str:
    """A short name for a case."""
    if isinstance(value, TotalVariation):
        return f"tv-{'isotropic' if value.isotropic else 'anisotropic'}-{value.smoothing}"
    return type(value.prior).__name__ if isinstance(value, DeepinvPrior) else type(value).__name__


some = settings(max_examples=20, deadline=None)


def image(shape: tuple[int, ...], seed: int) -> Tensor:
    return 2 * drawn(shape, seed, torch.float64) - 0.5


def gradient(regularizer: Any, point: Tensor) -> Tensor:
    leaf = point.clone().requires_grad_()
    return torch.autograd.grad(regularizer(leaf).sum(), leaf)[0]


@pytest.mark.parametrize("regularizer", ALL, ids=label)
@some
@given(shape=shapes, seed=seeds)
def test_is_never_negative(regularizer: Any, shape: tuple[int, ...], seed: int) -> None:
    value = regularizer(image(shape, seed))
    assert value.shape == (shape[0],)
    assert bool((value >= 0).all())


@pytest.mark.parametrize("regularizer", TV_LIKE, ids=label)
@some
@given(shape=shapes, level=st.floats(-1e3, 1e3), dtype=st.sampled_from([torch.float32, torch.float64]))
def test_is_zero_on_constants_with_zero_gradient(
    regularizer: Any, shape: tuple[int, ...], level: float, dtype: torch.dtype
) -> None:
    constant = torch.full(shape, level, dtype=dtype)
    assert torch.equal(regularizer(constant), torch.zeros(shape[0], dtype=dtype))
    assert torch.equal(gradient(regularizer, constant), torch.zeros(shape, dtype=dtype))


@pytest.mark.parametrize(("regularizer", "degree"), HOMOGENEOUS, ids=label)
@some
@given(shape=shapes, seed=seeds, factor=factors)
def test_is_homogeneous(regularizer: Any, degree: int, shape: tuple[int, ...], seed: int, factor: float) -> None:
    value = image(shape, seed)
    scaled = regularizer(factor * value)
    assert torch.allclose(scaled, abs(factor) ** degree * regularizer(value), rtol=1e-10)  # rounding of float64


@pytest.mark.parametrize("regularizer", ALL, ids=label)
@some
@given(shape=shapes, seed=seeds, share=st.floats(0, 1))
def test_is_convex(regularizer: Any, shape: tuple[int, ...], seed: int, share: float) -> None:
    first, second = image(shape, seed), image(shape, (seed + 1) % 2**32)
    between = regularizer(share * first + (1 - share) * second)
    chord = share * regularizer(first) + (1 - share) * regularizer(second)
    assert bool((between <= chord + 1e-12).all())  # rounding of float64


@pytest.mark.parametrize("regularizer", ALL, ids=label)
@settings(max_examples=8, deadline=None)
@given(shape=st.tuples(st.just(1), st.integers(1, 2), st.integers(2, 4), st.integers(2, 4)), seed=seeds)
def test_gradient_is_that_of_finite_differences(regularizer: Any, shape: tuple[int, ...], seed: int) -> None:
    point = image(shape, seed)
    direction = image(shape, (seed + 1) % 2**32)
    step = 1e-6
    slope = (regularizer(point + step * direction) - regularizer(point - step * direction)) / (2 * step)
    # The kinks of TV are where neighbours are equal; a step of 1e-6 rarely crosses one, with a small effect.
    assert float((gradient(regularizer, point) * direction).sum()) == pytest.approx(float(slope.sum()), abs=1e-4)


@pytest.mark.parametrize("regularizer", ALL, ids=label)
@some
@given(shape=shapes, seed=seeds, levels=st.integers(1, 2))
def test_gradient_is_finite_on_piecewise_constant_images(
    regularizer: Any, shape: tuple[int, ...], seed: int, levels: int
) -> None:
    steps = (drawn(shape, seed) * levels).round()
    assert bool(gradient(regularizer, steps).isfinite().all())


@some
@given(shape=shapes, seed=seeds, smoothing=smoothings, isotropic=st.booleans(), level=factors)
def test_tv_is_invariant_to_an_added_constant(
    shape: tuple[int, ...], seed: int, smoothing: float, isotropic: bool, level: float
) -> None:
    tv, value = TotalVariation(isotropic=isotropic, smoothing=smoothing), image(shape, seed)
    assert torch.allclose(tv(value + level), tv(value), atol=1e-12)  # rounding of float64 numbers of 100


@some
@given(shape=shapes, seed=seeds, smoothing=smoothings)
def test_smoothing_lowers_tv_by_no_more_than_itself(shape: tuple[int, ...], seed: int, smoothing: float) -> None:
    value = image(shape, seed)
    sharp, smooth = TotalVariation(smoothing=0)(value), TotalVariation(smoothing=smoothing)(value)
    assert bool((smooth <= sharp + 1e-14).all())
    assert bool((sharp - smoothing <= smooth + 1e-14).all())


@some
@given(shape=shapes, seed=seeds)
def test_isotropic_and_anisotropic_tv_bound_each_other(shape: tuple[int, ...], seed: int) -> None:
    value = image(shape, seed)
    length, parts = TotalVariation(smoothing=0)(value), TotalVariation(isotropic=False, smoothing=0)(value)
    assert bool((length <= parts + 1e-14).all())
    assert bool((parts <= 2**0.5 * length + 1e-14).all())


@some
@given(shape=shapes, seed=seeds)
def test_tv_without_smoothing_equals_deepinv(shape: tuple[int, ...], seed: int) -> None:
    value = image(shape, seed)
    ours, theirs = TotalVariation(smoothing=0), DeepinvPrior(prior="TVPrior")
    assert torch.allclose(ours(value), theirs(value), atol=1e-14)
    assert torch.allclose(gradient(ours, value), gradient(theirs, value), atol=1e-14)
