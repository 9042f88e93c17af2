"""Weights and iterations by Stein's estimate of the error: near the true error, and near the best choice."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from deconvolution import a_kernel, blocks
from narrow import tensor
from torch import Tensor

from invkit.core.errors import AssemblyError, InputError
from invkit.core.interfaces import ForwardOperator
from invkit.core.problem import Problem, Term
from invkit.fidelities.norms import MSE
from invkit.image_priors.pixels import Pixels
from invkit.kernel_priors.known import KnownKernel
from invkit.numerics.geometry import shape_of
from invkit.operators.convolution import Convolution
from invkit.operators.pixelwise import Identity
from invkit.regularizers.tv import TotalVariation
from invkit.solvers.gradient_descent import GradientDescent
from invkit.solvers.linear_admm import LinearADMM
from invkit.solvers.sure import MonteCarloSURE, reweighted

SIGMA = 0.05
ADMM = LinearADMM(iterations=40, cg_iterations=3)
FACTORS = (0.1, 0.3, 1.0, 3.0, 10.0)


def observed(operator: ForwardOperator, image: Tensor, kernel: Tensor, weight: float) -> Problem:
    clean = operator(image, kernel)
    data = clean + SIGMA * torch.randn(clean.shape, generator=torch.Generator().manual_seed(2), dtype=clean.dtype)
    terms = [Term(TotalVariation(smoothing=0.0), weight)]
    prior = Pixels(shape_of(image), data.clamp(0, 1))
    return Problem(data.clamp(0, 1), operator, prior, KnownKernel(shape_of(kernel), kernel), MSE(), terms)


@pytest.fixture
def truth() -> Tensor:
    return 0.25 + 0.5 * blocks(size=(48, 44))  # no noise is clipped


@pytest.fixture
def denoising(truth: Tensor) -> Problem:
    return observed(Identity(), truth, torch.ones(1, 1, 1, 1).double(), 1.1 * SIGMA)


def error(image: object, truth: Tensor) -> float:
    return float((tensor(image) - truth).square().mean())


@pytest.mark.parametrize("factor", FACTORS)
def test_the_estimate_is_the_error_up_to_its_spread(denoising: Problem, truth: Tensor, factor: float) -> None:
    image = ADMM.solve(reweighted(denoising, factor)).image
    estimate = MonteCarloSURE(inner=ADMM, factors=(factor,), sigma=SIGMA).solve(denoising).history[-1]
    spread = SIGMA**2 / truth.numel() ** 0.5  # of the mean of squared noise, over the root of two
    assert estimate == pytest.approx(error(image, truth), abs=4 * spread)


def test_the_weight_of_least_error_is_chosen(denoising: Problem, truth: Tensor) -> None:
    errors = [error(ADMM.solve(reweighted(denoising, factor)).image, truth) for factor in FACTORS]
    result = MonteCarloSURE(inner=ADMM, factors=FACTORS, sigma=SIGMA).solve(denoising)
    assert error(result.image, truth) == pytest.approx(min(errors), rel=1e-9)
    assert len(result.history) == len(FACTORS)
    assert min(errors) < 0.7 * max(errors[0], errors[-1])


def test_the_noise_level_is_estimated_if_it_is_not_given(denoising: Problem, truth: Tensor) -> None:
    result = MonteCarloSURE(inner=ADMM, factors=(0.1, 1.0)).solve(denoising)
    assert error(result.image, truth) < error(ADMM.solve(reweighted(denoising, 0.1)).image, truth)
    known = torch.ones_like(denoising.data, dtype=torch.bool)
    known[..., :5] = False
    with pytest.raises(AssemblyError, match="gives all data the same weight"):
        MonteCarloSURE(inner=ADMM).check(replace(denoising, weights=known))


def test_a_solve_stops_before_it_fits_the_noise(truth: Tensor) -> None:
    kernel = a_kernel()
    problem = replace(observed(Convolution(), truth, kernel, 0.0), regularizers=())
    whole = GradientDescent(iterations=200, step=1.0)
    ends = {n: error(GradientDescent(iterations=n, step=1.0).solve(problem).image, truth) for n in (1, 5, 20, 200)}
    stopped = MonteCarloSURE(inner=whole, factors=(1.0,), stop=True, sigma=SIGMA).solve(problem)
    assert error(stopped.image, truth) < 1.2 * min(ends.values())
    assert error(stopped.image, truth) < 0.5 * ends[200]


def test_what_it_cannot_choose_is_refused(denoising: Problem) -> None:
    with pytest.raises(AssemblyError, match=r"sure has nothing to choose: no regularizer on the image .* stop=true"):
        MonteCarloSURE(inner=GradientDescent()).check(replace(denoising, regularizers=()))
    with pytest.raises(InputError, match="factors"):
        MonteCarloSURE(inner=ADMM, factors=())
