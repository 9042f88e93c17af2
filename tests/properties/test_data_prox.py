"""Proximal maps of fidelities: correct against brute force, and with the implied properties."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from invkit.fidelities.norms import L1, MSE, Huber
from invkit.fidelities.poisson import GaussianPoisson, Poisson

many = settings(max_examples=200, deadline=None)
numbers = st.floats(-2, 3)
light = st.floats(0, 1) | st.just(0.0)
steps = st.floats(-4, 2).map(lambda exponent: 10**exponent)
dtypes = st.sampled_from([torch.float32, torch.float64])
huber = st.builds(Huber, threshold=st.floats(1e-3, 1))
divergences = st.just(Poisson()) | st.builds(
    GaussianPoisson, white_electrons=st.floats(5, 5000), read_noise=st.floats(0, 10)
)
every = st.sampled_from([MSE(), L1()]) | huber | divergences


def one(value: float, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.full((1, 1, 1, 1), value, dtype=dtype)


def lowest(fidelity: Any, predicted: float, data: float, step: float) -> float:
    """The least objective over finer and finer grids between the prediction and the data, and somewhat beyond."""
    low, high = min(predicted, data) - 0.1, max(predicted, data) + 0.1
    for _ in range(8):
        grid = torch.linspace(low, high, 2001, dtype=torch.float64).clamp(min=fidelity.least)
        values = cost(fidelity, grid, predicted, data, step)
        best, width = float(grid[values.argmin()]), (high - low) / 500
        low, high = best - width, best + width
    return float(values.min())


def cost(fidelity: Any, points: Tensor, predicted: float, data: float, step: float) -> Tensor:
    """The objective of the proximal map at points (n,), in float64."""
    values = fidelity.values(points.view(1, 1, 1, -1), torch.full((1, 1, 1, len(points)), data, dtype=points.dtype))
    cost: Tensor = step * values.flatten() + (points - predicted).square() / 2
    return cost


@many
@given(fidelity=every, predicted=numbers, data=light, step=steps, dtype=dtypes)
def test_the_prox_is_as_low_as_by_brute_force(
    fidelity: Any, predicted: float, data: float, step: float, dtype: torch.dtype
) -> None:
    """The tolerance covers, for float32, the rounding of the solution next to the pole of the divergence."""
    found = fidelity.prox(one(predicted, dtype), one(data, dtype), step)
    assert found.dtype == dtype
    assert float(found) >= fidelity.least - 1e-6
    reached = float(cost(fidelity, found.double().flatten().clamp(min=fidelity.least), predicted, data, step))
    least = lowest(fidelity, predicted, data, step)
    assert reached <= least + 1e-5 * (1 + abs(least)) * (1 + step)


@many
@given(fidelity=every, value=st.floats(0.01, 1), step=steps)
def test_a_prediction_that_is_the_data_stays(fidelity: Any, value: float, step: float) -> None:
    assert float(fidelity.prox(one(value), one(value), step)) == pytest.approx(value, rel=1e-9)


@many
@given(fidelity=every, first=numbers, second=numbers, data=light, step=steps)
def test_two_solutions_are_not_farther_apart_than_the_predictions(
    fidelity: Any, first: float, second: float, data: float, step: float
) -> None:
    solutions = [float(fidelity.prox(one(value), one(data), step)) for value in (first, second)]
    assert abs(solutions[0] - solutions[1]) <= abs(first - second) + 1e-9


@many
@given(data=st.floats(0.01, 1), step=steps, predicted=numbers)
def test_without_read_noise_photons_are_alone(data: float, step: float, predicted: float) -> None:
    alone, sensor = Poisson(), GaussianPoisson(read_noise=0)
    assert torch.equal(alone(one(0.3), one(data)), sensor(one(0.3), one(data)))
    assert torch.equal(alone.prox(one(predicted), one(data), step), sensor.prox(one(predicted), one(data), step))


@many
@given(predicted=numbers, data=light)
def test_huber_is_squared_error_within_its_threshold_and_linear_beyond(predicted: float, data: float) -> None:
    threshold, apart = 0.25, abs(predicted - data)
    expected = apart**2 if apart <= threshold else 2 * threshold * apart - threshold**2
    assert float(Huber(threshold=threshold)(one(predicted), one(data))) == pytest.approx(expected, abs=1e-12)


@settings(max_examples=20, deadline=None)
@given(electrons=st.floats(200, 2000), read_noise=st.floats(5, 15), mean=st.floats(0.05, 0.9))
def test_the_shifted_divergence_is_half_a_photon_per_value(electrons: float, read_noise: float, mean: float) -> None:
    """Its expectation is that of Poisson noise, half the value of an electron, if there are many (Snyder et al.)."""
    random = torch.Generator().manual_seed(0)
    light = torch.full((1, 1, 300, 300), mean, dtype=torch.float64)
    counts = torch.poisson(electrons * light, generator=random)
    counts = counts + read_noise * torch.randn(counts.shape, generator=random, dtype=counts.dtype)
    fidelity = GaussianPoisson(white_electrons=electrons, read_noise=read_noise)
    assert float(2 * electrons * fidelity(light, counts / electrons)) == pytest.approx(1, abs=0.05)
