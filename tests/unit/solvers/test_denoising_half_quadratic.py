"""Half-quadratic splitting with a denoiser: its least squares, its schedule, its first image, and what it refuses."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from deconvolution import a_kernel, blocks, made, random
from torch import Tensor

from invkit.core.errors import AssemblyError
from invkit.core.interfaces import Denoising
from invkit.core.problem import Problem, Term
from invkit.numerics.geometry import shape_of
from invkit.operators.convolution import Convolution
from invkit.regularizers.hyper_laplacian import HyperLaplacian
from invkit.regularizers.patch_mixture import PatchMixture
from invkit.regularizers.tv import TotalVariation
from invkit.solvers import denoising_half_quadratic
from invkit.solvers.admm import ADMM
from invkit.solvers.denoising_half_quadratic import DenoisingHalfQuadratic
from invkit.solvers.inner import run_inner

SPARSE = Term(HyperLaplacian(power=0.8, second=0.25, smoothing=0.0), 1e-3)


class Recorder(Denoising):
    """A denoiser that changes nothing and notes its images and noise levels."""

    def __init__(self) -> None:
        super().__init__()
        self.images: list[Tensor] = []
        self.levels: list[float] = []

    def penalty(self, coefficients: Tensor) -> Tensor:
        return 0 * coefficients.square().sum((0, 2, 3, 4))

    def prox(self, coefficients: Tensor, step: float) -> Tensor:
        self.images.append(coefficients[0].clone())
        self.levels.append(math.sqrt(step / coefficients[0, 0].numel()))
        return coefficients.clone()


def problem_with(*terms: Term, padding: Any = "valid", noise: float = 0.0) -> tuple[Problem, Tensor]:
    """A blurred picture of blocks, and the image that it came from."""
    image, kernel = blocks(size=(30, 29)), a_kernel()
    data = Convolution(padding=padding)(image, kernel)
    data = (data + noise * (random(*shape_of(data), seed=9) - 0.5) * math.sqrt(12)).clamp(0, 1)
    return made(data, kernel, list(terms), padding=padding), image


@pytest.mark.parametrize("padding", ["valid", "circular"])
def test_a_step_solves_the_least_squares_problem(padding: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """``(K^T K + beta) x = K^T y + beta z`` with the operator's own matrix and z the denoiser's image."""
    monkeypatch.setattr(denoising_half_quadratic, "CG_TOLERANCE", 1e-12)
    denoiser = Recorder()
    problem, _ = problem_with(Term(denoiser, 0.02), padding=padding)
    solver = DenoisingHalfQuadratic(iterations=1, beta_max=0.3, cg_iterations=60, shifts=1)
    found = run_inner(solver, problem)
    count, shape = denoiser.images[0].numel(), denoiser.images[0].shape
    identity = torch.eye(count, dtype=torch.float64).view(count, *shape[1:])
    matrix = problem.operator(identity, found.kernel).reshape(count, -1).T
    target = matrix.T @ problem.data.flatten() + 0.3 * denoiser.images[0].flatten()
    expected = torch.linalg.solve(matrix.T @ matrix + 0.3 * torch.eye(count, dtype=torch.float64), target)
    torch.testing.assert_close(found.image.flatten(), expected, atol=1e-7, rtol=0)


def test_noise_levels_fall_geometrically_to_that_of_the_largest_beta() -> None:
    denoiser = Recorder()
    problem, _ = problem_with(Term(denoiser, 2 * 0.01**2))
    run_inner(DenoisingHalfQuadratic(iterations=3, noise_start=0.16, beta_max=0.25), problem)
    assert denoiser.levels == pytest.approx([0.16, math.sqrt(0.16 * 0.02), 0.02])


def test_the_first_noise_level_is_never_below_the_last() -> None:
    denoiser = Recorder()
    problem, _ = problem_with(Term(denoiser, 2.0))
    run_inner(DenoisingHalfQuadratic(iterations=2, noise_start=0.01, beta_max=1.0), problem)
    assert denoiser.levels == pytest.approx([1.0, 1.0])


def test_the_denoiser_sees_shifted_images_and_the_result_is_shifted_back() -> None:
    """A denoiser that changes nothing gives the same image with and without shifts."""
    results = []
    for shifts in (1, 4):
        denoiser = Recorder()
        problem, _ = problem_with(Term(denoiser, 1e-3))
        results.append(run_inner(DenoisingHalfQuadratic(iterations=4, shifts=shifts), problem).image)
        assert len({tuple(image.shape) for image in denoiser.images}) == shifts
    torch.testing.assert_close(*results)


def test_the_first_image_is_that_of_the_other_solver_with_the_other_terms() -> None:
    denoiser, initial = Recorder(), ADMM(iterations=4)
    problem, _ = problem_with(SPARSE, Term(denoiser, 1e-4))
    run_inner(DenoisingHalfQuadratic(iterations=1, initial=initial), problem)
    expected = run_inner(initial, problem_with(SPARSE)[0]).estimate()[0]
    torch.testing.assert_close(denoiser.images[0], expected)


def test_the_image_stays_between_black_and_white_for_the_denoiser_but_below_saturated_data() -> None:
    results = {}
    for saturation in (None, 0.9):
        denoiser = Recorder()
        problem, _ = problem_with(Term(denoiser, 1e-5))
        problem.data[..., 8:12, 8:12] = 1.0
        run_inner(DenoisingHalfQuadratic(iterations=6, saturation=saturation), problem)
        results[saturation] = max(float(image.max()) for image in denoiser.images)
        assert min(float(image.min()) for image in denoiser.images) >= 0
    assert results[None] <= 1 < results[0.9]


def test_the_patch_prior_restores_blocks() -> None:
    problem, image = problem_with(SPARSE, Term(PatchMixture(stride=2), 2 * 0.004**2), noise=0.004)
    found = run_inner(DenoisingHalfQuadratic(initial=ADMM(iterations=18, penalty=100.0)), problem).estimate()[0]
    truth = image[..., 4:-4, 4:-4]
    before = (problem.data[..., 2:-2, 3:-2] - truth).square().mean()
    after = (found[..., 4:-4, 4:-4] - truth).square().mean()
    assert float(after) < 0.1 * float(before)  # 10 dB


@pytest.mark.parametrize(
    ("terms", "initial", "message"),
    [
        ([SPARSE], ADMM(), "needs one regularizer that is a denoiser, with a weight above zero, and there are none"),
        ([Term(PatchMixture(), 1.0), Term(PatchMixture(), 1.0)], None, "and there are 2; give one, such as patch-mix"),
        ([Term(PatchMixture(), 1.0), Term(TotalVariation(), 1.0)], None, "ignores TotalVariation, .* set 'initial'"),
        ([Term(PatchMixture(), 1.0)], ADMM(), "admm needs a regularizer|ADMM needs regularizers"),
    ],
)
def test_terms_without_a_use_are_refused(terms: list[Term], initial: ADMM | None, message: str) -> None:
    problem, _ = problem_with(*terms)
    with pytest.raises(AssemblyError, match=message):
        DenoisingHalfQuadratic(initial=initial).check(problem)
