"""Variances of the data: what they weigh, the noise level that follows from them, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import invkit
from invkit.core.errors import DataWeightsError, InputError
from invkit.core.result import Result
from invkit.media.images import encode_tiff
from invkit.media.layouts import BitDepth, Layout
from invkit.pipeline.variances import read_variance

KERNEL = np.ones((3, 5)) / 15
QUICK = ["solver.inner.iterations=8"]


def scene(side: int = 64, seed: int = 0) -> np.ndarray:
    """Squares of one colour each, blurred, (side, side)."""
    from scipy.ndimage import convolve

    plain = np.kron(np.random.default_rng(seed).uniform(0.2, 0.8, (side // 8, side // 8)), np.ones((8, 8)))
    return np.asarray(convolve(plain, KERNEL, mode="nearest"), np.float32)


def ramp(side: int = 64) -> np.ndarray:
    """Variances from 1e-5 on the left to 1e-3 on the right."""
    return np.tile(np.geomspace(1e-5, 1e-3, side), (side, 1))


def noisy(variance: np.ndarray, side: int = 64) -> np.ndarray:
    return np.asarray(
        scene(side) + np.sqrt(variance) * np.random.default_rng(1).standard_normal(variance.shape), np.float32
    )


def restored(picture: Any, **options: Any) -> Result:
    options = {"recipe": "tv-admm", "overrides": QUICK, **options}
    return invkit.deconvolve(picture, KERNEL, progress=False, **options)


def read(given: Any, data: torch.Tensor, bits: BitDepth = 32, *, are_pictures: bool = True) -> torch.Tensor:
    return read_variance(given, data, Layout("tensor", 4, bits), are_pictures=are_pictures, bits=bits)


# --- reading -----------------------------------------------------------------------------------------------------


def test_variances_are_read_in_the_layout_of_the_data() -> None:
    data, plane = torch.zeros(1, 3, 4, 5), np.arange(1.0, 21).reshape(4, 5)
    colours = np.stack([plane, 2 * plane, 3 * plane], -1)
    expected = torch.from_numpy(np.moveaxis(colours, -1, 0))[None]
    assert torch.equal(read(plane, data), expected[:, :1])
    assert torch.equal(read(colours, data), expected)
    assert torch.equal(read(torch.from_numpy(np.moveaxis(colours, -1, 0).copy()), data), expected)
    assert torch.equal(read(np.moveaxis(colours, -1, 0), data, are_pictures=False), expected)


def test_nan_and_infinity_mean_not_measured() -> None:
    found = read(np.array([[1.0, np.nan], [np.inf, 2.0]]), torch.zeros(1, 1, 2, 2))
    assert found[0, 0].tolist() == [[1.0, np.inf], [np.inf, 2.0]]


def test_variances_come_from_files(tmp_path: Path) -> None:
    values, data = np.linspace(0.1, 0.9, 20).reshape(4, 5).astype(np.float32), torch.zeros(1, 1, 4, 5)
    holes = np.where(values > 0.8, np.float32(np.nan), values)
    np.save(tmp_path / "variance.npy", holes)
    (tmp_path / "variance.tif").write_bytes(encode_tiff(holes))
    Image.fromarray(np.round(255 * values).astype(np.uint8)).save(tmp_path / "variance.png")
    expected = read(holes, data)
    assert expected.isinf().any()
    for name in ("variance.npy", "variance.tif"):
        assert torch.equal(read(tmp_path / name, data), expected)
    counts = read(tmp_path / "variance.png", data)
    np.testing.assert_allclose(counts[0, 0].numpy(), 255 * values, atol=0.5)
    with pytest.raises(InputError, match=r"holds whole numbers.*divide those of levels by 65535\*\*2"):
        read(tmp_path / "variance.png", data, bits=16)


def test_the_mask_of_variances_means_not_measured() -> None:
    variance = np.ma.masked_array(np.full((4, 5), 2), np.eye(4, 5) > 0)
    found = read(variance, torch.zeros(1, 1, 4, 5))[0, 0].numpy()
    np.testing.assert_array_equal(found, np.where(np.eye(4, 5) > 0, np.inf, 2))


def test_variances_in_other_units_are_refused() -> None:
    data = torch.linspace(0, 1, 20).view(1, 1, 4, 5)
    assert read(np.full((4, 5), 0.3), data).isfinite().all()
    with pytest.raises(InputError, match=r"deviation of 2, and the data vary by 0\.303 only"):
        read(np.full((4, 5), 4.0), data)


@pytest.mark.parametrize(
    ("variance", "said"),
    [
        (np.full((3, 4), 0.1), r"has shape \(3, 4\), and the data are 4x5 \(height x width\) with 1 channel"),
        (np.full((4, 5, 3), 0.1), r"has shape \(4, 5, 3\)"),
        (np.full(20, 0.1), r"has shape \(20,\); give one variance for each pixel"),
        (np.full((4, 5), -0.1), "holds zero or negative values"),
        (np.where(np.eye(4, 5) > 0, 0.0, 0.1), "holds zero or negative values"),
        (np.where(np.eye(4, 5) > 0, -np.inf, 0.1), "holds zero or negative values"),
        (np.full((4, 5), np.nan), "NaN or infinite everywhere, so that no pixel was measured"),
        (np.full((4, 5), "a"), "must hold real numbers"),
        (np.full((4, 5), True), "must hold real numbers, got bool"),
    ],
)
def test_variances_that_cannot_be_are_refused(variance: Any, said: str) -> None:
    with pytest.raises(InputError, match=said):
        read(variance, torch.zeros(1, 1, 4, 5))


# --- from variances to a result ----------------------------------------------------------------------------------


@pytest.mark.parametrize("recipe", ["tv-admm", "sparse-admm", "sparse-irls"])
def test_the_same_variance_everywhere_is_a_noise_level(recipe: str) -> None:
    picture, sigma = noisy(np.full((64, 64), 4e-4)), 0.02
    options: dict[str, Any] = {"recipe": recipe, "overrides": (), "whole_picture": True}
    by_variance, by_sigma = (
        restored(picture, **options, **noise) for noise in ({"variance": np.full((64, 64), 4e-4)}, {"sigma": sigma})
    )
    np.testing.assert_allclose(by_variance.image, by_sigma.image, atol=1e-6)
    assert by_variance.details["noise_sigma"] == pytest.approx(sigma)
    assert (by_variance.details["noise_sigma_from"], by_sigma.details["noise_sigma_from"]) == ("variance", "given")


def test_the_noise_level_is_the_harmonic_mean_of_the_known_variances() -> None:
    variance = ramp()
    variance[:, :10] = np.nan
    result = restored(noisy(ramp()), variance=variance)
    assert result.details["noise_sigma"] == pytest.approx(np.nanmean(1 / variance) ** -0.5, rel=1e-6)


def test_a_picture_is_restored_better_with_the_variances_of_its_noise() -> None:
    picture = noisy(ramp())
    sharp = np.kron(np.random.default_rng(0).uniform(0.2, 0.8, (8, 8)), np.ones((8, 8)))
    errors = [np.mean((np.asarray(restored(picture, overrides=(), **noise).image) - sharp)[4:-4, 4:-4] ** 2)
              for noise in ({"variance": ramp()}, {}, {"sigma": float(np.sqrt(ramp().mean()))})]  # fmt: skip
    assert errors[0] < 0.9 * min(errors[1:])


@pytest.mark.parametrize("recipe", ["tv-admm", "sparse-admm", "sparse-irls", "richardson-lucy", "poisson-tv"])
def test_an_unmeasured_pixel_is_a_masked_one(recipe: str) -> None:
    hole = np.zeros((64, 64), dtype=bool)
    hole[30:33, 10:50] = True
    variance, picture = np.where(hole, np.nan, 1e-4), noisy(np.full((64, 64), 1e-4))
    by_variance = [
        restored(np.where(hole, np.float32(junk), picture), recipe=recipe, overrides=(), variance=variance)
        for junk in (0.1, 0.9)
    ]
    np.testing.assert_array_equal(by_variance[0].image, by_variance[1].image)
    assert "unmeasured pixels" in by_variance[0].details["notices"][0]
    masked = restored(np.ma.masked_array(picture, hole), recipe=recipe, overrides=(), sigma=0.01)
    difference = (np.asarray(by_variance[0].image) - np.asarray(masked.image))[~hole]
    assert np.abs(difference).max() < 0.02  # a masked picture leaves out pixels that contradict the blur too


@pytest.mark.parametrize("unit", [400.0, 1e-3])
def test_variances_are_in_the_units_of_the_data_squared(unit: float) -> None:
    """Data in units of their own have an image in these units, and variances that scale with their square."""
    picture, variance = noisy(ramp()) - 0.3, ramp()
    expected = restored(picture, variance=variance)
    found = restored(unit * picture, variance=unit**2 * variance)
    np.testing.assert_allclose(np.asarray(found.image) / unit, expected.image, atol=1e-4)
    assert found.details["noise_sigma"] / unit == pytest.approx(expected.details["noise_sigma"], rel=1e-6)


def test_colours_may_have_variances_of_their_own() -> None:
    picture = np.stack([noisy(ramp())] * 3, -1)
    variance = np.stack([ramp(), ramp(), 100 * ramp()], -1)
    image = np.asarray(restored(picture, variance=variance).image)
    assert image[..., 2].std() < image[..., 0].std()  # smoother
    np.testing.assert_array_equal(image[..., 0], image[..., 1])
    luma = restored(picture, variance=np.stack([ramp()] * 3, -1), color="luma")
    grey = restored(noisy(ramp()), variance=ramp())
    np.testing.assert_allclose(np.asarray(luma.image)[..., 0], grey.image, atol=1e-4)


def test_a_stage_that_estimates_the_kernel_is_followed_by_one_with_weights() -> None:
    options: dict[str, Any] = {
        "recipe": "fast-map",
        "kernel_size": 7,
        "overrides": ["inner.iterations=1"],
        "progress": False,
    }
    plain, weighted = (
        invkit.deblur(noisy(ramp()), **options, **noise)
        for noise in ({"sigma": float(np.mean(1 / ramp()) ** -0.5)}, {"variance": ramp()})
    )
    assert weighted.details["noise_sigma"] == pytest.approx(plain.details["noise_sigma"])
    np.testing.assert_array_equal(weighted.kernel, plain.kernel)
    assert np.abs(np.asarray(weighted.image) - np.asarray(plain.image)).max() > 1e-3


def test_a_recipe_that_would_ignore_the_variances_is_refused() -> None:
    said = "recipe {} has no use for variances or a mask: {} gives all .*sparse-admm and tv-admm do, and .* admm,.*irls"
    for recipe, solver in (("wiener", "Wiener"), ("hyper-laplacian", "HalfQuadratic")):
        with pytest.raises(DataWeightsError, match=said.format(recipe, solver)):
            restored(noisy(ramp()), recipe=recipe, overrides=(), variance=ramp())
    with pytest.raises(DataWeightsError, match="next: the recipe wiener has no use for variances"):
        invkit.deblur(noisy(ramp()), recipe="fast-map", kernel_size=7, overrides=["next=wiener"], variance=ramp())
    with pytest.raises(DataWeightsError, match="need a fidelity that is a sum over the data, and SSIM is not"):
        invkit.deblur(
            noisy(ramp()), recipe="selfdeblur-small", kernel_size=7, overrides=["fidelity=ssim"], variance=ramp()
        )


def test_a_noise_level_beside_variances_is_refused() -> None:
    with pytest.raises(InputError, match="sigma and variance both say how strong the noise is; give sigma alone"):
        restored(noisy(ramp()), variance=ramp(), sigma=0.01)


def test_a_scene_without_measured_pixels_is_refused() -> None:
    variance, framed = np.full((64, 64), np.inf), np.ones((64, 64), np.float32)
    framed[16:, :] = noisy(ramp())[16:, :]
    variance[0, 0] = 1e-4
    with pytest.raises(InputError, match=r"only 0\.024 % of the pixels were measured"):
        restored(framed, variance=variance)


def test_dead_pixels_may_have_any_large_variance() -> None:
    dead = np.zeros((64, 64), bool)
    dead[20:23, 30:40] = True
    for recipe in ("richardson-lucy", "tv-admm"):
        found = [
            np.asarray(restored(noisy(ramp()), recipe=recipe, overrides=(), variance=np.where(dead, mark, 1e-4)).image)
            for mark in (np.inf, 1e2, float(np.finfo(np.float32).max))
        ]
        np.testing.assert_array_equal(found[0], found[1])
        np.testing.assert_array_equal(found[0], found[2])


def test_the_image_is_surer_where_the_noise_is_weak() -> None:
    def deviation(**noise: Any) -> float:
        """The mean deviation on the left, where the variance is less than a third of the harmonic mean."""
        deviations = restored(noisy(ramp()), uncertainty=16, overrides=(), **noise).deviations
        assert deviations is not None
        return float(np.asarray(deviations["image"])[:, :16].mean())

    assert deviation(variance=ramp()) < 0.85 * deviation(sigma=float(np.mean(1 / ramp()) ** -0.5))


# --- masks in whole pictures and under other operators -------------------------------------------------------------


def hidden() -> np.ndarray:
    mask = np.zeros((64, 64), dtype=bool)
    mask[30:33, 10:50] = True
    return mask


@pytest.mark.parametrize("recipe", ["denoise-tv", "sparse-admm", "richardson-lucy"])
def test_the_mask_of_a_whole_picture_has_an_effect(recipe: str) -> None:
    pictures = [np.ma.masked_array(np.where(hidden(), np.float32(junk), scene()), hidden()) for junk in (0.0, 7.0)]
    options: dict[str, Any] = {"recipe": recipe, "whole_picture": True, "progress": False}
    options |= {} if recipe == "denoise-tv" else {"kernel": KERNEL}
    results = [invkit.restore(picture, **options).image for picture in pictures]
    np.testing.assert_array_equal(np.asarray(results[0]), np.asarray(results[1]))
    assert isinstance(results[0], np.ma.MaskedArray)
    clean = np.asarray(invkit.restore(scene(), **options).image)
    assert np.sqrt(np.mean((np.asarray(results[0]) - clean)[~hidden()] ** 2)) < 0.03


def test_a_mask_that_a_solver_would_ignore_is_refused() -> None:
    picture = np.ma.masked_array(scene(), hidden())
    with pytest.raises(DataWeightsError, match="recipe wiener has no use for variances or a mask"):
        restored(picture, recipe="wiener", overrides=(), whole_picture=True)


def test_transparent_pixels_of_a_whole_picture_do_not_count() -> None:
    opacity = (~hidden()).astype(np.float32)
    pictures = [np.dstack([np.where(hidden(), np.float32(junk), scene())] * 3 + [opacity]) for junk in (0.0, 1.0)]
    first, second = (np.asarray(restored(one, whole_picture=True).image)[~hidden()] for one in pictures)
    np.testing.assert_array_equal(first, second)


def test_variances_of_numbers_belong_to_single_values() -> None:
    """Data that are no pictures, as sinograms, may lack single values."""
    from invkit.operators.tomography import Tomography

    image = torch.zeros(1, 1, 24, 24)
    image[..., 8:16, 6:14] = 0.7
    operator = Tomography()
    parameter = operator.parameter_prior.allowed(torch.zeros(operator.parameter_shape((1, 1, 30, 24), (1, 1))))
    data = operator(image, parameter)[0].numpy()
    variance = np.full(data.shape, 1e-4)
    variance[:, 4] = np.nan
    options: dict[str, Any] = {"progress": False, "variance": variance, "overrides": ["solver.iterations=10"]}
    results = [
        invkit.restore(np.where(np.isnan(variance), np.float32(junk), data), "tomography", **options).image
        for junk in (0.0, 50.0)
    ]
    np.testing.assert_array_equal(results[0], results[1])
