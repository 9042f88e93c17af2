"""Steps on a network that gives several images."""

from __future__ import annotations

from typing import Literal

import pytest
import torch
from invkit_noise_robust import BranchedSkipImage, KernelFunctionAdam, RootMSE, estimated_kernels
from invkit_noise_robust.solver import best_of, branched

from invkit.core.errors import AssemblyError
from invkit.core.problem import Problem, Term
from invkit.image_priors.pixels import Pixels
from invkit.kernel_priors.simplex import SimplexKernel
from invkit.operators.convolution import Convolution
from invkit.regularizers.tv import TotalVariation


def problem(padding: Literal["valid", "circular"] = "valid", branches: int = 3) -> Problem:
    operator, kernel_prior = Convolution(padding=padding), SimplexKernel((1, 1, 5, 6), parametrization="projection")
    data = torch.rand(1, 1, 20, 22, generator=torch.Generator().manual_seed(0))
    shape = operator.image_shape((1, 1, 20, 22), kernel_prior.shape)
    image_prior = BranchedSkipImage(shape, branches=branches, channels=4, skip_channels=2)
    terms = [Term(TotalVariation(isotropic=False, smoothing=0.0), 0.01)]
    return Problem(data, operator, image_prior, kernel_prior, RootMSE(), terms)


def test_the_loss_is_the_mean_over_the_kernels() -> None:
    """The loss of the first step, without a perturbation."""
    case, levels = problem(), (0.02, 0.06, 0.1)
    solver = KernelFunctionAdam(iterations=1, perturbation=0.0, kernel_penalty=0.5)
    prior = branched(case.image_prior)
    image, others = prior.decode_all(prior.latent)
    kernels, norms = estimated_kernels(case.data, others, solver.noise_levels, (5, 6))
    expected = sum(case.objective(image, kernel) for kernel in kernels) / 3 + 0.5 * norms.mean()
    assert solver.solve(case).history[0] == pytest.approx(expected.item(), rel=1e-5)
    assert solver.noise_levels == pytest.approx(levels, rel=0.03)


def test_the_loss_falls_and_the_kernel_is_one() -> None:
    result = KernelFunctionAdam(iterations=40, image_lr=1e-2).solve(problem())
    assert result.history[-1] < 0.9 * result.history[0]
    kernel = torch.as_tensor(result.kernel)
    assert kernel.min() >= 0
    assert kernel.sum() == pytest.approx(1, abs=1e-6)


def test_the_kernel_of_the_least_objective_is_chosen_for_each_image() -> None:
    kernels = torch.arange(6.0).view(3, 2, 1, 1, 1)
    chosen = best_of(kernels, torch.tensor([[3.0, 1.0], [1.0, 2.0], [2.0, 3.0]]))
    assert chosen.flatten().tolist() == [2.0, 1.0]


def test_branches_and_noise_levels_must_match() -> None:
    with pytest.raises(AssemblyError, match=r"set image_prior\.branches=3"):
        KernelFunctionAdam().check(problem(branches=2))


def test_an_image_prior_of_one_image_is_refused() -> None:
    case = problem()
    pixels = Problem(case.data, case.operator, Pixels(case.image_prior.shape, case.data), case.kernel_prior, RootMSE())
    with pytest.raises(AssemblyError, match="Branched"):
        KernelFunctionAdam().check(pixels)


def test_another_border_is_refused() -> None:
    with pytest.raises(AssemblyError, match="padding valid"):
        KernelFunctionAdam().check(problem("circular"))
