"""NumPy masked arrays as photographs: what the mask hides does not count, and comes back masked."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import invkit
from invkit.core.errors import DataWeightsError, InputError
from invkit.core.result import Result

KERNEL = np.ones((1, 5)) / 5


def scene(side: int = 64) -> NDArray[np.float32]:
    """Squares, blurred along their rows."""
    plain = np.kron(np.random.default_rng(0).uniform(0.1, 0.9, (side // 8, side // 8)), np.ones((8, 8)))
    return np.asarray(np.mean([np.roll(plain, shift, 1) for shift in range(-2, 3)], axis=0), np.float32)


def hidden(side: int = 64) -> NDArray[np.bool_]:
    mask = np.zeros((side, side), dtype=bool)
    mask[30:33, 10:50] = True
    return mask


def masked(junk: float, side: int = 64) -> np.ma.MaskedArray[Any, Any]:
    return np.ma.masked_array(np.where(hidden(side), np.float32(junk), scene(side)), hidden(side))


def restored(picture: Any, **options: Any) -> Result:
    return invkit.deconvolve(picture, KERNEL, progress=False, **options)


@pytest.mark.parametrize("side", [64, 40])
def test_what_the_mask_hides_does_not_count(side: int) -> None:
    results = [restored(masked(junk, side)).image for junk in (0.0, 7.0, np.nan)]
    for one in results[1:]:
        np.testing.assert_array_equal(np.asarray(one), np.asarray(results[0]))
    clean = np.asarray(restored(scene(side)).image)
    assert np.sqrt(np.mean((np.asarray(results[0]) - clean)[~hidden(side)] ** 2)) < 0.02


@pytest.mark.parametrize("recipe", ["sparse-admm", "sparse-irls", "richardson-lucy"])
def test_pixels_beside_the_mask_are_as_good_as_without_it(recipe: str) -> None:
    """Filled pixels contradict the blur around them; left out of the data term, they do not."""
    dead = np.random.default_rng(1).random((64, 64)) < 0.2
    results = [restored(np.ma.masked_array(scene(), mask), recipe=recipe).image for mask in (dead, False)]

    assert np.sqrt(np.mean((np.asarray(results[0]) - np.asarray(results[1]))[~dead] ** 2)) < 0.035


def test_the_mask_comes_back_and_the_result_says_what_was_hidden() -> None:
    result = restored(masked(np.nan))
    assert isinstance(result.image, np.ma.MaskedArray)
    np.testing.assert_array_equal(result.image.mask, hidden())
    assert np.isfinite(np.asarray(result.image)).all()
    assert result.details["left_out"] == {"masked_share": pytest.approx(hidden().mean(), abs=1e-5)}
    assert "their values are unknown: masked or unmeasured pixels" in result.details["notices"][0]


def test_a_pixel_is_hidden_in_all_colours() -> None:
    colours = np.ma.masked_array(np.stack([scene()] * 3, -1), False)
    colours[30:33, 10:50, 1] = np.ma.masked
    result = restored(colours)
    assert isinstance(result.image, np.ma.MaskedArray)
    np.testing.assert_array_equal(result.image.mask, np.repeat(hidden()[..., None], 3, -1))


def test_an_empty_mask_changes_nothing() -> None:
    result = restored(np.ma.masked_array(scene(), False))
    np.testing.assert_array_equal(np.asarray(result.image), np.asarray(restored(scene()).image))


def test_a_mask_without_use_is_refused() -> None:
    with pytest.raises(DataWeightsError, match="recipe wiener has no use for variances or a mask"):
        restored(masked(0.0), recipe="wiener", whole_picture=True)
    with pytest.raises(InputError, match="every pixel of the image is masked"):
        restored(np.ma.masked_array(scene(), True))
    with pytest.raises(InputError, match=r"cannot be masked; give array.filled\(0\)"):
        invkit.deconvolve(scene(), np.ma.masked_array(KERNEL, KERNEL < 0), progress=False)


@pytest.mark.parametrize("side", [64, 40])
def test_transparent_pixels_of_a_small_picture_do_not_count(side: int) -> None:
    opacity = (~hidden(side)).astype(np.float32)
    results = [restored(np.dstack([masked(junk, side).data] * 3 + [opacity])).image for junk in (0.0, 1.0)]
    first, second = (np.asarray(one)[~hidden(side)] for one in results)
    np.testing.assert_array_equal(first, second)
