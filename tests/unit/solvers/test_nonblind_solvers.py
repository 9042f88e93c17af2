"""Non-blind deconvolution: what all solvers of it do; reweighted least squares and Wiener."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from deconvolution import Padding, a_kernel, blurred, finished, made, random, saved_after, suited
from hypothesis import given, settings
from hypothesis import strategies as st
from narrow import tensor

from invkit.core.errors import AssemblyError
from invkit.core.interfaces import LinearOperator, Regularizer
from invkit.core.problem import Problem, Term
from invkit.core.solver import Solver
from invkit.fidelities.norms import MSE
from invkit.image_priors.pixels import Pixels
from invkit.kernel_priors.known import KnownKernel
from invkit.numerics.finite_differences import GRADIENT, SECOND_DIFFERENCES, DifferenceFilter, apply_filters
from invkit.numerics.framing import crop_to_data
from invkit.operators.pixelwise import Identity
from invkit.regularizers.hyper_laplacian import HyperLaplacian
from invkit.regularizers.l0 import L0Gradient
from invkit.regularizers.l2 import GradientL2
from invkit.regularizers.tv import TotalVariation
from invkit.solvers.admm import ADMM
from invkit.solvers.half_quadratic import HalfQuadratic
from invkit.solvers.irls import IRLS
from invkit.solvers.masked_blur import MaskedBlur
from invkit.solvers.richardson_lucy import RichardsonLucy
from invkit.solvers.ringing_removal import RingingRemoval
from invkit.solvers.weighted_squares import Bands, add_banded, add_squares
from invkit.solvers.wiener import Wiener

L2 = [Term(GradientL2(), 1e-3)]
SPARSE = [Term(HyperLaplacian(second=0.25, smoothing=0.01), 3e-4)]
TV = [Term(TotalVariation(smoothing=0.02), 1e-3)]


def ringing(**keywords: Any) -> RingingRemoval:
    slots = {"solver": HalfQuadratic(), "structure": L0Gradient(), "structure_solver": HalfQuadratic()}
    return RingingRemoval(**{**slots, **keywords})


SOLVERS: dict[str, tuple[Callable[[], Solver[Any]], list[Term]]] = {
    "admm": (lambda: ADMM(iterations=12), SPARSE),
    "saturated admm": (lambda: ADMM(iterations=12, bound_penalty=0.2, saturation=0.7), SPARSE),
    "half-quadratic": (HalfQuadratic, SPARSE),
    "irls": (lambda: IRLS(cg_iterations=15), SPARSE),
    "wiener": (Wiener, L2),
    "richardson-lucy": (lambda: RichardsonLucy(iterations=6), []),
    "saturated": (lambda: RichardsonLucy(iterations=6, saturation=0.7, gamma=2.2), []),
    "richardson-lucy with tv": (lambda: RichardsonLucy(iterations=6), TV),
    "ringing-removal": (ringing, TV),
}
every = pytest.mark.parametrize("name", SOLVERS)


@every
def test_it_gives_a_better_image(name: str) -> None:
    solver, terms = SOLVERS[name]
    truth, problem = blurred(terms)
    image = tensor(solver().solve(suited(solver(), problem)).image)
    assert float(image.min()) >= 0
    assert float(image.max()) <= 1
    if "saturated" not in name:  # these data were not made that way
        assert (image - truth).square().mean() < 0.7 * (problem.image_prior() - truth).square().mean()


@every
def test_a_saved_state_goes_on_to_the_same_bits(name: str) -> None:
    solver, terms = SOLVERS[name]
    problem = suited(solver(), blurred(terms, dtype=torch.float32)[1])
    whole = solver().solve(problem)
    for stop in range(solver().steps(problem)):
        resumed = solver().solve(problem, resume=saved_after(solver(), problem, stop))
        assert torch.equal(tensor(whole.image), tensor(resumed.image))
        assert whole.history == resumed.history


@every
@pytest.mark.parametrize("padding", ["valid", "circular"])
def test_a_batch_is_solved_as_each_of_it(name: str, padding: Padding) -> None:
    solver, terms = SOLVERS[name]
    problem = suited(solver(), blurred(terms, padding, batch=2, channels=2)[1])
    together = finished(solver(), problem)
    for index in range(2):
        data, kernel = problem.data[index : index + 1], problem.kernel_prior()[index : index + 1]
        alone = finished(solver(), suited(solver(), made(data, kernel, terms, padding)))
        # Only sums in another order differ; conjugate gradients and thresholds amplify float64's 1e-16.
        assert torch.allclose(together.image[index], alone.image[0], atol=1e-6)


@every
def test_the_problem_stays_as_it_is(name: str) -> None:
    solver, terms = SOLVERS[name]
    problem = suited(solver(), blurred(terms, dtype=torch.float32)[1])
    prior = problem.image_prior
    assert isinstance(prior, Pixels)
    data, free = problem.data.clone(), prior.free.detach().clone()
    state = finished(solver(), problem)
    assert torch.equal(problem.data, data)
    assert torch.equal(prior.free, free)
    image, kernel = state.priors(problem)
    assert torch.allclose(image(), state.estimate()[0])
    assert torch.equal(kernel(), problem.kernel_prior())
    assert len(state.losses) == state.iteration
    assert all(loss.ndim == 0 for loss in state.losses)


@every
def test_it_refuses_made_up_borders_and_other_operators(name: str) -> None:
    solver, terms = SOLVERS[name]
    with pytest.raises(AssemblyError, match=r"padding.*valid"):
        solver().check(suited(solver(), blurred(terms, "replicate")[1]))
    data = random(1, 1, 9, 9)
    prior = Pixels((1, 1, 9, 9), data).double()
    with pytest.raises(AssemblyError, match=r"Blur|NonNegative"):
        solver().check(Problem(data, Identity(), prior, KnownKernel((1, 1, 1, 1)), MSE(), terms))


# --- the blur and the matrices -----------------------------------------------------------------------------------


@given(
    height=st.integers(1, 6),
    width=st.integers(1, 6),
    padding=st.sampled_from(["valid", "circular"]),
    channels=st.integers(1, 2),
)
@settings(deadline=None)
def test_the_masked_blur_is_the_operator(height: int, width: int, padding: Padding, channels: int) -> None:
    kernel, data = a_kernel(2, (height, width)), random(2, channels, 9, 8)
    problem = made(data, kernel, (), padding)
    image, blur = random(*problem.image_prior.shape, seed=4), MaskedBlur.of(problem, kernel)
    assert isinstance(problem.operator, LinearOperator)
    assert torch.allclose(blur.forward(image), problem.operator(image, kernel), atol=1e-12)
    assert torch.allclose(blur.adjoint(data), problem.operator.adjoint(data, kernel), atol=1e-12)
    assert torch.allclose(blur.normal(image), blur.adjoint(blur.forward(image)), atol=1e-12)


@given(share=st.floats(0.1, 0.9), padding=st.sampled_from(["valid", "circular"]))
@settings(deadline=None)
def test_the_masked_blur_leaves_out_unknown_data(share: float, padding: Padding) -> None:
    kernel, data = a_kernel(2, (3, 4)), random(2, 2, 9, 8)
    problem = replace(made(data, kernel, (), padding), weights=random(2, 2, 9, 8, seed=6) < share)
    image, blur = random(*problem.image_prior.shape, seed=4), MaskedBlur.of(problem, kernel)
    seen = problem.masked(blur.forward(image))
    assert torch.allclose((seen * data).sum(), (image * blur.adjoint(data)).sum(), atol=1e-12)
    assert torch.allclose(blur.normal(image), blur.adjoint(blur.forward(image)), atol=1e-12)


@given(
    height=st.integers(3, 7),
    width=st.integers(3, 7),
    filters=st.sampled_from([GRADIENT, SECOND_DIFFERENCES, GRADIENT + SECOND_DIFFERENCES]),
)
@settings(deadline=None)
def test_bands_are_the_weighted_squares(height: int, width: int, filters: tuple[DifferenceFilter, ...]) -> None:
    """``x^T (sum D^T W D) x = sum w (D x)^2`` for every x, and the matrix is symmetric."""
    x, other = random(2, 2, height, width, seed=1), random(2, 2, height, width, seed=2)
    weights = random(len(filters), 2, 2, height, width, seed=3)
    bands: Bands = {}
    add_squares(bands, weights, filters)
    times_x = add_banded(bands, x, torch.zeros_like(x))
    first, second = (apply_filters(image, filters, wrap=False) for image in (x, other))
    assert torch.allclose((other * times_x).sum(), (weights * first * second).sum())


# --- IRLS --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("padding", ["valid", "circular"])
def test_irls_finds_the_minimum_of_a_quadratic_objective(padding: Padding) -> None:
    """Where the objective's own gradient vanishes: neither bands nor transforms of the solver are used to tell."""
    _, problem = blurred([Term(GradientL2(second=0.5), 1e-2), Term(GradientL2(), 2e-2)], padding, 2, 2, noise=0.1)
    state = finished(IRLS(reweightings=1, tolerance=1e-10), problem)
    image = state.image.requires_grad_()
    (gradient,) = torch.autograd.grad(problem.objective(image, state.kernel).sum(), image)
    start = problem.image_prior().detach().requires_grad_()
    (before,) = torch.autograd.grad(problem.objective(start, state.kernel).sum(), start)
    assert gradient.norm() < 1e-7 * before.norm()


def test_irls_loses_nothing_in_a_reweighted_step() -> None:
    """A majoriser that touches the objective cannot be lowered without lowering this."""
    _, problem = blurred(SPARSE, noise=0.05)
    losses = IRLS(reweightings=12, tolerance=1e-9).solve(problem).history
    assert all(after <= before * (1 + 1e-9) for before, after in pairwise(losses[1:]))
    assert losses[-1] < losses[0]
    final = finished(IRLS(reweightings=12, tolerance=1e-9), problem)
    assert losses[-1] == pytest.approx(float(problem.objective(final.image, final.kernel).sum()))


def test_irls_needs_terms_with_a_majoriser() -> None:
    class Other(Regularizer):
        def forward(self, value: torch.Tensor) -> torch.Tensor:
            return value.square().mean((1, 2, 3))

    for terms in ([], [Term(Other(), 1.0)]):
        with pytest.raises(AssemblyError, match="Majorised"):
            IRLS().check(blurred(terms)[1])


def test_irls_bears_weights_of_zero() -> None:
    truth, problem = blurred([Term(GradientL2(), 0.0)], "circular")
    image = finished(IRLS(reweightings=1, cg_iterations=300, tolerance=1e-8), problem).image
    assert (image - truth).abs().max() < 1e-3  # no noise: the deconvolution is exact, up to a condition of 1e3


def test_irls_on_a_photograph(data_root: Path) -> None:
    """Levin's image 1 blurred by kernel 1; the paper's settings give 34.9 dB."""
    import numpy as np
    from PIL import Image

    from invkit.numerics.registration import aligned_psnr

    def read(name: str) -> torch.Tensor:
        grey = np.asarray(Image.open(data_root / "levin" / name).convert("L"), dtype=np.float32)
        return torch.from_numpy(grey / 255)[None, None]

    blurry, sharp, kernel = (read(f"{name}.png") for name in ("blurry/im1_kernel1_img", "sharp/im1", "kernels/kernel1"))
    kernel = kernel.rot90(2, (-2, -1)) / kernel.sum()
    result = IRLS().solve(made(blurry, kernel, SPARSE))
    image = crop_to_data(torch.as_tensor(result.image), (19, 19), (255, 255))
    assert aligned_psnr(image, sharp) > 34.5


# --- Wiener ------------------------------------------------------------------------------------------------------


def test_wiener_minimises_the_periodic_objective() -> None:
    weight, second = 1e-2, 0.5
    _, problem = blurred([Term(GradientL2(second=second), weight)], "circular", 2, 2, noise=0.1)
    state = finished(Wiener(), problem)
    image = state.image.requires_grad_()
    squares = apply_filters(image, GRADIENT).square().sum(0) + second * apply_filters(
        image, SECOND_DIFFERENCES
    ).square().sum(0)
    data_term = (problem.operator(image, state.kernel) - problem.data).square()
    (gradient,) = torch.autograd.grad((data_term + weight * squares).mean(), image)
    assert gradient.abs().max() < 1e-12


def test_wiener_without_blur_and_weight_gives_the_data() -> None:
    data = random(1, 3, 12, 11)
    problem = made(data, torch.ones(1, 1, 1, 1, dtype=data.dtype), [Term(GradientL2(), 0.0)])
    result = Wiener().solve(problem)
    assert torch.allclose(tensor(result.image), data, atol=1e-6)  # the floor of the divisor is 1e-7
    assert result.stopped == "converged"


def test_wiener_takes_isotropic_terms_for_their_steepest_quadratic() -> None:
    """TV of smoothing e is majorised by ``|d|^2 / (2 e)`` at zero."""
    smoothing = 0.5
    data, kernel = random(1, 3, 12, 11), a_kernel()
    one, other = (
        finished(Wiener(), made(data, kernel, [term])).image
        for term in (Term(TotalVariation(smoothing=smoothing), 0.1), Term(GradientL2(), 0.1 / (2 * smoothing)))
    )
    assert torch.allclose(one, other, atol=1e-9)
