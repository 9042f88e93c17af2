"""Solvers that integrate the image out: descent of the free energy, the true kernel, refinement, refusals."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from blurred_rectangles import blurred_rectangles

from invkit.core.errors import AssemblyError, InputError
from invkit.core.interfaces import KernelPrior
from invkit.core.problem import Problem, Term
from invkit.core.solver import Solver
from invkit.fidelities.norms import MSE
from invkit.image_priors.pixels import Pixels
from invkit.kernel_priors.gaussian import GaussianKernel
from invkit.kernel_priors.known import KnownKernel
from invkit.kernel_priors.simplex import SimplexKernel
from invkit.kernel_priors.softmax_fcn import SoftmaxFCN
from invkit.kernel_priors.zernike import ZernikeKernel
from invkit.metrics.kernel_similarity import kernel_similarity
from invkit.numerics.geometry import shape_of
from invkit.operators.convolution import Convolution
from invkit.regularizers.gaussian_scale_mixture import GaussianScaleMixture
from invkit.regularizers.hyper_laplacian import HyperLaplacian
from invkit.solvers.monte_carlo_em import MonteCarloEM
from invkit.solvers.pyramid import Pyramid
from invkit.solvers.variational import Variational, counted_gradients, counted_pixels
from invkit.testing.map_steps import strokes
from invkit.testing.priors import assert_kernel

SIGMA = 0.004
TRUE_KERNEL = strokes(1, (9, 9)).float()
SOLVERS: list[Solver[Any]] = [Variational(iterations=8), MonteCarloEM(iterations=8)]


def problem_of(
    start: torch.Tensor, noise: float = SIGMA, size: int = 92, kernel: torch.Tensor = TRUE_KERNEL
) -> Problem:
    data, _ = blurred_rectangles(kernel, size, SIGMA)
    operator = Convolution(padding="valid")
    shape = operator.image_shape(shape_of(data), shape_of(start))
    return Problem(
        data=data,
        operator=operator,
        image_prior=Pixels(shape, data),
        kernel_prior=SimplexKernel(shape_of(start), start=start),
        fidelity=MSE(),
        regularizers=(Term(GaussianScaleMixture(), 2 * noise**2),),
    )


def damaged() -> torch.Tensor:
    """The true kernel, half of it spread evenly."""
    return TRUE_KERNEL / 2 + 1 / (2 * 81)


def distance(kernel: Any) -> float:
    return float((torch.as_tensor(kernel) - TRUE_KERNEL).norm() / TRUE_KERNEL.norm())


@pytest.mark.parametrize("free", [False, True])
def test_no_step_raises_the_free_energy(free: bool) -> None:
    """At one noise level, with the kernel's sum held at one or, as in the paper, free."""
    problem = problem_of(damaged(), size=40)
    solver = Variational(
        iterations=8, cg_iterations=60, kernel_iterations=600, sum_to_one=not free, normalised=not free
    )
    history = torch.tensor(solver.solve(problem).history)
    assert bool((history.diff() < 1e-4).all())
    assert history[-1] < history[0] - 0.01


@pytest.mark.parametrize("solver", SOLVERS, ids=lambda solver: type(solver).__name__)
def test_the_true_kernel_stays(solver: Solver[Any]) -> None:
    assert distance(solver.solve(problem_of(TRUE_KERNEL)).kernel) < 0.2


def test_a_damaged_kernel_improves_and_most_with_samples() -> None:
    independent, sampled = (distance(solver.solve(problem_of(damaged())).kernel) for solver in SOLVERS)
    assert independent < 0.9 * distance(damaged())
    assert sampled < 0.7 * distance(damaged())


def test_it_works_from_coarse_to_fine_with_annealing_and_sparsity() -> None:
    """The scheme of Levin et al. 2011, from two taps; the blur is a straight line."""
    line = torch.zeros(1, 1, 7, 7)
    line[..., 3, :] = 1 / 7
    inner = Variational(
        iterations=8, rounds=3, cg_iterations=10, warm_start=False, annealing=1.15, annealed=7, sparsity=0.01
    )
    solver = Pyramid(inner=inner, initial_kernel="two-taps")
    found = solver.solve(problem_of(torch.full((1, 1, 9, 9), 1 / 81), noise=0.01, kernel=line)).kernel
    assert kernel_similarity(torch.as_tensor(found)[0, 0].numpy(), line[0, 0].numpy()) > 0.9


def test_annealing_starts_with_more_noise_and_ends_with_none() -> None:
    solver, problem = Variational(annealing=2.0, annealed=3), problem_of(TRUE_KERNEL, noise=0.01)
    levels = [solver.noise(problem, iteration) ** 0.5 for iteration in range(5)]
    assert levels == pytest.approx([0.08, 0.04, 0.02, 0.01, 0.01])


def test_sparsity_removes_faint_entries() -> None:
    problem = problem_of(damaged())
    plain, sparse = (Variational(iterations=3, sparsity=weight).solve(problem).kernel for weight in (0.0, 0.1))
    assert int((torch.as_tensor(sparse) > 1e-3).sum()) < int((torch.as_tensor(plain) > 1e-3).sum())


def test_saturated_data_do_not_count() -> None:
    data = torch.full((2, 1, 4, 5), 0.5)
    data[0, 0, 1, 2] = 1.0
    data[1] = 1.0  # white paper: all of it counts
    assert counted_pixels(data, 0.99).flatten(1).sum(1).tolist() == [19, 20]
    assert counted_gradients(data, 0.99).flatten(1).sum(1).tolist() == [15 + 16 - 4, 15 + 16]
    assert counted_gradients(data, None).flatten(1).sum(1).tolist() == [31, 31]


@pytest.mark.parametrize(
    "solver", [Variational(saturation=0.9, iterations=4), MonteCarloEM(saturation=0.9, iterations=4)], ids=type
)
def test_saturated_data_can_have_any_value(solver: Solver[Any]) -> None:
    problem = problem_of(damaged(), size=50)
    lamp = problem.data.clone()
    lamp[..., 20:24, 20:24] = 0.9
    brighter = torch.where(lamp == 0.9, 1.0, lamp)
    one, other = (
        solver.solve(replace(problem, data=data, image_prior=Pixels(problem.image_prior.shape, lamp))).kernel
        for data in (lamp, brighter)
    )
    torch.testing.assert_close(torch.as_tensor(one), torch.as_tensor(other), rtol=0, atol=1e-5)


def test_the_sample_depends_on_the_seed_alone() -> None:
    problem = problem_of(damaged(), size=30)
    kernels = [torch.as_tensor(MonteCarloEM(iterations=2, seed=seed).solve(problem).kernel) for seed in (0, 0, 1)]
    assert torch.equal(kernels[0], kernels[1])
    assert not torch.equal(kernels[0], kernels[2])


def test_an_anchor_keeps_the_first_kernel() -> None:
    problem = problem_of(damaged(), size=40)
    free, held = (MonteCarloEM(iterations=4, anchor=weight).solve(problem).kernel for weight in (0.0, 1e6))
    torch.testing.assert_close(torch.as_tensor(held), damaged(), atol=1e-3, rtol=0)
    assert float((torch.as_tensor(free) - damaged()).abs().max()) > 1e-2


@pytest.mark.parametrize("solver", SOLVERS, ids=lambda solver: type(solver).__name__)
def test_small_and_empty_pictures(solver: Solver[Any]) -> None:
    problem = problem_of(damaged(), size=17)
    flat = replace(problem, data=torch.full_like(problem.data, 0.5))
    nearly_noiseless = replace(problem, regularizers=(Term(GaussianScaleMixture(), 2e-8),))
    for one in (problem, flat, nearly_noiseless):
        result = solver.solve(one)
        assert bool(torch.as_tensor(result.kernel).isfinite().all())
        assert bool(torch.as_tensor(result.image).isfinite().all())


def test_what_it_cannot_use_is_refused() -> None:
    problem = problem_of(TRUE_KERNEL)
    term = problem.regularizers[0]
    with pytest.raises(AssemblyError, match="one regularizer, the prior, and got 2"):
        Variational().check(replace(problem, regularizers=(term, term)))
    with pytest.raises(AssemblyError, match="first differences only, and HyperLaplacian has"):
        Variational().check(replace(problem, regularizers=(Term(HyperLaplacian(second=0.25), 1e-3),)))
    for solver in SOLVERS:
        with pytest.raises(AssemblyError, match="weight above zero"):
            solver.check(replace(problem, regularizers=(Term(GaussianScaleMixture(), 0.0),)))
    with pytest.raises(InputError):
        Variational(annealing=0.5)


def test_it_starts_from_the_data_or_from_the_image_of_the_prior() -> None:
    problem = problem_of(TRUE_KERNEL, size=20)
    problem = replace(problem, image_prior=Pixels(problem.image_prior.shape, torch.zeros_like(problem.data)))
    from_data, from_image = (Variational(start_from_data=chosen).start(problem).mean for chosen in (True, False))
    assert float(from_data.abs().max()) > 0
    assert float(from_image.abs().max()) == 0


LINE = torch.zeros(1, 1, 9, 9)
LINE[..., 4, 1:8] = 1 / 7
WIDE = GaussianKernel((1, 1, 9, 9), sigma=1.4)().detach()
HALF_LINE = LINE / 2 + 1 / (2 * 81)
PRIORS = [
    (SimplexKernel((1, 1, 9, 9), start=HALF_LINE), LINE),
    (SimplexKernel((1, 1, 9, 9), start=HALF_LINE, parametrization="projection"), LINE),
    (GaussianKernel((1, 1, 9, 9), sigma=3.0), WIDE),
    (GaussianKernel((1, 1, 9, 9), sigma=3.0, anisotropic=True), WIDE),
    (ZernikeKernel((1, 1, 9, 9)), WIDE),
]


@pytest.mark.parametrize(("prior", "true"), PRIORS, ids=lambda one: type(one).__name__)
@pytest.mark.parametrize("normalised", [True, False])
def test_any_kernel_prior_takes_part(prior: KernelPrior, true: torch.Tensor, normalised: bool) -> None:
    """The kernel is one of the prior's, and closer to the true one than the prior's first kernel, which stays."""
    before = prior().detach().clone()
    problem = replace(problem_of(before, noise=0.01, size=60, kernel=true), kernel_prior=prior)
    result = Variational(iterations=6, sum_to_one=False, normalised=normalised).solve(problem)
    kernel = torch.as_tensor(result.kernel)
    assert torch.equal(prior(), before)
    assert_kernel(kernel, (1, 1, 9, 9))
    assert float((kernel - true).norm()) < 0.8 * float((before - true).norm())
    assert float(torch.as_tensor(result.variances["kernel"]).max()) > 0


def test_a_network_is_trained_and_a_known_kernel_stays() -> None:
    network, known = SoftmaxFCN((1, 1, 9, 9), hidden=50), KnownKernel((1, 1, 9, 9), LINE)
    for prior, changes in ((network, True), (known, False)):
        before = prior().detach().clone()
        problem = replace(problem_of(before, noise=0.01, size=40, kernel=LINE), kernel_prior=prior)
        result = Variational(iterations=4).solve(problem)
        assert torch.equal(torch.as_tensor(result.kernel), before) != changes
        assert result.history[-1] < result.history[0]
        assert torch.as_tensor(result.variances["gradients"]).shape == (1, 2, *problem.data.shape[2:])


def test_a_gaussian_prior_gives_a_gaussian() -> None:
    prior = GaussianKernel((1, 1, 9, 9), sigma=3.0)
    problem = replace(problem_of(prior().detach(), noise=0.01, size=60, kernel=LINE), kernel_prior=prior)
    kernel = torch.as_tensor(Variational(iterations=3).solve(problem).kernel)
    torch.testing.assert_close(kernel, kernel.transpose(-2, -1), atol=1e-6, rtol=0)  # a line is not symmetric
