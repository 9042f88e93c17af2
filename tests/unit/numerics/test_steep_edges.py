"""The steepness of edges: known for steps, and far apart for sharp and blurred photographs."""

from __future__ import annotations

import numpy as np
import pytest
from drawn_over import Picture, blurry, box_kernel, curved_kernel, photograph

from invkit.numerics.steep_edges import PROFILE_REACH, edge_profiles, edge_steepness, noise_along

SHARP = 0.75  # between photographs that are sharp and photographs that are blurred by three pixels


@pytest.mark.parametrize("width", [1, 2, 3, 4])
@pytest.mark.parametrize("step", [(0, 1), (1, 0)])
def test_an_edge_blurred_by_n_pixels_has_a_steepness_of_1_over_n(width: int, step: tuple[int, int]) -> None:
    ramp = np.asarray(np.clip((np.arange(30) - 15) / width, 0, 1) * 0.5, dtype=np.float32)
    plane = np.tile(ramp, (30, 1)) if step == (0, 1) else np.tile(ramp[:, None], (1, 30))
    profiles = edge_profiles(plane, step)
    assert profiles.steepness[15, 15] == pytest.approx(1 / width)
    assert profiles.is_largest[15, 15]
    assert profiles.contrast[15, 15] == profiles.net[15, 15] == 0.5


def test_profiles_do_not_depend_on_brightness_and_contrast_of_a_plane() -> None:
    plane = np.random.default_rng(0).random((20, 20), dtype=np.float32)
    one, other = (edge_profiles(part, (1, 1)) for part in (plane, np.asarray(0.25 + plane / 2, dtype=np.float32)))
    inside = np.s_[PROFILE_REACH:-PROFILE_REACH, PROFILE_REACH:-PROFILE_REACH]
    np.testing.assert_allclose(one.steepness[inside], other.steepness[inside], rtol=1e-4)  # rounding of float32


@pytest.mark.parametrize("name", ["camera", "astronaut", "coffee", "coins"])
def test_sharp_photographs_are_steep_and_blurred_ones_are_not(name: str) -> None:
    photo = photograph(name)
    assert edge_steepness(photo) >= SHARP
    for kernel in (box_kernel(3), curved_kernel(7), np.full((1, 5), 0.2), np.eye(5) / 5):
        assert edge_steepness(blurry(photo, np.asarray(kernel, dtype=np.float32))) < SHARP - 0.05


def test_noise_does_not_make_a_blurred_photograph_steep() -> None:
    assert edge_steepness(blurry(photograph(), box_kernel(5), noise=0.03)) < SHARP - 0.05


def test_a_picture_without_edges_or_smaller_than_a_profile_is_not_steep() -> None:
    assert edge_steepness(np.full((3, 40, 40), 0.5, dtype=np.float32)) == 0
    tiny: Picture = np.random.default_rng(0).random((1, 5, 7), dtype=np.float32)
    assert edge_steepness(tiny) == 0


@pytest.mark.parametrize("sigma", [0.005, 0.05])
def test_the_noise_of_a_smooth_plane_is_measured(sigma: float) -> None:
    smooth = np.tile(np.linspace(0.2, 0.8, 200), (200, 1))
    noisy = (smooth + sigma * np.random.default_rng(0).standard_normal(smooth.shape)).astype(np.float32)
    assert noise_along(noisy, (1, 0)) == pytest.approx(sigma, rel=0.05)
