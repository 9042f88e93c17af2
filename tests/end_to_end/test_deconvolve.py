"""Deconvolution with a known kernel, from Python and from the command line."""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import invkit
from invkit.apps.cli.main import main
from invkit.core import registry
from invkit.core.errors import InputError, UnknownNameError
from invkit.core.result import Array
from invkit.media.images import write_image
from invkit.numerics.registration import aligned_psnr
from invkit.recipes.model import load_recipe

RECIPE = """
name = "quick-known"
image_prior = "pixels"
kernel_prior = "known"
solver = {name = "joint-adam", params = {iterations = 60, milestones = []}}
measurement.color = "rgb"
"""
KERNEL = np.zeros((5, 7))
KERNEL[1:4, 2:6] = np.arange(12).reshape(3, 4)
KERNEL /= KERNEL.sum()


@pytest.fixture(autouse=True)
def quick() -> Iterator[None]:
    registry.register("recipes", "quick-known", RECIPE)
    yield
    registry.unregister("recipes", "quick-known")


@pytest.fixture(scope="module")
def sharp() -> np.ndarray:
    return np.kron(np.random.default_rng(0).uniform(0.1, 0.9, (9, 10, 3)), np.ones((6, 6, 1))).astype(np.float32)


@pytest.fixture(scope="module")
def blurry(sharp: np.ndarray) -> np.ndarray:
    return blurred(sharp, KERNEL)


def blurred(sharp: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    from scipy.ndimage import convolve

    # a true convolution with repeated edge pixels; scipy centres even kernels as invkit does
    return np.stack([convolve(channel, kernel, mode="nearest") for channel in np.moveaxis(sharp, -1, 0)], -1)


def gain(before: np.ndarray, after: Array, sharp: np.ndarray) -> float:
    psnrs = [
        aligned_psnr(*map(torch.as_tensor, (x[..., 1], sharp[..., 1])), border=8, max_shift=0) for x in (before, after)
    ]
    return psnrs[1] - psnrs[0]


def test_it_sharpens_every_channel_with_one_kernel(sharp: np.ndarray, blurry: np.ndarray) -> None:
    result = invkit.deconvolve(blurry, KERNEL, recipe="quick-known", progress=False)
    assert gain(blurry, result.image, sharp) > 3
    assert result.details["color"] == "rgb"
    np.testing.assert_allclose(result.kernel, KERNEL, atol=1e-7)


@pytest.mark.parametrize("size", [(1, 1), (4, 4), (4, 5), (9, 2), (30, 41)])
def test_any_size_of_kernel_keeps_the_picture_in_place(blurry: np.ndarray, size: tuple[int, int]) -> None:
    delta = np.zeros(size)
    delta[size[0] // 2, size[1] // 2] = 1
    result = invkit.deconvolve(blurry, delta, recipe="quick-known", progress=False)
    assert np.abs(result.image - blurry).max() < 0.05


def test_a_kernel_off_its_centre_moves_the_picture(sharp: np.ndarray) -> None:
    shifted = np.zeros((5, 5))
    shifted[2, 4] = 1  # two columns from the centre
    blurry = blurred(sharp, shifted)
    overrides = ["solver.iterations=250"]  # Adam moves a pixel by about 0.01 an iteration
    result = invkit.deconvolve(blurry, shifted, recipe="quick-known", overrides=overrides, progress=False)
    np.testing.assert_allclose(result.image[:, 4:-4], sharp[:, 4:-4], atol=0.02)


@pytest.mark.parametrize("kind", ["npy", "png", "16-bit png", "array", "tensor", "four dimensions"])
def test_a_kernel_may_come_as_a_file_or_an_array(blurry: np.ndarray, tmp_path: Path, kind: str) -> None:
    np.save(tmp_path / "k.npy", KERNEL)
    white = 65535 if kind == "16-bit png" else 255
    stored = np.rint(white * KERNEL / KERNEL.max()).astype(np.uint16 if white == 65535 else np.uint8)
    write_image(tmp_path / "k.png", stored)
    forms: dict[str, Array | str | Path] = {
        "npy": tmp_path / "k.npy",
        "png": str(tmp_path / "k.png"),
        "16-bit png": tmp_path / "k.png",
        "array": KERNEL.astype(np.float32),
        "tensor": torch.from_numpy(KERNEL),
        "four dimensions": torch.from_numpy(KERNEL)[None, None],
    }
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        overrides = ["solver.iterations=1"]
        result = invkit.deconvolve(blurry, forms[kind], recipe="quick-known", overrides=overrides, progress=False)
    np.testing.assert_allclose(result.kernel, KERNEL, atol=1 / 255 if "png" in kind else 1e-7)


def test_a_kernel_of_another_sum_is_scaled_with_a_warning(blurry: np.ndarray) -> None:
    with pytest.warns(UserWarning, match="sums to 2, not to one"):
        result = invkit.deconvolve(
            blurry, 2 * KERNEL, recipe="quick-known", overrides=["solver.iterations=1"], progress=False
        )
    np.testing.assert_allclose(result.kernel, KERNEL, atol=1e-7)


def test_a_blind_recipe_is_refused_and_says_what_to_do(blurry: np.ndarray) -> None:
    with pytest.raises(InputError, match=r"selfdeblur-small is blind.*kernel_prior=known.*invkit deblur"):
        invkit.deconvolve(blurry, KERNEL, recipe="selfdeblur-small", progress=False)
    overrides = ["kernel_prior=known", "image_prior=pixels", "solver.iterations=1"]
    result = invkit.deconvolve(blurry, KERNEL, recipe="selfdeblur-small", overrides=overrides, progress=False)
    np.testing.assert_allclose(result.kernel, KERNEL, atol=1e-7)


def test_the_default_recipe_is_the_quick_and_exact_one() -> None:
    picture = np.kron(np.random.default_rng(0).uniform(0.1, 0.9, (6, 6)), np.ones((6, 6)))
    found = invkit.deconvolve(picture, np.full((1, 3), 1 / 3), progress=False)
    assert found.details["recipe"]["name"] == "sparse-admm"
    try:
        recipe = load_recipe("sparse-admm")
    except UnknownNameError:
        pytest.skip("the installed entry points are older than the recipe")
    assert recipe.kernel_prior is not None
    assert recipe.kernel_prior.name == "known"
    assert recipe.measurement.color == "rgb"


def invoke(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["invkit", *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        main()
    return int(stop.value.code or 0)


def test_the_command_writes_what_deblur_writes(
    sharp: np.ndarray,
    blurry: np.ndarray,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, pixels in [("photo.png", blurry), ("truth.png", sharp)]:
        write_image(tmp_path / name, np.rint(255 * pixels).astype(np.uint8))
    np.save(tmp_path / "kernel.npy", 3 * KERNEL)
    folder = tmp_path / "out"
    arguments = ["deconvolve", tmp_path / "photo.png", "--kernel", tmp_path / "kernel.npy", "--recipe", "quick-known"]
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        assert invoke(monkeypatch, *arguments, "--truth", tmp_path / "truth.png", "-o", folder) == 0
    message = " ".join(capsys.readouterr().err.split())
    assert message.startswith("warning:")
    assert "sums to 3, not to one" in message
    assert {path.name for path in folder.iterdir()} == {
        "image.png",
        "kernel.npy",
        "kernel.png",
        "overview.png",
        "result.json",
    }
    assert np.asarray(Image.open(folder / "image.png")).shape == sharp.shape
    facts = json.loads((folder / "result.json").read_text())
    assert facts["psnr"]["after"] > facts["psnr"]["before"] + 3
    assert facts["kernel_given"]["file"] == "kernel.npy"
    np.testing.assert_allclose(np.load(folder / "kernel.npy"), KERNEL, atol=1e-7)
