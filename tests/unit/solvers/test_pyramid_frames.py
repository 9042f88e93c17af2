"""Pyramids whose kernel frame moves between levels, and whose kernel sides are rounded up."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from deconvolution import blind
from hypothesis import given, settings
from hypothesis import strategies as st

from invkit.core.errors import AssemblyError
from invkit.core.problem import Problem
from invkit.image_priors.dip_skip import DipSkipImage
from invkit.image_priors.pixels import Pixels
from invkit.kernel_priors.simplex import SimplexKernel
from invkit.operators.convolution import Convolution
from invkit.solvers.adam import JointAdam
from invkit.solvers.pyramid import Pyramid, resized_prior, widened
from invkit.testing.common import drawn
from invkit.testing.map_steps import strokes


def solver(**keywords: Any) -> Pyramid:
    return Pyramid(inner=JointAdam(iterations=1), **keywords)


@settings(deadline=None, max_examples=30)
@given(side=st.integers(5, 65).map(lambda half: 2 * half + 1), level=st.integers(1, 4))
def test_sides_are_rounded_to_near_odd_numbers_or_up_to_odd_numbers(side: int, level: int) -> None:
    problem = blind([], kernel=torch.full((1, 1, side, side), side**-2.0), size=(2 * side + 20, 2 * side + 20))
    exact = side * 0.5 ** (level / 2)
    near, above = (solver(side_rounding=how).kernel_shape(problem, level)[-1] for how in ("near", "up"))
    assert near % 2 == above % 2 == 1
    assert abs(near - exact) <= 1.5
    assert exact <= above + 1e-9 < exact + 2
    assert solver(side_rounding="up").kernel_shape(problem, 0) == problem.kernel_prior.shape


def on_a_coarse_level(corner: int) -> tuple[Problem, Problem]:
    """A problem, and the same one level coarser, whose kernel is a point in a corner (0) or the centre (1) of 5x5."""
    problem = blind([], kernel=strokes(1, (7, 7)).float())
    coarse = solver().problem_at(1, problem, problem, 0)
    kernel = torch.zeros(coarse.kernel_prior.shape)
    kernel[..., 2 * corner, 2 * corner] = 1
    image = drawn(tuple(coarse.image_prior.shape), 2)
    source = Problem(
        coarse.data,
        coarse.operator,
        Pixels(coarse.image_prior.shape, coarse.data).assigned(image),
        SimplexKernel(coarse.kernel_prior.shape, kernel, parametrization="projection"),
        coarse.fidelity,
    )
    return problem, source


@torch.no_grad()
@pytest.mark.parametrize("corner", [0, 1])
def test_the_frame_moves_to_the_kernel_and_the_image_the_other_way(corner: int) -> None:
    """Kernel and image still give what they give in a frame that cuts nothing off."""
    problem, source = on_a_coarse_level(corner)
    still, moving = (solver(frame_shift=shift).problem_at(0, problem, source, 1) for shift in (0, 1))
    for one in (still, moving):
        assert one.kernel_prior.shape == problem.kernel_prior.shape
        assert one.image_prior.shape == problem.image_prior.shape
    image = resized_prior(source.image_prior, widened(problem.image_prior.shape, 2), 2**0.5)()
    kernel = resized_prior(source.kernel_prior, widened(problem.kernel_prior.shape, 2), 2**0.5)()
    whole, fixed, moved = (
        Convolution()(x, k)
        for x, k in (
            (image, kernel),
            (still.image_prior(), still.kernel_prior()),
            (moving.image_prior(), moving.kernel_prior()),
        )
    )
    torch.testing.assert_close(moved, whole, atol=1e-5, rtol=0)
    assert torch.allclose(fixed, whole, atol=1e-5) == (corner == 1)


def test_a_moving_frame_needs_priors_that_can_be_set() -> None:
    problem = blind([])
    network = DipSkipImage(problem.image_prior.shape, channels=4, scales=1)
    other = Problem(problem.data, problem.operator, network, problem.kernel_prior, problem.fidelity, [])
    with pytest.raises(AssemblyError, match="frame_shift=0"):
        solver(frame_shift=1).check(other)
