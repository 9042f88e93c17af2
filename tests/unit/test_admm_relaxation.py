"""Over-relaxed ADMM: the same minimum, sooner."""

from __future__ import annotations

import io

import pytest
import torch
from deconvolution import blurred, finished

from invkit.problem import Term
from invkit.regularizers.hyper_laplacian import HyperLaplacian
from invkit.regularizers.tv import TotalVariation
from invkit.solvers.admm import ADMM
from invkit.testing import check_solver

TV = [Term(TotalVariation(smoothing=0.0), 1e-3)]


def image(iterations, relaxation):
    _, problem = blurred(TV, noise=0.01)
    return finished(ADMM(iterations=iterations, penalty=50.0, relaxation=relaxation), problem).image


def test_it_comes_to_the_same_image_which_convexity_makes_the_only_one_and_is_nearer_to_it_sooner():
    limit = image(3000, 1.0)
    torch.testing.assert_close(image(3000, 1.8), limit, atol=2e-3, rtol=0)
    plain, relaxed = ((image(25, relaxation) - limit).square().mean() for relaxation in (1.0, 1.8))
    assert relaxed < 0.8 * plain


def test_a_saved_state_goes_on_to_the_same_bits():
    _, problem = blurred([Term(HyperLaplacian(second=0.25), 3e-4)], dtype=torch.float32)
    solver = ADMM(iterations=8, relaxation=1.7)
    state = solver.start(problem)
    for _ in range(3):
        state = solver.step(problem, state)
        state.iteration += 1
    file = io.BytesIO()
    torch.save(state.state_dict(), file)
    file.seek(0)
    resumed = solver.solve(problem, resume=torch.load(file, weights_only=True))
    assert torch.equal(resumed.image, solver.solve(problem).image)


@pytest.mark.parametrize("relaxation", [0.7, 1.8])
def test_conformance(relaxation):
    check_solver(ADMM, {"relaxation": relaxation})
