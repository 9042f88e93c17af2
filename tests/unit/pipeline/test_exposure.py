"""Dim pictures: restored as if their brightest value were white, and returned as dark as they were."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import invkit
from invkit.core.result import Result
from invkit.media.images import to_bchw
from invkit.numerics.noise import rounding_sigma
from invkit.pipeline.input_image import BRIGHTEST, DIM, InputImage, scaled_to_unit
from invkit.pipeline.job import prepare

KERNEL = np.ones((1, 5)) / 5
Picture = NDArray[np.float64]


def scene(side: int = 64) -> Picture:
    """Squares in [0.05, 0.95], blurred along their rows, with noise."""
    draw = np.random.default_rng(0)
    plain = np.kron(draw.uniform(0.1, 0.9, (side // 8, side // 8)), np.ones((8, 8)))
    blurred = np.mean([np.roll(plain, shift, 1) for shift in range(-2, 3)], axis=0)
    return np.asarray(np.clip(blurred + 0.004 * draw.standard_normal(blurred.shape), 0.05, 0.95))


def image_of(values: NDArray[Any]) -> InputImage:
    return InputImage(*to_bchw(values))


def restored(picture: NDArray[Any], **options: Any) -> Result:
    return invkit.deconvolve(picture, KERNEL, progress=False, **options)


@pytest.mark.parametrize("recipe", ["sparse-admm", "wiener", "richardson-lucy", "tv-admm"])
@pytest.mark.parametrize("exposure", [0.2, 0.0183])
def test_a_dim_picture_is_restored_as_a_bright_one(recipe: str, exposure: float) -> None:
    bright = np.rint(65535 * scene()).astype(np.uint16)
    dim = np.rint(65535 * exposure * scene()).astype(np.uint16)
    # Rounding is all the noise of these pictures; a solve that stops at the noise would take another number of steps.
    more = {"recipe": recipe, "overrides": ["solver.stop=never"] if recipe == "richardson-lucy" else []}
    expected, found = restored(bright, **more), restored(dim, **more)
    difference = np.asarray(found.image, np.float64) / exposure - expected.image
    assert np.sqrt(np.mean(difference**2)) < 3e-3
    assert "as if" in found.details["notices"][-1]
    assert found.details["white"] == pytest.approx(exposure * scene().max() / BRIGHTEST, rel=0.01)


def test_the_noise_is_told_and_taken_in_units_of_the_given_picture() -> None:
    bright, dim = scene().astype(np.float32), (0.1 * scene()).astype(np.float32)
    found = restored(dim)
    assert found.details["noise_sigma"] == pytest.approx(0.1 * restored(bright).details["noise_sigma"], rel=0.1)
    given = restored(dim, sigma=0.002)
    assert given.details["options"]["sigma"] == pytest.approx(0.002)
    np.testing.assert_allclose(given.image, 0.1 * restored(bright, sigma=0.02).image, atol=2e-3)


def test_the_noise_is_at_least_the_rounding_of_the_given_numbers() -> None:
    ramp = np.tile(np.linspace(0.1, 0.9, 64), (64, 1))  # without noise

    def level(picture: NDArray[Any]) -> float:
        return float(prepare(picture, kernel=KERNEL).facts["noise_sigma"])

    assert level(np.rint(255 * ramp).astype(np.uint8)) >= rounding_sigma(8)
    assert rounding_sigma(16) <= level(np.rint(65535 * ramp).astype(np.uint16)) < 0.5 * rounding_sigma(8)
    assert level(ramp.astype(np.float32)) < 0.5 * rounding_sigma(8)
    dim = image_of(np.rint(65535 * 0.02 * ramp).astype(np.uint16))
    assert scaled_to_unit(dim).rounding == pytest.approx(rounding_sigma(16) / scaled_to_unit(dim).white)


def test_the_truth_is_measured_in_the_same_units() -> None:
    picture = scene().astype(np.float32)
    bright, dim = (prepare(one, kernel=KERNEL, truth=one).run() for one in (picture, 0.1 * picture))
    assert dim.details["psnr"]["before"] == pytest.approx(bright.details["psnr"]["before"], abs=0.1)
    assert dim.details["psnr"]["after"] == pytest.approx(bright.details["psnr"]["after"], abs=0.5)


def test_the_blurry_picture_comes_back_as_it_was() -> None:
    dim = (0.1 * scene()).astype(np.float32)
    np.testing.assert_allclose(np.asarray(restored(dim).blurry), np.asarray(dim), rtol=1e-5)


def test_a_picture_that_reaches_a_quarter_of_white_stays_as_it_is() -> None:
    image = image_of(scene() * DIM / scene().max() + 1e-3)
    assert scaled_to_unit(image) is image
    assert "white" not in restored(scene()).details


def test_what_the_sensor_cut_off_becomes_white() -> None:
    picture = np.rint(4095 * np.minimum(1.6 * scene(), 1)).astype(np.uint16)  # twelve bits in a file of sixteen
    found = scaled_to_unit(image_of(picture))
    assert found.white == pytest.approx(4095 / 65535)
    assert float(found.data.max()) == 1


def test_the_paper_of_a_dim_page_is_not_saturated() -> None:
    page = np.minimum(1.6 * scene(), 1)  # a third of the pixels are paper
    for picture in (np.rint(51 * page).astype(np.uint8), np.rint(13_001 * page).astype(np.uint16), 0.2 * page):
        assert float(scaled_to_unit(image_of(picture)).data.max()) == pytest.approx(BRIGHTEST, abs=1e-6)


def test_a_blind_recipe_finds_the_kernel_of_a_dim_picture() -> None:
    def kernel(picture: Picture) -> NDArray[Any]:
        result = invkit.deblur(picture.astype(np.float32), recipe="xu-l0", kernel_size=7, progress=False)
        return np.asarray(result.kernel)

    picture = scene(96)
    np.testing.assert_allclose(kernel(0.03 * picture), kernel(picture), atol=0.02)
