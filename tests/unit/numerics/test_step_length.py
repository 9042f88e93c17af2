"""A step whose largest change is a share of the largest value."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from invkit.numerics.conjugate_gradients import changed_by_at_most
from invkit.testing.common import drawn


@settings(max_examples=40, deadline=None)
@given(share=st.floats(1e-4, 2), exponent=st.integers(-40, 12), seed=st.integers(0, 2**32 - 1))
def test_the_largest_change_is_the_share_of_the_largest_value(share: float, exponent: int, seed: int) -> None:
    """Whatever the gradient's magnitude, denormal numbers included, and for each item of the batch alone."""
    values = drawn((3, 2, 4, 5), seed, torch.float64) * torch.tensor([1.0, 5.0, 0.1]).view(3, 1, 1, 1)
    gradient = (drawn((3, 2, 4, 5), (seed + 1) % 2**32, torch.float64) - 0.5) * 10.0**exponent
    change = changed_by_at_most(share, values, gradient) - values
    assert torch.allclose(change.abs().amax((1, 2, 3)), share * values.amax((1, 2, 3)), rtol=1e-9, atol=0)
    cosine = torch.cosine_similarity(change.flatten(1), -gradient.flatten(1) * 10.0**-exponent, dim=1)
    assert torch.allclose(cosine, torch.ones(3, dtype=torch.float64), atol=1e-9)


@pytest.mark.parametrize("magnitude", [1e-44, 1e-30, 1e30])
def test_a_step_is_finite_for_gradients_at_the_ends_of_float32(magnitude: float) -> None:
    values = torch.tensor([[[[0.5, 1.0]]]])
    moved = changed_by_at_most(0.1, values, magnitude * torch.tensor([[[[1.0, 0.0]]]]))
    assert moved.flatten().tolist() == pytest.approx([0.4, 1.0])


def test_values_without_a_gradient_or_without_a_positive_value_stay() -> None:
    values = torch.stack([torch.full((1, 2, 2), 0.5), torch.zeros(1, 2, 2), torch.full((1, 2, 2), -1.0)])
    gradient = torch.stack([torch.zeros(1, 2, 2), torch.ones(1, 2, 2), torch.ones(1, 2, 2)])
    assert torch.equal(changed_by_at_most(0.1, values, gradient), values)
