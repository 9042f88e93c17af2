"""The bundled photograph is what its maker makes, and is what it says."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from narrow import known
from PIL import Image
from scipy.signal import convolve2d

from invkit.core.errors import UnknownNameError
from invkit.datasets.samples import SAMPLE_FILES, sample_path

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def maker() -> ModuleType:
    spec = known(importlib.util.spec_from_file_location("make_sample", ROOT / "benchmarks" / "make_sample.py"))
    module = importlib.util.module_from_spec(spec)
    known(spec.loader).exec_module(module)
    return module


@pytest.fixture(scope="module")
def made(maker: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sample") / "new"
    maker.main(folder)
    return folder


def pixels(file: Path) -> np.ndarray:
    with Image.open(file) as image:
        return np.asarray(image).astype(int)


@pytest.mark.parametrize("name", ["coffee_sharp.png", "coffee_blurry.png", "coffee_kernel.png"])
def test_the_script_makes_the_bundled_pictures(made: Path, name: str) -> None:
    ours, bundled = pixels(made / name), pixels(sample_path().parent / name)
    assert ours.shape == bundled.shape
    # A sum taken in another order on another machine may turn a rounding, once in millions.
    assert np.abs(ours - bundled).max() <= 1
    assert np.count_nonzero(ours != bundled) <= 10


def test_the_script_makes_the_bundled_kernel(made: Path) -> None:
    np.testing.assert_allclose(np.load(made / "coffee_kernel.npy"), np.load(sample_path("coffee-kernel")), atol=1e-7)


def test_the_kernel_is_one() -> None:
    kernel = np.load(sample_path("coffee-kernel"))
    assert kernel.shape == (23, 23)
    assert kernel.dtype == np.float32
    assert kernel.min() >= 0
    assert kernel.sum(dtype=float) == pytest.approx(1, abs=1e-6)
    weights = np.indices(kernel.shape) * kernel
    np.testing.assert_allclose(weights.sum(axis=(1, 2)), 11, atol=1e-4)  # its mass about its centre, to rounding


def test_blurry_is_kernel_times_sharp_plus_noise(maker: ModuleType) -> None:
    sharp, blurry = pixels(sample_path("coffee-sharp")) / 255, pixels(sample_path("coffee")) / 255
    assert sharp.shape == blurry.shape == (256, 384, 3)
    kernel = np.load(sample_path("coffee-kernel")).astype(float)
    again = np.stack([convolve2d(sharp[..., c], kernel, mode="valid") for c in range(3)], axis=-1)
    half = kernel.shape[0] // 2
    lit = blurry[half:-half, half:-half]
    residual = (lit - again)[(lit > 0) & (lit < 1)]
    # The noise, and the rounding of the blurry image; that of the sharp one is averaged away.
    expected = np.hypot(maker.SIGMA, 1 / 255 / np.sqrt(12))
    assert residual.std() == pytest.approx(expected, rel=0.03)
    assert abs(residual.mean()) < 1e-4


def test_the_sample_is_small_and_says_where_it_is_from() -> None:
    folder = sample_path().parent
    assert sum(file.stat().st_size for file in folder.iterdir() if file.is_file()) < 600_000
    source = (folder / "SOURCE.md").read_text(encoding="utf-8")
    assert all(
        word in source for word in ("CC0", "Rachel Michetti", "benchmarks/make_sample.py", *SAMPLE_FILES.values())
    )


def test_an_unknown_sample_is_refused() -> None:
    with pytest.raises(UnknownNameError, match="coffee-sharp"):
        sample_path("tea")
