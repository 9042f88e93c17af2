"""The kernel's normal equations in expectation against dense float64 algebra."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from scipy.optimize import nnls

from invkit.core.errors import InputError
from invkit.numerics.mean_field import MeanField
from invkit.solvers.map.expected_normal_equations import ExpectedNormalEquations, expected_normal_equations
from invkit.testing.common import drawn
from invkit.testing.map_steps import blurred_edges

SIZE, DATA = (5, 4), (14, 13)
COUNT = math.prod(SIZE)


def latent_and_data(holes: bool = True) -> tuple[MeanField, torch.Tensor, torch.Tensor]:
    """Distribution, data with noise, so that the least-squares kernel has negative entries, and mask; float64."""
    sharp, blurred, _ = blurred_edges((1, 2, *DATA), SIZE)
    variance = 0.02 * drawn(tuple(sharp.shape), 7, torch.float64)
    noise = 0.2 * (drawn(tuple(blurred.shape), 5, torch.float64) - 0.5)
    mask = (drawn(tuple(blurred.shape), 6, torch.float64) > 0.3 * holes).double()
    return MeanField(sharp, variance), blurred + noise, mask


def dense(latent: MeanField, blurred: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """``A^T M A + D`` and ``A^T M b``, summed over the planes."""
    units = torch.eye(COUNT, dtype=torch.float64).view(-1, 1, *SIZE).flip(-2, -1)
    matrix, right = torch.zeros(COUNT, COUNT, dtype=torch.float64), torch.zeros(COUNT, dtype=torch.float64)
    for plane in range(2):
        columns = F.conv2d(latent.mean[:, plane : plane + 1], units)[0].flatten(1).T * mask[0, plane].flatten()[:, None]
        windows = F.conv2d(latent.variance[:, plane : plane + 1], units)[0].flatten(1).T
        matrix += columns.T @ columns + (windows * mask[0, plane].flatten()[:, None]).sum(0).diag()
        right += columns.T @ blurred[0, plane].flatten()
    return matrix, right


def uniform() -> torch.Tensor:
    return torch.full((1, 1, *SIZE), 1 / COUNT, dtype=torch.float64)


def equations_of(
    latent: MeanField, blurred: torch.Tensor, mask: torch.Tensor
) -> tuple[ExpectedNormalEquations, torch.Tensor, torch.Tensor]:
    return expected_normal_equations(latent, blurred, mask, uniform()), *dense(latent, blurred, mask)


def test_product_and_right_side_are_dense() -> None:
    equations, matrix, right = equations_of(*latent_and_data())
    kernel = drawn((1, 1, *SIZE), 8, torch.float64)
    torch.testing.assert_close(equations.exact(kernel).flatten(), matrix @ kernel.flatten())
    torch.testing.assert_close(equations.right.flatten(), right)


def test_the_expected_error_is_that_of_samples() -> None:
    latent, blurred, mask = latent_and_data()
    equations, kernel = (
        expected_normal_equations(latent, blurred, mask, uniform()),
        drawn((1, 1, *SIZE), 8, torch.float64),
    )
    generator = torch.Generator().manual_seed(0)
    deviates = torch.randn(4000, *latent.mean.shape[1:], generator=generator, dtype=torch.float64)
    samples = (latent.mean + latent.variance.sqrt() * deviates).flatten(0, 1)[:, None]
    predicted = F.conv2d(samples, kernel.flip(-2, -1)).view(-1, *blurred.shape[1:])
    measured = ((predicted - blurred) * mask).square().sum((1, 2, 3)).mean()
    expected = (kernel * (equations.exact(kernel) - 2 * equations.right)).sum() + (blurred * mask).square().sum()
    assert float(expected) == pytest.approx(float(measured), rel=0.01)  # three standard errors


@pytest.mark.parametrize("weight", [0.0, 2.0])
def test_the_solution_is_that_of_dense_non_negative_least_squares(weight: float) -> None:
    latent, blurred, mask = latent_and_data()
    equations, matrix, right = equations_of(latent, blurred, mask)
    penalty = weight * drawn((1, 1, *SIZE), 9, torch.float64)
    factor = torch.linalg.cholesky(matrix + penalty.flatten().diag())
    expected, _ = nnls(
        factor.T.numpy(), torch.linalg.solve_triangular(factor, right[:, None], upper=False)[:, 0].numpy()
    )
    found = solved_to_the_end(equations, sum_to_one=False, penalty=penalty)
    torch.testing.assert_close(found.flatten(), torch.from_numpy(expected), rtol=1e-4, atol=1e-5)
    assert bool((found == 0).any())


def test_the_solution_on_the_simplex_is_optimal() -> None:
    equations, matrix, right = equations_of(*latent_and_data())
    found = solved_to_the_end(equations, sum_to_one=True).flatten()
    slope = matrix @ found - right
    assert float(found.sum()) == pytest.approx(1)
    # No mass can move to a pixel of lower slope.
    torch.testing.assert_close(
        slope[found > 0], slope[found > 0].mean().expand(int((found > 0).sum())), atol=1e-4, rtol=0
    )
    assert bool((slope[found == 0] >= slope[found > 0].mean() - 1e-4).all())


def solved_to_the_end(
    equations: ExpectedNormalEquations, sum_to_one: bool, penalty: torch.Tensor | None = None
) -> torch.Tensor:
    kernel = uniform()
    for _ in range(20):
        kernel = equations.solved(kernel, iterations=600, sum_to_one=sum_to_one, penalty=penalty)
    return kernel


@pytest.mark.parametrize("holes", [False, True])
def test_every_solve_lowers_the_expected_error(holes: bool) -> None:
    equations, matrix, right = equations_of(*latent_and_data(holes))
    kernel, heights = uniform(), []
    for _ in range(4):
        heights.append(float(kernel.flatten() @ matrix @ kernel.flatten() / 2 - right @ kernel.flatten()))
        kernel = equations.solved(kernel, iterations=30, sum_to_one=True)
    assert sorted(heights, reverse=True) == heights


def test_without_data_the_kernel_stays() -> None:
    latent, blurred, mask = latent_and_data()
    nothing = MeanField(0 * latent.mean, 0 * latent.variance)
    equations = expected_normal_equations(nothing, blurred, 0 * mask, uniform())
    assert equations.corrections == 0
    torch.testing.assert_close(equations.solved(uniform(), iterations=10, sum_to_one=True), uniform())


def test_other_shapes_are_refused() -> None:
    latent, blurred, mask = latent_and_data()
    with pytest.raises(InputError, match="sharp"):
        expected_normal_equations(latent, blurred[..., 1:], mask[..., 1:], uniform())
