"""Restoration by a diffusion, with a tiny denoiser that is trained here."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from narrow import tensor
from tiny_denoiser import TinyDenoiser, block_pictures, trained
from torch import Tensor

from invkit.core.errors import AssemblyError
from invkit.core.interfaces import ForwardOperator, KernelPrior
from invkit.core.problem import Problem, Term
from invkit.fidelities.norms import MSE
from invkit.image_priors.pixels import Pixels
from invkit.kernel_priors.gaussian import GaussianKernel
from invkit.kernel_priors.known import KnownKernel
from invkit.numerics.geometry import shape_of
from invkit.operators.convolution import Convolution
from invkit.operators.gamma_blur import GammaBlur
from invkit.regularizers.plug_and_play import PlugAndPlay
from invkit.regularizers.tv import TotalVariation
from invkit.solvers.diffusion import Diffusion

WEIGHT = 2 * 0.01**2  # of noise of 0.01
EDGE = 4  # pixels around the middle of the image, of which the data show a part only


@pytest.fixture(scope="module")
def network() -> TinyDenoiser:
    return trained(steps=200)


@pytest.fixture
def truth() -> Tensor:
    return block_pictures(1, torch.Generator().manual_seed(5), 48)


def psnr(image: object, truth: Tensor) -> float:
    difference = (tensor(image) - truth)[..., EDGE:-EDGE, EDGE:-EDGE]
    return float(-10 * difference.square().mean().log10())


def streak() -> Tensor:
    """A horizontal line with a kink."""
    kernel = torch.zeros(1, 1, 5, 5)
    kernel[0, 0, 2], kernel[0, 0, 1, 3], kernel[0, 0, 3, 1] = 0.12, 0.2, 0.2
    return kernel


def blurred(operator: ForwardOperator, truth: Tensor, kernel: Tensor, prior: KernelPrior, *terms: Term) -> Problem:
    data = operator(truth, kernel)
    noise = torch.randn(data.shape, generator=torch.Generator().manual_seed(1))
    data = (data + 0.01 * noise).clamp(0, 1)
    return Problem(data, operator, Pixels(shape_of(truth), data), prior, MSE(), terms)


@pytest.mark.parametrize("operator", [Convolution(), GammaBlur()], ids=["linear", "not linear"])
def test_a_known_blur_is_removed(network: TinyDenoiser, truth: Tensor, operator: ForwardOperator) -> None:
    kernel = streak()
    term = Term(PlugAndPlay.of(network), WEIGHT)
    problem = blurred(operator, truth, kernel, KnownKernel(shape_of(kernel), kernel), term)
    result = Diffusion(iterations=25).solve(problem)
    assert psnr(result.image, truth) > psnr(problem.image_prior().detach(), truth) + 2
    assert result.iterations == 25


def test_the_unknown_width_of_a_blur_is_found_beside_the_image(network: TinyDenoiser, truth: Tensor) -> None:
    kernel = GaussianKernel((1, 1, 9, 9), sigma=1.2)().detach()
    start = GaussianKernel((1, 1, 9, 9), sigma=2.0)
    problem = blurred(Convolution(), truth, kernel, start, Term(PlugAndPlay.of(network), WEIGHT))
    result = Diffusion(iterations=30, parameter_lr=0.03).solve(problem)
    before, after = (float((one - kernel).abs().sum()) for one in (start().detach(), tensor(result.kernel)))
    assert after < 0.4 * before
    assert torch.equal(problem.kernel_prior().detach(), start().detach())


def test_noise_depends_on_the_seed_alone(network: TinyDenoiser, truth: Tensor) -> None:
    kernel = streak()
    term = Term(PlugAndPlay.of(network), WEIGHT)
    problem = blurred(Convolution(), truth, kernel, KnownKernel(shape_of(kernel), kernel), term)
    first, again, other = (Diffusion(iterations=5, seed=seed).solve(problem) for seed in (0, 0, 1))
    assert np.array_equal(first.image, again.image)
    assert not np.array_equal(first.image, other.image)


def test_it_needs_one_denoiser(network: TinyDenoiser, truth: Tensor) -> None:
    kernel = streak()
    prior, denoiser = KnownKernel(shape_of(kernel), kernel), Term(PlugAndPlay.of(network), WEIGHT)
    problem = blurred(Convolution(), truth, kernel, prior, denoiser)
    for terms, said in (
        ([Term(TotalVariation(), 0.1)], "needs regularizers of type Denoising, and TotalVariation is not"),
        ([denoiser, denoiser], "diffusion needs one regularizer on the image.* and there are 2; give one"),
        ([replace(denoiser, weight=0.0)], "with a weight above zero, and there are none"),
    ):
        with pytest.raises(AssemblyError, match=said):
            Diffusion().check(replace(problem, regularizers=terms))
