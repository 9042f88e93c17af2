"""Edge predictors as functions: they follow shifts of level, changes of scale, transpositions and repeated channels."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from invkit.solvers.map.edge_selection import Gradients, Intensities, RMap, Shock
from invkit.testing.common import drawn

some = settings(max_examples=25, deadline=None)
seeds = st.integers(0, 2**32 - 1)
sizes = st.tuples(st.integers(8, 16), st.integers(8, 16))
kernels = st.tuples(st.integers(1, 3), st.integers(1, 3)).map(lambda half: (2 * half[0] - 1, 2 * half[1] - 1))
iterations = st.integers(0, 10)

GRADIENTS = [Gradients(), Gradients(per_kernel=1.0), Shock(), Shock(per_kernel=2.0, shock_iterations=3), RMap()]
ALL = [*GRADIENTS, Intensities()]


def label(predictor: Any) -> str:
    selection = getattr(predictor, "selection", None)
    return f"{type(predictor).__name__}-{selection.per_kernel if selection else None}"


def pair(size: tuple[int, int], kernel_size: tuple[int, int], seed: int) -> tuple[Tensor, Tensor]:
    """An image and data, in float64 so that thresholds are not crossed by rounding."""
    image = drawn((1, 1, size[0] + kernel_size[0] - 1, size[1] + kernel_size[1] - 1), seed, torch.float64)
    return image, drawn((1, 1, *size), seed + 1, torch.float64)


@pytest.mark.parametrize("predictor", ALL, ids=label)
@some
@given(size=sizes, kernel_size=kernels, iteration=iterations, seed=seeds)
def test_follows_a_transposition(
    predictor: Any, size: tuple[int, int], kernel_size: tuple[int, int], iteration: int, seed: int
) -> None:
    image, data = pair(size, kernel_size, seed)
    results = predictor(image, data, kernel_size, iteration)
    swapped = predictor(image.mT, data.mT, kernel_size[::-1], iteration)
    for value, other in zip(results, swapped, strict=True):
        rows_and_columns = other.mT.flip(1) if other.shape[1] == 2 else other.mT
        assert torch.allclose(value, rows_and_columns, atol=1e-9)


@pytest.mark.parametrize("predictor", GRADIENTS, ids=label)
@some
@given(size=sizes, kernel_size=kernels, iteration=iterations, seed=seeds)
def test_does_not_mind_the_level(
    predictor: Any, size: tuple[int, int], kernel_size: tuple[int, int], iteration: int, seed: int
) -> None:
    image, data = pair(size, kernel_size, seed)
    results = predictor(image, data, kernel_size, iteration)
    raised = predictor(image + 0.25, data + 0.25, kernel_size, iteration)
    for value, other in zip(results, raised, strict=True):
        assert torch.allclose(value, other, atol=1e-9)


@pytest.mark.parametrize("predictor", GRADIENTS, ids=label)
@some
@given(size=sizes, kernel_size=kernels, iteration=iterations, seed=seeds)
def test_repeated_channels_are_selected_as_one(
    predictor: Any, size: tuple[int, int], kernel_size: tuple[int, int], iteration: int, seed: int
) -> None:
    image, data = pair(size, kernel_size, seed)
    results = predictor(image, data, kernel_size, iteration)
    tripled = predictor(image.repeat(1, 3, 1, 1), data.repeat(1, 3, 1, 1), kernel_size, iteration)
    for value, other in zip(results, tripled, strict=True):
        assert torch.allclose(value.repeat_interleave(3, dim=1), other, atol=1e-9)


@some
@given(size=sizes, kernel_size=kernels, iteration=iterations, seed=seeds, factor=st.sampled_from([0.25, 0.5, 2.0]))
def test_gradients_scale_with_the_image(
    size: tuple[int, int], kernel_size: tuple[int, int], iteration: int, seed: int, factor: float
) -> None:
    image, data = pair(size, kernel_size, seed)
    predictor = Gradients(per_kernel=1.0)
    sharp, blurred = predictor(image, data, kernel_size, iteration)
    scaled, scaled_blurred = predictor(factor * image, factor * data, kernel_size, iteration)
    assert torch.allclose(factor * sharp, scaled)
    assert torch.allclose(factor * blurred, scaled_blurred)


@pytest.mark.parametrize("predictor", [Gradients(), Gradients(per_kernel=2.0)], ids=label)
@some
@given(size=sizes, kernel_size=kernels, iteration=iterations, seed=seeds)
def test_what_is_kept_stays_kept_as_iterations_go_on(
    predictor: Any, size: tuple[int, int], kernel_size: tuple[int, int], iteration: int, seed: int
) -> None:
    image, data = pair(size, kernel_size, seed)
    now, later = (predictor(image, data, kernel_size, i)[0] for i in (iteration, iteration + 1))
    assert torch.equal(torch.where(now != 0, later, 0), now)
