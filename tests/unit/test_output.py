"""The folder of a run is whole, readable and never another run's; kernels survive the way through it."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from PIL import Image

from invkit.errors import InputError
from invkit.media.images import read_image, write_image
from invkit.media.kernels import check_kernel, kernel_picture, read_kernel
from invkit.media.output import CHECKPOINT, check_output, save_result, strict_json
from invkit.result import Result

FILES = {"image.png", "kernel.png", "kernel.npy", "overview.png", "result.json"}


def noise(*shape):
    return np.random.default_rng(0).random(shape).astype(np.float32)


def result(image=None, kernel=None, **changes):
    values = {
        "image": noise(20, 30) if image is None else image,
        "kernel": noise(5, 7) / noise(5, 7).sum() if kernel is None else kernel,
        "history": (1.0, 0.5),
        "stopped": "finished",
        "iterations": 2,
        "seconds": 0.1,
        "details": {"seed": 3},
    }
    return Result(**{**values, **changes})


def names(folder):
    return {path.name for path in folder.iterdir()}


# What is written


@pytest.mark.parametrize("bits", [8, 16, 32])
@pytest.mark.parametrize("channels", [(), (2,), (3,), (4,)])
def test_everything_is_written_and_can_be_read(tmp_path, bits, channels):
    image = noise(20, 30, *channels)
    assert save_result(result(image, bits=bits), tmp_path / "new" / "run") == tmp_path / "new" / "run"
    folder = tmp_path / "new" / "run"
    assert names(folder) == FILES
    photo = read_image(folder / "image.png")
    assert photo.bits == (8 if bits == 8 else 16)  # PNG holds no floating point
    half_a_level = 0.5 / (2**photo.bits - 1)
    np.testing.assert_allclose(photo.put_back(photo.pixels), image, atol=half_a_level * 1.01)
    kernel = np.load(folder / "kernel.npy")
    assert kernel.dtype == np.float64
    assert kernel.sum() == pytest.approx(1, abs=1e-12)
    np.testing.assert_allclose(kernel, result().kernel, rtol=1e-6)
    np.testing.assert_array_equal(read_kernel(folder / "kernel.npy"), check_kernel(kernel))
    with Image.open(folder / "overview.png") as seen:
        assert min(seen.size) > 600
    written = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    assert written["loss_history"] == [1.0, 0.5]
    assert written["kernel_size"] == [5, 7]
    assert written["seed"] == 3


def test_a_batch_has_numbered_pictures(tmp_path):
    kernels = torch.softmax(torch.arange(3 * 35.0).reshape(3, 35) / 9, 1).reshape(3, 1, 5, 7)
    save_result(result(torch.from_numpy(noise(3, 1, 20, 30)), kernels), tmp_path)
    assert names(tmp_path) == FILES | {"image-2.png", "image-3.png", "kernel-2.png", "kernel-3.png"}
    np.testing.assert_allclose(read_image(tmp_path / "image-3.png").pixels, noise(3, 1, 20, 30)[2, 0], atol=0.51 / 255)
    np.testing.assert_allclose(np.load(tmp_path / "kernel.npy"), kernels[:, 0], rtol=1e-5)


def test_an_image_of_many_channels_is_not_lost(tmp_path):
    save_result(result(torch.from_numpy(noise(1, 7, 20, 30))), tmp_path)
    np.testing.assert_array_equal(np.load(tmp_path / "image.npy"), np.moveaxis(noise(1, 7, 20, 30)[0], 0, -1))


def test_the_colour_profile_goes_with_the_image(tmp_path):
    save_result(result(noise(20, 30, 3), bits=16, icc_profile=b"a profile"), tmp_path)
    assert read_image(tmp_path / "image.png").icc_profile == b"a profile"


def test_files_have_ordinary_permissions(tmp_path):
    save_result(result(), tmp_path)
    (tmp_path / "plain").write_text("as any other file")
    expected = stat.S_IMODE((tmp_path / "plain").stat().st_mode)
    assert {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in FILES} == {expected}


def test_a_full_disk_leaves_whole_files_only_and_no_result(tmp_path, monkeypatch):
    calls = iter(range(99))

    def fsync(handle):
        if next(calls) == 2:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(InputError, match="No space left"):
        save_result(result(), tmp_path)
    assert len(names(tmp_path)) == 2
    assert names(tmp_path) < FILES - {"result.json"}


# JSON


def test_json_is_strict():
    details = {
        "nan": float("nan"),
        "inside": [np.float32(0.5), float("inf"), (np.int64(3), None, True)],
        "array": np.array([1.0, np.nan]),
        "tensor": torch.tensor([[1.0, -np.inf]]),
        "path": Path("a") / "b",
        7: "a key that is no text",
    }
    text = strict_json(details)
    read = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert read == {
        "nan": None,
        "inside": [0.5, None, [3, None, True]],
        "array": [1.0, None],
        "tensor": [[1.0, None]],
        "path": str(Path("a") / "b"),
        "7": "a key that is no text",
    }


def test_a_diverged_history_is_null(tmp_path):
    save_result(result(history=(1.0, float("nan"))), tmp_path)
    assert "NaN" not in (tmp_path / "result.json").read_text(encoding="utf-8")


# Where it may be written


def test_checking_leaves_nothing_behind(tmp_path):
    check_output(tmp_path / "a" / "b" / "c")
    check_output(tmp_path)
    assert names(tmp_path) == set()


@pytest.mark.parametrize("present", ["result.json", "image.png", CHECKPOINT])
def test_another_run_is_not_overwritten(tmp_path, present):
    (tmp_path / present).write_text("of another run")
    with pytest.raises(InputError, match=f"already holds a run .*{present}.*--overwrite") as caught:
        check_output(tmp_path)
    assert ("--resume" in str(caught.value)) == (present == CHECKPOINT)
    check_output(tmp_path, overwrite=True)
    check_output(tmp_path, resume=True)
    assert names(tmp_path) == {present}


def test_other_files_are_no_hindrance(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    check_output(tmp_path)
    save_result(result(), tmp_path)
    assert names(tmp_path) == FILES | {"notes.txt"}


def test_saving_twice_needs_overwrite(tmp_path):
    save_result(result(), tmp_path)
    before = (tmp_path / "result.json").read_bytes()
    with pytest.raises(InputError, match="already holds a run"):
        result(iterations=9).save(tmp_path)
    assert (tmp_path / "result.json").read_bytes() == before
    result(iterations=9).save(tmp_path, overwrite=True)
    assert json.loads((tmp_path / "result.json").read_text())["iterations"] == 9


def test_the_runs_own_checkpoint_does_not_hinder_saving(tmp_path):
    (tmp_path / CHECKPOINT).write_text("of this run")
    save_result(result(), tmp_path)
    assert names(tmp_path) == FILES | {CHECKPOINT}


@pytest.mark.parametrize("below", [".", "run", "deeper/run"])
@pytest.mark.parametrize("check", [check_output, lambda folder: save_result(result(), folder)])
def test_a_file_is_no_folder(tmp_path, below, check):
    (tmp_path / "file").write_text("a file")
    with pytest.raises(InputError, match="is a file"):
        check(tmp_path / "file" / below)
    assert names(tmp_path) == {"file"}


def test_a_folder_that_cannot_be_made(tmp_path):
    with pytest.raises(InputError, match="cannot be written"):
        check_output(tmp_path / "new" / ("x" * 300))
    assert names(tmp_path) == set()


def test_a_folder_that_may_not_be_written(tmp_path, monkeypatch):
    def denied(self, *args, **kwargs):
        raise PermissionError(13, "Permission denied")  # chmod does not stop root, who runs many a CI

    monkeypatch.setattr(type(tmp_path), "mkdir", denied)
    with pytest.raises(InputError, match=r"cannot be written .*Permission denied"):
        check_output(tmp_path / "run")


# Kernels

KERNELS = hnp.arrays(
    np.float64, hnp.array_shapes(min_dims=2, max_dims=2, max_side=9), elements=st.floats(0, 1e6, allow_subnormal=False)
)


@settings(deadline=None, max_examples=50)
@given(KERNELS)
def test_a_kernel_sums_to_one_and_keeps_its_proportions(values):
    assume(values.max() > 0)
    kernel = check_kernel(values)
    assert kernel.sum() == pytest.approx(1, abs=1e-12)
    assert kernel.min() >= 0
    np.testing.assert_allclose(kernel / kernel.max(), values / values.max(), atol=1e-12)


@settings(deadline=None, max_examples=50)
@given(KERNELS)
def test_a_kernels_picture_is_large_and_its_squares_tell_the_weights(values):
    assume(values.max() > 0)
    picture = kernel_picture(values)
    factor = len(picture) // len(values)
    assert picture.dtype == np.uint8
    assert picture.max() == 255
    assert 255 <= max(picture.shape) < 255 + max(values.shape)
    np.testing.assert_array_equal(picture[::factor, ::factor], np.rint(255 * values / values.max()))
    np.testing.assert_array_equal(np.kron(picture[::factor, ::factor], np.ones((factor, factor))), picture)


@pytest.mark.parametrize("name", ["k.png", "k.tif", "k.npy"])
def test_kernels_are_read_from_pictures_and_arrays(tmp_path, name):
    stored = np.array([[0, 1, 2], [3, 4, 250]], np.uint8)
    write_image(tmp_path / name, stored)
    np.testing.assert_allclose(read_kernel(tmp_path / name), stored / 260)


def test_a_box_kernel_is_constant_and_allowed(tmp_path):
    np.save(tmp_path / "box.npy", np.ones((1, 1, 3, 5), np.int64))
    np.testing.assert_allclose(read_kernel(tmp_path / "box.npy"), np.full((3, 5), 1 / 15))


def test_a_colour_picture_of_a_kernel_is_averaged(tmp_path):
    stored = (255 * noise(5, 7, 4)).astype(np.uint8)
    write_image(tmp_path / "k.png", stored)
    mean = stored[..., :3].mean(-1)
    np.testing.assert_allclose(read_kernel(tmp_path / "k.png"), mean / mean.sum())


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (np.zeros((3, 3)), "zero everywhere"),
        (np.array([[0.5, -0.1]]), "negative"),
        (np.array([[0.5, np.nan]]), "NaN"),
        (np.array([[0.5, 1j]]), "complex128"),
        (np.ones(3), r"\(h, w\)"),
        (np.ones((2, 1, 3, 3)), r"\(h, w\)"),
        (np.ones((0, 3)), r"\(h, w\)"),
    ],
)
def test_what_is_no_kernel_is_refused(tmp_path, values, words):
    np.save(tmp_path / "k.npy", values)
    with pytest.raises(InputError, match=words) as caught:
        read_kernel(tmp_path / "k.npy")
    assert "k.npy" in str(caught.value)


def test_the_enlarged_picture_is_not_taken_for_a_kernel(tmp_path):
    save_result(result(), tmp_path)
    with pytest.raises(InputError, match=r"enlarged 37 times; give the kernel\.npy"):
        read_kernel(tmp_path / "kernel.png")
