"""Proximal gradient steps: the minimisers of convex problems, descent for every operator, refusals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from deconvolution import a_kernel, blocks
from narrow import tensor
from torch import Tensor

from invkit.core.errors import AssemblyError
from invkit.core.interfaces import ForwardOperator
from invkit.core.problem import Problem, Term
from invkit.core.result import Result
from invkit.core.without_parameter import WithoutParameter
from invkit.fidelities.norms import L1, MSE
from invkit.fidelities.schedule import Schedule
from invkit.image_priors.pixels import Pixels
from invkit.kernel_priors.known import KnownKernel, KnownPhaseMasks
from invkit.numerics.geometry import shape_of
from invkit.operators.convolution import Convolution
from invkit.operators.gamma_blur import GammaBlur
from invkit.operators.phase_retrieval import PhaseRetrieval
from invkit.operators.pixelwise import Identity
from invkit.regularizers.l0 import L0Intensity
from invkit.regularizers.l2 import GradientL2, KernelL2
from invkit.regularizers.local_minima import DarkChannel
from invkit.regularizers.plug_and_play import PlugAndPlay
from invkit.regularizers.tv import TotalVariation
from invkit.solvers.linear_admm import LinearADMM
from invkit.solvers.proximal_gradient import ProximalGradient

TV = TotalVariation(smoothing=0.0)
EXACT = ProximalGradient(iterations=250, inner_iterations=25, tolerance=1e-9)


def under(
    operator: ForwardOperator, data: Tensor, kernel: Tensor, *terms: Term, start: Tensor | None = None
) -> Problem:
    prior = KnownKernel(shape_of(kernel), kernel)
    shape = operator.image_shape(shape_of(data), prior.shape)
    return Problem(data, operator, Pixels(shape, data if start is None else start), prior, MSE(), terms)


def noisy(data: Tensor, sigma: float = 0.01) -> Tensor:
    noise = torch.randn(data.shape, generator=torch.Generator().manual_seed(1), dtype=data.dtype)
    return (data + sigma * noise).clamp(0, 1)


def psnr(image: object, truth: Tensor) -> float:
    return float(-10 * (tensor(image) - truth).square().mean().log10())


def is_monotone(result: Result) -> bool:
    return bool((np.diff(result.history) <= 0).all())


@pytest.mark.parametrize("terms", [(Term(TV, 2e-3),), (Term(TV, 1e-3), Term(GradientL2(), 0.1))], ids=["tv", "tv, l2"])
def test_it_finds_the_minimiser_that_admm_finds(terms: Sequence[Term]) -> None:
    kernel = a_kernel()
    problem = under(Convolution(), noisy(Convolution()(blocks(), kernel)), kernel, *terms)
    ours, theirs = (
        solver.solve(problem) for solver in (EXACT, LinearADMM(iterations=500, cg_iterations=8, penalty=5.0))
    )
    values = [float(problem.objective(tensor(one.image), kernel)) for one in (ours, theirs)]
    assert values[0] <= values[1] * (1 + 1e-4)
    assert float((tensor(ours.image) - tensor(theirs.image)).abs().max()) < 0.02
    assert is_monotone(ours)


def test_denoising_by_a_regularizer_on_the_pixels_takes_one_step() -> None:
    data = torch.tensor([[[[0.05, 0.2, 0.5, 0.02]]]], dtype=torch.float64)
    problem = under(Identity(), data, torch.ones(1, 1, 1, 1).double(), Term(L0Intensity(smoothing=0.0), 0.01))
    result = ProximalGradient(iterations=1).solve(problem)
    assert np.asarray(result.image).ravel().tolist() == pytest.approx([0, 0.2, 0.5, 0])  # hard threshold at .1


def test_a_regularizer_without_proximal_map_is_part_of_the_smooth_function() -> None:
    data = noisy(blocks())
    kernel = torch.ones(1, 1, 1, 1).double()
    plain, dark = (under(Identity(), data, kernel, *terms) for terms in ((), (Term(DarkChannel(), 0.1),)))
    solver = ProximalGradient(iterations=60)
    with_term, without = (float(dark.objective(tensor(solver.solve(one).image), kernel)) for one in (dark, plain))
    assert with_term < without


class Steep(WithoutParameter):
    """Values after an exponential growth, whose slope differs a hundredfold over [0, 1]."""

    def predicted(self, image: Tensor) -> Tensor:
        """``(100^x - 1) / 99``."""
        return (100**image - 1) / 99


@pytest.mark.parametrize("step", [1e-3, 1.0, 1e6])
def test_the_length_of_the_step_is_found_for_an_operator_that_is_not_linear(step: float) -> None:
    truth = 0.3 + 0.6 * blocks()
    data = Steep()(truth, torch.ones(1, 1, 1, 1))
    problem = under(Steep(), data, torch.ones(1, 1, 1, 1).double(), start=torch.full_like(data, 0.5))
    result = ProximalGradient(iterations=400, step=step, tolerance=1e-9).solve(problem)
    assert is_monotone(result)
    assert psnr(result.image, truth) > 60


@pytest.mark.parametrize("masks", [3, 4])
@pytest.mark.parametrize("measured", ["magnitudes", "intensities"])
@pytest.mark.parametrize("start", [0.5, 0.02])
def test_phases_are_retrieved_from_a_constant_image(masks: int, measured: Any, start: float) -> None:
    truth, operator = blocks(size=(32, 32)), PhaseRetrieval(measured=measured)
    phases = operator.drawn_masks((1, masks, 32, 32)).double()
    data = operator(truth, phases)
    prior = KnownPhaseMasks(shape_of(data), phases)
    problem = Problem(data, operator, Pixels((1, 1, 32, 32), torch.full_like(truth, start)), prior, MSE())
    result = ProximalGradient().solve(problem)
    assert psnr(result.image, truth) > 60
    assert is_monotone(result)


def test_the_gamma_curve_is_worth_decibels() -> None:
    truth, kernel = 0.02 + 0.96 * blocks(size=(40, 40)), a_kernel()
    data = noisy(GammaBlur()(truth, kernel), 0.003)
    curved, straight = (
        psnr(ProximalGradient().solve(under(one, data, kernel, Term(TV, 5e-4))).image, truth)
        for one in (GammaBlur(), Convolution())
    )
    assert curved > straight + 2


def test_it_stops_when_the_image_hardly_changes() -> None:
    kernel = a_kernel()
    problem = under(Convolution(), noisy(Convolution()(blocks(), kernel)), kernel, Term(TV, 1e-3))
    loose, tight, never = (ProximalGradient(tolerance=t, iterations=200).solve(problem) for t in (1e-2, 1e-4, 0.0))
    assert loose.stopped == tight.stopped == "converged"
    assert loose.iterations < tight.iterations < 200
    assert never.history[-1] <= tight.history[-1] <= loose.history[-1]


def test_the_objective_of_a_new_fidelity_replaces_that_of_the_old_one() -> None:
    kernel = a_kernel()
    problem = under(Convolution(), noisy(Convolution()(blocks(), kernel), 0.05), kernel, Term(TV, 1e-3))
    changed = replace(problem, fidelity=Schedule([(MSE(), 10), (L1(), None)]))
    result = ProximalGradient(iterations=40, tolerance=0.0).solve(changed)
    assert result.history[10] > 2 * result.history[9]  # the mean of magnitudes exceeds that of squares
    assert (np.diff(result.history[10:]) <= 0).all()
    assert result.history[-1] < result.history[10]


def test_a_denoiser_replaces_the_proximal_map() -> None:
    truth = blocks(dtype=torch.float32)
    data = noisy(truth, 0.1)
    problem = under(Identity(), data, torch.ones(1, 1, 1, 1), Term(PlugAndPlay(), 0.02))
    assert psnr(ProximalGradient(iterations=5).solve(problem).image, truth) > psnr(data, truth) + 3


@pytest.mark.parametrize(
    ("terms", "said"),
    [
        ((Term(PlugAndPlay(), 0.1), Term(TV, 0.1)), "and there are plug-and-play, tv; keep one of them"),
        ((Term(KernelL2(), 0.1, "kernel"),), "proximal-gradient ignores regularizers on the kernel"),
    ],
)
def test_what_it_would_not_minimise_is_refused(terms: Sequence[Term], said: str) -> None:
    problem = under(Convolution(), blocks(), a_kernel(), *terms)
    with pytest.raises(AssemblyError, match=said):
        EXACT.check(problem)
