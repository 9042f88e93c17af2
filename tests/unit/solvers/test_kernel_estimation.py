"""Kernel steps against dense float64 algebra on small sizes, and on a photograph."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.optimize import nnls

from invkit.core.errors import InputError
from invkit.media.images import read_image
from invkit.media.kernels import read_kernel
from invkit.numerics.framing import extend
from invkit.solvers.map.interfaces import KernelEstimation
from invkit.solvers.map.kernel_estimation import (
    ConjugateGradients,
    L1Reweighted,
    ProjectedGradient,
    SupportDetection,
    ToeplitzLeastSquares,
    detected_support,
)
from invkit.solvers.map.normal_equations import (
    accelerated_descent,
    cut_and_normalised,
    largest_eigenvalue,
    least_squares_gradient,
    normal_equations,
    project_on_simplex,
    toeplitz_matrix,
)
from invkit.testing.common import drawn
from invkit.testing.map_steps import blurred_edges

SIZE = (5, 4)
STEPS = [ConjugateGradients, ToeplitzLeastSquares, L1Reweighted, SupportDetection, ProjectedGradient]


def noisy_edges(size: tuple[int, int] = (26, 23)) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Edges, their blur with noise, so that the least-squares kernel has negative entries, and a start; float64."""
    sharp, blurred, _ = blurred_edges((1, 2, *size), SIZE)
    return sharp, blurred + 0.2 * (drawn(tuple(blurred.shape), 5, torch.float64) - 0.5), uniform(SIZE)


def uniform(size: tuple[int, int], batch: int = 1) -> torch.Tensor:
    return torch.full((batch, 1, *size), 1 / (size[0] * size[1]), dtype=torch.float64)


def basis(size: tuple[int, int]) -> torch.Tensor:
    """Every kernel that is one at one pixel, (h w, 1, h, w)."""
    return torch.eye(size[0] * size[1], dtype=torch.float64).view(-1, 1, *size)


def convolution_matrix(sharp: torch.Tensor, size: tuple[int, int], padding: int | tuple[int, int] = 0) -> torch.Tensor:
    """The matrix of the valid (or, padded, the full) convolution of one image as a function of the kernel."""
    columns = [F.conv2d(sharp.transpose(0, 1), unit[None].flip(-2, -1), padding=padding) for unit in basis(size)]
    return torch.stack([column.flatten() for column in columns], 1)


def full_matrix(sharp: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    return convolution_matrix(sharp, size, (size[0] - 1, size[1] - 1))


def matrix_of(times: Callable[[torch.Tensor], torch.Tensor], size: tuple[int, int]) -> torch.Tensor:
    return torch.cat([times(unit[None]).flatten()[None] for unit in basis(size)])


def dense(
    sharp: torch.Tensor, blurred: torch.Tensor, size: tuple[int, int]
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """A^T A, the Toeplitz matrix and A^T b."""
    matrix, full = convolution_matrix(sharp, size), full_matrix(sharp, size)
    return matrix.T @ matrix, full.T @ full, matrix.T @ blurred.flatten()


def nonnegative(matrix: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """The minimiser of k^T matrix k / 2 - right^T k over k >= 0, by another algorithm."""
    factor = torch.linalg.cholesky(matrix)
    found, _ = nnls(factor.T.numpy(), torch.linalg.solve_triangular(factor, right[:, None], upper=False)[:, 0].numpy())
    return torch.from_numpy(found)


def corrected(
    solve: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    sharp: torch.Tensor,
    blurred: torch.Tensor,
    size: tuple[int, int],
    ridge: float,
    corrections: int,
) -> torch.Tensor:
    """Solve with the Toeplitz matrix, then with the right side corrected at that solution, and so on."""
    exact, toeplitz, right = dense(sharp, blurred, size)
    ridged = toeplitz + ridge * torch.eye(len(toeplitz), dtype=torch.float64)
    found = solve(ridged, right)
    for _ in range(corrections):
        found = solve(ridged, right + toeplitz @ found - exact @ found)
    return found


def scaled(vector: torch.Tensor) -> torch.Tensor:
    vector = vector.clamp(min=0)
    return vector / vector.sum()


def test_a_toeplitz_matrix_holds_the_autocorrelation_at_the_difference_of_two_pixels() -> None:
    lags = drawn((2, 1, 5, 7), dtype=torch.float64)
    matrix = toeplitz_matrix(lags, 3, 4)
    pixels = [(row, column) for row in range(3) for column in range(4)]
    for i, (row, column) in enumerate(pixels):
        for j, (other_row, other_column) in enumerate(pixels):
            assert torch.equal(matrix[:, i, j], lags[:, 0, 2 + row - other_row, 3 + column - other_column])


@pytest.mark.parametrize("size", [(1, 1), (1, 4), (5, 4), (6, 6)])
@pytest.mark.parametrize("limit", [0, 10**6], ids=["fourier", "dense"])
def test_normal_equations_are_those_of_the_convolution_matrices(
    size: tuple[int, int], limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("invkit.solvers.map.normal_equations.MAX_DENSE_UNKNOWNS", limit)
    sharp, blurred, kernel = blurred_edges((1, 3, 12, 11), size)
    equations = normal_equations(sharp, blurred, kernel)
    exact, toeplitz, right = dense(sharp, blurred, size)
    close: dict[str, Any] = {"rtol": 1e-10, "atol": 1e-10}  # rounding of float64 Fourier transforms
    assert torch.allclose(equations.predicted(kernel), blurred, **close)
    assert torch.allclose(equations.right.flatten(), right, **close)
    assert torch.allclose(matrix_of(equations.exact, size), exact, **close)
    assert torch.allclose(matrix_of(equations.approximate, size), toeplitz, **close)
    ridged = matrix_of(equations.approximate.ridged(2 * equations.scale), size)
    assert torch.allclose(ridged, toeplitz + 2 * sharp.square().sum() * torch.eye(len(right)).double(), **close)


def test_the_toeplitz_matrix_majorises_the_normal_matrix() -> None:
    sharp, blurred, _ = blurred_edges((1, 2, 9, 10), SIZE)
    exact, toeplitz, _ = dense(sharp, blurred, SIZE)
    assert torch.linalg.eigvalsh(toeplitz - exact)[0] > -1e-10


def test_what_explains_the_data_solves_the_corrected_equations() -> None:
    sharp, blurred, kernel = blurred_edges((1, 2, 20, 21), SIZE)
    equations = normal_equations(sharp, blurred, kernel)
    assert torch.allclose(equations.corrected(kernel), equations.approximate(kernel), atol=1e-10)


@pytest.mark.parametrize(
    ("data_size", "kernel_size", "corrections"),
    [
        ((20, 20), (1, 1), 0),
        ((3000, 4000), (65, 65), 1),
        ((255, 255), (27, 27), 2),
        ((26, 23), SIZE, 3),
        ((5, 5), (9, 9), 5),
    ],
)
def test_the_larger_the_border_the_more_corrections(
    data_size: tuple[int, int], kernel_size: tuple[int, int], corrections: int
) -> None:
    small = blurred_edges((1, 1, 9, 9), (3, 3))
    equations = replace(normal_equations(*small), data_size=data_size, kernel_size=kernel_size)
    assert equations.corrections == corrections


def test_each_image_of_a_batch_has_its_own_equations() -> None:
    sharp, blurred, kernel = blurred_edges((2, 2, 14, 13), SIZE)
    both = normal_equations(sharp, blurred, kernel)
    for i in range(2):
        one = normal_equations(sharp[i : i + 1], blurred[i : i + 1], kernel[i : i + 1])
        assert torch.allclose(both.corrected(kernel)[i : i + 1], one.corrected(kernel[i : i + 1]))


def test_the_largest_eigenvalue_is_not_underestimated() -> None:
    sharp, blurred, kernel = blurred_edges((1, 2, 40, 41), (9, 9))
    times = normal_equations(sharp, blurred, kernel).approximate
    largest = torch.linalg.eigvalsh(matrix_of(times, (9, 9)))[-1]
    assert largest < largest_eigenvalue(times, kernel) < 1.15 * largest


def test_accelerated_descent_finds_the_nonnegative_minimum() -> None:
    sharp, blurred, start = noisy_edges()
    equations = normal_equations(sharp, blurred, start)
    bound = largest_eigenvalue(equations.approximate, start)
    found = accelerated_descent(
        equations.approximate, equations.right, start, 500, bound, lambda kernel: kernel.clamp(min=0)
    )
    expected = nonnegative(matrix_of(equations.approximate, SIZE), equations.right.flatten())
    assert (expected == 0).any()
    assert torch.allclose(found.flatten(), expected, atol=1e-9)


def test_nearest_kernel() -> None:
    points = torch.tensor([[0.5, 0.5], [2.0, 0.0], [0.9, 0.3], [-1.0, -1.0]]).view(4, 1, 1, 2)
    expected = torch.tensor([[0.5, 0.5], [1.0, 0.0], [0.8, 0.2], [0.5, 0.5]])
    assert torch.allclose(project_on_simplex(points).view(4, 2), expected)


def test_what_has_nothing_positive_is_no_kernel() -> None:
    fallback = uniform((1, 2), 3)
    values = torch.tensor([[-1.0, 3.0], [-1.0, 0.0], [torch.nan, 1.0]]).double().view(3, 1, 1, 2)
    assert cut_and_normalised(values, fallback).view(3, 2).tolist() == [[0, 1], [0.5, 0.5], [0.5, 0.5]]


def test_conjugate_gradients_step_is_ridge_least_squares() -> None:
    sharp, blurred, start = noisy_edges()
    found = ConjugateGradients(weight=3.0, iterations=60, tolerance=0.0)(sharp, blurred, start)
    expected = scaled(corrected(torch.linalg.solve, sharp, blurred, SIZE, 3.0, 3))
    assert torch.allclose(found.flatten(), expected, atol=1e-10)


def test_toeplitz_step_is_nonnegative_ridge_least_squares() -> None:
    sharp, blurred, start = noisy_edges()
    ridge = 0.05 * float(sharp.square().sum())
    found = ToeplitzLeastSquares(weight=0.05, iterations=1200)(sharp, blurred, start)
    assert torch.allclose(found.flatten(), scaled(corrected(nonnegative, sharp, blurred, SIZE, ridge, 3)), atol=1e-9)


def on_simplex(matrix: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """As `nonnegative`, with a sum of one enforced by a penalty."""
    penalty = 1e7
    return nonnegative(matrix + penalty * torch.ones_like(matrix), right + penalty)


def test_toeplitz_step_on_the_simplex_is_constrained_least_squares() -> None:
    sharp, blurred, start = noisy_edges()
    found = ToeplitzLeastSquares(weight=0.0, iterations=1200, sum_to_one=True)(sharp, blurred, start)
    expected = corrected(on_simplex, sharp, blurred, SIZE, 0.0, 3)
    assert torch.allclose(found.flatten(), expected, atol=1e-5)  # what the penalty leaves of the constraint


@pytest.mark.parametrize(
    "step", [ConjugateGradients(weight=0.0, iterations=60), ToeplitzLeastSquares(weight=0.0, iterations=400)]
)
def test_the_corrections_remove_the_border(step: KernelEstimation) -> None:
    sharp, blurred, truth = blurred_edges((1, 2, 40, 37), SIZE)
    toeplitz, right = dense(sharp, blurred, SIZE)[1:]
    uncorrected = (scaled(torch.linalg.solve(toeplitz, right)) - truth.flatten()).norm()
    left = (step(sharp, blurred, uniform(SIZE)) - truth).norm()
    assert left < 0.1 * uncorrected
    assert left < 0.002 * truth.norm()


@pytest.mark.parametrize("power", [1.0, 0.5])
def test_l1_step_is_reweighted_least_squares(power: float) -> None:
    sharp, blurred, start = noisy_edges()
    exact, toeplitz, right = dense(sharp, blurred, SIZE)
    penalty, kernel, side = 0.01 * power * sharp.square().sum() / 2, start.flatten(), right
    for number in range(3):
        side = right + (toeplitz @ kernel - exact @ kernel if number else 0)
        size = kernel.abs().maximum(1e-3 * kernel.abs().max())
        kernel = torch.linalg.solve(toeplitz + penalty * torch.diag(size ** (power - 2)), side)
    step = L1Reweighted(weight=0.01, rounds=3, iterations=120, tolerance=0.0, power=power)
    found = step(sharp, blurred, start)
    assert torch.allclose(found.flatten(), scaled(kernel), atol=1e-8)


def test_a_heavier_l1_penalty_gives_a_sparser_kernel() -> None:
    counts = [int((L1Reweighted(weight=weight, rounds=20)(*noisy_edges()) > 1e-2).sum()) for weight in (0.0, 0.02, 0.2)]
    assert counts[0] > counts[1] > counts[2] >= 1


def test_a_lower_power_gives_a_sparser_kernel() -> None:
    counts = [
        int((L1Reweighted(weight=0.01, rounds=20, power=power)(*noisy_edges()) > 1e-2).sum()) for power in (1, 0.5)
    ]
    assert counts[0] > counts[1] >= 1


def test_the_support_lies_above_the_first_significant_jump() -> None:
    kernel = torch.tensor([0.0, 0.001, 0.002, 0.5, 0.3, 0.1]).view(1, 1, 2, 3)
    # ascending .0, .001, .002, .1: the third difference is the first above .5 / (2 * 3 * i)
    assert detected_support(kernel).flatten().tolist() == [False, False, False, True, True, True]


@pytest.mark.parametrize("size", [(1, 1), (1, 3), (4, 4)])
def test_the_support_of_a_constant_kernel_is_all_of_it(size: tuple[int, int]) -> None:
    assert detected_support(uniform(size, 2)).all()


def test_support_detection_without_weight_is_nonnegative_least_squares() -> None:
    sharp, blurred, start = noisy_edges()
    found = SupportDetection(weight=0.0, rounds=2, iterations=500, tolerance=0.0)(sharp, blurred, start)
    assert torch.allclose(found.flatten(), scaled(corrected(nonnegative, sharp, blurred, SIZE, 0.0, 1)), atol=1e-9)


def test_support_detection_penalises_outside_the_support_only() -> None:
    sharp, blurred, start = noisy_edges()
    start = torch.zeros_like(start)
    start[..., 1:3, 1:3] = 0.25
    found = SupportDetection(weight=10.0, rounds=1, iterations=300)(sharp, blurred, start)
    assert (found[start == 0] == 0).all()
    inside = (start > 0).flatten()
    toeplitz, right = dense(sharp, blurred, SIZE)[1:]
    expected = nonnegative(toeplitz[inside][:, inside], right[inside])
    assert torch.allclose(found.flatten()[inside], scaled(expected), atol=1e-9)


def test_support_detection_stops_each_kernel_when_it_settles() -> None:
    sharp, blurred, start = noisy_edges()
    patient = SupportDetection(rounds=50, tolerance=1e-3)(sharp, blurred, start)
    further = SupportDetection(rounds=100, tolerance=1e-3)(sharp, blurred, start)
    assert torch.equal(patient, further)


def test_delayed_normalisation_steps_then_clips_then_divides() -> None:
    sharp, blurred, start = noisy_edges()
    exact, _, right = dense(sharp, blurred, SIZE)
    largest = float(largest_eigenvalue(normal_equations(sharp, blurred, start).approximate, start))
    kernel = start.flatten()
    for _ in range(3):
        kernel = scaled(kernel - 0.8 / largest * (exact @ kernel - right))
    found = ProjectedGradient(step=0.8, iterations=3)(sharp, blurred, start)
    assert torch.allclose(found.flatten(), kernel, atol=1e-12)


def test_the_gradient_is_that_of_the_dense_matrix() -> None:
    sharp, blurred, start = noisy_edges()
    exact, _, right = dense(sharp, blurred, SIZE)
    found = least_squares_gradient(sharp, blurred, start)(start).flatten()
    assert torch.allclose(found, exact @ start.flatten() - right, atol=1e-10)


@pytest.mark.parametrize("normalisation", ["delayed", "projection"])
def test_a_step_by_the_largest_change_moves_then_imposes_the_constraints(normalisation: Any) -> None:
    """The unconstrained step is as long as promised; only afterwards are entries cut and the sum divided."""
    sharp, blurred, start = noisy_edges()
    start = start + 0.04 * drawn(tuple(start.shape), 7, torch.float64)
    start = start / start.sum()
    exact, _, right = dense(sharp, blurred, SIZE)
    constrained = scaled if normalisation == "delayed" else lambda vector: project_on_simplex(vector[None])[0]
    kernel, least = start.flatten(), 0.0
    for _ in range(5):
        gradient = exact @ kernel - right
        moved = kernel - 1.5 * kernel.max() / gradient.abs().max() * gradient
        assert float((moved - kernel).abs().max()) == pytest.approx(1.5 * float(kernel.max()))
        least = min(least, float(moved.min()))
        kernel = constrained(moved)
    found = ProjectedGradient(step=1.5, step_rule="largest-change", iterations=5, normalisation=normalisation)(
        sharp, blurred, start
    )
    assert torch.allclose(found.flatten(), kernel, atol=1e-12)
    assert least < 0, "no step leaves the kernels >= 0, so that the order does not matter"


def test_with_the_delay_an_equal_change_of_all_entries_counts_but_the_projection_undoes_it() -> None:
    """Constant edges fix only the kernel's sum. Too dark an image then raises all entries alike."""
    sharp, blurred = torch.ones(1, 1, 14, 13, dtype=torch.float64), torch.full((1, 1, 10, 10), 2.0, dtype=torch.float64)
    start = torch.linspace(1, 3, 20, dtype=torch.float64).view(1, 1, *SIZE)
    start = start / start.sum()
    delayed = ProjectedGradient(step=0.5, step_rule="largest-change")(sharp, blurred, start)
    raised = start + 0.5 * start.max()
    assert torch.allclose(delayed, raised / raised.sum(), atol=1e-12)
    projected = ProjectedGradient(step=0.5, step_rule="largest-change", normalisation="projection")
    assert torch.allclose(projected(sharp, blurred, start), start, atol=1e-12)


@pytest.mark.parametrize("normalisation", ["delayed", "projection"])
def test_small_steps_by_the_largest_change_descend(normalisation: Any) -> None:
    sharp, blurred, truth = blurred_edges((1, 2, 26, 23), SIZE)
    step = ProjectedGradient(step=0.02, step_rule="largest-change", normalisation=normalisation)
    kernel, errors = uniform(SIZE), []
    for _ in range(40):
        errors.append(float((normal_equations(sharp, blurred, kernel).predicted(kernel) - blurred).square().sum()))
        kernel = step(sharp, blurred, kernel)
    assert errors == sorted(errors, reverse=True)
    assert float((kernel - truth).norm()) < 0.9 * float((uniform(SIZE) - truth).norm())


def test_projection_reaches_the_least_squares_kernel_of_the_simplex() -> None:
    sharp, blurred, start = noisy_edges()
    exact, _, right = dense(sharp, blurred, SIZE)
    found = ProjectedGradient(iterations=3000, normalisation="projection")(sharp, blurred, start).flatten()
    gradient = exact @ found - right
    level = gradient[found > 0].mean()
    assert torch.allclose(
        gradient[found > 0], level.expand(int((found > 0).sum())), atol=1e-6 * float(right.abs().max())
    )
    assert (gradient[found == 0] >= level).all()


@pytest.mark.parametrize("component", STEPS)
def test_without_edges_the_kernel_stays(component: type[Any]) -> None:
    start = drawn((2, 1, 4, 3)) + 0.1
    start = start / start.sum((1, 2, 3), keepdim=True)
    found = component()(torch.zeros(2, 2, 13, 12), torch.zeros(2, 2, 10, 10), start)
    assert torch.allclose(found, start, atol=1e-6)


@pytest.mark.parametrize("step", [ConjugateGradients(weight=0.05), *(component() for component in STEPS[1:])])
@pytest.mark.parametrize("size", [(7, 7), (6, 8), (1, 1)])
def test_the_identity_is_one_at_the_centre_pixel(step: ConjugateGradients, size: tuple[int, int]) -> None:
    sharp = blurred_edges((1, 2, 30, 31), size)[0]
    data = sharp[..., size[0] - 1 - size[0] // 2 :, size[1] - 1 - size[1] // 2 :][..., :30, :31]
    kernel = uniform(size)
    for _ in range(30):
        kernel = step(sharp, data, kernel)
    assert kernel[0, 0, size[0] // 2, size[1] // 2] > 0.95  # a third of these images is border


@pytest.mark.parametrize("component", STEPS)
def test_shapes_that_do_not_fit_are_refused(component: type[Any]) -> None:
    with pytest.raises(InputError, match=r"\(1, 2, 10, 10\), \(1, 1, 4, 3\) and \(1, 2, 13, 13\)"):
        component()(torch.zeros(1, 2, 13, 13), torch.zeros(1, 2, 10, 10), torch.full((1, 1, 4, 3), 1 / 12))


@pytest.mark.parametrize("component", STEPS)
def test_a_large_kernel_goes_by_fourier_transforms_and_is_found(component: type[Any]) -> None:
    sharp, blurred, truth = blurred_edges((1, 2, 80, 85), (27, 25), torch.float32)
    kernel = torch.full_like(truth, 1 / (27 * 25))
    for _ in range(60):
        kernel = component()(sharp, blurred, kernel)
        if F.cosine_similarity(kernel.flatten(), truth.flatten(), 0) > 0.95:
            return
    pytest.fail("the kernel was not found in 60 calls")


def gradients(pixels: np.ndarray) -> torch.Tensor:
    image = torch.from_numpy(np.asarray(pixels, np.float32))[None, None]
    return torch.cat([F.pad(image.diff(dim=-2), (0, 0, 0, 1)), F.pad(image.diff(dim=-1), (0, 1))], 1)


@pytest.mark.parametrize("component", [ConjugateGradients, ToeplitzLeastSquares, L1Reweighted, SupportDetection])
def test_the_kernel_of_a_photograph(component: type[Any], data_root: Path) -> None:
    levin = data_root / "levin"
    truth = torch.from_numpy(read_kernel(levin / "kernels" / "kernel8.png")).float()  # right as it is stored
    blurred = gradients(read_image(levin / "blurry" / "im4_kernel8_img.png").pixels)
    sharp = extend(gradients(read_image(levin / "sharp" / "im4.png").pixels), (27, 27))
    kernel = component()(sharp, blurred, uniform((27, 27)).float())
    # the published kernel is shifted against the frame of the sharp photograph
    spectra = torch.fft.rfft2(kernel[0, 0], (64, 64)) * torch.fft.rfft2(truth, (64, 64)).conj()
    alike = torch.fft.irfft2(spectra, (64, 64)).max() / (kernel.norm() * truth.norm())
    assert alike > 0.93
