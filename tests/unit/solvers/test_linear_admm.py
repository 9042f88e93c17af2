"""The solvers of any linear operator: what they minimise, and what they refuse."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from narrow import tensor

from invkit.core.errors import AssemblyError
from invkit.core.problem import Problem, Term
from invkit.fidelities.norms import MSE
from invkit.image_priors.pixels import Pixels
from invkit.kernel_priors.known import KnownKernel
from invkit.kernel_priors.simplex import SimplexKernel
from invkit.numerics.geometry import shape_of
from invkit.operators.convolution import Convolution
from invkit.operators.pixelwise import Identity
from invkit.regularizers.l2 import KernelL2
from invkit.regularizers.tv import TotalVariation
from invkit.solvers.admm import ADMM
from invkit.solvers.alternating_admm import AlternatingADMM
from invkit.solvers.linear_admm import LinearADMM


def blocks(side: int = 32) -> torch.Tensor:
    coarse = torch.rand(1, 1, side // 8, side // 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return coarse.repeat_interleave(8, 2).repeat_interleave(8, 3)


def noisy(image: torch.Tensor, sigma: float = 0.1) -> torch.Tensor:
    noise = torch.randn(image.shape, generator=torch.Generator().manual_seed(1), dtype=image.dtype)
    return (image + sigma * noise).clamp(0, 1)


def denoising(data: torch.Tensor, weight: float) -> Problem:
    tv = [Term(TotalVariation(smoothing=0.0), weight)]
    return Problem(data, Identity(), Pixels(shape_of(data), data), KnownKernel((1, 1, 1, 1)), MSE(), tv)


def blurring(data: torch.Tensor, prior: SimplexKernel | KnownKernel, *terms: Term) -> Problem:
    operator = Convolution()
    shape = operator.image_shape(shape_of(data), prior.shape)
    tv = Term(TotalVariation(smoothing=0.0), 1e-3)
    return Problem(data, operator, Pixels(shape, data), prior, MSE(), [tv, *terms])


def test_it_reaches_a_lower_objective_than_scikit_image_for_total_variation() -> None:
    from skimage.restoration import denoise_tv_chambolle

    data, weight = noisy(blocks()), 0.1  # theirs is of |x - y|^2 / 2 summed, ours of its mean
    problem = denoising(data, 2 * weight)
    ours = LinearADMM(iterations=400, cg_iterations=10, penalty=5.0).solve(problem)
    theirs = torch.from_numpy(denoise_tv_chambolle(data[0, 0].numpy(), weight=weight, eps=1e-9, max_num_iter=2000))
    kernel = torch.ones(1, 1, 1, 1).double()
    value, reference = (float(problem.objective(image, kernel)) for image in (tensor(ours.image), theirs[None, None]))
    assert value <= reference * (1 + 1e-3)  # differing in how the last row and column are penalised


def test_it_agrees_with_the_solver_of_blurs_alone() -> None:
    kernel = torch.full((1, 1, 3, 5), 1 / 15, dtype=torch.float64)
    data = noisy(Convolution()(blocks(48), kernel), 0.01)
    problem = blurring(data, KnownKernel((1, 1, 3, 5), kernel))
    linear = LinearADMM(iterations=300, cg_iterations=10).solve(problem)
    fourier = ADMM(iterations=600, bound_penalty=0.2).solve(problem)
    inner = np.s_[..., 4:-4, 4:-4]  # that one penalises the seam of its grid
    assert float((tensor(linear.image) - tensor(fourier.image))[inner].abs().max()) < 0.03


def test_the_weight_on_the_image_falls_to_its_own_and_that_on_the_kernel_stays() -> None:
    problem = blurring(blocks(), SimplexKernel((1, 1, 3, 3)), Term(KernelL2(), 0.5, target="kernel"))
    solver = AlternatingADMM(iterations=10, initial_weight_factor=16.0)
    weights = [
        [term.weight for term in solver.reweighted(problem, iteration).regularizers] for iteration in (0, 4, 8, 9)
    ]
    assert np.allclose(weights, [[16e-3, 0.5], [4e-3, 0.5], [1e-3, 0.5], [1e-3, 0.5]])


def test_the_kernel_moves_after_the_turns_it_waits() -> None:
    kernel = torch.zeros(1, 1, 3, 3, dtype=torch.float64)
    kernel[..., 1, :] = 1 / 3
    data = Convolution()(blocks(), kernel)
    seen: list[bool] = []
    solver = AlternatingADMM(iterations=5, warmup_iterations=3)
    problem = blurring(data, SimplexKernel((1, 1, 3, 3)))
    state = solver.start(problem)
    for iteration in range(5):
        before = state.kernel.clone()
        state.iteration = iteration
        state = solver.step(problem, state)
        seen.append(not torch.equal(before.float(), state.kernel.float()))
    assert seen == [False, False, False, True, True]


def test_what_has_no_unknown_is_refused_by_the_one_and_what_is_on_the_kernel_by_the_other() -> None:
    known = KnownKernel((1, 1, 3, 3), torch.full((1, 1, 3, 3), 1 / 9))
    with pytest.raises(AssemblyError, match="KnownKernel has no parameters; use the solver linear-admm"):
        AlternatingADMM().solve(blurring(blocks().float(), known))
    with pytest.raises(AssemblyError, match="linear-admm ignores regularizers on the kernel"):
        LinearADMM().solve(blurring(blocks().float(), known, Term(KernelL2(), 0.5, target="kernel")))
