"""The expected divergence of counts from their mean, against many draws, and what stops Richardson-Lucy in the dark."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from invkit.core.fidelity_abilities import divergence
from invkit.solvers.discrepancy import expected_discrepancy, expected_divergence


@given(mean=st.floats(0.01, 250.0), seed=st.integers(0, 10))
def test_it_is_the_mean_over_many_draws(mean: float, seed: int) -> None:
    counts = torch.from_numpy(np.random.default_rng(seed).poisson(mean, 40_000)).double()
    drawn = divergence(counts, torch.full_like(counts, mean))
    error = 4 * float(drawn.std()) / len(counts) ** 0.5 + 1e-3  # four standard errors, and the interpolation
    assert float(expected_divergence(torch.tensor([mean], dtype=torch.float64))) == pytest.approx(
        float(drawn.mean()), abs=error
    )


@given(photons=st.floats(0, 1e6))
def test_it_lies_between_zero_and_its_largest_value(photons: float) -> None:
    found = float(expected_divergence(torch.tensor([photons], dtype=torch.float64)))
    assert 0 <= found <= 0.6
    if photons > 100:
        assert found == pytest.approx(0.5, abs=2e-3)


@pytest.mark.parametrize("photons", [0.02, 0.5, 20.0])
def test_the_true_image_has_about_the_expected_discrepancy(photons: float) -> None:
    gain = 0.01
    mean = gain * photons * (1 + torch.linspace(0, 2, 200 * 200, dtype=torch.float64)).view(1, 1, 200, 200)
    counts = gain * torch.poisson(mean / gain, generator=torch.Generator().manual_seed(0))
    found = divergence(counts, mean).mean((1, 2, 3))
    level = torch.tensor([gain], dtype=torch.float64)
    torch.testing.assert_close(expected_discrepancy("poisson", level, mean, None), found, rtol=0.06, atol=0)
    half = torch.zeros(1, 1, 200, 200, dtype=torch.bool)
    half[..., :100] = True
    part = (divergence(counts, mean) * half).mean((1, 2, 3))
    torch.testing.assert_close(expected_discrepancy("poisson", level, mean, half), part, rtol=0.08, atol=0)


def test_each_datum_counts_by_its_weight() -> None:
    gain = 0.01
    mean = gain * (5 + 20 * torch.linspace(0, 1, 200 * 200, dtype=torch.float64)).view(1, 1, 200, 200)
    counts = gain * torch.poisson(mean / gain, generator=torch.Generator().manual_seed(0))
    weights = torch.linspace(0, 3, 200, dtype=torch.float64).expand(1, 1, 200, 200)
    level = torch.tensor([gain], dtype=torch.float64)
    found = (weights * divergence(counts, mean)).mean((1, 2, 3))
    torch.testing.assert_close(expected_discrepancy("poisson", level, mean, weights), found, rtol=0.06, atol=0)
    noise = (0.02 / weights.clamp(min=1e-9)).sqrt() * torch.randn(
        mean.shape, generator=torch.Generator().manual_seed(1)
    )
    squares = (weights * noise.square()).mean((1, 2, 3))
    expected = expected_discrepancy("gaussian", torch.tensor([0.02]), mean, weights)
    torch.testing.assert_close(expected.double(), squares.double(), rtol=0.03, atol=0)


def test_the_other_rules() -> None:
    level, predicted = torch.tensor([0.04]), torch.rand(1, 1, 4, 4)
    assert expected_discrepancy("never", level, predicted, None).tolist() == [-torch.inf]
    assert expected_discrepancy("gaussian", level, predicted, None).tolist() == pytest.approx([0.04])
