"""Properties of motion paths, lens aberrations and generated kernels for all parameters."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from invkit.kernel_priors.generative import GenerativeKernel
from invkit.kernel_priors.motion_path import MotionPath
from invkit.kernel_priors.zernike import DEFOCUS_INDEX, ZernikeKernel, noll
from invkit.testing import assert_kernel
from invkit.testing.common import drawn

CLASSES = [MotionPath, ZernikeKernel, GenerativeKernel]
ROUNDING = 2e-5  # of float32 phases of some hundred radians

sides = st.integers(1, 17)
odd_sides = st.integers(1, 8).map(lambda half: 2 * half + 1)
seeds = st.integers(0, 2**32 - 1)


def fill(prior: Any, size: float, seed: int) -> Any:
    """Parameters uniform in [-size, size]."""
    with torch.no_grad():
        for number, parameter in enumerate(prior.parameters()):
            parameter.copy_(size * (2 * drawn(tuple(parameter.shape), (seed + number) % 2**32) - 1))
    return prior


@pytest.mark.parametrize("component", CLASSES)
@settings(max_examples=15, deadline=None)
@given(height=sides, width=sides, size=st.sampled_from([0.1, 3.0, 100.0, 1e4]), seed=seeds)
def test_is_on_the_simplex_and_its_gradients_are_finite(
    component: type[Any], height: int, width: int, size: float, seed: int
) -> None:
    prior = fill(component((2, 1, height, width)), size, seed)
    kernel = prior()
    assert_kernel(kernel, (2, 1, height, width))
    gradients = torch.autograd.grad((kernel * drawn(tuple(kernel.shape), 1)).sum(), list(prior.parameters()))
    assert all(bool(gradient.isfinite().all()) for gradient in gradients)


@pytest.mark.parametrize("component", CLASSES)
@settings(max_examples=10, deadline=None)
@given(height=sides, width=sides, seed=seeds)
def test_each_kernel_of_a_batch_has_its_own_parameters(
    component: type[Any], height: int, width: int, seed: int
) -> None:
    prior, alone = fill(component((3, 1, height, width)), 1.0, seed), component((1, 1, height, width))
    with torch.no_grad():
        for mine, theirs in zip(alone.parameters(), prior.parameters(), strict=True):
            mine.copy_(theirs[1:2])
    assert torch.allclose(alone()[0], prior()[1], atol=ROUNDING)


@pytest.mark.parametrize("component", CLASSES)
@settings(max_examples=10, deadline=None)
@given(height=sides, width=sides, seed=seeds)
def test_resizing_to_the_same_grid_changes_nothing(component: type[Any], height: int, width: int, seed: int) -> None:
    prior = fill(component((1, 1, height, width)), 1.0, seed)
    assert torch.allclose(prior.resized(prior.shape, 1.0)(), prior(), atol=ROUNDING)


@settings(max_examples=30, deadline=None)
@given(
    height=sides,
    width=sides,
    points=st.integers(4, 20),
    size=st.sampled_from([1.0, 10.0, 1e4]),
    scale=st.floats(0.3, 3),
    seed=seeds,
)
def test_a_path_stays_within_the_support_after_resizing(
    height: int, width: int, points: int, size: float, scale: float, seed: int
) -> None:
    prior = fill(MotionPath((2, 1, height, width), points=points), size, seed)
    resized = prior.resized((2, 1, width, height), scale)
    for path, (rows, columns) in ((prior.path(), (height, width)), (resized.path(), (width, height))):
        last = torch.tensor([rows - 1.0, columns - 1.0])
        assert bool(((path >= -1e-5) & (path <= last + 1e-5)).all())  # rounding of a weighted mean


@settings(max_examples=20, deadline=None)
@given(side=sides, size=st.sampled_from([0.3, 3.0]), seed=seeds)
def test_a_transposed_path_gives_the_transposed_kernel(side: int, size: float, seed: int) -> None:
    prior = fill(MotionPath((1, 1, side, side)), size, seed)
    expected = prior().mT.clone()
    with torch.no_grad():
        prior.coordinates.copy_(prior.coordinates.flip(2))
    assert torch.allclose(prior(), expected, atol=ROUNDING)


@settings(max_examples=20, deadline=None)
@given(height=odd_sides, width=odd_sides, cutoff=st.floats(0.2, 4), size=st.sampled_from([0.3, 3.0]), seed=seeds)
def test_mirrored_aberrations_give_the_mirrored_kernel(
    height: int, width: int, cutoff: float, size: float, seed: int
) -> None:
    """Modes of odd degree change their sign. Even modes alone have the same kernel with either sign."""
    prior = fill(ZernikeKernel((1, 1, height, width), cutoff=cutoff), size, seed)
    odd = torch.tensor([noll(DEFOCUS_INDEX + mode)[0] % 2 == 1 for mode in range(8)])
    coefficients, expected = prior.coefficients.detach().clone(), prior().flip((2, 3))
    for mirrored in (torch.where(odd, -coefficients, coefficients), -coefficients):
        with torch.no_grad():
            prior.coefficients.copy_(mirrored)
        assert torch.allclose(prior(), expected, atol=ROUNDING)
