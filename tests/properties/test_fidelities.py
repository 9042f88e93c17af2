"""Fidelities as functions of two images: symmetry, zeros, gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.metrics import structural_similarity
from torch import Tensor

from invkit.fidelities.norms import L1, MSE
from invkit.fidelities.ssim import SSIM
from invkit.testing.common import drawn

shapes = st.tuples(st.integers(1, 2), st.integers(1, 3), st.integers(11, 20), st.integers(11, 20))
seeds = st.integers(0, 2**32 - 1)
fidelities = pytest.mark.parametrize("fidelity", [MSE(), L1(), SSIM()], ids=repr)
some = settings(max_examples=20, deadline=None)


def pair(shape: tuple[int, ...], seed: int, noise: float = 1.0) -> tuple[Tensor, Tensor]:
    data = drawn(shape, seed, torch.float64)
    return (data + noise * (drawn(shape, (seed + 1) % 2**32, torch.float64) - 0.5)).clamp(0, 1), data


@fidelities
@some
@given(shape=shapes, seed=seeds)
def test_is_symmetric_and_never_negative(fidelity: Any, shape: tuple[int, ...], seed: int) -> None:
    predicted, data = pair(shape, seed)
    value = fidelity(predicted, data)
    assert bool((value >= 0).all())
    assert torch.allclose(value, fidelity(data, predicted), rtol=1e-12)


@fidelities
@some
@given(shape=shapes, seed=seeds, dtype=st.sampled_from([torch.float32, torch.float64]))
def test_of_equal_images_is_zero_with_zero_gradient(
    fidelity: Any, shape: tuple[int, ...], seed: int, dtype: torch.dtype
) -> None:
    data = drawn(shape, seed, dtype)
    leaf = data.clone().requires_grad_()
    value = fidelity(leaf, data)
    value.sum().backward()
    assert leaf.grad is not None
    rounding = 10 * torch.finfo(dtype).eps
    assert float(value.detach().abs().max()) <= rounding
    # SSIM's gradient is a difference of terms up to 1 / C2, about 1e3, which cancel for each pixel
    assert float(leaf.grad.abs().max()) <= 1e3 * rounding


@fidelities
@some
@given(seed=seeds, noise=st.floats(0.05, 1))
def test_gradient_is_that_of_finite_differences(fidelity: Any, seed: int, noise: float) -> None:
    predicted, data = pair((1, 2, 12, 13), seed, noise)
    direction, step = drawn((1, 2, 12, 13), 5, torch.float64) - 0.5, 1e-6
    leaf = predicted.clone().requires_grad_()
    fidelity(leaf, data).sum().backward()
    assert leaf.grad is not None
    slope = (fidelity(predicted + step * direction, data) - fidelity(predicted - step * direction, data)) / (2 * step)
    # differences with step 1e-6; a kink of L1 within a step changes the mean by one pixel's part, 1 / 312
    assert float((leaf.grad * direction).sum()) == pytest.approx(float(slope.sum()), rel=1e-4, abs=4e-3 / 12)


@some
@given(shape=shapes, seed=seeds, noise=st.floats(0, 1), dtype=st.sampled_from([torch.float32, torch.float64]))
def test_ssim_equals_scikit_image_where_the_window_is_inside(
    shape: tuple[int, ...], seed: int, noise: float, dtype: torch.dtype
) -> None:
    predicted, data = pair(shape, seed, noise)
    ours = 1 - SSIM()(predicted.to(dtype), data.to(dtype))
    maps = [
        structural_similarity(
            one.numpy(),
            other.numpy(),
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            data_range=1.0,
            channel_axis=0,
            full=True,
        )[1]
        for one, other in zip(predicted, data, strict=True)
    ]
    expected = np.mean([inside[:, 5:-5, 5:-5] for inside in maps], axis=(1, 2, 3))
    # float32: variances as small as C2 = 9e-4 are differences of numbers near one
    assert ours.tolist() == pytest.approx(expected.tolist(), abs=1e-4 if dtype == torch.float32 else 1e-6)


@some
@given(seed=seeds, factor=st.floats(0, 3))
def test_mse_and_l1_scale_with_the_difference(seed: int, factor: float) -> None:
    predicted, data = pair((2, 1, 11, 12), seed)
    moved = data + factor * (predicted - data)
    assert torch.allclose(MSE()(moved, data), factor**2 * MSE()(predicted, data), rtol=1e-10, atol=1e-15)
    assert torch.allclose(L1()(moved, data), factor * L1()(predicted, data), rtol=1e-10, atol=1e-15)
