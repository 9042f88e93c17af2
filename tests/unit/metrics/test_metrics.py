"""Levin's protocol: the fast search is the plain one, and the published results come out as published."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.ndimage import map_coordinates
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from invkit.core.errors import InputError
from invkit.metrics import align, aligned_psnr, aligned_ssd, aligned_ssim, psnr, ssd, ssim


def smooth(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """A random image without the finest detail, so that the error has one clear minimum."""
    image = rng.random(shape)
    for axis in (-2, -1):
        image = (image + np.roll(image, 1, axis) + np.roll(image, -1, axis)) / 3
    return image


def plain_search(
    estimate: np.ndarray, truth: np.ndarray, border: int, max_shift: float, step: float
) -> tuple[float, tuple[float, float]]:
    """Every shift in turn, interpolated by SciPy: (least squared error, shift)."""
    still = truth[border:-border, border:-border]
    rows, columns = np.mgrid[border : truth.shape[0] - border, border : truth.shape[1] - border]
    best = (np.inf, (0.0, 0.0))
    for down in np.arange(-max_shift, max_shift + step / 2, step):
        for right in np.arange(-max_shift, max_shift + step / 2, step):
            crop = map_coordinates(estimate, [rows + down, columns + right], order=1, mode="nearest")
            best = min(best, (((crop - still) ** 2).sum(), (down, right)))
    return best


@given(
    seed=st.integers(0, 2**32 - 1),
    height=st.integers(14, 24),
    width=st.integers(14, 24),
    search=st.sampled_from([(4, 2.0, 0.25), (3, 3.0, 0.5), (5, 1.5, 0.25), (2, 2.0, 1.0), (4, 1.2, 0.3)]),
)
def test_equals_the_plain_exhaustive_search(
    seed: int, height: int, width: int, search: tuple[int, float, float]
) -> None:
    rng = np.random.default_rng(seed)
    truth = smooth(rng, (height, width))
    estimate = np.roll(truth, rng.integers(-1, 2, size=2), axis=(0, 1)) + 0.1 * rng.random((height, width))
    border, max_shift, step = search
    least, shift = plain_search(estimate, truth, border, max_shift, step)
    found = align(estimate, truth, border=border, max_shift=max_shift, step=step)
    assert found.shift == pytest.approx(shift)
    # Sums of a few hundred numbers of order one in double precision.
    assert ssd(found.estimate, found.truth) == pytest.approx(least, abs=1e-10)


def test_equals_the_plain_search_at_the_size_of_levins_images() -> None:
    rng = np.random.default_rng(3)
    truth = smooth(rng, (255, 255))
    estimate = np.roll(truth, (2, -3), axis=(0, 1)) + 0.05 * rng.random((255, 255))
    least, shift = plain_search(estimate, truth, 15, 5.0, 1.0)
    found = align(estimate, truth, step=1.0)
    assert found.shift == shift == (2.0, -3.0)
    assert aligned_ssd(estimate, truth, step=1.0) == pytest.approx(least, rel=1e-12)


@given(st.integers(-20, 20), st.integers(-20, 20))
def test_a_fractional_shift_is_found_and_undone(down: int, right: int) -> None:
    rng = np.random.default_rng(0)
    scene = smooth(rng, (70, 70))
    rows, columns = np.mgrid[10:60, 10:60]
    truth = map_coordinates(scene, [rows + down / 4, columns + right / 4], order=1)
    found = align(scene[10:60, 10:60], truth)
    assert found.shift == (down / 4, right / 4)
    np.testing.assert_allclose(found.estimate, found.truth, atol=1e-12)


def test_an_image_is_itself() -> None:
    image = smooth(np.random.default_rng(0), (3, 50, 60))
    found = align(image, image)
    assert found.shift == (0.0, 0.0)
    assert found.estimate.shape == (3, 20, 30)
    np.testing.assert_array_equal(found.estimate, found.truth)
    assert aligned_psnr(image, image) == float("inf")
    assert aligned_ssim(image, image) == pytest.approx(1)
    assert aligned_ssd(image, image) == 0


@pytest.mark.parametrize("kernel", [(4, 5), (7, 7), (6, 8), (1, 3)])
def test_a_larger_estimate_lies_on_the_data_of_a_valid_convolution(kernel: tuple[int, int]) -> None:
    height, width = kernel
    x = smooth(np.random.default_rng(1), (60 + height - 1, 64 + width - 1))
    delta = np.zeros(kernel)
    delta[height // 2, width // 2] = 1
    from scipy.signal import convolve2d

    data = convolve2d(x, delta, mode="valid")
    assert align(x, data).shift == (0.0, 0.0)
    assert align(data, x).shift == (0.0, 0.0)
    assert psnr(align(x, data).estimate, align(x, data).truth) == float("inf")


def test_channels_share_one_shift_and_kinds_do_not_matter() -> None:
    rng = np.random.default_rng(2)
    truth = smooth(rng, (3, 48, 48))
    estimate = np.roll(truth, (1, 2), axis=(1, 2))
    as_array = align(estimate, truth)
    as_tensor = align(torch.from_numpy(estimate)[None].requires_grad_(), torch.from_numpy(truth))
    assert as_array.shift == as_tensor.shift == (1.0, 2.0)
    np.testing.assert_array_equal(as_array.estimate, as_tensor.estimate)


@given(arrays(np.float64, (2, 3, 16, 17), elements=st.floats(0, 1)))
def test_plain_metrics_are_scikit_images(pair: np.ndarray) -> None:
    first, second = pair
    assert ssd(first, second) == pytest.approx(((first - second) ** 2).sum())
    if np.any(first != second) and ssd(first, second) > 1e-12:
        assert psnr(first, second) == pytest.approx(peak_signal_noise_ratio(second, first, data_range=1))
    expected = [
        structural_similarity(a, b, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=1)
        for a, b in zip(first, second, strict=True)
    ]
    assert ssim(first, second) == pytest.approx(np.mean(expected))


def test_known_values() -> None:
    zero, half = np.zeros((20, 20)), np.full((20, 20), 0.5)
    assert psnr(half, zero) == pytest.approx(20 * np.log10(2))
    assert ssd(half, zero) == 100
    # Flat images differ in luminance alone: (2ab + C1) / (a^2 + b^2 + C1) with C1 = 0.01^2.
    assert ssim(half, zero) == pytest.approx(1e-4 / (0.25 + 1e-4))


def test_levins_search_is_quick() -> None:
    rng = np.random.default_rng(0)
    truth, estimate = rng.random((2, 255, 255))
    align(estimate, truth, max_shift=10)
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        align(estimate, truth, max_shift=10)
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 0.03  # about 0.004 on a processor of its own


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((np.zeros(9), np.zeros((40, 40))), {}, r"estimate must be .* got \(9,\)"),
        ((np.zeros((2, 3, 40, 40)), np.zeros((3, 40, 40))), {}, "one image at a time"),
        ((np.zeros((3, 40, 40)), np.zeros((40, 40))), {}, "3 channels and the truth 1"),
        ((np.full((40, 40), np.inf), np.zeros((40, 40))), {}, "estimate holds NaN"),
        ((np.zeros((40, 40)), np.full((40, 40), np.nan)), {}, "truth holds NaN"),
        ((np.zeros((30, 40)), np.zeros((40, 40))), {}, "leaves nothing"),
        ((np.zeros((40, 40)), np.zeros((40, 40))), {"max_shift": 16}, "border"),
        ((np.zeros((40, 40)), np.zeros((40, 40))), {"step": 0}, "step"),
        ((np.zeros((40, 40)), np.zeros((40, 40))), {"step": 1e-6}, "larger step"),
    ],
)
def test_what_cannot_be_compared_is_refused(
    arguments: tuple[np.ndarray, np.ndarray], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        align(*arguments, **options)


@pytest.mark.parametrize("metric", [psnr, ssd, ssim])
def test_plain_metrics_refuse_two_sizes(
    metric: Callable[[np.ndarray | torch.Tensor, np.ndarray | torch.Tensor], float],
) -> None:
    with pytest.raises(InputError, match="align"):
        metric(np.zeros((20, 20)), np.zeros((20, 21)))


def test_ssim_refuses_an_image_smaller_than_its_window() -> None:
    with pytest.raises(InputError, match="11"):
        ssim(np.zeros((10, 20)), np.zeros((10, 20)))


@pytest.mark.parametrize(
    ("results", "expected_psnr", "least_psnr", "expected_ssim"),
    [("selfdeblur", 33.25, 18.90, 0.919), ("wdip", 33.61, 30.18, 0.933)],
)
def test_published_results_on_levin(
    data_root: Path, results: str, expected_psnr: float, least_psnr: float, expected_ssim: float
) -> None:
    from PIL import Image

    def read(*parts: str) -> np.ndarray:
        with Image.open((data_root / "levin").joinpath(*parts)) as image:
            return np.asarray(image) / 255

    found = [
        align(read("results", results, f"im{i}_kernel{k}_img_x.png"), read("sharp", f"im{i}.png"), max_shift=10)
        for i in range(1, 5)
        for k in range(1, 9)
    ]
    decibels = [psnr(a.estimate, a.truth) for a in found]
    # Half a unit of the last digit published.
    assert np.mean(decibels) == pytest.approx(expected_psnr, abs=0.005)
    assert min(decibels) == pytest.approx(least_psnr, abs=0.005)
    assert np.mean([ssim(a.estimate, a.truth) for a in found]) == pytest.approx(expected_ssim, abs=0.0005)
