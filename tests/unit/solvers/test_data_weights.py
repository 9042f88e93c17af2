"""Weights of the data: solvers minimise the weighted objective, as a dense least-squares solution tells."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from deconvolution import Padding, a_kernel, finished, made, random, with_poisson
from scipy.optimize import minimize
from torch import Tensor

from invkit.core import registry
from invkit.core.errors import DataWeightsError
from invkit.core.interfaces import Denoising, Reweightable
from invkit.core.problem import Problem, Term, WeightedData
from invkit.core.ranges import Ranged
from invkit.fidelities.norms import L1, Huber
from invkit.numerics.finite_differences import IDENTITY
from invkit.operators.multiple_kernels import VaryingBlur
from invkit.regularizers.l2 import GradientL2
from invkit.solvers.adam import AlternatingAdam, JointAdam
from invkit.solvers.admm import ADMM
from invkit.solvers.denoising_half_quadratic import DenoisingHalfQuadratic
from invkit.solvers.gradient_descent import GradientDescent
from invkit.solvers.irls import IRLS
from invkit.solvers.linear_admm import LinearADMM
from invkit.solvers.masked_blur import MaskedBlur
from invkit.solvers.patchwise import Patchwise
from invkit.solvers.proximal_gradient import ProximalGradient
from invkit.solvers.richardson_lucy import RichardsonLucy
from invkit.solvers.tiles import Tiles

SIZE, KERNEL = (7, 8), (3, 2)
WEIGHT = 0.05


class Squares(Reweightable):
    """The mean square of the pixels."""

    filters = (IDENTITY,)

    def penalty(self, coefficients: Tensor) -> Tensor:
        return coefficients[0].square().mean((1, 2, 3))

    def prox(self, coefficients: Tensor, step: float) -> Tensor:
        return coefficients / (1 + 2 * step / coefficients[0, 0].numel())

    def weights(self, coefficients: Tensor) -> Tensor:
        return torch.full_like(coefficients, 2 / coefficients[0, 0].numel())


class Unchanged(Denoising):
    """A denoiser that leaves an image as it is."""

    def penalty(self, coefficients: Tensor) -> Tensor:
        return coefficients.new_zeros(coefficients.shape[1])

    def prox(self, coefficients: Tensor, step: float) -> Tensor:
        return coefficients.clone()


def graded(data: Tensor) -> Tensor:
    """Weights from 0.1 to 4, and a hole."""
    weights = 0.1 * 40 ** random(*data.shape, seed=8, dtype=data.dtype)
    weights[..., 2:4, 3:6] = 0
    return weights


def weighted(padding: Padding, regularizer: Reweightable) -> Problem:
    """A blurred random picture with weights, whose image has no bounds."""
    data = random(1, 1, *SIZE, seed=5)
    problem = made(data, a_kernel(size=KERNEL), [Term(regularizer, WEIGHT)], padding)
    assert isinstance(problem.image_prior, Ranged)
    prior = problem.image_prior.in_range(-math.inf, math.inf)
    return replace(problem, image_prior=prior, weights=graded(data))


def minimiser(problem: Problem) -> Tensor:
    """The image where the gradient of ``sum w (K x - y)^2 / n + weight R(x)`` vanishes, by a dense solution."""
    shape, kernel = tuple(problem.image_prior.shape), problem.kernel_prior()
    weights = graded(problem.data)

    def objective(pixels: Tensor) -> Tensor:
        image = pixels.view(shape)
        squares = weights * (problem.operator(image, kernel) - problem.data) ** 2
        value: Tensor = squares.sum() / problem.data.numel() + WEIGHT * problem.regularizers[0].regularizer(image).sum()
        return value

    start = torch.zeros(math.prod(shape), dtype=torch.float64)
    hessian = torch.autograd.functional.hessian(objective, start)  # type: ignore[no-untyped-call]
    slope = torch.autograd.functional.jacobian(objective, start)  # type: ignore[no-untyped-call]
    solution: Tensor = -torch.linalg.solve(hessian, slope)
    return solution.view(shape)


def last_image(solver: Any, problem: Problem) -> Tensor:
    """The image after the last step."""
    image: Tensor = finished(solver, problem).estimate()[0].detach()
    return image


ON_A_TORUS: dict[str, tuple[Any, float]] = {
    "admm": (ADMM(iterations=1500, data_penalty=0.5, penalty=5.0), 1e-6),
    "alternating-adam": (AlternatingAdam(iterations=2000, image_lr=1e-2, milestones=(1000, 1500), decay=0.1), 1e-3),
    "gradient-descent": (GradientDescent(iterations=3000, step=1.0), 1e-6),
    "irls": (IRLS(reweightings=2, tolerance=1e-12), 1e-8),
    "joint-adam": (JointAdam(iterations=2000, image_lr=1e-2, milestones=(1000, 1500), decay=0.1), 1e-3),
    "linear-admm": (LinearADMM(iterations=400, penalty=2.0), 1e-6),
    "proximal-gradient": (ProximalGradient(iterations=5000, tolerance=0.0), 1e-6),
    "tiles": (Tiles(inner=IRLS(reweightings=2, tolerance=1e-12)), 1e-8),
}
"""Each solver by its name, with enough iterations, and how far it may then be from the minimum."""

ELSEWHERE = {
    "alternating-admm": "one iteration of linear-admm at a time",
    "denoising-half-quadratic": "has a denoiser; below",
    "diffusion": "has a denoiser, and proximal-gradient inside",
    "patchwise": "has several kernels; below",
    "richardson-lucy": "minimises the divergence; below",
    "ringing-removal": "the difference of two images of other solvers",
}


@pytest.mark.parametrize("name", ON_A_TORUS)
def test_the_weighted_objective_is_minimised(name: str) -> None:
    problem, (solver, tolerance) = weighted("circular", Squares()), ON_A_TORUS[name]
    solver.check(problem)
    found, expected = last_image(solver, problem), minimiser(problem)
    assert (found - expected).abs().max() < tolerance
    unweighted = last_image(solver, replace(problem, weights=problem.known))
    assert (unweighted - expected).abs().max() > 0.05


@pytest.mark.parametrize("name", sorted({*ON_A_TORUS} - {"admm"}))
def test_the_same_with_unknown_boundaries(name: str) -> None:
    problem, (solver, tolerance) = weighted("valid", GradientL2(second=0.3)), ON_A_TORUS[name]
    found = last_image(solver, problem)
    assert (found - minimiser(problem)).abs().max() < 3 * tolerance


def test_every_solver_of_the_type_is_tried() -> None:
    able = {name for name in registry.names("solvers") if issubclass(registry.load("solvers", name), WeightedData)}
    assert able == {*ON_A_TORUS, *ELSEWHERE}


@pytest.mark.parametrize("name", ["wiener", "half-quadratic"])
def test_a_division_of_spectra_is_refused(name: str) -> None:
    solver = registry.load("solvers", name)()
    problem = weighted("circular", GradientL2())
    for weights in (problem.weights, problem.known):
        with pytest.raises(DataWeightsError, match="can neither leave out unknown data nor use variances"):
            solver.check(replace(problem, weights=weights))


def test_a_denoiser_is_followed_by_weighted_least_squares() -> None:
    problem = replace(weighted("circular", Squares()), regularizers=[Term(Unchanged(), 1e-2)])
    solver = DenoisingHalfQuadratic(iterations=1, noise_start=1e-3, beta_max=0.3, cg_iterations=500, shifts=1)
    found, start = finished(solver, problem).image, problem.image_prior().detach()
    blur, image = MaskedBlur.of(problem, problem.kernel_prior()), found.clone().requires_grad_()
    squares = (graded(problem.data) * (blur.forward(image) - problem.data) ** 2).sum()
    (gradient,) = torch.autograd.grad(squares + 0.3 * (image - start).square().sum(), image)
    assert float(gradient.norm()) < 1e-3 * float(blur.adjoint(problem.data).norm())  # the tolerance is 1e-4


def test_richardson_lucy_reaches_the_least_weighted_divergence() -> None:
    problem = with_poisson(made(0.2 + 0.6 * random(1, 1, *SIZE, seed=5), a_kernel(size=KERNEL), padding="circular"))
    problem = replace(problem, weights=graded(problem.data))
    kernel = problem.kernel_prior()

    def objective(pixels: Any) -> tuple[float, Any]:
        image = torch.from_numpy(pixels).view(problem.data.shape).requires_grad_()
        light = problem.operator(image, kernel)
        apart = problem.data * (problem.data / light).log() - problem.data + light
        value = (graded(problem.data) * apart).sum()
        (slope,) = torch.autograd.grad(value, image)
        return float(value.detach()), slope.flatten().numpy()

    start = problem.data.flatten().numpy()
    least = minimize(objective, start, jac=True, method="L-BFGS-B", bounds=[(1e-9, None)] * len(start), tol=1e-14).fun
    reached, before = (
        objective(finished(RichardsonLucy(iterations=steps), problem).image.flatten().numpy())[0] for steps in (3000, 1)
    )
    assert reached - least < 1e-3 * (before - least)


def test_light_weights_do_not_hide_a_pixel_from_richardson_lucy() -> None:
    """A pixel is left as it is if no light of it reaches the data, and not because its data have small weights."""
    problem = with_poisson(made(0.2 + 0.6 * random(1, 1, *SIZE, seed=5), a_kernel(size=KERNEL), padding="circular"))
    light = replace(problem, weights=torch.full_like(problem.data, 1e-4))
    heavy, found = (finished(RichardsonLucy(iterations=5), one).image for one in (problem, light))
    torch.testing.assert_close(found, heavy)


def test_a_gamma_and_variances_of_the_data_are_refused() -> None:
    problem = with_poisson(made(0.2 + 0.6 * random(1, 1, *SIZE, seed=5), a_kernel(size=KERNEL), padding="circular"))
    problem = replace(problem, weights=graded(problem.data))
    RichardsonLucy().check(problem)
    with pytest.raises(DataWeightsError, match=r"set solver\.gamma=1"):
        RichardsonLucy(gamma=2.2).check(problem)


@pytest.mark.parametrize("fidelity", [L1(), Huber(threshold=0.05)])
def test_robust_fidelities_are_weighted_in_the_split_image(fidelity: Any) -> None:
    """At the minimum of a convex objective, no other solver's image is lower."""
    problem = replace(weighted("circular", Squares()), fidelity=fidelity)
    images = [
        last_image(solver, problem)
        for solver in (
            ADMM(iterations=4000, data_penalty=2.0, penalty=5.0),
            ProximalGradient(iterations=2000, tolerance=0.0),
        )
    ]
    split, descended = (float(problem.objective(image, problem.kernel_prior()).sum()) for image in images)
    assert split <= descended + 1e-5 * abs(descended)


def test_weights_are_cut_with_their_tiles() -> None:
    """Weights that double in one tile double its data term: nothing is normalised anew for a tile."""
    data = random(1, 1, 40, 24, seed=5)
    problem = replace(made(data, a_kernel(size=KERNEL), [Term(GradientL2(), WEIGHT)]), weights=graded(data))
    inner = IRLS(reweightings=2, tolerance=1e-12)
    whole, tiled = (last_image(solver, problem) for solver in (inner, Tiles(inner=inner, tile_size=20, overlap=5.0)))
    assert (whole - tiled).abs().max() < 2e-3


def test_weights_are_cut_with_patches() -> None:
    data = random(1, 1, 24, 24, seed=5)
    kernel = a_kernel(size=KERNEL)
    single = replace(made(data, kernel, [Term(GradientL2(), WEIGHT)]), weights=graded(data))
    operator = VaryingBlur(grid=(2, 1))
    several = replace(single, operator=operator, kernel_prior=made(data, kernel.expand(2, 1, -1, -1)).kernel_prior)
    inner = IRLS(reweightings=2, tolerance=1e-12)
    whole, patched = (
        last_image(solver, one) for solver, one in ((inner, single), (Patchwise(patch=inner, overlap=6.0), several))
    )
    assert (whole - patched).abs().max() < 2e-3
