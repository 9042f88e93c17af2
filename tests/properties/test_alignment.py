"""The alignment's closed form is the exhaustive search, and what it finds does not depend on what must not matter."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from invkit.metrics import align, aligned_psnr, ssd


def scene(seed, shape):
    """A random image without the finest detail."""
    image = np.random.default_rng(seed).random(shape)
    for axis in (-2, -1):
        image = (image + np.roll(image, 1, axis) + np.roll(image, -1, axis)) / 3
    return image


def interpolated(image, down, right, size):
    """The (C, *size) crop of an image at a fractional corner, pixel by pixel; what lies outside repeats the border."""
    rows, columns = (np.arange(n) + corner for n, corner in zip(size, (down, right), strict=True))

    def at(i, j):
        i, j = (np.clip(k.astype(int), 0, n - 1) for k, n in zip((i, j), image.shape[1:], strict=True))
        return image[:, i[:, None], j[None]]

    a, b = (rows % 1)[:, None], (columns % 1)[None]
    low, left = np.floor(rows), np.floor(columns)
    top = (1 - b) * at(low, left) + b * at(low, left + 1)
    return (1 - a) * top + a * ((1 - b) * at(low + 1, left) + b * at(low + 1, left + 1))


def exhaustive(estimate, truth, border, max_shift, step):
    """The least squared error of all shifts, each in turn."""
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
def test_the_least_error_is_that_of_the_exhaustive_search(images, offset, search):
    estimate, truth = images + offset
    found = align(estimate, truth, border=search[0], max_shift=search[1], step=search[2])
    least = exhaustive(estimate, truth, *search)
    # Shifts that differ by less than the rounding of the sums count as equal: 264 terms of up to one, and those of an
    # image far from zero, whose own digits end at 1e-13.
    assert ssd(found.estimate, found.truth) == pytest.approx(least, abs=1e-9)


@given(seed=st.integers(0, 1000), down=st.integers(-4, 4), right=st.integers(-4, 4), channels=st.sampled_from([1, 3]))
def test_psnr_does_not_see_a_shift_of_the_estimate_by_whole_pixels(seed, down, right, channels):
    truth = scene(seed, (channels, 48, 52))
    estimate = truth + 0.05 * np.random.default_rng(seed + 1).standard_normal(truth.shape)
    moved = np.roll(estimate, (down, right), axis=(1, 2))  # what wraps round stays in the border
    there, here = align(moved, truth), align(estimate, truth)
    assert max(np.abs(here.shift)) <= 1  # interpolation takes noise out, so that it need not be exactly 0
    assert there.shift == (here.shift[0] + down, here.shift[1] + right)
    np.testing.assert_array_equal(there.estimate, here.estimate)
    assert aligned_psnr(moved, truth) == aligned_psnr(estimate, truth)


@given(down=st.integers(-40, 40), right=st.integers(-40, 40))
def test_a_bilinear_shift_by_quarters_is_found_and_undone_within_ten_pixels(down, right):
    estimate = scene(0, (1, 60, 64))
    truth = interpolated(estimate, down / 4, right / 4, (60, 64))
    found = align(estimate, truth, max_shift=10)
    assert found.shift == (down / 4, right / 4)
    assert aligned_psnr(estimate, truth, max_shift=10) > 250  # the rounding of double precision


@given(offset=st.floats(0, 1), level=st.floats(0, 1))
def test_flat_images_lie_where_they_are(offset, level):
    assert align(np.full((40, 44), offset), np.full((40, 44), level)).shift == (0, 0)


@pytest.mark.parametrize("start", range(4))
def test_of_equal_shifts_the_nearest_to_none_is_taken(start):
    stripes = np.tile((np.arange(48) % 4 == 0).astype(float), (48, 1))
    nearest = {0: 0.0, 1: 1.0, 2: -2.0, 3: -1.0}[start]  # of 2 and -2, the left
    assert align(np.roll(stripes, start, axis=1), stripes).shift == (0.0, nearest)


def test_a_dim_structure_on_a_bright_ground_is_found():
    # A contrast of 1e-4 on 1000: squares of the images are 1e15 times those of what tells the shifts apart.
    truth = scene(1, (60, 60))
    assert align(1000 + 1e-4 * np.roll(truth, (3, -2), axis=(0, 1)), 1000 + 1e-4 * truth).shift == (3, -2)
