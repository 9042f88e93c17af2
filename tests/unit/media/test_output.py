"""The folder of a run is whole, readable and never another run's; kernels survive the way through it."""

from __future__ import annotations

import errno
import json
import os
import shutil
import stat
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from PIL import Image

from invkit.core.errors import InputError
from invkit.core.files import write_atomically
from invkit.core.result import Array, Result
from invkit.media import output, run_folder
from invkit.media.images import read_image, write_image
from invkit.media.kernels import as_kernel, check_kernel, kernel_picture, read_kernel
from invkit.media.output import check_inputs, check_output, save_result, strict_json, write_with_room
from invkit.media.run_folder import CHECKPOINT

FILES = {"image.png", "kernel.png", "kernel.npy", "overview.png", "result.json"}


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).random(shape).astype(np.float32)


def result(image: Array | None = None, kernel: Array | None = None, **changes: Any) -> Result:
    values: dict[str, Any] = {
        "image": noise(20, 30) if image is None else image,
        "kernel": noise(5, 7) / noise(5, 7).sum() if kernel is None else kernel,
        "history": (1.0, 0.5),
        "stopped": "finished",
        "iterations": 2,
        "seconds": 0.1,
        "details": {"seed": 3},
    }
    return Result(**{**values, **changes})


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


# What is written


@pytest.mark.parametrize("bits", [8, 16, 32])
@pytest.mark.parametrize("channels", [(), (2,), (3,), (4,)])
def test_everything_is_written_and_can_be_read(tmp_path: Path, bits: int, channels: tuple[int, ...]) -> None:
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


def test_a_batch_has_numbered_pictures(tmp_path: Path) -> None:
    kernels = torch.softmax(torch.arange(3 * 35.0).reshape(3, 35) / 9, 1).reshape(3, 1, 5, 7)
    save_result(result(torch.from_numpy(noise(3, 1, 20, 30)), kernels), tmp_path)
    assert names(tmp_path) == FILES | {"image-2.png", "image-3.png", "kernel-2.png", "kernel-3.png"}
    np.testing.assert_allclose(read_image(tmp_path / "image-3.png").pixels, noise(3, 1, 20, 30)[2, 0], atol=0.51 / 255)
    np.testing.assert_allclose(np.load(tmp_path / "kernel.npy"), kernels[:, 0], rtol=1e-5)


def test_an_image_of_many_channels_is_not_lost(tmp_path: Path) -> None:
    save_result(result(torch.from_numpy(noise(1, 7, 20, 30))), tmp_path)
    np.testing.assert_array_equal(np.load(tmp_path / "image.npy"), np.moveaxis(noise(1, 7, 20, 30)[0], 0, -1))


def test_the_colour_profile_goes_with_the_image(tmp_path: Path) -> None:
    save_result(result(noise(20, 30, 3), bits=16, icc_profile=b"a profile"), tmp_path)
    assert read_image(tmp_path / "image.png").icc_profile == b"a profile"


def test_files_have_ordinary_permissions(tmp_path: Path) -> None:
    save_result(result(), tmp_path)
    (tmp_path / "plain").write_text("as any other file")
    expected = stat.S_IMODE((tmp_path / "plain").stat().st_mode)
    assert {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in FILES} == {expected}


def test_a_full_disk_leaves_whole_files_only_and_no_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = iter(range(99))

    def fsync(handle: int) -> None:
        if next(calls) == 2:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(InputError, match="No space left"):
        save_result(result(), tmp_path)
    assert len(names(tmp_path)) == 2
    assert names(tmp_path) < FILES - {"result.json"}


@pytest.mark.parametrize("failing", ["overview", "kernel_files"])
def test_what_is_worth_most_is_written_before_what_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    def broken(given: Result) -> NoReturn:
        raise RuntimeError("no fonts")

    monkeypatch.setattr(output, failing, broken)
    if failing == "overview":
        with pytest.warns(RuntimeWarning, match=r"overview\.png could not be drawn \(RuntimeError: no fonts\)"):
            save_result(result(), tmp_path)
        assert names(tmp_path) == FILES - {"overview.png"}
    else:
        with pytest.raises(RuntimeError, match="no fonts"):
            save_result(result(), tmp_path)
        assert names(tmp_path) == {"image.png"}


def test_the_files_come_in_the_order_of_their_worth(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []

    def noted(path: Path, content: bytes) -> None:
        written.append(path.name)
        write_atomically(path, content)

    monkeypatch.setattr(run_folder, "write_atomically", noted)
    save_result(result(), tmp_path)
    assert written == ["image.png", "kernel.npy", "kernel.png", "overview.png", "result.json"]


def test_a_full_disk_leaves_the_older_result_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_result(result(), tmp_path)
    before = {name: (tmp_path / name).read_bytes() for name in FILES}
    calls = iter(range(99))

    def full(handle: int) -> None:
        if next(calls) == 3:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match="No space left"):
        save_result(result(iterations=9), tmp_path, overwrite=True)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


# JSON


def test_a_list_of_numbers_is_one_line_and_the_rest_is_indented(tmp_path: Path) -> None:
    details = {"recipe": {"name": "a [\n 1,\n 2] b", "parts": ["x", "y"]}, "pairs": [[1, 2], [3, 4]], "none": []}
    save_result(result(history=(1.0, float("nan"), 0.25), details=details), tmp_path)
    text = (tmp_path / "result.json").read_text(encoding="utf-8")
    assert '  "loss_history": [1.0, null, 0.25]\n' in text
    assert '  "kernel_size": [5, 7],\n' in text
    assert '  "recipe": {\n    "name": ' in text
    assert '    "parts": [\n      "x",\n      "y"\n    ]\n' in text
    assert '  "pairs": [\n    [1, 2],\n    [3, 4]\n  ],\n' in text
    read = json.loads(text)
    assert {key: read[key] for key in details} == details


@settings(deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_json_comes_back_as_it_was(value: Any) -> None:
    assert json.loads(strict_json(value)) == value


def test_json_is_strict() -> None:
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


def test_a_diverged_history_is_null(tmp_path: Path) -> None:
    save_result(result(history=(1.0, float("nan"))), tmp_path)
    assert "NaN" not in (tmp_path / "result.json").read_text(encoding="utf-8")


# Where it may be written


def test_checking_leaves_nothing_behind(tmp_path: Path) -> None:
    check_output(tmp_path / "a" / "b" / "c")
    check_output(tmp_path)
    assert names(tmp_path) == set()


BATCH = ["image-2.png", "image-13.npy", "kernel-2.png", "image.npy"]
RUN = [*sorted(FILES), *BATCH, CHECKPOINT]
OTHERS = [
    "notes.txt",
    "image-1.png",
    "image-02.png",
    "image.jpg",
    "my-image.png",
    "kernel-2.npy",
    ".image.png",
    "image",
]


@pytest.mark.parametrize("present", RUN)
def test_another_run_is_not_overwritten(tmp_path: Path, present: str) -> None:
    (tmp_path / present).write_text("of another run")
    with pytest.raises(InputError, match=f"already holds a run .*{present}.*--overwrite") as caught:
        check_output(tmp_path)
    assert ("--resume" in str(caught.value)) == (present == CHECKPOINT)
    check_output(tmp_path, overwrite=True)
    assert names(tmp_path) == {present}


@pytest.mark.parametrize("present", sorted(FILES | set(BATCH)))
def test_a_users_own_file_is_not_overwritten_by_saving(tmp_path: Path, present: str) -> None:
    (tmp_path / present).write_text("mine")
    with pytest.raises(InputError, match="already holds a run"):
        save_result(result(), tmp_path)
    assert names(tmp_path) == {present}
    assert (tmp_path / present).read_text() == "mine"


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_folder_of_the_name_of_a_file_is_refused_before_any_compute(tmp_path: Path, overwrite: bool) -> None:
    (tmp_path / "overview.png").mkdir()
    with pytest.raises(InputError, match=r"overview\.png is a folder"):
        check_output(tmp_path, overwrite=overwrite)


def test_resume_and_overwrite_contradict_each_other(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"--resume\) or replaced \(--overwrite\), not both"):
        check_output(tmp_path, overwrite=True, resume=True)


def test_a_checkpoint_can_be_resumed(tmp_path: Path) -> None:
    (tmp_path / CHECKPOINT).write_text("of this run")
    check_output(tmp_path, resume=True)
    save_result(result(stopped="time limit"), tmp_path)
    check_output(tmp_path, resume=True)


@pytest.mark.parametrize("folder", ["nowhere", "."])
def test_where_there_is_no_run_there_is_none_to_resume(tmp_path: Path, folder: str) -> None:
    with pytest.raises(InputError, match=r"there is no run in .* to resume"):
        check_output(tmp_path / folder, resume=True)


@pytest.mark.parametrize(
    ("stopped", "words"),
    [
        ("finished", "is finished; nothing to resume"),
        ("converged", "is finished; nothing to resume"),
        ("time limit", rf"left no {CHECKPOINT} to resume from"),
    ],
)
def test_a_run_without_checkpoint_says_why_it_cannot_be_resumed(tmp_path: Path, stopped: str, words: str) -> None:
    save_result(result(stopped=stopped), tmp_path)
    with pytest.raises(InputError, match=words):
        check_output(tmp_path, resume=True)


@pytest.mark.parametrize("text", ["", "half of {", "[1, 2]", "\xff\xfe"])
def test_a_damaged_summary_is_no_crash(tmp_path: Path, text: str) -> None:
    (tmp_path / "result.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError, match="to resume from"):
        check_output(tmp_path, resume=True)


# What the run reads


@pytest.mark.parametrize("name", RUN)
def test_an_input_that_the_run_would_replace_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    (tmp_path / name).write_text("an input")
    (tmp_path / "elsewhere.png").symlink_to(tmp_path / name)
    for path in (tmp_path / name, tmp_path / "link" / ".." / tmp_path.name / name, tmp_path / "elsewhere.png"):
        with pytest.raises(InputError, match=f"is an input, and the run would replace it by its own {name}"):
            check_inputs(tmp_path, [tmp_path / "nowhere.png", path])
        with pytest.raises(InputError, match="is an input"):
            check_inputs(tmp_path / "link", [path])


def test_an_input_given_relative_to_the_working_folder_is_recognised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "image.png").write_text("an input")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="is an input"):
        check_inputs(Path(), [tmp_path / "image.png"])
    with pytest.raises(InputError, match="is an input"):
        check_inputs(tmp_path, [Path("image.png")])


@pytest.mark.parametrize("name", OTHERS)
def test_other_inputs_may_lie_in_the_folder_of_the_run(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("an input")
    (tmp_path / "image.png").write_text("of another run")
    check_inputs(tmp_path, [tmp_path / name])
    check_inputs(tmp_path / "new", [tmp_path / name, tmp_path / "image.png"])


def test_replacing_removes_the_older_run_and_nothing_else(tmp_path: Path) -> None:
    for name in [*RUN, *OTHERS, ".image.png.a_3bcdef", ".notes.txt.a_3bcdef"]:
        (tmp_path / name).write_text("text")
    (tmp_path / "image-3.png").mkdir()
    (tmp_path / "image-4.png").symlink_to(tmp_path / "notes.txt")
    save_result(result(), tmp_path, overwrite=True)
    assert names(tmp_path) == {*FILES, CHECKPOINT, *OTHERS, ".notes.txt.a_3bcdef", "image-3.png"}


def test_a_file_that_cannot_be_removed_is_named_and_nothing_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_result(result(), tmp_path)
    unlink = Path.unlink

    def denied(self: Path, missing_ok: bool = False) -> None:
        if self.name == "image.png":
            raise PermissionError(13, "Permission denied")
        unlink(self, missing_ok=missing_ok)

    monkeypatch.setattr(Path, "unlink", denied)
    with pytest.raises(InputError, match=r"image\.png, of an earlier run, cannot be removed \(Permission denied\)"):
        save_result(result(iterations=9), tmp_path, overwrite=True)
    assert "result.json" not in names(tmp_path), "a folder with parts of an older run is no finished run"
    monkeypatch.undo()
    check_output(tmp_path, overwrite=True)
    assert names(tmp_path) == FILES
    assert json.loads((tmp_path / "result.json").read_text())["iterations"] == 9


def test_overwriting_a_batch_by_one_image_leaves_none_of_the_batch(tmp_path: Path) -> None:
    kernels = torch.full((3, 1, 5, 7), 1 / 35)
    save_result(result(torch.from_numpy(noise(3, 1, 20, 30)), kernels), tmp_path)
    (tmp_path / CHECKPOINT).write_text("of this run")
    (tmp_path / "notes.txt").write_text("mine")
    save_result(result(), tmp_path, overwrite=True)
    assert names(tmp_path) == FILES | {CHECKPOINT, "notes.txt"}


def test_other_files_are_no_hindrance(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    check_output(tmp_path)
    save_result(result(), tmp_path)
    assert names(tmp_path) == FILES | {"notes.txt"}


def test_saving_twice_needs_overwrite(tmp_path: Path) -> None:
    save_result(result(), tmp_path)
    before = (tmp_path / "result.json").read_bytes()
    with pytest.raises(InputError, match="already holds a run"):
        result(iterations=9).save(tmp_path)
    assert (tmp_path / "result.json").read_bytes() == before
    result(iterations=9).save(tmp_path, overwrite=True)
    assert json.loads((tmp_path / "result.json").read_text())["iterations"] == 9


def test_the_runs_own_checkpoint_does_not_hinder_saving(tmp_path: Path) -> None:
    (tmp_path / CHECKPOINT).write_text("of this run")
    save_result(result(), tmp_path)
    assert names(tmp_path) == FILES | {CHECKPOINT}


@pytest.mark.parametrize("below", [".", "run", "deeper/run"])
@pytest.mark.parametrize("check", [check_output, lambda folder: save_result(result(), folder)])
def test_a_file_is_no_folder(tmp_path: Path, below: str, check: Callable[[Path], object]) -> None:
    (tmp_path / "file").write_text("a file")
    with pytest.raises(InputError, match="is a file"):
        check(tmp_path / "file" / below)
    assert names(tmp_path) == {"file"}


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be written"):
        check_output(tmp_path / "new" / ("x" * 300))
    assert names(tmp_path) == set()


def test_a_folder_that_may_not_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*args: Any, **kwargs: Any) -> NoReturn:
        raise PermissionError(13, "Permission denied")  # chmod does not stop root, who runs many a CI

    monkeypatch.setattr(os, "mkdir", denied)
    with pytest.raises(InputError, match=r"cannot be written .*Permission denied"):
        check_output(tmp_path / "run")


def test_a_link_to_nothing_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "run").symlink_to(tmp_path / "nowhere")
    with pytest.raises(InputError, match="run is a link to nothing"):
        check_output(tmp_path / "run")


def test_a_path_up_and_down_is_tried_where_it_leads(tmp_path: Path) -> None:
    check_output(tmp_path / "new" / ".." / ".." / "other")
    assert names(tmp_path) == set()
    assert not (tmp_path.parent / "other").exists()


def test_what_is_left_of_a_trial_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*args: Any, **kwargs: Any) -> NoReturn:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "rmdir", denied)
    check_output(tmp_path / "run")


PARALLEL = """
import sys, time
from pathlib import Path
from invkit.media.output import check_output
from invkit.media.run_folder import CHECKPOINT
folder, ready, go = map(Path, sys.argv[1:])
ready.touch()
while not go.exists():
    time.sleep(0.001)
for _ in range(150):
    check_output(folder)
folder.mkdir(parents=True)
check_output(folder)
"""


def test_parallel_runs_under_one_new_folder_do_not_disturb_each_other(tmp_path: Path) -> None:
    signals = tmp_path / "signals"
    signals.mkdir()
    runs = [tmp_path / "par" / "deep" / f"r{i}" for i in range(4)]
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", PARALLEL, run, signals / run.name, signals / "go"], stderr=subprocess.PIPE
        )
        for run in runs
    ]
    deadline = time.monotonic() + 120
    while len(names(signals)) < len(runs) and time.monotonic() < deadline:
        time.sleep(0.01)
    (signals / "go").touch()
    said = [process.communicate(timeout=120)[1].decode() for process in processes]
    assert said == [""] * 4
    assert [process.returncode for process in processes] == [0] * 4
    assert names(tmp_path / "par" / "deep") == {run.name for run in runs}
    assert names(tmp_path / "par") == {"deep"}
    assert all(names(run) == set() for run in runs)


# Kernels

KERNELS = hnp.arrays(
    np.float64, hnp.array_shapes(min_dims=2, max_dims=2, max_side=9), elements=st.floats(0, 1e6, allow_subnormal=False)
)


@settings(deadline=None, max_examples=50)
@given(KERNELS)
def test_a_kernel_sums_to_one_and_keeps_its_proportions(values: np.ndarray) -> None:
    assume(values.max() > 0)
    kernel = check_kernel(values)
    assert kernel.sum() == pytest.approx(1, abs=1e-12)
    assert kernel.min() >= 0
    np.testing.assert_allclose(kernel / kernel.max(), values / values.max(), atol=1e-12)


@settings(deadline=None, max_examples=50)
@given(KERNELS)
def test_a_kernels_picture_is_large_and_its_squares_tell_the_weights(values: np.ndarray) -> None:
    assume(values.max() > 0)
    picture = kernel_picture(values)
    factor = len(picture) // len(values)
    assert picture.dtype == np.uint8
    assert picture.max() == 255
    assert 255 <= max(picture.shape) < 255 + max(values.shape)
    np.testing.assert_array_equal(picture[::factor, ::factor], np.rint(255 * values / values.max()))
    np.testing.assert_array_equal(np.kron(picture[::factor, ::factor], np.ones((factor, factor))), picture)


@pytest.mark.parametrize("name", ["k.png", "k.tif", "k.npy"])
def test_kernels_are_read_from_pictures_and_arrays(tmp_path: Path, name: str) -> None:
    stored = np.array([[0, 1, 2], [3, 4, 250]], np.uint8)
    write_image(tmp_path / name, stored)
    np.testing.assert_allclose(read_kernel(tmp_path / name), stored / 260)


def test_a_box_kernel_is_constant_and_allowed(tmp_path: Path) -> None:
    np.save(tmp_path / "box.npy", np.ones((1, 1, 3, 5), np.int64))
    np.testing.assert_allclose(read_kernel(tmp_path / "box.npy"), np.full((3, 5), 1 / 15))


@pytest.mark.parametrize("name", ["k.png", "k.jpg", "k.tif"])
def test_a_colour_picture_of_a_kernel_counts_as_grey_where_its_channels_agree(tmp_path: Path, name: str) -> None:
    stored = np.rint(255 * noise(16, 16)).astype(np.uint8)
    write_image(tmp_path / name, np.stack([stored] * 3, axis=-1))
    tolerance = 0.04 if name == "k.jpg" else 1e-12  # of the largest value, which JPEG changes a little
    kernel = read_kernel(tmp_path / name)
    np.testing.assert_allclose(kernel / kernel.max(), stored / stored.max(), atol=tolerance)
    write_image(tmp_path / name, np.stack([stored, stored, 255 - stored], axis=-1))
    with pytest.raises(InputError, match="picture in colour"):
        read_kernel(tmp_path / name)


def test_a_kernel_is_mended_with_a_warning_where_it_nearly_is_one() -> None:
    kernel = noise(5, 7) / noise(5, 7).sum()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for fine in (kernel, 1.009 * kernel, kernel[None, None], np.rint(1e4 * kernel).astype(np.uint16)):
            np.testing.assert_allclose(as_kernel(fine), kernel, atol=1e-4)
    with pytest.warns(UserWarning, match=r"my kernel sums to 3\.2, not to one"):
        np.testing.assert_allclose(as_kernel(3.2 * kernel, "my kernel"), kernel, atol=1e-12)
    dented = kernel.copy()
    dented[2, 3] = -0.009 * kernel.max()
    with pytest.warns(UserWarning, match="has negative values, down to -.*count as zero") as told:
        mended = as_kernel(dented / dented.sum())
    assert len(told) == 1
    assert mended[2, 3] == 0
    assert mended.sum() == pytest.approx(1, abs=1e-12)
    dented[2, 3] = -0.011 * kernel.max()
    with pytest.raises(InputError, match="negative"):
        as_kernel(dented)


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
def test_what_is_no_kernel_is_refused(tmp_path: Path, values: np.ndarray, words: str) -> None:
    np.save(tmp_path / "k.npy", values)
    with pytest.raises(InputError, match=words) as caught:
        read_kernel(tmp_path / "k.npy")
    assert "k.npy" in str(caught.value)


def test_the_enlarged_picture_is_not_taken_for_a_kernel(tmp_path: Path) -> None:
    save_result(result(), tmp_path)
    with pytest.raises(InputError, match=r"enlarged 37 times; give the kernel\.npy"):
        read_kernel(tmp_path / "kernel.png")


# A full disk


class Disk:
    """A disk of so many bytes below a folder; a write that does not fit fails as on a full disk."""

    def __init__(self, folder: Path, size: int) -> None:
        self.folder, self.size = folder, size

    def write(self, path: Path, content: bytes) -> None:
        used = sum(file.stat().st_size for file in self.folder.rglob("*") if file.is_file())
        if used + len(content) > self.size:
            raise OSError(errno.ENOSPC, "No space left on device")
        write_atomically(path, content)


def folder_on(size_of: Callable[[int, int], int], folder: Path, monkeypatch: pytest.MonkeyPatch) -> bytes:
    """Make a folder with a checkpoint on a disk; its size is found from those of a result and of the checkpoint."""
    save_result(result(), folder / "trial")
    needed = sum(file.stat().st_size for file in (folder / "trial").iterdir())
    shutil.rmtree(folder / "trial")
    state = b"x" * 10 * needed
    (folder / CHECKPOINT).write_bytes(state)
    monkeypatch.setattr(run_folder, "write_atomically", Disk(folder, size_of(needed, len(state))).write)
    return state


def test_on_a_full_disk_a_finished_run_gives_its_checkpoint_for_its_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder_on(lambda needed, state: state + needed // 2, tmp_path, monkeypatch)
    write_with_room(result(), tmp_path / CHECKPOINT)
    assert names(tmp_path) == FILES


def test_a_run_keeps_its_checkpoint_where_there_is_room_for_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder_on(lambda needed, state: state + 2 * needed, tmp_path, monkeypatch)
    write_with_room(result(), tmp_path / CHECKPOINT)
    assert names(tmp_path) == FILES | {CHECKPOINT}


@pytest.mark.parametrize("stopped", ["finished", "time limit"])
def test_a_checkpoint_that_is_needed_stays_on_a_full_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stopped: str
) -> None:
    size = (lambda needed, state: needed // 2) if stopped == "finished" else (lambda needed, state: state + needed // 2)
    state = folder_on(size, tmp_path, monkeypatch)
    with pytest.raises(InputError, match=r"No space left.*; make room, and --resume continues from the checkpoint"):
        write_with_room(result(stopped=stopped), tmp_path / CHECKPOINT)
    assert (tmp_path / CHECKPOINT).read_bytes() == state
    assert "result.json" not in names(tmp_path)
