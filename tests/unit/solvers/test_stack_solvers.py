"""Wiener filter and ADMM of stacks of planes: against brute force, and against other solvers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal

import pytest
import torch
from deconvolution import finished
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from invkit.core.errors import AssemblyError
from invkit.core.interfaces import Proximable
from invkit.core.problem import Problem, Term
from invkit.fidelities.norms import MSE
from invkit.fidelities.poisson import Poisson
from invkit.image_priors.pixels import Pixels
from invkit.kernel_priors.known import KnownKernel, KnownStackKernel
from invkit.numerics.finite_differences import apply_filters
from invkit.numerics.fourier import extend_periodically, grid_sides, otf, to_grid, to_image, transform
from invkit.numerics.geometry import shape_of
from invkit.operators.convolution import Convolution
from invkit.operators.stack_convolution import StackConvolution
from invkit.regularizers.l2 import GradientL2
from invkit.regularizers.stack_l2 import StackGradientL2
from invkit.regularizers.stack_tv import StackTotalVariation
from invkit.regularizers.tv import TotalVariation
from invkit.solvers.admm import ADMM
from invkit.solvers.irls import IRLS
from invkit.solvers.linear_admm import LinearADMM
from invkit.solvers.pixel_state import PixelState
from invkit.solvers.proximal_gradient import ProximalGradient
from invkit.solvers.tiles import Tiles
from invkit.solvers.wiener import Wiener
from invkit.testing.common import drawn

Padding = Literal["valid", "circular"]

KERNEL, DATA = (2, 3, 2), (3, 4, 5)
both_paddings = pytest.mark.parametrize("padding", ["valid", "circular"])


def stack_problem(
    terms: Sequence[Term],
    padding: Padding = "valid",
    data: Tensor | None = None,
    kernel: Tensor | None = None,
) -> Problem:
    """A stack with a known kernel, in float64."""
    taps = drawn((1, *KERNEL), 3, torch.float64) ** 2 if kernel is None else kernel
    taps = taps / taps.sum()
    data = drawn((1, *DATA), 1, torch.float64) * 0.8 + 0.1 if data is None else data
    operator = StackConvolution(padding=padding)
    prior = Pixels(operator.image_shape(shape_of(data), shape_of(taps)), initial="grey").double()
    known = KnownStackKernel(shape_of(taps), taps).double()
    known.value.copy_(taps)  # the prior was built in float32
    return Problem(data, operator, prior, known, MSE(), list(terms))


def grid_of(problem: Problem) -> tuple[int, ...]:
    data, taps = tuple(problem.data.shape[1:]), problem.kernel_prior.shape[1:]
    assert isinstance(problem.operator, StackConvolution)
    return data if problem.operator.padding == "circular" else grid_sides(data, taps)


def predicted(problem: Problem, grid: Tensor) -> Tensor:
    """The data of a stack on the grid, by the problem's own operator: a valid one sees the image in its corner."""
    found: Tensor = problem.operator(to_image(grid, problem.image_prior.shape[1:]), problem.kernel_prior())
    return found


def dense(function: Callable[[Tensor], Tensor], size: tuple[int, ...]) -> Tensor:
    """The matrix of a linear function of a stack, a column for each voxel."""
    units = torch.eye(size[0] * size[1] * size[2], dtype=torch.float64).view(-1, 1, *size)
    return torch.stack([function(unit).flatten() for unit in units], 1)


def filters_of(term: Term) -> Proximable:
    assert isinstance(term.regularizer, Proximable)
    return term.regularizer


def sums(problem: Problem, grid: Tensor) -> Tensor:
    """What ADMM minimises: sums, the regularizers' on the periodic grid."""
    total = (predicted(problem, grid) - problem.data).square().sum()
    for term in problem.regularizers:
        regularizer = filters_of(term)
        penalty = regularizer.penalty(apply_filters(grid, regularizer.filters))
        total = total + term.weight * grid.numel() * penalty.sum()
    return total


def normal_equations(problem: Problem) -> Tensor:
    """The minimiser of ``|M K x - y|^2 + sum w |D x|^2`` over the periodic grid."""
    size = grid_of(problem)
    blur = dense(lambda grid: predicted(problem, grid), size)
    matrix = blur.T @ blur
    for term in problem.regularizers:
        filters = filters_of(term).filters
        differences = dense(lambda grid, filters=filters: apply_filters(grid, filters), size)  # type: ignore[misc]
        matrix += term.weight * differences.T @ differences
    found: Tensor = torch.linalg.solve(matrix, blur.T @ problem.data.flatten()).view(1, *size)
    return found


@settings(max_examples=20, deadline=None)
@given(kernel=st.tuples(*[st.integers(1, 3)] * 3), data=st.tuples(*[st.integers(3, 5)] * 3), seed=st.integers(0, 99))
def test_the_wiener_filter_solves_the_normal_equations(
    kernel: tuple[int, int, int], data: tuple[int, int, int], seed: int
) -> None:
    taps, counts = drawn((1, *kernel), seed, torch.float64), drawn((1, *data), seed + 1, torch.float64)
    terms = [Term(StackGradientL2(plane_distance=2.0), 0.05)]
    problem = stack_problem(terms, "circular", counts, taps)
    found = finished(Wiener(), problem).image
    torch.testing.assert_close(found, normal_equations(problem), atol=1e-9, rtol=0)


def test_the_wiener_filter_of_a_stack_of_one_plane_is_that_of_a_picture() -> None:
    data, taps = drawn((1, 1, 9, 8), 1, torch.float64), drawn((1, 1, 3, 2), 2, torch.float64)
    stack, taps = stack_problem([Term(StackGradientL2(), 0.05)], "circular", data, taps), taps / taps.sum()
    known = KnownKernel(shape_of(taps), taps).double()
    known.kernel.copy_(taps)
    operator, terms = Convolution(padding="circular"), [Term(GradientL2(), 0.05)]
    picture = Problem(data, operator, Pixels(shape_of(data), data).double(), known, MSE(), terms)
    torch.testing.assert_close(finished(Wiener(), stack).image, finished(Wiener(), picture).image)


@both_paddings
def test_admm_converges_to_the_solution_of_the_normal_equations(padding: Padding) -> None:
    """Also beyond the border, where no data are: there the regularizer alone decides."""
    problem = stack_problem([Term(StackGradientL2(), 0.02), Term(StackGradientL2(plane_distance=3.0), 0.03)], padding)
    state = finished(ADMM(iterations=900, data_penalty=0.3, penalty=2.0), problem)
    torch.testing.assert_close(state.grid, normal_equations(problem), atol=1e-7, rtol=0)  # linear convergence


@both_paddings
def test_admm_ends_where_the_gradient_vanishes(padding: Padding) -> None:
    """Convex and smooth, so that the gradient, which no part of the solver computes, tells the minimiser."""
    terms = [Term(StackTotalVariation(smoothing=0.05, plane_distance=2.0), 0.02), Term(StackGradientL2(), 0.01)]
    problem = stack_problem(terms, padding)
    grid = finished(ADMM(iterations=900, data_penalty=0.3, penalty=2.0), problem).grid.requires_grad_()
    (gradient,) = torch.autograd.grad(sums(problem, grid), grid)
    start = torch.full_like(grid, 0.5, requires_grad=True)
    (before,) = torch.autograd.grad(sums(problem, start), start)
    assert gradient.norm() < 1e-5 * before.norm()


def cube_far_from_the_border(smoothing: float) -> tuple[torch.Tensor, Problem]:
    """A cube, and the problem of its blurred stack under total variation."""
    cube = torch.full((1, 11, 12, 13), 0.2, dtype=torch.float64)
    cube[:, 4:7, 4:8, 5:8] = 0.9
    taps = drawn((1, 3, 3, 3), 3, torch.float64)
    data = StackConvolution(padding="circular")(cube, taps / taps.sum())
    return cube, stack_problem([Term(StackTotalVariation(smoothing=smoothing), 0.01)], "circular", data, taps)


def test_admm_finds_the_minimiser_of_the_proximal_gradient_method() -> None:
    """Without smoothing. A cube far from the border, across which one solver takes differences and the other not."""
    cube, problem = cube_far_from_the_border(smoothing=0.0)
    ours = finished(ADMM(iterations=1500, data_penalty=0.3, penalty=5.0), problem).image
    theirs = ProximalGradient(iterations=800, tolerance=1e-8, inner_iterations=40).solve(problem).image
    assert (ours - cube).abs().max() > 0.01  # the regularizer changes the cube
    torch.testing.assert_close(ours, torch.as_tensor(theirs, dtype=torch.float64), atol=2e-3, rtol=0)


def test_linear_admm_finds_the_same_minimiser_by_conjugate_gradients() -> None:
    _, problem = cube_far_from_the_border(smoothing=0.01)
    ours = finished(ADMM(iterations=1000, data_penalty=0.3, penalty=5.0), problem).image
    theirs = finished(LinearADMM(iterations=1000, penalty=5.0, bound_penalty=0.0), problem).image
    torch.testing.assert_close(ours, theirs, atol=1e-3, rtol=0)


@pytest.mark.parametrize("solver", [ADMM(), LinearADMM(), ProximalGradient()])
def test_differences_between_planes_are_refused_where_the_channels_are_colours(
    solver: ADMM | LinearADMM | ProximalGradient,
) -> None:
    data, taps = drawn((1, 3, 9, 8), 1), torch.full((1, 1, 3, 3), 1 / 9)
    prior = Pixels((1, 3, 11, 10), data)
    terms = [Term(StackTotalVariation(), 0.01)]
    problem = Problem(data, Convolution(), prior, KnownKernel((1, 1, 3, 3), taps), MSE(), terms)
    with pytest.raises(
        AssemblyError, match=r"differences between the planes of a stack.*no stack; use one of pictures"
    ):
        solver.check(problem)


def test_solvers_of_pictures_alone_still_refuse_stacks() -> None:
    with pytest.raises(AssemblyError, match="IRLS needs operator of type Blur, and StackConvolution is not"):
        IRLS().check(stack_problem([Term(StackTotalVariation(), 0.01)]))


def test_a_penalty_of_pictures_is_taken_plane_by_plane_with_the_kernel_of_the_stack() -> None:
    problem = stack_problem([Term(TotalVariation(smoothing=0.05), 0.02)])
    grid = finished(ADMM(iterations=900, data_penalty=0.3, penalty=2.0), problem).grid.requires_grad_()
    (gradient,) = torch.autograd.grad(sums(problem, grid), grid)
    assert gradient.norm() < 1e-5


def test_admm_lowers_the_divergence_of_counts() -> None:
    truth = torch.full((1, 8, 10, 9), 0.05, dtype=torch.float64)
    truth[:, 3:5, 3:7, 3:6] = 0.8
    taps = torch.full((1, 3, 3, 3), 1.0, dtype=torch.float64)
    data = StackConvolution()(truth, taps / 27)
    problem = stack_problem([Term(StackTotalVariation(smoothing=0.0), 1e-4)], "valid", data, taps)
    problem = Problem(
        data, problem.operator, problem.image_prior, problem.kernel_prior, Poisson(), problem.regularizers
    )
    found = finished(ADMM(iterations=300), problem).image
    before, after = (
        float((one[:, 1:-1, 1:-1, 1:-1] - truth[:, 1:-1, 1:-1, 1:-1]).square().mean())
        for one in (StackConvolution().initial_image(data, taps / 27), found)
    )
    assert after < 0.25 * before


@given(kernel=st.tuples(*[st.integers(1, 4)] * 3), more=st.tuples(*[st.integers(0, 4)] * 3), seed=st.integers(0, 99))
def test_the_transfer_function_of_a_stack_is_that_of_the_kernel_about_its_centre(
    kernel: tuple[int, int, int], more: tuple[int, int, int], seed: int
) -> None:
    taps, size = drawn((2, *kernel), seed, torch.float64), tuple(a + b for a, b in zip(kernel, more, strict=True))
    placed = torch.zeros(2, *size, dtype=torch.float64)
    placed[:, : kernel[0], : kernel[1], : kernel[2]] = taps
    rolled = torch.roll(placed, [-(side // 2) for side in kernel], (1, 2, 3))
    torch.testing.assert_close(otf(taps, size), torch.fft.rfftn(rolled, dim=(1, 2, 3)))
    torch.testing.assert_close(transform(rolled, size), torch.fft.rfftn(rolled, dim=(1, 2, 3)))


@given(data=st.tuples(*[st.integers(2, 5)] * 3), kernel=st.tuples(*[st.integers(1, 4)] * 3))
def test_a_stack_keeps_its_place_on_the_grid_and_joins_smoothly(
    data: tuple[int, int, int], kernel: tuple[int, int, int]
) -> None:
    stack, size = drawn((1, *data), 1, torch.float64), grid_sides(data, kernel)
    found = extend_periodically(stack, kernel, size)
    assert found.shape[1:] == size
    place = [taps - 1 - taps // 2 for taps in kernel]
    inside = tuple(slice(first, first + side) for first, side in zip(place, data, strict=True))
    torch.testing.assert_close(found[(slice(None), *inside)], stack)
    assert found.min() >= stack.min() - 1e-12
    assert found.max() <= stack.max() + 1e-12
    assert torch.equal(to_image(to_grid(stack, size), data), stack)


# Tiles.


def blocks_in_noise() -> tuple[Tensor, Problem]:
    """The stack under the data, and the problem: blocks, blurred, with noise of 0.003."""
    taps = drawn((1, 3, 5, 4), 3, torch.float64) ** 2
    coarse = drawn((1, 1, 5, 6, 6), 1, torch.float64) * 0.8 + 0.1
    scene = torch.nn.functional.interpolate(coarse, size=(32, 64, 61))[:, 0]
    data = StackConvolution()(scene, taps / taps.sum())
    noise = torch.randn(data.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    problem = stack_problem([Term(StackTotalVariation(smoothing=0.0), 1e-3)], "valid", data + 0.003 * noise, taps)
    assert isinstance(problem.image_prior, Pixels)
    begun = problem.image_prior.assigned(StackConvolution().initial_image(data, taps))
    return StackConvolution().visible(scene, shape_of(data)), replace(problem, image_prior=begun)


def under_data(solver: ADMM | Wiener | Tiles, problem: Problem) -> Tensor:
    """The part under the data of the stack that a solver finds."""
    return StackConvolution().visible(torch.as_tensor(solver.solve(problem).image), shape_of(problem.data))


def rms(difference: Tensor) -> float:
    return float(difference.square().mean().sqrt())


@pytest.mark.parametrize("wiener_weight", [0.0, 10.0])
def test_tiles_along_all_axes_give_the_stack_without_tiles_within_the_noise(wiener_weight: float) -> None:
    truth, problem = blocks_in_noise()
    inner = ADMM(iterations=30)
    tiles = Tiles(inner=inner, tile_size=13, wiener_weight=wiener_weight, parallel_tiles=1)
    assert tiles._counts(problem) == (2, 4, 4)
    assert tiles.steps(problem) == 32
    state = tiles.start(problem)
    assert isinstance(state, PixelState)
    assert isinstance(problem.image_prior, Pixels)
    begun = replace(problem, image_prior=problem.image_prior.assigned(state.image))
    whole, tiled = (under_data(one, of) for one, of in ((inner, begun), (tiles, problem)))
    assert rms(tiled - whole) < 0.003
    for axis in (1, 2, 3):  # the error of each plane, some of which lie on seams
        others = [other for other in (1, 2, 3) if other != axis]
        without, within = ((one - truth).square().mean(others).sqrt() for one in (whole, tiled))
        assert (within < 1.2 * without + 0.003 / 2).all()
    assert (whole - truth).square().mean() < 0.5 * (problem.data - truth).square().mean()


def test_tiles_of_a_wiener_filter_are_as_near_to_the_truth_as_that_of_the_whole() -> None:
    """Each tile is taken as periodic, as the whole is. The rings of its border lie mostly in the overlap."""
    truth, problem = blocks_in_noise()
    problem = replace(problem, regularizers=[Term(StackGradientL2(), 0.01)])
    whole, tiled = (under_data(one, problem) for one in (Wiener(), Tiles(inner=Wiener(), tile_size=13, overlap=2.0)))
    assert rms(tiled - truth) < 1.05 * rms(whole - truth)
    assert rms(tiled - whole) < 0.5 * rms(whole - truth)


def test_one_tile_of_a_stack_is_the_inner_solver_to_the_bit() -> None:
    _, problem = blocks_in_noise()
    inner = ADMM(iterations=5)
    ours, theirs = Tiles(inner=inner, tile_size=64).solve(problem), inner.solve(problem)
    assert torch.equal(torch.as_tensor(ours.image), torch.as_tensor(theirs.image))
    assert ours.history == theirs.history


def test_tiles_say_that_they_need_less_memory() -> None:
    _, problem = blocks_in_noise()
    inner = ADMM(iterations=5)
    tiles = Tiles(inner=inner, tile_size=13, wiener_weight=0.0, parallel_tiles=1)
    assert tiles.memory_needed(problem) < 0.5 * inner.memory_needed(problem)
    assert Tiles(inner=inner, tile_size=64).memory_needed(problem) == inner.memory_needed(problem)
    assert Wiener().memory_needed(problem) == 8 * 15 * problem.image_prior().numel()
