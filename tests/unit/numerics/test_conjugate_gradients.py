"""The conjugate-gradient solver against dense algebra."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from invkit.numerics.conjugate_gradients import conjugate_gradients, dot_per_channel
from invkit.testing.common import drawn


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("diagonal", [None, torch.arange(1.0, 21).double().view(1, 1, 5, 4)])
def test_it_solves_a_system_in_as_many_iterations_as_unknowns(diagonal: Tensor | None, fused: bool) -> None:
    root = drawn((20, 20), 1, torch.float64)
    matrix = root @ root.T + torch.eye(20)
    right, start = drawn((1, 1, 5, 4), 2, torch.float64), drawn((1, 1, 5, 4), 3, torch.float64)
    before = start.clone()
    solution = conjugate_gradients(
        lambda x: (matrix @ x.flatten()).view_as(x),
        right,
        start,
        iterations=40,
        precondition=None if diagonal is None else lambda residual: residual / diagonal,
        fused=fused,
    )
    assert torch.allclose(solution.flatten(), torch.linalg.solve(matrix, right.flatten()), atol=1e-8)
    assert torch.equal(start, before)


@given(n=st.integers(1, 12), seed=st.integers(0, 99))
@settings(deadline=None)
def test_it_solves_each_channel(n: int, seed: int) -> None:
    factor, right = 2 * drawn((n, n), seed, torch.float64) - 1, 2 * drawn((2, 2, n, 1), seed + 1, torch.float64) - 1
    matrix = factor @ factor.T + torch.eye(n, dtype=factor.dtype)

    def solved(tolerance: float, right: Tensor) -> Tensor:
        return conjugate_gradients(
            lambda x: matrix @ x,
            right,
            torch.zeros_like(right),
            iterations=60,
            tolerance=tolerance,
            precondition=lambda residual: residual / matrix.diag()[:, None],
            inner_product=dot_per_channel,
        )

    assert torch.allclose(matrix @ solved(1e-12, right), right, atol=1e-9)
    assert torch.equal(solved(0.5, torch.zeros_like(right)), torch.zeros_like(right))


def test_each_image_of_a_batch_has_its_own_step_lengths() -> None:
    scale = torch.tensor([1.0, 1e4]).double()[:, None, None, None]  # one step length cannot serve both images
    weights = scale * torch.linspace(1, 3, 12).double().view(1, 1, 3, 4)
    right = torch.ones(2, 1, 3, 4).double()
    found = conjugate_gradients(lambda x: weights * x, right, torch.zeros_like(right), iterations=12)
    assert torch.allclose(found, right / weights, rtol=1e-9)


def test_it_stops_when_the_residual_is_small() -> None:
    right, products = torch.ones(1, 1, 2, 2), []

    def matrix(x: Tensor) -> Tensor:
        products.append(x)
        return 2 * x

    solution = conjugate_gradients(matrix, right, torch.zeros(1, 1, 2, 2), iterations=50, tolerance=1e-3)
    assert torch.allclose(solution, right / 2)
    assert len(products) == 2  # the first residual, and the one step that a multiple of the identity needs


def test_it_does_not_change_a_solution() -> None:
    right = torch.ones(1, 1, 3, 4).double()
    assert torch.equal(conjugate_gradients(lambda x: 2 * x, right, right / 2, iterations=3), right / 2)
