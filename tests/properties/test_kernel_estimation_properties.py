"""Kernel steps and clean-ups give kernels whatever they are given, and pass the checks of their families."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from invkit.solvers.map.interfaces import KernelEstimation, KernelPostprocessing
from invkit.solvers.map.kernel_estimation import (
    ConjugateGradients,
    L1Reweighted,
    ProjectedGradient,
    SupportDetection,
    ToeplitzLeastSquares,
)
from invkit.solvers.map.kernel_postprocessing import ThresholdPostprocessing
from invkit.testing.common import drawn
from invkit.testing.map_steps import blurred_edges, check_kernel_estimation, check_kernel_postprocessing
from invkit.testing.priors import assert_kernel

STEPS = [
    (ConjugateGradients, {}),
    (ToeplitzLeastSquares, {"iterations": 60}),
    (ToeplitzLeastSquares, {"iterations": 60, "sum_to_one": True}),
    (L1Reweighted, {}),
    (L1Reweighted, {"power": 0.5}),
    (SupportDetection, {"iterations": 30}),
    (ProjectedGradient, {}),
    (ProjectedGradient, {"normalisation": "projection", "iterations": 3}),
    (ProjectedGradient, {"step_rule": "largest-change", "step": 0.05, "iterations": 3}),
    (ProjectedGradient, {"step_rule": "largest-change", "step": 0.05, "iterations": 3, "normalisation": "projection"}),
]
RELATIVE = [(component, params) for component, params in STEPS if component is not ConjugateGradients]
CLEANUPS = [{}, {"threshold": 1.0, "min_component": 1.0}, {"threshold": 0.0, "min_component": 0.0}]

shapes = st.tuples(st.integers(1, 2), st.just(1), st.integers(1, 6), st.integers(1, 6))
dtypes = st.sampled_from([torch.float32, torch.float64])
seeds = st.integers(0, 2**32 - 1)
scales = st.sampled_from([0.0, 1e-6, 1.0, 1e4])


def start_of(shape: Any, dtype: torch.dtype) -> Tensor:
    start = drawn(shape, 1, dtype) + 0.1
    return start / start.sum((1, 2, 3), keepdim=True)


@pytest.mark.parametrize(("component", "params"), STEPS)
def test_kernel_steps_pass_the_check_of_their_family(component: type[Any], params: dict[str, Any]) -> None:
    check_kernel_estimation(component, params)


@pytest.mark.parametrize("params", CLEANUPS)
def test_cleanups_pass_the_check_of_their_family(params: dict[str, Any]) -> None:
    check_kernel_postprocessing(ThresholdPostprocessing, params)


@pytest.mark.parametrize(("component", "params"), STEPS)
@settings(max_examples=12, deadline=None)
@given(shape=shapes, dtype=dtypes, sharp_scale=scales, blurred_scale=scales, seed=seeds)
def test_a_step_gives_a_kernel_for_any_pair(
    component: type[Any],
    params: dict[str, Any],
    shape: Any,
    dtype: torch.dtype,
    sharp_scale: float,
    blurred_scale: float,
    seed: int,
) -> None:
    batch, _, h, w = shape
    sharp = sharp_scale * (drawn((batch, 2, 9 + h, 8 + w), seed, dtype) - 0.5)
    blurred = blurred_scale * (drawn((batch, 2, 10, 9), (seed + 1) % 2**32, dtype) - 0.5)
    kernel = component(**params)(sharp, blurred, start_of(shape, dtype))
    assert kernel.dtype == dtype
    assert_kernel(kernel, shape)


@pytest.mark.parametrize(("component", "params"), RELATIVE)
@settings(max_examples=8, deadline=None)
@given(exponent=st.integers(-12, 12))
def test_relative_weights_do_not_mind_the_contrast(
    component: type[Any], params: dict[str, Any], exponent: float
) -> None:
    sharp, blurred, _ = blurred_edges((1, 2, 20, 17), (5, 4))
    start, step = start_of((1, 1, 5, 4), torch.float64), component(**params)
    factor = 2.0**exponent  # exact in binary, so that only rounding is left
    assert torch.allclose(step(factor * sharp, factor * blurred, start), step(sharp, blurred, start), atol=1e-7)


@settings(max_examples=30, deadline=None)
@given(
    shape=shapes,
    dtype=dtypes,
    power=st.sampled_from([1, 3, 12]),
    threshold=st.floats(0, 1),
    share=st.floats(0, 1),
    centre=st.booleans(),
    seed=seeds,
)
def test_a_cleanup_gives_a_kernel_for_any_kernel(
    shape: Any, dtype: torch.dtype, power: float, threshold: float, share: float, centre: Any, seed: int
) -> None:
    values = drawn(shape, seed, dtype) ** power + 1e-30
    kernel = values / values.sum((1, 2, 3), keepdim=True)
    found = ThresholdPostprocessing(threshold=threshold, min_component=share, centre=centre)(kernel)
    assert found.dtype == dtype
    assert_kernel(found, shape)


@settings(max_examples=30, deadline=None)
@given(shape=shapes, threshold=st.floats(0, 1), share=st.floats(0, 1), seed=seeds)
def test_a_cleanup_without_centring_drops_entries_and_scales_the_rest(
    shape: Any, threshold: float, share: float, seed: int
) -> None:
    values = drawn(shape, seed, torch.float64) ** 3 + 1e-3
    kernel = values / values.sum((1, 2, 3), keepdim=True)
    found = ThresholdPostprocessing(threshold=threshold, min_component=share, centre=False)(kernel)
    kept = found > 0
    factor = 1 / (kernel * kept).sum((1, 2, 3), keepdim=True)
    assert torch.allclose(found, kernel * kept * factor)
    largest = kernel.amax((1, 2, 3), keepdim=True)
    assert not bool((kept & (kernel < threshold * largest)).any())
    if share == 0:
        assert torch.equal(kept, kernel >= threshold * largest)


def test_the_families_are_those_of_the_interfaces() -> None:
    assert all(issubclass(component, KernelEstimation) for component, _ in STEPS)
    assert issubclass(ThresholdPostprocessing, KernelPostprocessing)
