"""Over-relaxed ADMM: the same minimum, sooner; and bounds."""

from __future__ import annotations

import pytest
import torch
from deconvolution import a_kernel, blocks, blurred, finished, made, random, saved_after
from narrow import tensor

from invkit.core.problem import Term
from invkit.operators.convolution import Convolution
from invkit.regularizers.hyper_laplacian import HyperLaplacian
from invkit.regularizers.tv import TotalVariation
from invkit.solvers.admm import ADMM
from invkit.testing import check_solver

TV = [Term(TotalVariation(smoothing=0.0), 1e-3)]


def image(iterations: int, relaxation: float) -> torch.Tensor:
    _, problem = blurred(TV, noise=0.01)
    return finished(ADMM(iterations=iterations, penalty=50.0, relaxation=relaxation), problem).image


def test_it_comes_to_the_same_image_which_convexity_makes_the_only_one_and_is_nearer_to_it_sooner() -> None:
    limit = image(3000, 1.0)
    torch.testing.assert_close(image(3000, 1.8), limit, atol=2e-3, rtol=0)
    plain, relaxed = ((image(25, relaxation) - limit).square().mean() for relaxation in (1.0, 1.8))
    assert relaxed < 0.8 * plain


def test_a_saved_state_goes_on_to_the_same_bits() -> None:
    _, problem = blurred([Term(HyperLaplacian(second=0.25), 3e-4)], dtype=torch.float32)
    solver = ADMM(iterations=8, relaxation=1.7, bound_penalty=0.3)
    resumed = solver.solve(problem, resume=saved_after(solver, problem, 3))
    assert torch.equal(tensor(resumed.image), tensor(solver.solve(problem).image))


@pytest.mark.parametrize("relaxation", [0.7, 1.8])
def test_conformance(relaxation: float) -> None:
    check_solver(ADMM, {"relaxation": relaxation, "bound_penalty": relaxation - 0.7})


@pytest.mark.parametrize("relaxation", [1.0, 1.8])
def test_bounds_hold_the_image_within_black_and_white(relaxation: float) -> None:
    truth, kernel = (blocks() * 3 - 1).clamp(0, 1), a_kernel()  # much of it is black or white
    data = Convolution()(truth, kernel)
    data = (data + 0.02 * (random(*data.shape, seed=9) - 0.5)).clamp(0, 1)
    problem = made(data, kernel, [Term(TotalVariation(smoothing=0.0), 3e-5)])
    images = [
        finished(ADMM(iterations=1000, relaxation=relaxation, bound_penalty=penalty), problem).image
        for penalty in (0.0, 1.0)
    ]
    beyond = [float((image - image.clamp(0, 1)).abs().max()) for image in images]
    assert beyond[1] < 0.01 < 0.1 < beyond[0]


def test_bounds_change_nothing_where_the_image_keeps_to_them_anyway() -> None:
    limit = image(2000, 1.0)
    assert limit.min() > 0.01
    assert limit.max() < 0.99
    _, problem = blurred(TV, noise=0.01)
    bounded = finished(ADMM(iterations=2000, penalty=50.0, bound_penalty=0.2), problem).image
    torch.testing.assert_close(bounded, limit, atol=2e-3, rtol=0)
