"""Pictures in units of their own (counts, electrons, signed numbers): the same result as the same scene in [0, 1]."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

import invkit
from invkit.core.errors import InputError
from invkit.core.result import Result
from invkit.media.images import read_image, to_bchw, write_image
from invkit.pipeline.input_image import BRIGHTEST, InputImage, scaled_to_unit
from invkit.pipeline.job import prepare

KERNEL = np.outer(np.hanning(7)[1:-1], np.hanning(9)[1:-1])
KERNEL /= KERNEL.sum()
Numbers = NDArray[np.float64]


def sky(noise: float = 0.002) -> Numbers:
    """A blurred sky, about in [0, 1]: a dark background around zero, and stars that were brighter before the blur."""
    draw = np.random.default_rng(3)
    stars = np.zeros((56, 56))
    stars[tuple(draw.integers(8, 48, (2, 12)))] = draw.uniform(3, 10, 12)
    blurred = np.real(np.fft.ifft2(np.fft.fft2(stars) * np.fft.fft2(np.pad(KERNEL, ((0, 51), (0, 49))))))
    return np.asarray(blurred / blurred.max() + noise * draw.standard_normal(blurred.shape))


def restored(numbers: NDArray[Any], recipe: str = "sparse-admm", **options: Any) -> Result:
    return invkit.deconvolve(numbers, KERNEL, recipe=recipe, progress=False, whole_picture=True, **options)


def image_of(numbers: NDArray[Any]) -> InputImage:
    return InputImage(*to_bchw(numbers, in_units=True))


@given(
    low=st.floats(-1e6, 1e6),
    extent=st.floats(1e-3, 1e7),
    values=st.lists(st.floats(0, 1, width=32), min_size=4, max_size=4).filter(lambda v: max(v) > min(v)),
)
def test_scaled_data_lie_in_the_unit_range_and_return_to_their_units(
    low: float, extent: float, values: list[float]
) -> None:
    numbers = (low + extent * np.array(values)).reshape(2, 2).astype(np.float32)
    if np.ptp(numbers) < 1e-4 * np.abs(numbers).max():
        return  # refused: single precision does not resolve them
    given_image = image_of(numbers)
    found = scaled_to_unit(given_image)
    assert 0 <= float(found.data.min()) <= float(found.data.max()) <= 1
    rounding = 1e-6 * float(np.abs(numbers).max())
    np.testing.assert_allclose(np.asarray(found.in_units(found.data))[0, 0], numbers, rtol=0, atol=rounding)
    np.testing.assert_allclose(found.from_units(given_image.data), found.data, atol=1e-5)


@pytest.mark.parametrize("recipe", ["sparse-admm", "wiener", "hyper-laplacian", "richardson-lucy", "tv-admm", "epll"])
def test_the_units_of_counts_do_not_matter(recipe: str) -> None:
    counts = 900 * sky().clip(0)
    expected, found = restored(counts, recipe), restored(2.0**9 * counts, recipe)
    np.testing.assert_allclose(np.asarray(found.image), 2.0**9 * np.asarray(expected.image), rtol=1e-5, atol=1e-2)
    assert found.details["white"] == pytest.approx(2.0**9 * counts.max() / BRIGHTEST)
    assert "in units of their own" in found.details["notices"][-1]


@pytest.mark.parametrize("recipe", ["sparse-admm", "richardson-lucy", "tv-admm", "sparse-irls"])
def test_stars_may_be_brighter_than_every_datum(recipe: str) -> None:
    counts = 900 * sky().clip(0)
    assert np.asarray(restored(counts, recipe).image).max() > 1.2 * counts.max()
    dim = np.rint(1000 * sky().clip(0)).astype(np.uint16)  # of 65535
    assert np.asarray(restored(dim, recipe).image).max() > 1.2 * dim.max() / 65535


def test_a_recipe_whose_images_end_at_white_says_that_it_cuts_off() -> None:
    short: dict[str, Any] = {
        "recipe": "selfdeblur-nonblind",
        "overrides": ["solver.iterations=2", "image_prior=pixels"],
    }
    limited = ["solver.iterations=30", "image_prior=pixels", "image_prior.range=[0.0,0.99999]", "solver.image_lr=0.1"]
    free = restored(900 * sky().clip(0), **short)
    assert "warnings" not in free.details
    cut = restored(900 * sky().clip(0), recipe="selfdeblur-nonblind", overrides=limited)
    assert "cut off at" in cut.details["warnings"][-1]


@pytest.mark.parametrize("size", [30.0, 1e-7])
def test_signed_numbers_keep_their_signs(size: float) -> None:
    signed = sky(0.01) - 0.004
    found = np.asarray(restored(size * signed).image) / size
    assert found.min() < -0.003
    # a blur keeps constants: a shifted scene has a shifted result
    shifted = np.asarray(restored(size * (signed - 0.3)).image) / size
    np.testing.assert_allclose(shifted, found - 0.3, atol=3e-3 * np.ptp(found))


def test_a_pedestal_does_not_flatten_the_scene() -> None:
    counts = 5e3 + 100 * sky().clip(0)
    found = restored(counts)
    assert found.details["black"] == pytest.approx(5e3)
    plain, above = np.asarray(restored(100 * sky().clip(0)).image), np.asarray(found.image) - 5e3
    # the image may be darker than the pedestal, which is not the case without one
    assert np.sqrt(np.mean((above.clip(0) - plain) ** 2)) < 0.02 * plain.max()


def test_whole_numbers_of_any_type_are_counts() -> None:
    counts = np.rint(3000 * sky().clip(0))
    expected = np.asarray(restored(counts).image)
    for kind in (np.int16, np.int32, np.uint32, np.int64):
        np.testing.assert_array_equal(np.asarray(restored(counts.astype(kind)).image), expected)


def test_white_that_is_given_is_used_and_must_not_be_below_the_data() -> None:
    counts = 100 * sky().clip(0)
    assert restored(counts, white=400.0).details["white"] == 400
    with pytest.raises(
        InputError, match=r"the data reach 100\.198, above the 50 given for white; give 100\.198 or more"
    ):
        restored(counts, white=50.0)
    with pytest.raises(InputError, match="white must be a number above 0"):
        restored(counts, white=-1.0)
    with pytest.raises(InputError, match="white is an option for pictures"):
        invkit.restore(np.ones((8, 16, 16)), "blind-mri", white=2.0, progress=False)


def test_the_noise_is_given_and_told_in_the_units_of_the_data() -> None:
    found = restored(900 * sky(0.01).clip(0), sigma=9.0)
    assert found.details["noise_sigma"] == pytest.approx(9)
    estimated, double = (restored(scale * sky(0.01)).details["noise_sigma"] for scale in (900, 1800))
    assert double == pytest.approx(2 * estimated, rel=1e-3)


def test_a_float_tiff_and_an_array_file_are_read_in_their_units_and_saved_as_numbers(tmp_path: Path) -> None:
    counts = (900 * sky().clip(0)).astype(np.float32)
    write_image(tmp_path / "counts.tif", counts, 32)
    np.save(tmp_path / "counts.npy", counts)
    expected = np.asarray(restored(counts).image)
    for name in ("counts.tif", "counts.npy"):
        found = invkit.deconvolve(tmp_path / name, KERNEL, progress=False, whole_picture=True)
        np.testing.assert_array_equal(np.asarray(found.image), expected)
    folder = found.save(tmp_path / "run")
    np.testing.assert_array_equal(np.load(folder / "image.npy"), expected)
    assert (folder / "image.png").is_file()


def test_a_rerun_gives_the_same_bits(tmp_path: Path) -> None:
    np.save(tmp_path / "counts.npy", 30 * (sky(0.01) - 0.1))
    np.save(tmp_path / "kernel.npy", KERNEL)
    first = invkit.deconvolve(tmp_path / "counts.npy", tmp_path / "kernel.npy", white=90.0, progress=False)
    again = invkit.rerun(first.save(tmp_path / "run") / "result.json", progress=False)
    np.testing.assert_array_equal(np.asarray(again.image), np.asarray(first.image))
    assert again.details["options"]["white"] == 90


def test_a_blind_recipe_restores_counts_as_it_restores_a_picture() -> None:
    draw = np.random.default_rng(0)
    plain = np.kron(draw.uniform(0.1, 0.9, (12, 12)), np.ones((8, 8)))
    blurred = np.mean([np.roll(plain, shift, 1) for shift in range(-2, 3)], axis=0)
    blurred = blurred / blurred.max() * BRIGHTEST + 0.003 * draw.standard_normal(blurred.shape).clip(-3, 0)

    def solved(numbers: Numbers) -> Result:
        return invkit.deblur(numbers.astype(np.float32), recipe="xu-l0", kernel_size=7, progress=False)

    picture, counts = solved(blurred), solved(4000 * blurred)
    np.testing.assert_allclose(np.asarray(counts.kernel), np.asarray(picture.kernel), atol=0.03)
    difference = np.asarray(counts.image) / 4000 - np.asarray(picture.image)
    assert np.sqrt(np.mean(difference**2)) < 0.03  # of kernels that differ by a hundredth


def test_several_images_have_a_kernel_each() -> None:
    images = [900 * sky().clip(0), 300 * sky()[::-1].clip(0)]
    kernels = np.stack([KERNEL, KERNEL[::-1]])
    both = invkit.deconvolve(images, kernels, progress=False, white=1000.0, sigma=1.0, whole_picture=True)
    for index in range(2):
        alone = invkit.deconvolve(images[index], kernels[index], progress=False, white=1000.0, sigma=1.0,
                                  whole_picture=True)  # fmt: skip
        np.testing.assert_allclose(np.asarray(both.image)[index, 0], np.asarray(alone.image), atol=0.5)


def test_nan_and_constants_are_refused() -> None:
    broken = 900 * sky()
    broken[3, 4] = np.nan
    with pytest.raises(InputError, match="NaN"):
        restored(broken)
    with pytest.raises(InputError, match="constant"):
        restored(np.full((32, 32), 700.0))


def test_a_few_counts_that_are_equal_to_the_largest_are_no_saturation() -> None:
    counts = np.rint(19 * sky().clip(0)).astype(np.int32)
    counts[counts == counts.max()] = 19
    counts[3, 4] = counts[30, 40] = 19
    assert np.asarray(restored(counts).image).max() > 1.2 * 19
    plateau = np.minimum(900 * sky().clip(0), 60.0)  # many values, as of a saturated sensor
    found = restored(plateau)
    assert np.asarray(found.image).max() == pytest.approx(60, rel=1e-5)
    assert "have the largest value, which counts as white" in found.details["notices"][-1]


def test_white_of_whole_numbers_is_given_in_their_own_units() -> None:
    picture = np.rint(10_000 * sky().clip(0)).astype(np.uint16)
    plain = np.asarray(restored(picture).image)
    found = restored(picture, white=10_526.0)  # what the rule takes
    np.testing.assert_allclose(np.asarray(found.image), plain, atol=5e-3 * plain.max())
    assert "10526 was taken for white" in found.details["notices"][-1]
    with pytest.raises(InputError, match=r"the data reach \d+, above the 4000 given for white"):
        restored(picture, white=4000.0)


def test_a_truth_in_other_units_is_refused() -> None:
    counts = 900 * sky().clip(0)
    for image, truth in ((np.rint(counts).astype(np.uint16), counts), (counts, counts / 2000)):
        with pytest.raises(InputError, match="give both in the same units"):
            prepare(image, kernel=KERNEL, truth=truth)


def test_images_of_a_list_share_their_units_and_masks_stand_alone() -> None:
    counts = 900 * sky().clip(0)
    with pytest.raises(InputError, match="give all in the same units and of one type"):
        invkit.deconvolve([counts, (counts / 4).astype(np.uint8)], np.stack([KERNEL] * 2), progress=False)
    masked = np.ma.masked_array(counts, counts > 800)
    with pytest.raises(InputError, match="masked arrays are restored one at a time"):
        invkit.deconvolve([masked, masked], np.stack([KERNEL] * 2), progress=False)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda one: one * 1e-42, "beyond single precision"),
        (lambda one: one * 1e38, "beyond single precision"),
        (lambda one: one + 1e8, "differ by less than single precision resolves"),
    ],
)
def test_numbers_that_single_precision_cannot_hold_are_refused(change: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        restored(change(sky().clip(0)))


@pytest.mark.parametrize("shift", [0.0, -3.0, 1000.0])
def test_pictures_of_numbers_show_their_range(tmp_path: Path, shift: float) -> None:
    found = restored(sky(0.01) + shift)
    folder = found.save(tmp_path / "run")
    drawn, numbers = read_image(folder / "image.png").pixels, np.load(folder / "image.npy")
    assert np.quantile(drawn, 0.1) < 0.3
    assert drawn.max() > 0.7
    assert np.corrcoef(drawn.ravel(), numbers.clip(max=found.white).ravel())[0, 1] > 0.9


def test_a_dim_float_picture_keeps_its_numbers(tmp_path: Path) -> None:
    found = restored(1e-6 * sky().clip(0))
    folder = found.save(tmp_path / "run")
    np.testing.assert_array_equal(np.load(folder / "image.npy"), np.asarray(found.image))
    assert read_image(folder / "image.png").pixels.max() > 0.9


def test_opacity_is_drawn_as_it_is(tmp_path: Path) -> None:
    counts = 900 * sky().clip(0)
    found = restored(np.stack([counts, counts, counts, np.ones_like(counts)], axis=-1))
    folder = found.save(tmp_path / "run")
    alpha = read_image(folder / "image.png").alpha
    assert alpha is None or alpha.min() > 0.99


def test_nothing_is_subtracted_where_the_operator_is_not_linear() -> None:
    bright = 100 * (0.7 + 0.2 * sky().clip(0, 1))
    found = invkit.deconvolve(bright, KERNEL, recipe="gamma-deconvolution", progress=False)
    assert "black" not in found.details
    with pytest.raises(InputError, match="this operator has no negative data; subtract the background"):
        invkit.deconvolve(bright - 80, KERNEL, recipe="gamma-deconvolution", progress=False)
