"""A turning camera's blur, the decision for it, and the deconvolution in patches."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from invkit.core.errors import InvkitError
from invkit.core.problem import Problem, Term
from invkit.fidelities.norms import MSE
from invkit.image_priors.pixels import Pixels
from invkit.kernel_priors.simplex import SimplexKernel
from invkit.numerics.geometry import Shape, shape_of, size_of
from invkit.numerics.turning import TurningMap, angles_of_course, grid_points, turned_kernels
from invkit.operators.convolution import Convolution
from invkit.operators.multiple_kernels import VaryingBlur
from invkit.regularizers.hyper_laplacian import HyperLaplacian
from invkit.regularizers.l0 import L0Gradient
from invkit.solvers.admm import ADMM
from invkit.solvers.half_quadratic import HalfQuadratic
from invkit.solvers.map.edge_filters import forward_differences
from invkit.solvers.map.edge_selection import Gradients
from invkit.solvers.map.kernel_postprocessing import ThresholdPostprocessing
from invkit.solvers.map.turning_fit import PatchEdges, fitted_coefficients, fitted_taps
from invkit.solvers.patchwise import Patchwise
from invkit.solvers.turning_camera import Patches, TurningCamera
from invkit.testing import check_solver

GRID = (3, 3)


class ManyPictures(VaryingBlur):
    """An operator that promises to blur several pictures."""

    def image_shape(self, data_shape: Shape, kernel_shape: Shape) -> Shape:
        return (2, *super().image_shape(data_shape, kernel_shape)[1:])


def scene(height: int, width: int) -> Tensor:
    """Overlapping rectangles of several greys, (1, 1, height, width)."""
    generator = torch.Generator().manual_seed(4)
    image = torch.full((1, 1, height, width), 0.5)
    for _ in range(60):
        top, left = (int(torch.randint(0, side - 6, (1,), generator=generator)) for side in (height, width))
        down, along = (int(torch.randint(5, 24, (1,), generator=generator)) for _ in range(2))
        image[..., top : top + down, left : left + along] = 0.1 + 0.8 * torch.rand(1, generator=generator)
    return image


def stroke() -> Tensor:
    """A bent stroke, (7, 7), summing to one."""
    kernel = torch.zeros(7, 7)
    for row, column in ((1, 1), (2, 2), (3, 3), (3, 4), (3, 5), (4, 5)):
        kernel[row, column] = 1 / 6
    return kernel


def camera(**settings: Any) -> TurningCamera:
    parts = {
        "latent": HalfQuadratic(beta_max=1e5),
        "latent_regularizer": L0Gradient(smoothing=0.0),
        "edge_selection": Gradients(share=0.1, relax=1.0),
        "kernel_postprocessing": ThresholdPostprocessing(threshold=0.02, min_component=0.05),
        "restoration": ADMM(iterations=10, penalty=100.0, relaxation=1.8, bound_penalty=0.2),
    }
    return TurningCamera(**{"patches": 4, "kernel_iterations": 20, **parts, **settings})


def blurred_by(kernels: Tensor, start: Tensor) -> Problem:
    """The problem of the scene blurred by kernels on the grid (9, 1, h, w), with a kernel to start from."""
    operator, size = VaryingBlur(grid=GRID), size_of(kernels)
    data = operator(scene(120 + size[0] - 1, 150 + size[1] - 1), kernels)
    data = (data + 0.003 * torch.randn(data.shape, generator=torch.Generator().manual_seed(1))).clamp(0, 1)
    shape = operator.image_shape(shape_of(data), shape_of(kernels))
    return Problem(
        data=data,
        operator=operator,
        image_prior=Pixels(shape, data),
        kernel_prior=SimplexKernel(shape_of(kernels), start.expand_as(kernels).clone(), parametrization="projection"),
        fidelity=MSE(),
        regularizers=[Term(HyperLaplacian(power=0.8, second=0.25, smoothing=0.0), 3e-4)],
    )


def framed(kernel: Tensor, side: int) -> Tensor:
    """A kernel (h, w) in the middle of a larger frame, (1, 1, side, side)."""
    margin = (side - kernel.shape[0]) // 2
    return torch.nn.functional.pad(kernel, (margin,) * 4)[None, None]


def turned(coefficients: Tensor) -> Tensor:
    """The kernels of a turning camera on the grid, (9, 1, 19, 19)."""
    radius = torch.tensor([120.0, 150.0]).norm() / 2
    angles = angles_of_course(coefficients, stroke(), 8.0) / radius
    return turned_kernels(stroke(), angles, grid_points(GRID, (120, 150)), (19, 19))


COURSE = torch.tensor([4.0, 0.0, 0.0, 0.0, 0.0])


@pytest.mark.parametrize("coefficients", [2 * COURSE, 0 * COURSE], ids=["turning", "still"])
def test_a_turning_camera_is_told_from_one_that_does_not_turn(coefficients: Tensor) -> None:
    problem = blurred_by(turned(coefficients), framed(stroke(), 19))
    found = torch.as_tensor(camera().solve(problem).kernel)
    truth, start = turned(coefficients), framed(stroke(), 19)
    if bool(coefficients.any()):
        assert float((found - truth).square().sum()) < float((start - truth).square().sum())
    else:
        assert torch.equal(found, problem.kernel_prior())


def test_a_small_turn_is_not_worth_a_new_kernel() -> None:
    problem = blurred_by(turned(2 * COURSE), framed(stroke(), 19))
    quick = {"iterations": 1, "patches": 2, "kernel_iterations": 3, "min_gain": -1000.0}
    assert torch.equal(torch.as_tensor(camera(**quick, min_turn=100.0).solve(problem).kernel), problem.kernel_prior())
    assert not torch.equal(torch.as_tensor(camera(**quick, min_turn=0.0).solve(problem).kernel), problem.kernel_prior())


def test_the_angles_are_found_from_the_edges() -> None:
    patches = Patches.of(scene(138, 168), 3, 10, 100)
    radius, kernel = 100.0, stroke()

    def kernels_of(coefficients: Tensor) -> Tensor:
        return turned_kernels(kernel, angles_of_course(coefficients, kernel, 8.0) / radius, patches.points, (19, 19))

    edges = PatchEdges.of(patches.data, Convolution()(patches.data, kernels_of(COURSE)), (19, 19))
    found = fitted_coefficients(edges, kernels_of, 0 * COURSE, kernel, 20)
    difference = angles_of_course(found, kernel, 8.0) - angles_of_course(COURSE, kernel, 8.0)
    assert float(difference[kernel > 0].abs().max()) < 0.1  # pixels at the corner


def test_the_taps_are_found_on_the_simplex() -> None:
    patches, kernel = Patches.of(scene(138, 168), 3, 10, 100), stroke()
    angles = angles_of_course(COURSE, kernel, 8.0) / 100
    turning = TurningMap.of(torch.ones(7, 7, dtype=torch.bool), angles, patches.points, (19, 19))
    sharp = forward_differences(patches.data)
    edges = PatchEdges.of(sharp, Convolution()(sharp, turning.kernels(kernel.flatten())), (19, 19))
    taps = fitted_taps(edges, turning, torch.full((49,), 1 / 49), 0.0, 150)
    assert bool((taps >= 0).all())
    torch.testing.assert_close(taps.sum(), torch.tensor(1.0))
    assert float((taps - kernel.flatten()).abs().max()) < 0.02


def test_patch_edges_have_an_adjoint() -> None:
    generator = torch.Generator().manual_seed(0)
    edges = PatchEdges.of(torch.randn(2, 3, 14, 15, generator=generator), torch.zeros(2, 3, 10, 12), (5, 4))
    kernels, data = torch.randn(2, 1, 5, 4, generator=generator), torch.randn(2, 3, 10, 12, generator=generator)
    left, right = (edges.predicted(kernels) * data).sum(), (kernels * edges.adjoint(data)).sum()
    torch.testing.assert_close(left, right, rtol=1e-4, atol=1e-4)


def test_patches_with_equal_kernels_are_the_whole_picture() -> None:
    problem = blurred_by(framed(stroke(), 9).expand(9, -1, -1, -1), framed(stroke(), 9))
    whole = ADMM(iterations=15)
    patchwise = torch.as_tensor(Patchwise(patch=whole).solve(problem).image)
    uniform = Patchwise(patch=ADMM(iterations=1), uniform=whole).solve(problem)
    assert uniform.iterations == 1
    assert float((patchwise - torch.as_tensor(uniform.image))[..., 4:-4, 4:-4].square().mean().sqrt()) < 0.01


def test_patches_use_the_kernel_of_their_place() -> None:
    kernels = turned(2 * COURSE)
    problem = blurred_by(kernels, framed(stroke(), 19))
    truth = scene(138, 168)[..., 9:-9, 9:-9]
    known = replace(problem, kernel_prior=SimplexKernel(shape_of(kernels), kernels, parametrization="projection"))
    solver = Patchwise(patch=ADMM(iterations=12))
    wrong, right = (torch.as_tensor(solver.solve(one).image)[..., 9:-9, 9:-9] - truth for one in (problem, known))
    assert float(right.square().mean()) < 0.5 * float(wrong.square().mean())


def test_a_patchwise_solve_that_stops_keeps_the_start_elsewhere() -> None:
    problem = blurred_by(turned(COURSE), framed(stroke(), 19))
    solver = Patchwise(patch=ADMM(iterations=2))
    state = solver.step(problem, solver.start(problem))
    changed = (state.image != problem.image_prior())[0, 0]
    assert bool(changed[:30, :30].any())
    assert not bool(changed[90:, :].any())


def test_several_pictures_are_refused() -> None:
    problem = blurred_by(framed(stroke(), 9).expand(9, -1, -1, -1), framed(stroke(), 9))
    shape = (2, *problem.image_prior.shape[1:])
    two = replace(
        problem,
        data=problem.data.expand(2, -1, -1, -1),
        operator=ManyPictures(),
        image_prior=Pixels(shape, initial="grey"),
    )
    with pytest.raises(InvkitError, match=r"one picture at a time|all kernels blur one image"):
        Patchwise(patch=ADMM()).check(two)


@pytest.mark.parametrize("solver", [TurningCamera, Patchwise])
def test_both_solvers_conform(solver: type[Any]) -> None:
    check_solver(solver)
