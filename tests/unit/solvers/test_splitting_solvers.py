"""Half-quadratic splitting and ADMM against dense linear algebra and the gradient of what they minimise."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from deconvolution import Padding, a_kernel, blocks, finished, made, random
from narrow import tensor

from invkit.core.errors import AssemblyError
from invkit.core.interfaces import Blur, Proximable
from invkit.core.problem import Problem, Term
from invkit.core.solver import Solver
from invkit.numerics.finite_differences import apply_filters, apply_filters_adjoint
from invkit.numerics.fourier import grid_size
from invkit.numerics.geometry import Size, shape_of, size_of
from invkit.operators.convolution import Convolution
from invkit.regularizers.hyper_laplacian import HyperLaplacian
from invkit.regularizers.l0 import L0Gradient
from invkit.regularizers.l2 import GradientL2, KernelL2
from invkit.regularizers.tv import TotalVariation
from invkit.solvers.admm import ADMM, under_data
from invkit.solvers.half_quadratic import HalfQuadratic
from invkit.solvers.masked_blur import data_on_grid

SIZE = (11, 9)
paddings = pytest.mark.parametrize("padding", ["valid", "circular"])
both = pytest.mark.parametrize("solver", [ADMM, HalfQuadratic])


def tiny(terms: list[Term], padding: Padding, batch: int = 1, channels: int = 1, noise: float = 0.05) -> Problem:
    """A blurred image of few pixels, small enough for dense matrices."""
    kernel = a_kernel(batch, (3, 4))
    shape = Convolution(padding=padding).image_shape((batch, channels, *SIZE), shape_of(kernel))
    data = Convolution(padding=padding)(blocks(batch, channels, (shape[2], shape[3])), kernel)
    return made((data + noise * (random(*data.shape, seed=9) - 0.5)).clamp(0, 1), kernel, terms, padding)


def grid_of(problem: Problem) -> Size:
    """The size of the periodic grid: of the data, or with room for the border and a fast transform."""
    _, _, height, width = problem.kernel_prior.shape
    assert isinstance(problem.operator, Blur)
    circular = problem.operator.padding == "circular"
    return size_of(problem.data) if circular else grid_size(size_of(problem.data), (height, width))


def proximable(term: Term) -> Proximable:
    assert isinstance(term.regularizer, Proximable)
    return term.regularizer


def predicted(problem: Problem, grid: torch.Tensor) -> torch.Tensor:
    """The data of an image on the grid, by the problem's own operator: a valid one sees the image in its corner."""
    height, width = problem.image_prior.shape[-2:]
    return tensor(problem.operator(grid[..., :height, :width], problem.kernel_prior()))


def dense(function: Callable[[torch.Tensor], torch.Tensor], size: Size) -> torch.Tensor:
    """The matrix of a linear function of one grid, a column for each pixel."""
    units = torch.eye(size[0] * size[1], dtype=torch.float64).view(-1, 1, 1, *size)
    return torch.stack([function(unit).flatten() for unit in units], 1)


def least_squares(problem: Problem) -> torch.Tensor:
    """The minimiser of ``|M K x - y|^2 + sum w |D x|^2`` over the periodic grid, one channel of one image."""
    size = grid_of(problem)
    blur = dense(lambda grid: predicted(problem, grid), size)
    matrix = blur.T @ blur
    for term in problem.regularizers:
        filters = proximable(term).filters
        differences = dense(partial(apply_filters, filters=filters), size)
        matrix += term.weight * differences.T @ differences
    return tensor(torch.linalg.solve(matrix, blur.T @ problem.data.flatten())).view(1, 1, *size)


def sums(problem: Problem, grid: torch.Tensor) -> torch.Tensor:
    """What both solvers minimise: sums, the regularizers' on the periodic grid."""
    total = (predicted(problem, grid) - problem.data).square().sum()
    for term in problem.regularizers:
        regularizer = proximable(term)
        coefficients = apply_filters(grid, regularizer.filters)
        total = total + term.weight * grid[0].numel() * regularizer.penalty(coefficients).sum()
    return total


# --- ADMM ------------------------------------------------------------------------------------------------------------


@paddings
def test_admm_converges_to_the_solution_of_the_normal_equations(padding: Padding) -> None:
    """Also beyond the border, where no data are: there the regularizer alone decides."""
    problem = tiny([Term(GradientL2(), 0.02), Term(GradientL2(second=0.0), 0.03)], padding)
    state = finished(ADMM(iterations=700, data_penalty=0.3, penalty=2.0), problem)
    exact = least_squares(problem)
    assert torch.allclose(state.grid, exact, atol=1e-7)  # linear convergence; more iterations come nearer
    height, width = problem.image_prior.shape[-2:]
    assert torch.allclose(state.image, exact[..., :height, :width], atol=1e-7)


@paddings
@pytest.mark.parametrize(
    "terms",
    [
        [Term(TotalVariation(smoothing=0.05), 0.02)],
        [Term(TotalVariation(smoothing=0.05, isotropic=False), 0.02), Term(GradientL2(), 0.01)],
        [Term(HyperLaplacian(power=1.5, second=0.5, smoothing=0.05), 0.02)],
    ],
    ids=["tv", "two terms", "second differences"],
)
def test_admm_ends_where_the_gradient_vanishes(padding: Padding, terms: list[Term]) -> None:
    """Convex and smooth, so that the gradient, which no part of the solver computes, tells the minimiser."""
    problem = tiny(terms, padding, 2, 2)
    grid = finished(ADMM(iterations=700, data_penalty=0.3, penalty=2.0), problem).grid.requires_grad_()
    (gradient,) = torch.autograd.grad(sums(problem, grid), grid)
    start = torch.full_like(grid, 0.5, requires_grad=True)
    (before,) = torch.autograd.grad(sums(problem, start), start)
    assert gradient.norm() < 1e-5 * before.norm()


@paddings
def test_admm_ends_where_the_gradient_vanishes_of_what_clipped_data_cost_on_one_side_alone(padding: Padding) -> None:
    """They cost nothing where the blurred image is brighter than they are, which leaves the objective convex."""
    problem, level = tiny([Term(TotalVariation(smoothing=0.05), 0.02)], padding, 2, 2), 0.55

    def objective(grid: torch.Tensor) -> torch.Tensor:
        residual = predicted(problem, grid) - problem.data
        free = (problem.data >= level) & (residual > 0)
        return sums(problem, grid) - residual[free].square().sum()

    solver = ADMM(iterations=700, data_penalty=0.3, penalty=2.0, saturation=level)
    grid = finished(solver, problem).grid.requires_grad_()
    (gradient,) = torch.autograd.grad(objective(grid), grid)
    start = torch.full_like(grid, 0.5, requires_grad=True)
    (before,) = torch.autograd.grad(objective(start), start)
    assert gradient.norm() < 1e-5 * before.norm()
    assert objective(grid) < 0.95 * sums(problem, grid)  # some are


def test_admm_does_not_depend_on_its_penalties() -> None:
    """They decide how fast it converges, not to what."""
    problem = tiny([Term(TotalVariation(smoothing=0.0), 0.02)], "valid")
    one, other = (
        finished(ADMM(iterations=2000, data_penalty=first, penalty=second), problem).image
        for first, second in ((0.2, 2.0), (1.0, 5.0))
    )
    assert torch.allclose(one, other, atol=1e-4)


def test_admm_leaves_an_image_that_needs_nothing() -> None:
    """A constant image has no differences and blurs to itself: the start is the minimiser."""
    data = torch.full((1, 1, *SIZE), 0.4, dtype=torch.float64)
    problem = made(data, a_kernel(1, (3, 4)), [Term(TotalVariation(smoothing=0.0), 0.1)])
    assert torch.allclose(finished(ADMM(iterations=7), problem).grid, torch.tensor(0.4, dtype=torch.float64))


def test_the_loss_of_admm_is_the_data_s_of_its_image() -> None:
    problem = tiny([Term(TotalVariation(smoothing=0.05), 0.02)], "valid", 2, 3)
    state = finished(ADMM(iterations=5), problem)
    expected = problem.fidelity(problem.operator(state.image, state.kernel), problem.data).sum()
    assert state.losses[-1] == pytest.approx(float(expected), rel=1e-9)
    seen = under_data(problem, state.blurred, state.kernel)
    assert torch.allclose(seen, problem.operator(state.image, state.kernel), atol=1e-12)


# --- half-quadratic splitting ----------------------------------------------------------------------------------------


@paddings
@pytest.mark.parametrize("start_from_data", [True, False])
def test_a_step_is_the_two_minimisations(padding: Padding, start_from_data: bool) -> None:
    """First over z for the present image, by definition of the prox, then over x: the gradient vanishes."""
    terms = [Term(L0Gradient(smoothing=0.0), 0.004), Term(HyperLaplacian(power=0.8, second=0.25), 0.01)]
    problem = tiny(terms, padding, 2, 3)
    solver = HalfQuadratic(beta_start=3.0, beta_factor=2.0, start_from_data=start_from_data)
    state = solver.start(problem)
    for _ in range(2):
        state = solver.step(problem, state)
        state.iteration += 1
    before, beta, count = state.grid, 3.0 * 2.0**2 * 0.01, state.grid[0].numel()
    grid = solver.step(problem, state).grid.requires_grad_()
    data = data_on_grid(problem, state.kernel)
    total = (Convolution(padding="circular")(grid, state.kernel) - data).square().sum()
    for term in terms:
        # weight * R + beta |D x - z|^2 with R the mean over `count` values, so that the sum is count * R
        regularizer = proximable(term)
        z = regularizer.prox(apply_filters(before, regularizer.filters), term.weight * count / (2 * beta))
        total = total + beta * (apply_filters(grid, regularizer.filters) - z).square().sum()
    (gradient,) = torch.autograd.grad(total, grid)
    assert gradient.abs().max() < 1e-12


def test_slow_continuation_comes_near_the_solution_of_the_normal_equations() -> None:
    """One turn for each beta is not enough for any of them; the more of them there are the nearer it comes."""
    problem = tiny([Term(GradientL2(), 0.05)], "circular")
    exact = least_squares(problem)
    errors = [
        float(
            (finished(HalfQuadratic(beta_start=0.2, beta_max=100.0, beta_factor=factor), problem).grid - exact)
            .abs()
            .max()
        )
        for factor in (2.0, 1.2, 1.01)
    ]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.005 < errors[0]


def test_the_loss_of_half_quadratic_is_the_mean_error_over_the_grid() -> None:
    """By Parseval's theorem, for widths odd and even."""
    for width in (9, 10):
        data = random(2, 2, 8, width)
        problem = made(data, a_kernel(2, (3, 4)), [Term(GradientL2(), 0.05)], "circular")
        state = finished(HalfQuadratic(beta_start=1.0, beta_max=2.0), problem)
        expected = (problem.operator(state.grid, state.kernel) - data).square().mean((1, 2, 3)).sum()
        assert state.losses[-1] == pytest.approx(float(expected), rel=1e-9)


@pytest.mark.parametrize(
    ("first", "last", "factor", "steps"), [(1, 8, 2, 4), (1, 1, 2, 1), (2, 1, 2, 1), (0.5, 128, 2.8284271, 6)]
)
def test_there_is_a_step_for_each_beta(first: float, last: int, factor: float, steps: int) -> None:
    assert HalfQuadratic(beta_start=first, beta_max=last, beta_factor=factor).iterations == steps


def test_without_a_blur_small_steps_go_and_large_ones_stay() -> None:
    """What L0 of the gradient is for (Xu, Lu, Xu, Jia 2011): a noisy step becomes a clean one."""
    clean = torch.zeros(1, 1, 16, 16, dtype=torch.float64) + 0.2
    clean[..., 4:12] = 0.8
    data = (clean + 0.04 * (random(1, 1, 16, 16) - 0.5)).clamp(0, 1)
    kernel = torch.ones(1, 1, 1, 1, dtype=torch.float64)
    for isotropic in (True, False):
        terms = [Term(L0Gradient(smoothing=0.0, isotropic=isotropic), 5e-3)]
        image = finished(HalfQuadratic(), made(data, kernel, terms, "circular")).image
        assert (image - clean).abs().max() < 0.25 * (data - clean).abs().max()


# --- both ------------------------------------------------------------------------------------------------------------


@both
@paddings
def test_channels_are_solved_as_images_of_their_own_where_the_regularizer_does(
    solver: type[Solver[Any]], padding: Padding
) -> None:
    problem = tiny([Term(HyperLaplacian(power=0.8), 0.01)], padding, 1, 3)
    together = finished(solver(), problem).image
    for channel in range(3):
        alone = made(problem.data[:, channel : channel + 1], problem.kernel_prior(), problem.regularizers, padding)
        assert torch.allclose(together[:, channel : channel + 1], finished(solver(), alone).image, atol=1e-9)


@both
def test_float32_is_float64_rounded(solver: type[Solver[Any]]) -> None:
    problem = tiny([Term(TotalVariation(smoothing=0.05), 0.02)], "valid")
    half = made(problem.data.float(), problem.kernel_prior().float(), problem.regularizers)
    exact, rounded = finished(solver(), problem).image, finished(solver(), half).image
    assert rounded.dtype == torch.float32
    assert (rounded - exact).abs().max() < 1e-4  # forty transforms, and proximal maps that do not enlarge errors


@both
def test_terms_on_the_kernel_are_refused(solver: type[Solver[Any]]) -> None:
    for term in (Term(TotalVariation(), 0.1, target="kernel"), Term(KernelL2(), 0.1, target="kernel")):
        problem = tiny([Term(TotalVariation(), 0.1), term], "valid")
        with pytest.raises(
            AssemblyError, match=f"ignores regularizers on the kernel, and {type(term.regularizer).__name__}"
        ):
            solver().check(problem)


@both
def test_some_weight_must_be_above_zero(solver: type[Solver[Any]]) -> None:
    with pytest.raises(AssemblyError, match="needs a regularizer with a weight above zero"):
        solver().check(tiny([Term(TotalVariation(), 0.0)], "valid"))
    with pytest.raises(AssemblyError, match="needs regularizers of type Proximable, and there is none"):
        solver().check(tiny([], "valid"))
    some, one = [Term(TotalVariation(), 0.1), Term(GradientL2(), 0.0)], [Term(TotalVariation(), 0.1)]
    assert torch.equal(*(finished(solver(), tiny(terms, "valid")).image for terms in (some, one)))


@both
def test_what_is_not_proximable_is_refused(solver: type[Solver[Any]]) -> None:
    with pytest.raises(AssemblyError, match="needs regularizers of type Proximable, and KernelL2 is not"):
        solver().check(tiny([Term(KernelL2(), 0.1)], "valid"))


def test_the_adjoint_serves_both_as_it_is_written() -> None:
    """``D^T z`` of `apply_filters_adjoint` is the matrix transposed of `apply_filters`."""
    regularizer, size = HyperLaplacian(second=0.25), (4, 5)
    matrix = dense(lambda grid: apply_filters(grid, regularizer.filters), size)
    coefficients = random(len(regularizer.filters), 1, 1, *size)
    assert torch.allclose(
        apply_filters_adjoint(coefficients, regularizer.filters).flatten(), matrix.T @ coefficients.flatten()
    )
