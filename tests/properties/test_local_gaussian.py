"""Samples about a restored image have the covariance of the closed form, and the strength is that of the data."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from invkit.core.interfaces import LinearOperator, Regularizer
from invkit.core.problem import Problem, Term
from invkit.fidelities.norms import L1, MSE
from invkit.image_priors.pixels import Pixels
from invkit.kernel_priors.known import KnownKernel
from invkit.numerics.finite_differences import apply_filters
from invkit.numerics.geometry import Shape
from invkit.operators.convolution import Convolution
from invkit.regularizers.hyper_laplacian import HyperLaplacian
from invkit.regularizers.l0 import L0Gradient
from invkit.regularizers.l2 import GradientL2
from invkit.regularizers.tv import TotalVariation
from invkit.solvers import local_gaussian
from invkit.solvers.local_gaussian import DataTerm, LocalGaussian, obstacle_to_sampling
from invkit.testing.common import drawn

KERNEL = (3, 2)
seeds = st.integers(0, 2**31)
regularizers: st.SearchStrategy[Regularizer] = st.sampled_from(
    [GradientL2(), GradientL2(second=0.5), TotalVariation(), HyperLaplacian(second=0.25)]
)


@pytest.fixture(autouse=True)
def exact_solutions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Conjugate gradients to the precision of double numbers; the tolerance in use is a choice of speed."""
    monkeypatch.setattr(local_gaussian, "CG_TOLERANCE", 1e-12)
    monkeypatch.setattr(local_gaussian, "CG_ITERATIONS", 2000)


def problem_of(
    regularizer: Regularizer,
    seed: int,
    *,
    data_shape: Shape = (1, 1, 4, 4),
    weight: float = 0.02,
    hole: float = 0.0,
    graded: bool = False,
) -> Problem:
    """A deconvolution in double precision of random data, some of which are unknown or have weights."""
    operator, kernel = Convolution(padding="valid"), drawn((1, 1, *KERNEL), seed, torch.float64) + 0.1
    data = drawn(data_shape, seed + 1, torch.float64)
    spread = 0.1 + 9 * drawn(data_shape, seed + 4, torch.float64)
    known = KnownKernel((1, 1, *KERNEL), start=kernel / kernel.sum())
    shape = operator.image_shape(data_shape, known.shape)
    return Problem(
        data=data,
        operator=operator,
        image_prior=Pixels(shape, data),
        kernel_prior=known,
        fidelity=MSE(),
        regularizers=(Term(regularizer, weight),),
        weights=(drawn(data_shape, seed + 2, torch.float64) >= hole) * (spread if graded else torch.ones_like(spread)),
    )


def columns(apply: object, shape: tuple[int, ...]) -> Tensor:
    """The matrix of a linear map of tensors of a shape."""
    units = torch.eye(int(torch.tensor(shape).prod()), dtype=torch.float64).view(-1, *shape)
    return torch.stack([apply(unit).flatten() for unit in units], 1)  # type: ignore[operator]


def precision_of(problem: Problem, image: Tensor, noise: float) -> Tensor:
    """The Hessian of the objective's quadratic majoriser over twice the noise's variance, as a dense matrix."""
    kernel, count = problem.kernel_prior().double(), problem.data.numel()
    blur = columns(lambda x: problem.operator(x, kernel), tuple(image.shape))
    weighted = columns(lambda x: problem.weighted(problem.operator(x, kernel)), tuple(image.shape))
    total = blur.T @ weighted
    for term in problem.regularizers:
        regularizer: GradientL2 = term.regularizer  # type: ignore[assignment]
        for index, taps in enumerate(regularizer.filters):
            filtered = columns(lambda x, taps=taps: apply_filters(x, [taps], wrap=False)[0], tuple(image.shape))
            moments = local_gaussian.local_squares(image, regularizer.filters)
            weights = regularizer.weights(moments.sqrt())[index].flatten()
            total += count * term.weight / 2 * filtered.T @ (weights[:, None] * filtered)
    return total / noise**2


@settings(max_examples=8, deadline=None)
@given(
    regularizer=regularizers,
    seed=seeds,
    hole=st.sampled_from([0.0, 0.3]),
    noise=st.sampled_from([0.01, 0.3]),
    graded=st.booleans(),
)
def test_the_covariance_of_the_samples_is_that_of_the_closed_form(
    regularizer: Regularizer, seed: int, hole: float, noise: float, graded: bool
) -> None:
    """A sample is a linear map L of standard normal numbers, so that its covariance is L L^T: no random error."""
    problem = problem_of(regularizer, seed, hole=hole, graded=graded)
    image = drawn(tuple(problem.image_prior.shape), seed + 3, torch.float64)
    here = LocalGaussian.at(problem, image, problem.kernel_prior(), noise)
    data_shape, prior_shape = here.draw_shapes
    no_data, no_prior = (torch.zeros(shape, dtype=torch.float64) for shape in here.draw_shapes)
    of_data = columns(lambda draw: here.deviation(draw, no_prior), data_shape)
    of_prior = columns(lambda draw: here.deviation(no_data, draw), prior_shape)
    found = of_data @ of_data.T + of_prior @ of_prior.T
    expected = torch.linalg.inv(precision_of(problem, image, noise))
    assert float((found - expected).abs().max()) <= 1e-5 * float(expected.abs().max())


@settings(max_examples=10, deadline=None)
@given(seed=seeds, graded=st.booleans())
def test_the_mean_under_a_quadratic_prior_is_the_minimiser(seed: int, graded: bool) -> None:
    problem = problem_of(GradientL2(), seed, graded=graded)
    here = LocalGaussian.at(problem, problem.image_prior().detach(), problem.kernel_prior(), 0.1)
    mean = here.mean().requires_grad_()
    [gradient] = torch.autograd.grad(problem.objective(mean, problem.kernel_prior().double()).sum(), mean)
    assert float(gradient.abs().max()) < 1e-8


@settings(max_examples=5, deadline=None)
@given(seed=seeds, hole=st.sampled_from([0.0, 0.3]), graded=st.booleans())
def test_any_linear_operator_gives_the_samples_of_the_blur(seed: int, hole: float, graded: bool) -> None:
    problem = problem_of(TotalVariation(), seed, hole=hole, graded=graded)
    image, kernel = problem.image_prior().detach(), problem.kernel_prior()
    here = LocalGaussian.at(problem, image, kernel, 0.05)
    assert isinstance(problem.operator, LinearOperator)
    size = (image.shape[-2], image.shape[-1])
    general = replace(here, data_term=DataTerm(problem, kernel.double(), size))
    first, second = (one.sample(torch.Generator().manual_seed(seed)) for one in (here, general))
    assert torch.allclose(first, second, atol=1e-6 * float(first.abs().max()))


@pytest.mark.parametrize("strength", [0.3, 1.0, 4.0])
def test_the_likely_strength_is_that_of_an_image_drawn_from_the_prior(
    strength: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Most of 900 values are determined, so that twice the standard error of the strength is about 15 %."""
    monkeypatch.setattr(local_gaussian, "CG_TOLERANCE", 1e-6)
    noise, shape = 0.005, (1, 1, 30, 30)
    problem = problem_of(GradientL2(), 1, data_shape=shape, weight=0.06)  # differences of about 0.02
    generator = torch.Generator().manual_seed(2)
    blank = torch.full(tuple(problem.image_prior.shape), 0.5, dtype=torch.float64)
    prior_alone = replace(problem, weights=torch.zeros(shape, dtype=torch.bool).index_fill(3, torch.tensor([0]), True))
    source = LocalGaussian.at(prior_alone, blank, problem.kernel_prior(), noise)
    image = 0.5 + replace(source, strength=source.strength * strength).sample(generator)
    blurred = problem.operator(image, problem.kernel_prior().double())
    data = blurred + noise * torch.randn(shape, generator=generator)
    drawn_from_prior = replace(problem, data=data)
    here = LocalGaussian.at(drawn_from_prior, blank, problem.kernel_prior(), noise)
    found = float(here.with_likely_strength(generator).strength)
    assert 0.7 * strength < found < 1.4 * strength


def test_a_problem_that_is_not_gaussian_is_refused_with_the_reason() -> None:
    problem = problem_of(TotalVariation(), 0)
    assert obstacle_to_sampling(problem) is None
    assert "squared error" in str(obstacle_to_sampling(replace(problem, fidelity=L1())))
    sharp = replace(problem, regularizers=(Term(L0Gradient(), 0.1),))
    assert "weighted squares" in str(obstacle_to_sampling(sharp))
