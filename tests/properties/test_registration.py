"""Registration: the closed form equals an exhaustive search, and the result has the expected invariances."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from invkit.metrics import align, aligned_psnr, ssd


def scene(seed: int, shape: tuple[int, ...]) -> np.ndarray:
    """A random image without its finest details."""
    image = np.random.default_rng(seed).random(shape)
    for axis in (-2, -1):
        image = (image + np.roll(image, 1, axis) + np.roll(image, -1, axis)) / 3
    return image


def interpolated(image: np.ndarray, down: float, right: float, size: tuple[int, ...]) -> Any:
    """The (C, *size) crop of an image at a fractional corner, pixel by pixel; the border is repeated outside."""
    rows, columns = (np.arange(n) + corner for n, corner in zip(size, (down, right), strict=True))

    def at(i: np.ndarray, j: np.ndarray) -> Any:
        i, j = (np.clip(k.astype(int), 0, n - 1) for k, n in zip((i, j), image.shape[1:], strict=True))
        return image[:, i[:, None], j[None]]

    a, b = (rows % 1)[:, None], (columns % 1)[None]
    low, left = np.floor(rows), np.floor(columns)
    top = (1 - b) * at(low, left) + b * at(low, left + 1)
    return (1 - a) * top + a * ((1 - b) * at(low + 1, left) + b * at(low + 1, left + 1))


def exhaustive(estimate: np.ndarray, truth: np.ndarray, border: int, max_shift: float, step: float) -> Any:
    """The least squared error of all shifts, one by one."""
    still = truth[:, border : truth.shape[1] - border, border : truth.shape[2] - border]
    steps = np.arange(-np.floor(max_shift / step + 1e-9), np.floor(max_shift / step + 1e-9) + 1) * step
    return min(
        ((interpolated(estimate, border + down, border + right, still.shape[1:]) - still) ** 2).sum()
        for down, right in product(steps, repeat=2)
    )


PIXELS = st.one_of(st.floats(0, 1, width=32), st.sampled_from([0.0, 0.5, 1.0]))


@given(
    images=arrays(np.float64, (2, 2, 12, 11), elements=PIXELS, fill=st.just(0.25)),
    offset=st.sampled_from([0.0, -3.0, 1000.0]),
    search=st.sampled_from([(3, 2.0, 0.25), (2, 2.0, 0.5), (4, 1.3, 0.3), (1, 0.0, 0.25), (0, 0.0, 1.0)]),
)
def test_the_least_error_is_that_of_the_exhaustive_search(
    images: np.ndarray, offset: float, search: tuple[int, float, float]
) -> None:
    estimate, truth = images + offset
    found = align(estimate, truth, border=search[0], max_shift=search[1], step=search[2])
    least = exhaustive(estimate, truth, *search)
    # Shifts with errors that differ by less than rounding count as equal: sums of 264 terms up to one, and images far
    # from zero, whose own rounding is 1e-13.
    assert ssd(found.estimate, found.truth) == pytest.approx(least, abs=1e-9)


@given(seed=st.integers(0, 1000), down=st.integers(-4, 4), right=st.integers(-4, 4), channels=st.sampled_from([1, 3]))
def test_psnr_is_invariant_to_shifts_by_whole_pixels(seed: int, down: int, right: int, channels: int) -> None:
    truth = scene(seed, (channels, 48, 52))
    estimate = truth + 0.05 * np.random.default_rng(seed + 1).standard_normal(truth.shape)
    moved = np.roll(estimate, (down, right), axis=(1, 2))  # pixels that wrap around stay in the border
    there, here = align(moved, truth), align(estimate, truth)
    assert max(np.abs(here.shift)) <= 1  # interpolation removes noise, so the shift may not be exactly 0
    assert there.shift == (here.shift[0] + down, here.shift[1] + right)
    np.testing.assert_array_equal(there.estimate, here.estimate)
    assert aligned_psnr(moved, truth) == aligned_psnr(estimate, truth)


@given(down=st.integers(-40, 40), right=st.integers(-40, 40))
def test_a_bilinear_shift_by_quarter_pixels_is_found_and_undone(down: float, right: float) -> None:
    estimate = scene(0, (1, 60, 64))
    truth = interpolated(estimate, down / 4, right / 4, (60, 64))
    found = align(estimate, truth, max_shift=10)
    assert found.shift == (down / 4, right / 4)
    assert aligned_psnr(estimate, truth, max_shift=10) > 250  # rounding of float64


@given(offset=st.floats(0, 1), level=st.floats(0, 1))
def test_constant_images_have_no_shift(offset: float, level: float) -> None:
    assert align(np.full((40, 44), offset), np.full((40, 44), level)).shift == (0, 0)


@pytest.mark.parametrize("start", range(4))
def test_of_equally_good_shifts_the_one_nearest_to_zero_is_chosen(start: int) -> None:
    stripes = np.tile((np.arange(48) % 4 == 0).astype(float), (48, 1))
    nearest = {0: 0.0, 1: 1.0, 2: -2.0, 3: -1.0}[start]  # of 2 and -2 the left one
    assert align(np.roll(stripes, start, axis=1), stripes).shift == (0.0, nearest)


def test_a_faint_structure_on_a_bright_background_is_found() -> None:
    # A contrast of 1e-4 on 1000: the squares of the images are 1e15 times the differences between the shifts.
    truth = scene(1, (60, 60))
    assert align(1000 + 1e-4 * np.roll(truth, (3, -2), axis=(0, 1)), 1000 + 1e-4 * truth).shift == (3, -2)
