"""Weights and noise level that follow from variances."""

from __future__ import annotations

from math import inf
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import invkit
from invkit.numerics.noise import weights_of_variances

variances = st.lists(st.floats(1e-9, 1e9) | st.just(inf), min_size=2, max_size=30).filter(
    lambda values: any(value < inf for value in values)
)
powers = st.integers(-20, 20).map(lambda exponent: 2.0**exponent)
possible_powers = st.integers(-20, 6).map(lambda exponent: 2.0**exponent)  # noise stays weaker than the picture


def as_plane(values: list[float]) -> Tensor:
    return torch.tensor(values, dtype=torch.float64).view(1, 1, 1, -1)


@given(values=variances)
def test_the_mean_over_the_known_data_is_one(values: list[float]) -> None:
    plane = as_plane(values)
    weights, level = weights_of_variances(plane)
    known = plane.isfinite()
    assert torch.equal(weights > 0, known & (weights > 0))
    assert float(weights.double()[known].mean()) == pytest.approx(1, rel=1e-5)
    torch.testing.assert_close(
        (weights.double() * plane)[known], torch.full_like(plane, level**2)[known], rtol=1e-5, atol=0
    )


@given(values=variances, factor=powers)
def test_a_factor_of_all_variances_changes_the_level_alone(values: list[float], factor: float) -> None:
    weights, level = weights_of_variances(as_plane(values))
    others, other = weights_of_variances(factor * as_plane(values))
    assert torch.equal(weights, others)
    assert other == pytest.approx(factor**0.5 * level, rel=1e-12)


@given(value=st.floats(1e-9, 1e9), count=st.integers(1, 40))
def test_equal_variances_have_the_weight_one(value: float, count: int) -> None:
    weights, level = weights_of_variances(as_plane([value] * count))
    assert torch.equal(weights, torch.ones_like(weights))
    assert level == pytest.approx(value**0.5)


@given(values=variances, seed=st.integers(0, 1000))
def test_an_infinite_variance_is_a_masked_datum(values: list[float], seed: int) -> None:
    plane = as_plane(values)
    known = torch.rand(plane.shape, generator=torch.Generator().manual_seed(seed)) < 0.7
    known.view(-1)[int(plane.flatten().argmin())] = True
    masked, infinite = weights_of_variances(plane, known), weights_of_variances(plane.where(known, inf))
    assert torch.equal(masked[0], infinite[0])
    assert masked[1] == infinite[1]


@settings(max_examples=8, deadline=None)
@given(factor=possible_powers, seed=st.integers(0, 100), recipe=st.sampled_from(["gradient", "joint"]))
def test_a_factor_of_all_variances_changes_no_bit_of_an_image_that_does_not_depend_on_the_level(
    factor: float, seed: int, recipe: str
) -> None:
    random = np.random.default_rng(seed)
    picture, variance = random.uniform(0.1, 0.9, (20, 22)).astype(np.float32), random.uniform(1e-5, 1e-3, (20, 22))
    solver = "joint-adam" if recipe == "joint" else "gradient-descent"
    options: dict[str, Any] = {
        "recipe": "tv-admm",
        "overrides": [
            f"solver={solver}",
            "solver.iterations=4",
            "regularizers.0.scale_by=one",
            "regularizers.0.weight=1e-3",
        ],
        "progress": False,
    }
    kernel = np.full((3, 3), 1 / 9)
    first, second = (
        invkit.deconvolve(picture, kernel, variance=one, **options) for one in (variance, factor * variance)
    )
    np.testing.assert_array_equal(first.image, second.image)
    ratio = second.details["noise_sigma"] / first.details["noise_sigma"]
    assert ratio == pytest.approx(factor**0.5, rel=1e-9)
    plain = invkit.deconvolve(picture, kernel, **options)
    assert not np.array_equal(first.image, plain.image)
