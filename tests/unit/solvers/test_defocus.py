"""The radius of a disc: the discs themselves, the radii that are tried, and that the true one is found."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor

from invkit.core.problem import Problem, Term
from invkit.fidelities.norms import MSE
from invkit.image_priors.pixels import Pixels
from invkit.kernel_priors.simplex import SimplexKernel
from invkit.operators.convolution import Convolution
from invkit.regularizers.hyper_laplacian import HyperLaplacian
from invkit.solvers.defocus import Defocus, disc, discs
from invkit.solvers.half_quadratic import HalfQuadratic


def blocks(seed: int, size: tuple[int, int] = (150, 140)) -> Tensor:
    """Overlapping grey rectangles, (1, 1, H, W)."""
    rng = np.random.default_rng(seed)
    picture = np.full(size, 0.5)
    for _ in range(40):
        top, left = rng.integers(0, size[0] - 10), rng.integers(0, size[1] - 10)
        height, width = rng.integers(8, 50, 2)
        picture[top : top + height, left : left + width] = rng.uniform(0.1, 0.9)
    return torch.from_numpy(gaussian_filter(picture, 0.4)).float()[None, None]


def problem_of(data: Tensor, frame: int) -> Problem:
    operator = Convolution(padding="valid")
    kernel_prior = SimplexKernel((len(data), 1, frame, frame), parametrization="projection")
    shape = operator.image_shape((len(data), 1, data.shape[-2], data.shape[-1]), kernel_prior.shape)
    terms = [Term(HyperLaplacian(power=0.8, smoothing=0.0), 1e-3)]
    return Problem(data, operator, Pixels(shape, data), kernel_prior, MSE(), terms)


def blurred(sharp: Tensor, radius: float, sigma: float = 0.003) -> Tensor:
    noise = torch.randn(sharp.shape, generator=torch.Generator().manual_seed(0)) * sigma
    kernel = disc(radius)
    data: Tensor = Convolution(padding="valid")(sharp, kernel)
    return (data + noise[..., : data.shape[-2], : data.shape[-1]]).clamp(0, 1)


def solver(ratio: float = 1.2) -> Defocus:
    return Defocus(latent=HalfQuadratic(beta_start=0.5, beta_max=64.0, beta_factor=4.0), ratio=ratio)


@pytest.mark.parametrize("radius", [0.3, 0.5, 1.0, 2.5, 6.2, 17.0])
def test_a_disc_is_a_symmetric_kernel_of_its_area(radius: float) -> None:
    kernel = disc(radius)
    assert kernel.sum() == pytest.approx(1, abs=1e-5)
    assert all(torch.equal(kernel, kernel.flip(dim)) for dim in (-1, -2))
    torch.testing.assert_close(kernel, kernel.transpose(-1, -2))
    assert kernel.shape[-1] == 2 * max(math.ceil(radius - 0.5), 0) + 1
    if radius >= 1.5:
        assert 1 / kernel.max() == pytest.approx(math.pi * radius**2, rel=0.03)
        assert kernel[..., 0, :].sum() > 0


def test_discs_have_the_size_of_the_frame() -> None:
    kernels = discs(torch.tensor([2.0, 6.0]), (9, 8))
    assert kernels.shape == (2, 1, 9, 8)
    torch.testing.assert_close(kernels.sum((-1, -2)), torch.ones(2, 1))
    assert (kernels[1] > 0).all()  # cut off by the frame, which a recipe sees


def test_radii_grow_to_three_quarters_of_the_frame_or_a_quarter_of_the_data() -> None:
    ladder = solver(ratio=1.5).ladder(problem_of(torch.rand(1, 1, 90, 100), 21))
    assert ladder[0] == 1.0
    np.testing.assert_allclose(np.array(ladder[1:]) / ladder[:-1], 1.5)
    assert ladder[-1] <= 15.75 < 1.5 * ladder[-1]
    small = solver(ratio=1.5).ladder(problem_of(torch.rand(1, 1, 24, 100), 21))
    assert small[-1] <= 6.0 < 1.5 * small[-1]


@pytest.mark.parametrize("radius", [2.4, 5.3])
def test_the_radius_is_found(radius: float) -> None:
    data = blurred(blocks(1), radius)
    result = solver().solve(problem_of(data, 19))
    found = math.sqrt(1 / (math.pi * float(torch.as_tensor(result.kernel).max())))
    assert found == pytest.approx(radius, rel=0.1)
    assert result.iterations == solver().steps(problem_of(data, 19))


def test_a_disc_that_the_frame_cuts_off_fills_it() -> None:
    kernel = torch.as_tensor(solver().solve(problem_of(blurred(blocks(1), 6.0), 9)).kernel)
    assert (kernel[0, 0, [0, -1], 2:-2] > 0).all()


def test_each_picture_of_a_batch_has_its_own_radius() -> None:
    pictures = [blurred(blocks(1), radius)[..., :130, :120] for radius in (2.0, 4.6)]
    together = torch.as_tensor(solver().solve(problem_of(torch.cat(pictures), 15)).kernel)
    alone = [torch.as_tensor(solver().solve(problem_of(picture, 15)).kernel) for picture in pictures]
    torch.testing.assert_close(together, torch.cat(alone), atol=1e-3, rtol=0)
    assert together[0].max() > 2 * together[1].max()


def test_the_last_step_restores_the_pictures() -> None:
    sharp = blocks(3)
    data = blurred(sharp, 4.0)
    problem = problem_of(data, 15)
    method = solver()
    state = method.start(problem)
    for number in range(method.steps(problem)):
        state.iteration = number
        state = method.step(problem, state)
        assert state.converged == (number == method.steps(problem) - 1)
    margin = 8
    image = state.image[..., margin:-margin, margin:-margin]
    truth = sharp[..., 5:-5, 5:-5][..., : image.shape[-2], : image.shape[-1]]
    before = (data[..., 1:-1, 1:-1][..., : image.shape[-2], : image.shape[-1]] - truth).square().mean()
    assert (image - truth).square().mean() < before
