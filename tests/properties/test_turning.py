"""Kernels of a turning camera: against a picture that is turned and displaced by hand, and their linear map."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import affine_transform

from invkit.numerics.geometry import centre
from invkit.numerics.turning import TurningMap, angle_functions, angles_of_course, grid_points, turned_kernels

seeds = st.integers(0, 2**31)
sizes = st.tuples(st.integers(1, 6), st.integers(1, 6))


def drawn(shape: tuple[int, ...], seed: int) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def smooth(side: int, seed: int) -> np.ndarray:
    """A picture of a few waves that are longer than 12 pixels."""
    rng, (y, x) = np.random.default_rng(seed), np.mgrid[:side, :side]
    waves = [
        np.cos(rng.uniform(-0.3, 0.3) * y + rng.uniform(-0.3, 0.3) * x + rng.uniform(0, 2 * np.pi)) for _ in range(8)
    ]
    return np.asarray(sum(waves))


@settings(max_examples=15)
@given(seeds, st.floats(-0.06, 0.06), st.floats(-0.06, 0.06))
def test_kernels_blur_as_a_camera_that_turns(seed: int, first: float, second: float) -> None:
    """The sum over the exposure: the picture displaced by each tap, and turned about its middle by the tap's angle."""
    side, picture = 81, smooth(81, seed)
    kernel = torch.zeros(5, 5, dtype=torch.float64)
    kernel[1, 3], kernel[4, 0] = 0.6, 0.4
    angles = torch.zeros(5, 5, dtype=torch.float64)
    angles[1, 3], angles[4, 0] = first, second
    middle = (side - 1) / 2
    blurred = np.zeros_like(picture)
    for row, column in ((1, 3), (4, 0)):
        angle = float(angles[row, column])
        rotation = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
        offset = np.full(2, middle) - rotation @ np.full(2, middle) - np.array([row - 2, column - 2])
        blurred += float(kernel[row, column]) * affine_transform(picture, rotation, offset, order=5)
    points = torch.tensor([[0.0, 0.0], [-18.0, 11.0], [20.0, 20.0]], dtype=torch.float64)
    kernels = TurningMap.of(kernel > 0, angles, points, (15, 15)).kernels(kernel[kernel > 0])
    for point, local in zip(points.int().tolist(), kernels[:, 0].numpy(), strict=True):
        y, x = (int(middle) + place for place in point)
        around = picture[y - 7 : y + 8, x - 7 : x + 8]
        assert (local[::-1, ::-1] * around).sum() == pytest.approx(blurred[y, x], abs=0.02)  # of waves up to 8


@given(seeds, sizes, sizes, st.integers(1, 4))
def test_the_map_and_its_adjoint(seed: int, size: tuple[int, int], larger: tuple[int, int], count: int) -> None:
    angles, points = 0.2 * drawn(size, seed) - 0.1, 40 * drawn((count, 2), seed + 1) - 20
    support = drawn(size, seed + 2) > 0.3
    taps = int(support.sum())
    turning = TurningMap.of(support, angles, points, larger)
    one, other = drawn((taps,), seed + 3), drawn((count, 1, *larger), seed + 4)
    kernels = turning.kernels(one)
    assert kernels.shape == other.shape
    assert float((kernels * other).sum()) == pytest.approx(float((one * turning.adjoint(other)).sum()), abs=1e-9)
    # cubic weights sum to one, and what leaves the frame stays at its border
    torch.testing.assert_close(kernels.sum((1, 2, 3)), one.sum().expand(count))


@given(seeds, sizes, st.integers(1, 4))
def test_kernels_stay_on_the_simplex(seed: int, size: tuple[int, int], count: int) -> None:
    kernel = drawn(size, seed)
    angles, points = 0.4 * drawn(size, seed + 1) - 0.2, 100 * drawn((count, 2), seed + 2) - 50
    kernels = turned_kernels(kernel / kernel.sum(), angles, points, (9, 8))
    assert bool((kernels >= 0).all())
    torch.testing.assert_close(kernels.sum((1, 2, 3)), torch.ones(count, dtype=torch.float64))


@given(seeds, sizes, st.integers(0, 3), st.integers(0, 3))
def test_a_camera_that_does_not_turn_has_one_kernel(seed: int, size: tuple[int, int], down: int, along: int) -> None:
    kernel = drawn(size, seed)
    larger = (size[0] + 2 * down, size[1] + 2 * along)
    (top, left), (row, column) = centre(larger), centre(size)
    expected = torch.zeros(larger, dtype=torch.float64)
    expected[top - row : top - row + size[0], left - column : left - column + size[1]] = kernel / kernel.sum()
    for local in turned_kernels(kernel / kernel.sum(), 0 * kernel, grid_points((2, 2), (50, 60)).double(), larger):
        torch.testing.assert_close(local[0], expected)


@given(seeds, sizes)
def test_the_mean_angle_of_a_small_course_is_zero(seed: int, size: tuple[int, int]) -> None:
    kernel, coefficients = drawn(size, seed), drawn((5,), seed + 1) - 0.5
    kernel = kernel / kernel.sum()
    assert float((angles_of_course(coefficients, kernel, 1e4) * kernel).sum()) == pytest.approx(0, abs=1e-5)
    assert float(angles_of_course(100 * coefficients, kernel, 3.0).abs().max()) <= 3.0


def test_an_enlarged_kernel_has_the_same_angles() -> None:
    small, large = angle_functions((5, 5)), angle_functions((15, 15))
    torch.testing.assert_close(small, large[:, 1::3, 1::3])


def test_the_outer_points_of_a_grid_lie_on_the_border() -> None:
    points = grid_points((3, 2), (11, 21))
    assert points[0].tolist() == [-5, -10]
    assert points[-1].tolist() == [5, 10]
    assert grid_points((1, 1), (11, 21)).tolist() == [[0, 0]]
