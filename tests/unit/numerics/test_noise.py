"""The estimated noise level equals that of the added noise."""

from __future__ import annotations

import importlib.util
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skimage.data
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.signal import fftconvolve
from skimage.transform import rescale

from invkit.core.errors import InputError
from invkit.datasets.samples import sample_path
from invkit.numerics.noise import NoiseMethod, best_excess, dct_filters, estimate_sigma, fit_sigma

ROUNDING = 1 / 255 / np.sqrt(12)
METHODS = ("zoran-weiss", "patch-covariance")


def photograph(name: str) -> Any:
    """Downscaled, so that its own noise and rounding are small compared with the added noise."""
    picture = getattr(skimage.data, name)() / 255
    grey = picture if picture.ndim == 2 else picture @ np.array([0.299, 0.587, 0.114])
    return rescale(grey, 0.5, anti_aliasing=True)


def blurred(image: np.ndarray) -> Any:
    return fftconvolve(image, np.load(sample_path("coffee-kernel")), mode="valid")


def noise(shape: tuple[int, ...], sigma: float, seed: int = 0) -> np.ndarray:
    return sigma * np.random.default_rng(seed).normal(size=shape)


@pytest.mark.parametrize("name", ["coffee", "camera", "astronaut", "chelsea"])
@pytest.mark.parametrize("sigma", [0.005, 0.01, 0.02, 0.05, 0.1])
def test_sharp_photographs(name: str, sigma: float) -> None:
    image = photograph(name)
    assert estimate_sigma(image + noise(image.shape, sigma)) == pytest.approx(sigma, rel=0.15)


@pytest.mark.parametrize(
    "name", ["camera", "astronaut", "chelsea"]
)  # the wood under the coffee cup has too fine a texture
def test_least_noise_on_sharp_photographs(name: str) -> None:
    image = photograph(name)
    assert estimate_sigma(image + noise(image.shape, 0.002)) == pytest.approx(0.002, rel=0.15)


@pytest.mark.parametrize("name", ["coffee", "camera", "astronaut", "chelsea"])
@pytest.mark.parametrize("sigma", [0.002, 0.01, 0.05, 0.1])
def test_blurred_photographs(name: str, sigma: float) -> None:
    image = blurred(photograph(name))
    noisy = image + noise(image.shape, sigma)
    assert estimate_sigma(noisy) == pytest.approx(sigma, rel=0.15)


@pytest.mark.parametrize("name", ["coffee", "camera", "astronaut", "chelsea"])
@pytest.mark.parametrize("sigma", [0.005, 0.02, 0.1])
def test_patch_covariance_on_blurred_photographs(name: str, sigma: float) -> None:
    image = blurred(photograph(name))
    noisy = image + noise(image.shape, sigma)
    assert estimate_sigma(noisy, "patch-covariance") == pytest.approx(sigma, rel=0.15)


@pytest.mark.parametrize("sigma", [0.002, 0.01, 0.1])
def test_clipped_and_rounded(sigma: float) -> None:
    image = blurred(photograph("astronaut"))  # a black background: many pixels are saturated
    noisy = np.round(np.clip(image + noise(image.shape, sigma), 0, 1) * 255) / 255
    assert estimate_sigma(noisy) == pytest.approx(np.hypot(sigma, ROUNDING), rel=0.15)


@pytest.mark.parametrize("value", [0.0, 0.4, 1.0])
def test_a_constant_border_is_ignored(value: float) -> None:
    image = photograph("camera")
    noisy = np.pad(image + noise(image.shape, 0.01), 60, constant_values=value)
    assert estimate_sigma(noisy) == pytest.approx(0.01, rel=0.15)


def test_saturated_lights_are_ignored() -> None:
    image = blurred(photograph("camera"))
    noisy = image + noise(image.shape, 0.01)
    noisy[:80] = 1.0
    assert estimate_sigma(noisy) == pytest.approx(0.01, rel=0.15)


@pytest.mark.parametrize("method", METHODS)
def test_a_constant_image_has_no_noise(method: NoiseMethod) -> None:
    assert estimate_sigma(np.full((3, 40, 50), 0.3), method) == 0.0


@pytest.mark.parametrize("method", METHODS)
def test_noise_alone_is_found_in_every_layout(method: NoiseMethod) -> None:
    values = (0.5 + noise((2, 3, 90, 110), 0.03)).astype(np.float32)
    # The 1000 overlapping patches equal about 150 independent ones: the error of a filter's std is 6 %.
    for image in (values[0, 0], values[0], values, torch.from_numpy(values)):
        assert estimate_sigma(image, method) == pytest.approx(0.03, rel=0.1)


@given(scale=st.floats(0.1, 10), offset=st.floats(-1, 1))
def test_sigma_scales_with_the_image_and_ignores_its_level(scale: float, offset: float) -> None:
    image = photograph("chelsea")[:96, :96]
    noisy = image + noise(image.shape, 0.02)
    # In single precision patches are compared after rounding, which may decide a tie differently.
    assert estimate_sigma(scale * noisy + offset) == pytest.approx(scale * estimate_sigma(noisy), rel=0.02)


def test_the_model_is_recovered_from_exact_kurtoses() -> None:
    variances = np.geomspace(1.2e-4, 1e-2, 21)
    kurtoses = 3 + 8 * ((variances - 1e-4) / variances) ** 2
    # The search has 200 steps up to about the square root of the least variance.
    assert fit_sigma(variances, kurtoses) == pytest.approx(1e-2, rel=0.006)


def test_best_excess_is_the_least_absolute_deviation() -> None:
    rng = np.random.default_rng(0)
    measured, gains, confidence = rng.normal(4, 2, 21), rng.uniform(0, 1, (5, 21)), rng.uniform(0.1, 1, 21)
    found = best_excess(measured, gains, confidence)
    trials = np.linspace(-20, 40, 6001)
    for gain, excess in zip(gains, found, strict=True):
        costs = (confidence * np.abs(measured - trials[:, None] * gain)).sum(axis=1)
        assert (confidence * np.abs(measured - excess * gain)).sum() <= costs.min() + 1e-12


def test_dct_filters_are_orthonormal() -> None:
    basis, frequency = dct_filters()
    np.testing.assert_allclose(basis @ basis.T, np.eye(64), atol=1e-6)
    assert frequency[0] == 0
    assert np.ptp(basis[0]) < 1e-7  # the first is the mean
    assert frequency.max() == 14


def test_a_megapixel_takes_less_than_a_second() -> None:
    image = 0.5 + noise((1000, 1000), 0.01)
    estimate_sigma(image)
    seconds = []
    for _ in range(3):  # the best of three: other work on the machine only ever adds
        start = time.perf_counter()
        estimate_sigma(image)
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 1


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros(9), r"got \(9,\)"),
        (np.zeros((20, 7)), "at least 8x8"),
        (np.full((20, 20), np.nan), "NaN"),
        (np.zeros((0, 20, 20)), "must be"),
    ],
)
def test_what_cannot_be_used_is_refused(image: np.ndarray, message: str) -> None:
    with pytest.raises(InputError, match=message):
        estimate_sigma(image)


def test_an_unknown_method_is_refused() -> None:
    with pytest.raises(InputError, match="zoran-weiss"):
        estimate_sigma(np.random.default_rng(0).random((20, 20)), "wavelet")  # type: ignore[arg-type]


def test_levins_blurry_images_have_the_noise_of_their_rounding(data_root: Path) -> None:
    from PIL import Image

    files = sorted((data_root / "levin" / "blurry").glob("*.png"))
    assert len(files) == 32
    for file in files:
        with Image.open(file) as image:
            sigma = estimate_sigma(np.asarray(image) / 255)
        assert 0.8 * ROUNDING < sigma < 1.25 * ROUNDING


def test_the_benchmark_counts_estimates_within_the_tolerance() -> None:
    file = Path(__file__).parents[3] / "benchmarks" / "noise.py"
    spec = importlib.util.spec_from_file_location("noise_benchmark", file)
    assert spec is not None
    assert spec.loader is not None
    benchmark = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(benchmark)
    rows = [
        {"state": s, "values": k, "ratios": [1.0, 1.14, 1.16, float("nan")]}
        for s in ("sharp", "blurred")
        for k in ("float", "8 bit")
    ]
    assert set(benchmark.shares(rows).values()) == {"2 of 4"}
