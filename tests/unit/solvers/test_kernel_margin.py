"""A pyramid that looks for the kernel in a larger frame, and what it keeps of that."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from deconvolution import alike, blind, curve, random
from hypothesis import given, settings
from hypothesis import strategies as st

from invkit.core.errors import AssemblyError
from invkit.core.problem import Problem, Term
from invkit.image_priors.dip_skip import DipSkipImage
from invkit.numerics.framing import cropped_together
from invkit.operators.convolution import Convolution
from invkit.regularizers.l0 import L0Gradient
from invkit.solvers.adam import JointAdam
from invkit.solvers.alternating_map import AlternatingMAP
from invkit.solvers.half_quadratic import HalfQuadratic
from invkit.solvers.map.edge_selection import Gradients
from invkit.solvers.map.kernel_estimation import ToeplitzLeastSquares
from invkit.solvers.map.kernel_postprocessing import ThresholdPostprocessing
from invkit.solvers.pyramid import Pyramid


def pyramid(**keywords: Any) -> Pyramid:
    alternating = AlternatingMAP(
        iterations=3,
        latent=HalfQuadratic(beta_start=2.0, beta_max=1e4, beta_factor=4.0),
        edge_selection=Gradients(share=0.3),
        kernel_estimation=ToeplitzLeastSquares(),
        kernel_postprocessing=ThresholdPostprocessing(),
    )
    return Pyramid(inner=alternating, initial_kernel="two-taps", **keywords)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 3), st.integers(0, 3), st.integers(1, 5), st.integers(1, 5))
def test_image_and_kernel_are_cut_so_that_they_still_give_the_data(
    top: int, left: int, height: int, width: int
) -> None:
    kernel = torch.zeros(1, 1, height + 3, width + 3, dtype=torch.float64)
    inner = random(1, 1, height, width, seed=3) + 0.5
    inner = inner / inner.sum()
    kernel[..., top : top + height, left : left + width] = inner
    image = random(1, 2, 20, 19)
    smaller = (20 - 3, 19 - 3)
    cut, window = cropped_together(image, kernel, smaller, (height, width))
    torch.testing.assert_close(window, inner)
    torch.testing.assert_close(Convolution()(cut, window), Convolution()(image, kernel))


def test_of_windows_that_hold_the_same_the_middle_one_is_kept() -> None:
    kernel = torch.zeros(1, 1, 7, 7)
    kernel[..., 3, 3] = 1
    _, window = cropped_together(torch.zeros(1, 1, 20, 20), kernel, (18, 18), (5, 5))
    assert window[0, 0, 2, 2] == 1


def test_each_of_a_batch_has_its_own_window() -> None:
    kernel = torch.zeros(2, 1, 5, 5)
    kernel[0, ..., 0, 0] = kernel[1, ..., 4, 4] = 1
    _, window = cropped_together(torch.zeros(2, 1, 20, 20), kernel, (18, 18), (3, 3))
    assert window[0, 0, 0, 0] == 1
    assert window[1, 0, 2, 2] == 1


def test_result_and_priors_are_of_the_size_asked_for() -> None:
    problem = blind([Term(L0Gradient(smoothing=0.0), 4e-3)])
    solver = pyramid(margin=4)
    state = solver.start(problem)
    sizes = set()
    while state.iteration < solver.steps(problem) and not state.converged:
        state = solver.step(problem, state)
        state.iteration += 1
        image, kernel = state.estimate()
        sizes.add((tuple(image.shape), tuple(kernel.shape)))
        priors = state.priors(problem)
        assert (priors[0].shape, priors[1].shape) == (tuple(image.shape), tuple(kernel.shape))
    assert sizes == {(tuple(problem.image_prior.shape), tuple(problem.kernel_prior.shape))}
    assert alike(kernel, curve()) > 0.8


def test_the_estimate_with_a_margin_explains_the_data_as_without() -> None:
    problem = blind([Term(L0Gradient(smoothing=0.0), 4e-3)])
    residuals = []
    for margin in (0, 4):
        result = pyramid(margin=margin).solve(problem)
        predicted = problem.operator(torch.as_tensor(result.image), torch.as_tensor(result.kernel))
        residuals.append(float((predicted - problem.data).square().mean()))
    assert residuals[1] < 1.2 * residuals[0]  # a kernel cut at the wrong place would miss the data by far


def test_a_prior_that_cannot_be_set_to_an_image_is_refused() -> None:
    problem = blind([])
    network = DipSkipImage(problem.image_prior.shape, channels=4, scales=1)
    other = Problem(problem.data, problem.operator, network, problem.kernel_prior, problem.fidelity, [])
    with pytest.raises(AssemblyError, match="margin=0"):
        Pyramid(inner=JointAdam(iterations=1), margin=2).check(other)
