"""Kernels from the light streaks of night scenes: the shape that lamps have in common, and scenes without one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from night_scene import PLACES, blurred_night, hook, night
from scipy.ndimage import gaussian_filter
from scipy.signal import correlate

from invkit.core.errors import NotApplicableError
from invkit.core.problem import Problem
from invkit.fidelities.norms import MSE
from invkit.image_priors.pixels import Pixels
from invkit.kernel_priors.simplex import SimplexKernel
from invkit.metrics.kernel_similarity import kernel_similarity
from invkit.operators.convolution import Convolution
from invkit.solvers.light_streaks import LightStreaks
from invkit.solvers.map.kernel_postprocessing import ThresholdPostprocessing
from invkit.solvers.map.streak_detection import LightMeter, Streak, find_streaks, usable_channels
from invkit.solvers.map.streak_groups import matching_streaks, streak_similarities
from invkit.solvers.map.streak_kernel import (
    common_estimate,
    displacement,
    in_frame,
    parabola_peak,
    robust_line,
    streak_kernel,
)
from invkit.testing import check_solved

SETTINGS: dict[str, Any] = {"gamma": 2.2, "saturation": 0.98, "similarity": 0.9, "count": 3}
CLEANED = ThresholdPostprocessing(threshold=0.03, min_component=0.03)


def planes(picture: np.ndarray) -> np.ndarray:
    """A picture (H, W) or (H, W, 3) as (C, H, W), float32."""
    return np.ascontiguousarray(np.atleast_3d(picture).transpose(2, 0, 1), dtype=np.float32)


def streaks_of(picture: np.ndarray, side: int = 19) -> list[Streak]:
    data = planes(picture)
    return find_streaks(data, LightMeter.of(data, (side, side), 2.2, 0.98), (side, side))


def separate(streaks: list[Streak]) -> int:
    """The number of streaks without those that are part of another one."""
    return sum(
        not any(other.contains(one.peak) for other in streaks if other.own.sum() > one.own.sum()) for one in streaks
    )


def problem(data: torch.Tensor, side: int = 19) -> Problem:
    """A blind problem whose kernel prior starts from a shift, which explains no data."""
    shape = (len(data), 1, side, side)
    image = (*data.shape[:2], data.shape[2] + side - 1, data.shape[3] + side - 1)
    start = torch.zeros(shape, dtype=data.dtype)
    start[..., 0, 0] = 1
    kernel_prior = SimplexKernel(shape, start, parametrization="projection")
    return Problem(data, Convolution(padding="valid"), Pixels(image, data), kernel_prior, MSE())


# The kernel.


@pytest.mark.parametrize("brightness", [3.0, 8.0])
@pytest.mark.parametrize("side", [19, 31])
def test_the_kernel_is_that_of_the_lamps(brightness: float, side: int) -> None:
    found = streak_kernel(planes(blurred_night(night(brightness), hook())), (side, side), **SETTINGS)
    assert found.shape == (side, side)
    assert found.min() >= 0
    assert found.sum() == pytest.approx(1, abs=1e-5)
    assert kernel_similarity(found, hook()) > 0.99


def test_a_kernel_of_even_or_unequal_sides_is_found() -> None:
    kernel = hook()[:, :-1]
    found = streak_kernel(planes(blurred_night(night(), kernel)), (22, 24), **SETTINGS)
    assert found.shape == (22, 24)
    assert kernel_similarity(found, kernel) > 0.99


def test_where_some_lamps_are_saturated_the_others_give_the_profile() -> None:
    light = night()
    for down, right in PLACES[:4]:
        light[down, right] *= 50
    picture = blurred_night(light, hook())
    assert (picture >= 0.98).mean() > 0.003
    assert kernel_similarity(streak_kernel(planes(picture), (19, 19), **SETTINGS), hook()) > 0.95


def test_where_all_lamps_are_saturated_their_shape_remains() -> None:
    found = streak_kernel(planes(blurred_night(night(2000.0), hook())), (23, 23), **SETTINGS)
    assert kernel_similarity(found, (hook() > 0).astype(float)) > 0.99


def test_a_channel_that_is_not_saturated_gives_the_profile() -> None:
    grey = night()
    coloured = np.stack([100 * grey, 100 * grey, grey], axis=-1)
    coloured[grey < 1] = grey[grey < 1][:, None]
    picture = blurred_night(coloured, hook())
    found = streak_kernel(planes(picture), (19, 19), **SETTINGS)
    assert kernel_similarity(found, hook()) > 0.95
    assert all(streak.channels.tolist() == [False, False, True] for streak in streaks_of(picture))


def test_without_gamma_the_data_are_linear() -> None:
    picture = blurred_night(night(), hook(), noise=0.0) ** 2.2
    found = streak_kernel(planes(picture), (19, 19), **{**SETTINGS, "gamma": 1.0})
    assert kernel_similarity(found, hook()) > 0.99


def test_other_lamps_near_a_streak_are_not_part_of_the_kernel() -> None:
    light = night()
    light[32:44:11, 47:60:9] = 6.0  # near the first lamp
    found = streak_kernel(planes(blurred_night(light, hook())), (31, 31), **SETTINGS)
    assert kernel_similarity(found, hook()) > 0.95


# Scenes that have no streaks.


def test_a_scene_without_enough_equal_streaks_is_refused() -> None:
    for places in ([], PLACES[:2]):
        picture = planes(blurred_night(night(places=places), hook()))
        with pytest.raises(NotApplicableError, match=r"no light streaks that draw the kernel.*fewer than 3 are alike"):
            streak_kernel(picture, (19, 19), **SETTINGS)
    two = streak_kernel(planes(blurred_night(night(places=PLACES[:2]), hook())), (19, 19), **{**SETTINGS, "count": 2})
    assert kernel_similarity(two, hook()) > 0.95


def test_different_shapes_are_not_a_kernel() -> None:
    light = night(places=[])
    for index, (down, right) in enumerate(PLACES[:5]):
        angle = np.pi * index / 5
        for step in np.linspace(-8, 8, 60):
            light[round(down + step * np.sin(angle)), round(right + step * np.cos(angle))] = 0.5
    with pytest.raises(NotApplicableError):
        streak_kernel(planes(blurred_night(light, np.ones((1, 1)))), (31, 31), **SETTINGS)


@pytest.mark.parametrize("size", [(17, 17), (40, 12), (6, 5), (1, 1)])
def test_a_small_picture_is_refused(size: tuple[int, int]) -> None:
    picture = np.random.default_rng(0).random((3, *size), dtype=np.float32)
    for frame in ((5, 5), (17, 9), (31, 31)):
        with pytest.raises(NotApplicableError):
            streak_kernel(picture, frame, **SETTINGS)


def test_a_constant_picture_is_refused() -> None:
    for value in (0.0, 0.5, 1.0):
        with pytest.raises(NotApplicableError):
            streak_kernel(np.full((1, 60, 60), value, dtype=np.float32), (15, 15), **SETTINGS)


def test_a_kernel_that_explains_no_other_streak_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    data = planes(blurred_night(night(), hook()))
    meter = LightMeter.of(data, (31, 31), 2.2, 0.98)
    estimate = common_estimate(matching_streaks(find_streaks(data, meter, (31, 31)), 0.9, 3), meter)
    assert estimate.explained(meter) == len(estimate.streaks) == len(PLACES)
    assert replace(estimate, kernel=estimate.kernel[::-1, ::-1]).explained(meter) == 0
    monkeypatch.setattr("invkit.solvers.map.streak_kernel.MIN_EXPLAINED", len(PLACES) + 1)
    with pytest.raises(NotApplicableError, match="8 small bright shapes are alike, but no kernel explains the light"):
        streak_kernel(data, (19, 19), **SETTINGS)


# Which shapes are streaks.


def test_every_isolated_lamp_is_a_streak() -> None:
    found = streaks_of(blurred_night(night(), hook()))
    assert separate(found) == len(PLACES)
    expected = {(down - 9, right - 9) for down, right in PLACES}  # of the valid part
    for streak in found:
        assert min(np.hypot(streak.place[0] - down, streak.place[1] - right) for down, right in expected) < 8
        assert streak.contains(streak.peak)
        assert not streak.contains((0, 0))
        assert 0 < streak.sharpness < 1


@pytest.mark.parametrize(
    ("change", "kept"),
    [
        pytest.param(lambda light: light.__setitem__((slice(15, 45), slice(25, 55)), 3.0), 7, id="a large lamp"),
        pytest.param(lambda light: light.__setitem__((30, slice(None, 12)), 40.0), 8, id="one at the border"),
        pytest.param(lambda light: light.__setitem__((slice(72, 98), slice(10, 60)), 0.9), 7, id="a bright ground"),
    ],
)
def test_what_is_large_or_cut_off_or_on_bright_ground_is_none(change: Any, kept: int) -> None:
    light = night()
    change(light)
    assert separate(streaks_of(blurred_night(light, hook()))) == kept


def test_lamps_near_each_other_are_parted_at_a_higher_level() -> None:
    light = night(places=PLACES[:1])
    light[34, 58] = light[30, 40]
    picture = blurred_night(light, hook(15), noise=0.0)
    assert len([one for one in streaks_of(picture, 31) if one.length > 3]) >= 2


def test_channels_that_are_hardly_saturated_are_used() -> None:
    saturated = np.zeros((3, 100), dtype=bool)
    saturated[0, :50] = saturated[1, :1] = True
    assert usable_channels(saturated).tolist() == [False, True, True]
    assert usable_channels(saturated[:1]).tolist() == [True]


# The parts of the estimate.


def made_streak(shape: np.ndarray, place: tuple[int, int] = (50, 50), length: float = 5.0) -> Streak:
    peak = np.unravel_index(shape.argmax(), shape.shape)
    row, column = (int(at) + c - side // 2 for at, c, side in zip(peak, place, shape.shape, strict=True))
    return Streak(place, shape > 0, shape.astype(np.float32), np.ones(1, dtype=bool), length, (row, column))


def test_similarities_are_the_greatest_correlations_over_all_shifts() -> None:
    draw = np.random.default_rng(1)
    shapes = [draw.random((11, 9)).astype(np.float32) for _ in range(3)]
    found = streak_similarities([made_streak(shape) for shape in shapes])
    roots = [np.sqrt(gaussian_filter(shape, 0.7)).astype(np.float64) for shape in shapes]
    for i in range(3):
        for j in range(3):
            norms = np.linalg.norm(roots[i]) * np.linalg.norm(roots[j])
            expected = correlate(roots[i], roots[j], mode="full", method="direct").max() / norms
            assert found[i, j] == pytest.approx(expected, abs=1e-5)


def test_the_group_with_the_longest_shapes_is_chosen_and_parts_count_once() -> None:
    blob, line = np.zeros((15, 15)), np.zeros((15, 15))
    blob[5:10, 5:10] = 1
    line[7, 2:13] = np.linspace(1, 2, 11)
    blobs = [made_streak(blob, (50 * n, 20), 1.0) for n in range(1, 8)]
    lines = [made_streak(line, (50 * n, 90), 11.0) for n in range(1, 4)]
    chosen = matching_streaks([*blobs, *lines], 0.9, 3)
    assert {id(one) for one in chosen} == {id(one) for one in lines}
    assert matching_streaks(blobs, 0.9, 3) == []  # too short
    assert matching_streaks([lines[0], lines[1], made_streak(line, (50, 90), 11.0)], 0.9, 3) == []  # the same twice
    assert matching_streaks([], 0.9, 3) == []


@pytest.mark.parametrize("shift", [(0.0, 0.0), (2.0, -3.0), (0.3, 0.0), (-1.4, 2.6)])
def test_displacements_between_pixels(shift: tuple[float, float]) -> None:
    row, column = np.mgrid[:31, :31]
    still = np.exp(-((row - 15) ** 2 / 8 + (column - 15) ** 2 / 18)).astype(np.float32)
    moved = np.exp(-((row - 15 - shift[0]) ** 2 / 8 + (column - 15 - shift[1]) ** 2 / 18)).astype(np.float32)
    assert displacement(moved, still) == pytest.approx(shift, abs=0.03)  # a Gaussian is not quite a parabola


def test_the_peak_of_a_parabola_is_exact() -> None:
    values = (10 - (np.arange(9) - 3.3) ** 2).astype(np.float32)
    assert parabola_peak(values, 3) == pytest.approx(3.3, abs=1e-5)
    assert parabola_peak(np.roll(values, 4), 7) == pytest.approx(7.3 - 9, abs=1e-5)
    assert parabola_peak(np.ones(5, dtype=np.float32), 0) == 0


def test_a_line_is_fitted_in_spite_of_outliers() -> None:
    draw = np.random.default_rng(2)
    kernel = draw.random(400).astype(np.float32)
    light = (3 * kernel + 0.2 + 0.001 * draw.normal(size=400)).astype(np.float32)
    light[:60] += 5
    gain, offset, noise = robust_line(kernel, light)
    assert gain == pytest.approx(3, rel=0.01)
    assert offset == pytest.approx(0.2, abs=0.01)
    assert noise < 0.01


def test_a_kernel_is_cropped_around_the_middle_of_its_extent() -> None:
    kernel = np.zeros((21, 23), dtype=np.float32)
    kernel[3, 4:15] = 1
    kernel[3, 4] = 20  # the extent counts, not the mass
    part = in_frame(kernel, (5, 11))
    assert part.shape == (5, 11)
    assert part[2] == pytest.approx(kernel[3, 4:15] / kernel.sum(), abs=1e-6)


# The solver.


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_solver_finds_a_kernel_for_every_picture_of_a_batch(dtype: torch.dtype) -> None:
    kernels = [hook(), hook()[::-1].copy()]
    data = torch.from_numpy(np.stack([planes(blurred_night(night(), kernel)) for kernel in kernels])).to(dtype)
    result = LightStreaks(kernel_postprocessing=CLEANED).solve(problem(data))
    assert (result.iterations, result.stopped) == (1, "converged")
    found = torch.as_tensor(result.kernel)
    assert found.dtype == dtype
    assert found.sum((1, 2, 3)).tolist() == pytest.approx([1, 1], abs=1e-5)
    for one, kernel in zip(found, kernels, strict=True):
        assert kernel_similarity(one[0].numpy(), kernel) > 0.99
    again = LightStreaks(kernel_postprocessing=CLEANED).solve(problem(data))
    assert torch.equal(torch.as_tensor(again.kernel), found)


def test_the_solver_conforms_where_it_applies() -> None:
    data = torch.from_numpy(planes(blurred_night(night(), hook())))[None]
    check_solved(LightStreaks(kernel_postprocessing=CLEANED), problem(data))


def test_the_solver_refuses_other_pictures() -> None:
    data = torch.rand(1, 3, 40, 50, generator=torch.Generator().manual_seed(0))
    with pytest.raises(NotApplicableError, match="use another recipe"):
        LightStreaks().solve(problem(data))
