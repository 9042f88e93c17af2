"""The recipe epll: against sparse-admm, in colour, with unknown pixels, after blind recipes; its prior in others."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import fftconvolve

import invkit
from invkit.datasets.samples import sample_path
from invkit.media.images import read_image

NOISE = 0.01
PATCHES = "regularizers=[{name = 'patch-mixture', weight = 2.0, scale_by = 'variance'}]"


def psnr(image: object, sharp: np.ndarray) -> float:
    error = (np.asarray(image) - sharp)[8:-8, 8:-8]
    return float(-10 * np.log10(np.mean(error**2)))


@pytest.fixture(scope="module")
def scene() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The middle of the sample, blurred with noise, its kernel, and the truth; grey."""
    sharp = np.asarray(read_image(sample_path("coffee-sharp")).pixels, dtype=np.float64)
    grey = (sharp.mean(-1) if sharp.ndim == 3 else sharp)[:140, :150]
    kernel = np.load(sample_path("coffee-kernel"))
    exact = fftconvolve(grey, kernel, mode="valid")
    blurry = np.clip(exact + NOISE * np.random.default_rng(0).standard_normal(exact.shape), 0, 1)
    top, left = ((side - 1) // 2 for side in kernel.shape)
    return blurry, kernel, grey[top : top + exact.shape[0], left : left + exact.shape[1]]


def test_it_is_more_accurate_than_sparse_admm(scene: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    blurry, kernel, sharp = scene
    found = {r: psnr(invkit.deconvolve(blurry, kernel, recipe=r, progress=False).image, sharp) for r in RECIPES}
    assert found["epll"] > found["sparse-admm"] + 0.1 > psnr(blurry, sharp) + 1


RECIPES = ("sparse-admm", "epll")


def test_colour_is_restored_channel_by_channel(scene: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    blurry, kernel, _ = scene
    grey = invkit.deconvolve(blurry, kernel, recipe="epll", sigma=NOISE, progress=False).image
    colour = invkit.deconvolve(np.stack([blurry] * 3, -1), kernel, recipe="epll", sigma=NOISE, progress=False).image
    np.testing.assert_allclose(colour, np.stack([grey] * 3, -1), atol=2e-3)  # likeliest components of equal likelihood


def test_unknown_pixels_are_left_out(scene: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    blurry, kernel, sharp = scene
    hidden = np.zeros(blurry.shape, dtype=bool)
    hidden[40:60, 50:80] = True
    images = [
        np.ma.getdata(
            invkit.deconvolve(
                np.ma.masked_array(np.where(hidden, value, blurry), hidden), kernel, recipe="epll", progress=False
            ).image
        )
        for value in (0.0, 1.0)
    ]
    assert psnr(images[0], sharp) > psnr(blurry, sharp) + 1
    np.testing.assert_allclose(images[0], images[1], atol=1e-6)


@pytest.mark.parametrize("recipe", ["pan-l0", "xu-jia"])
def test_it_may_follow_any_kernel(recipe: str, scene: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    blurry, kernel, _ = scene
    result = invkit.deblur(
        blurry, recipe=recipe, kernel_size=kernel.shape[0], overrides=["next=epll"], sigma=NOISE, progress=False
    )
    assert [stage["name"] for stage in result.details["stages"]] == [recipe, "epll"]
    again = invkit.deconvolve(blurry, result.kernel, recipe="epll", sigma=NOISE, progress=False)
    np.testing.assert_allclose(result.image, again.image, atol=5e-3)  # the kernel is scaled once more


def test_a_small_photograph_may_be_solved_in_tiles(scene: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    blurry, kernel, sharp = scene
    settings = ["solver.tile_size=64"]
    tiled = invkit.deconvolve(blurry, kernel, recipe="epll", overrides=settings, progress=False)
    assert psnr(tiled.image, sharp) > psnr(blurry, sharp) + 1


def test_its_denoiser_serves_the_recipe_of_another_problem(scene: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    sharp = scene[2][:64, :72]
    noisy = np.clip(sharp + 0.05 * np.random.default_rng(1).standard_normal(sharp.shape), 0, 1)
    found = invkit.restore(noisy, "denoise-tv", overrides=[PATCHES, "solver.penalty=200"], sigma=0.05, progress=False)
    assert psnr(found.image, sharp) > psnr(noisy, sharp) + 4
