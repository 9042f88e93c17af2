"""Richardson-Lucy deconvolution and ringing removal."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from deconvolution import a_kernel, blocks, blurred, finished, made, random, with_poisson
from hypothesis import given, settings
from hypothesis import strategies as st
from narrow import tensor

from invkit.core.errors import AssemblyError
from invkit.core.problem import Term
from invkit.operators.convolution import Convolution
from invkit.regularizers.l0 import L0Gradient
from invkit.regularizers.tv import TotalVariation
from invkit.solvers.half_quadratic import HalfQuadratic
from invkit.solvers.irls import IRLS
from invkit.solvers.richardson_lucy import RichardsonLucy, agreement
from invkit.solvers.ringing_removal import RingingRemoval, bilateral_filter
from invkit.solvers.saturated_light import blending_weights, dilated_by_disk, sensor_response

TV = [Term(TotalVariation(smoothing=0.02), 1e-3)]


def ringing(**keywords: Any) -> RingingRemoval:
    slots = {"solver": HalfQuadratic(), "structure": L0Gradient(), "structure_solver": HalfQuadratic()}
    return RingingRemoval(**{**slots, **keywords})


# --- Richardson-Lucy -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("gamma", [1.0, 2.2])
def test_richardson_lucy_without_blur_gives_the_data(gamma: float) -> None:
    data = random(1, 2, 8, 9) * 0.9 + 0.05
    problem = with_poisson(made(data, torch.ones(1, 1, 1, 1, dtype=data.dtype), image=torch.full_like(data, 0.3)))
    assert torch.allclose(tensor(RichardsonLucy(iterations=1, gamma=gamma).solve(problem).image), data, atol=1e-5)


def test_richardson_lucy_keeps_the_light_and_lowers_the_divergence() -> None:
    """Both are known of the plain iteration (Shepp & Vardi 1982)."""
    problem = with_poisson(blurred((), "circular", noise=0.05)[1])
    result = finished(RichardsonLucy(iterations=20, acceleration=False), problem)
    assert result.image.sum() == pytest.approx(float(problem.data.sum()), rel=1e-9)
    losses = [float(loss) for loss in result.losses]
    assert losses == sorted(losses, reverse=True)
    assert min(losses) >= 0


def test_acceleration_gets_further_in_as_many_steps() -> None:
    problem = with_poisson(blurred(())[1])
    plain, fast = (RichardsonLucy(iterations=25, acceleration=on).solve(problem) for on in (False, True))
    assert fast.history[-1] < 0.5 * plain.history[-1]


def test_momentum_is_the_share_of_a_change_in_the_last() -> None:
    change = random(2, 3, 4, 5)
    each = torch.zeros(2, 3, 1, 1, dtype=change.dtype)
    assert torch.equal(agreement(change, torch.zeros_like(change), each), each)
    assert torch.allclose(agreement(0.6 * change, change, each), torch.full_like(each, 0.6))
    assert torch.equal(agreement(-change, change, each), each)
    together = agreement(change, change, each[:, :1])
    assert torch.allclose(together, torch.ones_like(together))
    assert together.shape == (2, 1, 1, 1)


def test_what_is_not_seen_stays_as_it_was() -> None:
    """A kernel that is one pixel in a corner of its size looks at none of the image's other margins."""
    kernel = torch.zeros(1, 1, 5, 5, dtype=torch.float64)
    kernel[..., 0, 0] = 1
    problem = with_poisson(
        made(random(1, 1, 10, 10) * 0.5 + 0.2, kernel, image=torch.full((1, 1, 14, 14), 0.4, dtype=kernel.dtype))
    )
    image = finished(RichardsonLucy(iterations=10), problem).image
    assert torch.allclose(image[..., 4:, 4:], problem.data, atol=1e-6)
    assert torch.allclose(image[..., :4, :], torch.full((4, 14), 0.4, dtype=kernel.dtype), atol=1e-9)


def test_regularizers_make_it_smoother() -> None:
    problem = with_poisson(blurred((), noise=0.2)[1])
    penalty = TotalVariation(smoothing=0.02)
    rough, smooth = (
        finished(RichardsonLucy(iterations=40, acceleration=False), replace(problem, regularizers=terms)).image
        for terms in ([], [Term(penalty, 1e-2)])
    )
    assert float(penalty(smooth).sum()) < 0.7 * float(penalty(rough).sum())


@given(st.floats(0.05, 3), st.floats(0.2, 1))
@settings(deadline=None)
def test_the_response_clips_and_has_its_derivative(light: float, level: float) -> None:
    value = torch.tensor(light, dtype=torch.float64, requires_grad=True)
    clipped, slope = sensor_response(value, level)
    assert float(clipped.detach()) == pytest.approx(min(light, level), abs=0.7 / 50)  # off by log(2) / a at the level
    (derivative,) = torch.autograd.grad(clipped, value)
    if float(clipped.detach()) > 1e-3:  # not at the floor that keeps it positive
        assert float(slope.detach()) == pytest.approx(float(derivative), abs=1e-9)


def test_saturated_lights_do_not_spoil_their_surroundings() -> None:
    image, kernel = blocks(size=(60, 60)) * 0.6, a_kernel(size=(9, 9))
    lights = torch.zeros_like(image)
    lights[..., 20:22, 20:22] = lights[..., 40:42, 30:32] = 8
    data = Convolution()(image + lights, kernel).clamp(0, 1)
    problem = with_poisson(made(data, kernel))
    around = dilated_by_disk(dilated_by_disk((lights > 0).double())) == 0  # more than six pixels off
    plain, aware = (
        (RichardsonLucy(iterations=40, saturation=level).solve(problem).image - image)[around].square().mean()
        for level in (None, 1.0)
    )
    assert aware < 0.5 * plain


def test_lights_may_exceed_white() -> None:
    image, kernel = torch.full((1, 1, 30, 30), 0.2, dtype=torch.float64), a_kernel()
    image[..., 15, 15] = 5.0
    problem = with_poisson(made(Convolution()(image, kernel).clamp(0, 1), kernel))
    state = finished(RichardsonLucy(iterations=60, saturation=1.0), problem)
    assert float(state.image.max()) > 1.5
    assert float(state.estimate()[0].max()) == 1


def test_masks_are_dilated_by_a_disk_and_smoothed() -> None:
    from scipy.ndimage import binary_dilation, gaussian_filter

    mask = (random(1, 2, 15, 17) > 0.97).double()
    offsets = torch.arange(-3, 4)
    disk = offsets[:, None] ** 2 + offsets[None] ** 2 <= 9
    for ours, plane in zip(dilated_by_disk(mask)[0], mask[0], strict=True):
        assert (ours.numpy() == binary_dilation(plane.numpy(), disk.numpy())).all()
    for ours, plane in zip(blending_weights(mask)[0], mask[0], strict=True):
        theirs = gaussian_filter(plane.numpy(), 3.0, mode="nearest", truncate=3.0)
        assert abs(ours.numpy() - theirs).max() < 1e-12


# --- ringing removal -----------------------------------------------------------------------------------------------


def test_the_result_is_detail_less_the_filtered_difference() -> None:
    _, problem = blurred(TV, noise=0.05)
    state = finished(ringing(structure_weight=1e-3, strength=0.5), problem)
    detail = finished(HalfQuadratic(), problem).estimate()[0]
    structure = finished(HalfQuadratic(), replace(problem, regularizers=[Term(L0Gradient(), 1e-3)])).estimate()[0]
    expected = detail - 0.5 * bilateral_filter(detail - structure, 3.0, 0.1)
    assert torch.allclose(state.image, expected, atol=1e-12)


def test_what_the_inner_solvers_refuse_is_refused() -> None:
    with pytest.raises(AssemblyError, match=r"IRLS needs .*Majorised, and L0Gradient"):
        ringing(structure_solver=IRLS()).check(blurred(TV)[1])
    with pytest.raises(AssemblyError, match="HalfQuadratic needs"):
        ringing().check(blurred([])[1])


def test_the_bilateral_filter_blurs_below_its_range_and_keeps_what_exceeds_it() -> None:
    constant = torch.full((1, 2, 6, 5), 0.3)
    assert torch.allclose(bilateral_filter(constant, 3.0, 0.1), constant)
    step = torch.zeros(1, 1, 8, 12, dtype=torch.float64)
    step[..., 6:] = 1
    assert torch.allclose(bilateral_filter(step, 2.0, 0.05), step, atol=1e-12)
    spot = torch.zeros(1, 1, 21, 21, dtype=torch.float64)
    spot[..., 10, 10] = 1
    offsets = torch.arange(-10, 11, dtype=torch.float64)
    gaussian = torch.exp(-(offsets[:, None] ** 2 + offsets[None] ** 2) / (2 * 2.0**2))
    gaussian[(offsets.abs() > 4)[:, None] | (offsets.abs() > 4)[None]] = 0
    assert torch.allclose(bilateral_filter(spot, 2.0, 1e6)[0, 0], gaussian / gaussian.sum(), atol=1e-9)
