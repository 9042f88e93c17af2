"""A slice of the benchmark of intervals: a photograph with a known kernel, and how a row is computed."""

from __future__ import annotations

import interval_coverage
import numpy as np
import pytest
from numpy.random import default_rng


def test_the_figures_of_gaussian_errors_with_right_deviations() -> None:
    """Of errors that are as their deviations say, nine in ten lie in the interval."""
    deviations = default_rng(0).uniform(0.01, 0.1, (200, 200))
    found = interval_coverage.compared(deviations * default_rng(1).standard_normal((200, 200)), deviations)
    assert found["coverage"] == pytest.approx(0.9, abs=0.01)
    assert found["ratio"] == pytest.approx(1, abs=0.02)
    assert found["correlation"] > 0.3
    random = default_rng(2).uniform(0.9, 1.1, (2, 9, 9))
    tight = interval_coverage.compared(random[0], 0.1 * random[1])
    assert tight["coverage"] == 0


def test_a_scene_is_the_blur_of_its_sharp_picture() -> None:
    kernel = np.full((3, 4), 1 / 12)
    scene = interval_coverage.Scene("camera", kernel, 0.0, 64)
    assert scene.sharp.shape == scene.data.shape == (64, 64)
    middle = (slice(8, -8), slice(8, -8))
    blurred = sum(np.roll(scene.sharp, (row, column), (0, 1)) for row in (-1, 0, 1) for column in (-1, 0, 1, 2)) / 12
    moved = sum(np.roll(scene.sharp, (row, column), (0, 1)) for row in (-1, 0, 1) for column in (-2, -1, 0, 1)) / 12
    assert min(np.abs(one - scene.data)[middle].max() for one in (blurred, moved)) < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["sparse-admm", "tv-admm"])
def test_about_nine_in_ten_true_pixels_of_a_photograph_lie_in_the_interval(recipe: str) -> None:
    scene = interval_coverage.Scene("astronaut", interval_coverage.reporting_kernel(), 0.01, 96)
    found = interval_coverage.nonblind(scene, recipe)
    assert 0.85 <= found["coverage"] <= 0.96
    assert found["correlation"] > 0.25  # a map of constant deviations has none
