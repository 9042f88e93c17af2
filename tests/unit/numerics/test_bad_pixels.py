"""Hot and dead pixels and specks are found and filled; photographs that are blurred lose nothing."""

from __future__ import annotations

import numpy as np
import pytest
from drawn_over import blurry, box_kernel, curved_kernel, photograph

from invkit.numerics.bad_pixels import MAX_OUTLIER_SHARE, bad_pixels, filled_by_median

PHOTOS = ["camera", "astronaut", "coffee", "chelsea", "grass"]


@pytest.mark.parametrize("name", PHOTOS)
@pytest.mark.parametrize("noise", [0.0, 0.02])
def test_blurred_photographs_lose_hardly_a_pixel(name: str, noise: float) -> None:
    for kernel in (box_kernel(3), curved_kernel(15)):
        found = bad_pixels(blurry(photograph(name), kernel, noise))
        assert found.mean() <= 1e-4  # a few glints of a photograph that is hardly blurred look like bad pixels


@pytest.mark.parametrize("name", PHOTOS)
def test_nearly_all_bad_pixels_of_a_blurred_photograph_are_found_and_nothing_else(name: str) -> None:
    photo = blurry(photograph(name), curved_kernel(15))
    place = np.random.default_rng(1).random(photo.shape) < 1e-3
    broken = np.where(place, np.random.default_rng(2).integers(0, 2, photo.shape), photo).astype(np.float32)
    visible = np.abs(broken - photo) > 0.2
    found = bad_pixels(broken)
    assert not (found & ~place).any()
    assert (found & visible).sum() >= 0.9 * visible.sum()
    filled = filled_by_median(broken, found)
    assert np.abs(filled - photo)[found].mean() < 0.03  # the detail of a blurred photograph within 5 x 5 pixels
    assert np.array_equal(filled[~found], broken[~found])


@pytest.mark.parametrize("side", [1, 2, 3])
def test_specks_of_up_to_three_pixels_are_found_whole(side: int) -> None:
    picture = np.full((1, 60, 60), 0.5, dtype=np.float32)
    picture[0, 20 : 20 + side, 30 : 30 + side] = 0.1
    expected = picture < 0.4
    assert np.array_equal(bad_pixels(picture), expected)


def test_larger_specks_stars_and_lines_are_no_bad_pixels() -> None:
    picture = np.full((1, 80, 80), 0.2, dtype=np.float32)
    picture[0, 10:15, 10:15] = 0.9  # larger
    picture[0, 40, 20:60] = 0.9  # a line
    rows, columns = np.indices((80, 80))
    picture[0] += 0.6 * np.exp(-((rows - 65) ** 2 + (columns - 65) ** 2) / (2 * 1.2**2)).astype(np.float32)  # a star
    assert not bad_pixels(picture).any()


def test_too_many_outliers_are_texture() -> None:
    picture = np.full((1, 90, 90), 0.5, dtype=np.float32)
    picture[0, ::5, ::5] = 1
    assert bad_pixels(picture).mean() == 0
    assert (picture == 1).mean() > MAX_OUTLIER_SHARE


def test_small_pictures_and_bad_corners() -> None:
    picture = np.full((3, 17, 17), 0.5, dtype=np.float32)
    picture[1, 0, 0] = 1
    found = bad_pixels(picture)
    assert np.argwhere(found).tolist() == [[1, 0, 0]]
    assert filled_by_median(picture, found)[1, 0, 0] == 0.5
