"""Posterior means and variances of gradients and kernels against dense algebra, and the descent of the free energy."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
import torch
import torch.nn.functional as F
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from invkit.core.problem import Problem, Term
from invkit.fidelities.norms import MSE
from invkit.image_priors.pixels import Pixels
from invkit.kernel_priors.simplex import SimplexKernel
from invkit.numerics.geometry import shape_of
from invkit.numerics.mean_field import MaskedConvolution, MeanField
from invkit.numerics.scale_mixture import NATURAL_GRADIENTS
from invkit.operators.convolution import Convolution
from invkit.regularizers.gaussian_scale_mixture import GaussianScaleMixture
from invkit.solvers.map.expected_normal_equations import ExpectedNormalEquations, expected_normal_equations
from invkit.solvers.pyramid import Pyramid
from invkit.solvers.variational import Variational
from invkit.testing.common import drawn
from invkit.testing.map_steps import strokes

sizes = st.tuples(st.integers(1, 4), st.integers(1, 4))
data_sizes = st.tuples(st.integers(4, 7), st.integers(4, 7))
seeds = st.integers(0, 2**32 - 1)
batches, planes = st.integers(1, 2), st.integers(1, 2)
noises = st.sampled_from([1e-4, 1e-2, 1.0])
holes = st.sampled_from([0.0, 0.3])
totals = st.sampled_from([0.5, 1.0, 3.0])  # of the kernel: the paper does not keep it at one


@dataclass(frozen=True)
class Small:
    """A small problem of latent differences in float64."""

    blur: MaskedConvolution
    data: torch.Tensor
    noise: float

    def matrix(self, item: int, plane: int) -> torch.Tensor:
        """``M K`` of one plane, (H W, latent pixels)."""
        kernel, mask = self.blur.kernel[item : item + 1], self.blur.mask[item, plane]
        size = [n + k - 1 for n, k in zip(mask.shape, kernel.shape[-2:], strict=True)]
        units = torch.eye(size[0] * size[1], dtype=torch.float64).view(-1, 1, *size)
        return (F.conv2d(units, kernel.flip(-2, -1)) * mask).flatten(1).T

    @property
    def latent_shape(self) -> tuple[int, ...]:
        return tuple(self.blur.adjoint(self.data).shape)


smalls = st.builds(
    lambda batch, plane, data, kernel, hole, total, noise, seed: Small(
        MaskedConvolution(
            total * drawn((batch, 1, *kernel), seed, torch.float64) / (kernel[0] * kernel[1]) + 1e-3,
            (drawn((batch, plane, *data), seed + 1, torch.float64) >= hole).double(),
        ),
        drawn((batch, plane, *data), seed + 2, torch.float64) - 0.5,
        noise,
    ),
    batches,
    planes,
    data_sizes,
    sizes,
    holes,
    totals,
    noises,
    seeds,
)


@settings(max_examples=20, deadline=None)
@given(small=smalls, seed=seeds)
def test_means_and_variances_of_differences_are_those_of_the_dense_system(small: Small, seed: int) -> None:
    precision = 20 + 7000 * drawn(small.latent_shape, seed, torch.float64)
    zero = torch.zeros(small.latent_shape, dtype=torch.float64)
    found = MeanField(zero, zero).updated(
        small.blur, small.blur.adjoint(small.data), precision, noise=small.noise, cg_iterations=150
    )
    for item, plane in torch.cartesian_prod(*(torch.arange(n) for n in small.data.shape[:2])).tolist():
        matrix, weights = small.matrix(item, plane), precision[item, plane].flatten()
        inverse = matrix.T @ matrix / small.noise + weights.diag()
        mean = torch.linalg.solve(inverse, matrix.T @ small.data[item, plane].flatten() / small.noise)
        torch.testing.assert_close(found.mean[item, plane].flatten(), mean, rtol=1e-5, atol=1e-8)
        torch.testing.assert_close(found.variance[item, plane].flatten(), 1 / inverse.diagonal())


def dense_equations(latent: MeanField, small: Small, item: int) -> torch.Tensor:
    """``A^T M A + D`` of one item, summed over the planes."""
    h, w = small.blur.kernel.shape[-2:]
    units = torch.eye(h * w, dtype=torch.float64).view(-1, 1, h, w).flip(-2, -1)
    total = torch.zeros(h * w, h * w, dtype=torch.float64)
    for plane in range(small.data.shape[1]):
        mask = small.blur.mask[item, plane].flatten()
        columns, windows = (
            F.conv2d(value[item : item + 1, plane : plane + 1], units)[0].flatten(1)
            for value in (latent.mean, latent.variance)
        )
        total += (columns * mask) @ columns.T + (windows * mask).sum(1).diag()
    return total


@settings(max_examples=20, deadline=None)
@given(small=smalls, seed=seeds, zeros=st.sampled_from([0.0, 0.4]))
def test_variances_of_a_kernel_are_those_of_the_dense_inverse(small: Small, seed: int, zeros: float) -> None:
    mean, variance = (drawn(small.latent_shape, seed + n, torch.float64) for n in range(2))
    latent = MeanField(mean - 0.5, 0.1 * variance + 1e-3)
    kernel = small.blur.kernel * (drawn(tuple(small.blur.kernel.shape), seed, torch.float64) >= zeros)
    found = equations_of(latent, small).variances(kernel, small.noise)
    for item in range(len(kernel)):
        free = kernel[item].flatten() > 0.01 * kernel[item].max()  # fainter ones count as zero
        matrix = dense_equations(latent, small, item)[free][:, free]
        assume(len(matrix) == 0 or bool(torch.linalg.cond(matrix) < 1e9))
        expected = small.noise * torch.linalg.inv(matrix).diagonal()
        torch.testing.assert_close(found[item].flatten()[free], expected, rtol=1e-5, atol=0)
        assert bool((found[item].flatten()[~free] == 0).all())


def equations_of(latent: MeanField, small: Small) -> ExpectedNormalEquations:
    return expected_normal_equations(latent, small.data, small.blur.mask, small.blur.kernel)


@settings(max_examples=15, deadline=None)
@given(small=smalls)
def test_neither_gradients_nor_kernel_raise_the_free_energy(small: Small) -> None:
    """Every update of EM at a fixed noise level: weights and means, variances, then the kernel."""
    zero = torch.zeros(small.latent_shape, dtype=torch.float64)
    latent, blur, energies = MeanField(zero, torch.full_like(zero, 1e-3)), small.blur, []

    def note() -> None:
        energy = lambda moment: NATURAL_GRADIENTS.energy(moment).sum((1, 2, 3))  # noqa: E731
        energies.append(latent.free_energy(blur, small.data, energy, small.noise))

    note()
    for _ in range(3):
        for _ in range(2):
            precision = NATURAL_GRADIENTS.expected_precision(latent.second_moment)
            latent = latent.updated(blur, blur.adjoint(small.data), precision, noise=small.noise, cg_iterations=200)
            note()
        equations = expected_normal_equations(latent, small.data, blur.mask, blur.kernel)
        blur = replace(blur, kernel=equations.solved(blur.kernel, iterations=100, sum_to_one=False))
        note()
    found = torch.stack(energies)
    assert bool((found.diff(dim=0) <= 1e-9 * found.abs().amax()).all())


def blurred_problem(noise: float = 0.01) -> Problem:
    kernel = strokes(1, (5, 5)).float()
    operator, scene = Convolution(padding="valid"), torch.zeros(1, 1, 36, 34)
    scene[..., 8:22, 10:24], scene[..., 15:30, 4:14] = 0.9, 0.4
    data = operator(scene, kernel)
    return Problem(
        data=data,
        operator=operator,
        image_prior=Pixels(operator.image_shape(shape_of(data), (1, 1, 5, 5)), data),
        kernel_prior=SimplexKernel((1, 1, 5, 5), parametrization="projection"),
        fidelity=MSE(),
        regularizers=(Term(GaussianScaleMixture(), 2 * noise**2),),
    )


@pytest.mark.parametrize("normalised", [True, False])
def test_the_result_has_the_variances_of_its_kernel(normalised: bool) -> None:
    """Dividing a kernel by its sum divides its variances by the sum's square, and multiplies those of the gradients."""
    problem = blurred_problem()
    solver = Variational(iterations=3, sum_to_one=False, normalised=normalised)
    state = solver.start(problem)
    assert state.variances() == {}
    for _ in range(3):
        state = solver.step(problem, state)
        state.iteration += 1
    result = solver.solve(problem)
    total = float(state.kernel.sum())
    assert (total == pytest.approx(1)) == normalised
    torch.testing.assert_close(
        torch.as_tensor(result.variances["gradients"]).shape, problem.data.repeat(1, 2, 1, 1).shape
    )
    torch.testing.assert_close(
        torch.as_tensor(result.variances["gradients"]), total**2 * state.variance[..., 2:-2, 2:-2], rtol=1e-5, atol=0
    )
    equations = expected_normal_equations(
        MeanField(state.mean, state.variance), state.blurred, state.mask, state.kernel
    )
    expected = equations.variances(state.kernel, solver.noise(problem, 2)) / total**2
    torch.testing.assert_close(torch.as_tensor(result.variances["kernel"]), expected, rtol=1e-4, atol=0)
    assert float(expected.max()) > 0


@pytest.mark.parametrize("margin", [0, 4])
def test_a_pyramid_gives_those_of_its_finest_level(margin: int) -> None:
    problem = blurred_problem()
    solver = Pyramid(inner=Variational(iterations=2), min_kernel_size=3, margin=margin)
    result = solver.solve(problem)
    kernel, variance = torch.as_tensor(result.kernel), torch.as_tensor(result.variances["kernel"])
    assert variance.shape == kernel.shape
    assert torch.equal(variance > 0, kernel > 0.01 * kernel.max())
    assert ("gradients" in result.variances) == (margin == 0)


def test_less_noise_leaves_less_variance() -> None:
    kernels = [Variational(iterations=3).solve(blurred_problem(noise)).variances["kernel"] for noise in (0.02, 0.002)]
    noisy, clean = (float(torch.as_tensor(one).max()) for one in kernels)
    assert clean < 0.1 * noisy
