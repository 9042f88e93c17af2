"""What is no part of the blurred scene does not decide the kernel, and comes back in the result."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from drawn_over import Picture, blurry, curved_kernel, photograph, with_text
from narrow import array
from PIL import Image
from typer.testing import CliRunner

import invkit
from invkit.apps.cli.main import app
from invkit.core.result import Result

KERNEL = curved_kernel(13)
SHARP = photograph("coffee", 172, 192, 60, 140)
SCENE = blurry(SHARP, KERNEL)
TRUTH = SHARP[:, 6:-6, 6:-6]
MARGIN = 16  # pixels at the border and around writing, where a restoration knows less
MAX_LOSS = 1.0  # dB, beside the same scene without what was drawn over it


def deblurred(picture: Picture, **options: Any) -> Result:
    """The result for an array (C, H, W), by a quick recipe."""
    pixels = np.moveaxis(picture, 0, -1)
    return invkit.deblur(pixels, recipe="fast-map", kernel_size=17, progress=False, **options)


def distance(result: Result, where: np.ndarray[Any, Any] | None = None, lines: int = 0) -> float:
    """PSNR in dB at the best shift, within a mask (H, W) and without the lines of a frame."""
    pixels = np.moveaxis(array(result.image), -1, 0)[:3]
    image = pixels[:, lines : lines + SCENE.shape[1], lines : lines + SCENE.shape[2]].mean(0)
    mask = np.ones(image.shape, dtype=bool) if where is None else where.copy()
    mask[:MARGIN] = mask[-MARGIN:] = mask[:, :MARGIN] = mask[:, -MARGIN:] = False
    shifts = [(down, right) for down in range(-4, 5) for right in range(-4, 5)]
    errors = [np.square(np.roll(image, shift, (0, 1)) - TRUTH.mean(0))[mask].mean() for shift in shifts]
    return float(-10 * np.log10(min(errors)))


@cache
def undisturbed() -> Result:
    return deblurred(SCENE)


def framed(picture: Picture, lines: int = 14, level: float = 1.0) -> Picture:
    return np.pad(picture, ((0, 0), (lines, lines), (lines, lines)), constant_values=level)


def broken(picture: Picture) -> Picture:
    random = np.random.default_rng(0)
    values = np.broadcast_to(random.integers(0, 2, picture.shape[1:]), picture.shape)
    return np.where(random.random(picture.shape[1:]) < 1e-3, values, picture).astype(np.float32)


def stamped(picture: Picture) -> Picture:
    return with_text(picture, "'98 07 23", (136, 70), 18, colour=(1.0, 0.95, 0.3))


def marked(picture: Picture) -> Picture:
    return with_text(picture, "SAMPLE", (70, 40), 26, 0.4, (1.0, 1.0, 1.0))


def test_the_scene_alone_is_restored_and_nothing_is_left_out() -> None:
    assert "left_out" not in undisturbed().details
    assert distance(undisturbed()) > 24  # the blurry scene has 19


@pytest.mark.parametrize("level", [0.0, 1.0])
def test_a_frame_changes_nothing_and_comes_back(level: float) -> None:
    result = deblurred(framed(SCENE, level=level))
    assert result.details["left_out"] == {"frame": [14, 14, 14, 14]}
    expected = framed(np.moveaxis(array(undisturbed().image), -1, 0), level=level)
    assert np.array_equal(np.moveaxis(array(result.image), -1, 0), expected)
    assert np.array_equal(result.kernel, undisturbed().kernel)


@pytest.mark.parametrize("draw", [stamped, marked])
def test_writing_does_not_decide_the_kernel_and_stays(draw: Callable[[Picture], Picture]) -> None:
    picture = draw(SCENE)
    result = deblurred(picture)
    assert list(result.details["left_out"]) == ["overlay_share"]
    rows, columns = np.nonzero(np.abs(picture - SCENE).max(0) > 0.03)
    far = np.ones(picture.shape[1:], dtype=bool)
    far[rows.min() - 8 : rows.max() + 9, columns.min() - 8 : columns.max() + 9] = False
    assert distance(result, far) > distance(undisturbed(), far) - MAX_LOSS
    assert distance(deblurred(picture, whole_picture=True), far) < distance(result, far)
    strong = np.abs(picture - SCENE).max(0) > 0.15
    assert np.abs(np.moveaxis(array(result.image), -1, 0) - picture)[:, strong].mean() < 0.01


def test_bad_pixels_are_filled() -> None:
    result = deblurred(broken(SCENE))
    assert list(result.details["left_out"]) == ["bad_pixels"]
    assert distance(result) > distance(undisturbed()) - MAX_LOSS
    assert distance(deblurred(broken(SCENE), whole_picture=True)) < distance(result) - 3


def test_bad_pixels_and_frames_do_not_disturb_a_known_kernel_either() -> None:
    pixels = np.moveaxis(framed(broken(SCENE)), 0, -1)
    result = invkit.deconvolve(pixels, KERNEL, progress=False)
    assert result.details["left_out"]["frame"] == [14, 14, 14, 14]
    known = invkit.deconvolve(np.moveaxis(SCENE, 0, -1), KERNEL, progress=False)
    assert distance(result, lines=14) > distance(known) - MAX_LOSS
    as_given = invkit.deconvolve(pixels, KERNEL, progress=False, whole_picture=True)
    assert distance(as_given, lines=14) < distance(result, lines=14) - 2


def test_the_colour_of_transparent_surroundings_does_not_matter(tmp_path: Path) -> None:
    rows, columns = np.indices(SCENE.shape[1:])
    opaque = np.asarray(((rows - 80) / 78) ** 2 + ((columns - 90) / 88) ** 2 < 1)
    results = []
    for level in (0.0, 1.0):
        pixels = np.moveaxis(np.concatenate([np.where(opaque, SCENE, level), opaque[None]]), 0, -1)
        Image.fromarray(np.rint(255 * pixels).astype(np.uint8)).save(tmp_path / "cut_out.png")
        result = invkit.deblur(tmp_path / "cut_out.png", recipe="fast-map", kernel_size=17, progress=False)
        assert np.allclose(array(result.image)[~opaque], pixels[~opaque])  # as they were
        assert np.array_equal(array(result.image)[..., 3], opaque)
        results.append(result)
    assert np.array_equal(results[0].kernel, results[1].kernel)
    core = np.asarray(((rows - 80) / 58) ** 2 + ((columns - 90) / 68) ** 2 < 1)
    assert distance(results[0], core) > distance(undisturbed(), core) - 2 * MAX_LOSS  # less of the scene is seen


def test_a_sharp_picture_comes_back_as_it_was() -> None:
    photo = photograph("astronaut", 160, 170)
    result = deblurred(photo)
    assert result.details["unchanged"] is True
    assert np.array_equal(array(result.image), np.moveaxis(photo, 0, -1))
    assert "sharp already" in result.details["notices"][0]
    assert "warnings" not in result.details
    restored = deblurred(photo, whole_picture=True)
    assert "unchanged" not in restored.details
    assert not np.array_equal(array(restored.image), np.moveaxis(photo, 0, -1))


def test_the_command_says_what_was_left_out_and_a_rerun_gives_the_same_bits(tmp_path: Path) -> None:
    photo, output = tmp_path / "framed.png", tmp_path / "run"
    pixels = np.moveaxis(framed(broken(SCENE)), 0, -1)
    Image.fromarray(np.rint(255 * pixels).astype(np.uint8)).save(photo)
    words = ["deblur", str(photo), "--recipe", "fast-map", "--kernel-size", "17", "--output", str(output)]
    ended = CliRunner().invoke(app, words)
    assert ended.exit_code == 0, ended.output
    assert "note: left out, because it was not blurred with the scene: a frame or bars" in ended.output
    again = CliRunner().invoke(app, ["rerun", str(output / "result.json"), "--output", str(tmp_path / "again")])
    assert again.exit_code == 0, again.output
    assert (output / "image.png").read_bytes() == (tmp_path / "again" / "image.png").read_bytes()
    whole = CliRunner().invoke(app, [*words[:-1], str(tmp_path / "whole"), "--whole-picture"])
    assert whole.exit_code == 0, whole.output
    assert "left out" not in whole.output
    summary = json.loads((tmp_path / "whole" / "result.json").read_text(encoding="utf-8"))
    assert summary["options"]["whole_picture"] is True
    assert (tmp_path / "whole" / "image.png").read_bytes() != (output / "image.png").read_bytes()


def test_a_rerun_of_a_whole_picture_leaves_nothing_out(tmp_path: Path) -> None:
    np.save(tmp_path / "framed.npy", np.moveaxis(framed(SCENE), 0, -1))
    options: dict[str, Any] = {"recipe": "fast-map", "overrides": ["inner.iterations=1"], "kernel_size": 5}
    first = invkit.deblur(tmp_path / "framed.npy", whole_picture=True, progress=False, **options)
    first.save(tmp_path / "run")
    again = invkit.rerun(tmp_path / "run" / "result.json", progress=False)
    assert np.array_equal(first.image, again.image)
    assert "left_out" not in again.details
    assert "left_out" in invkit.deblur(tmp_path / "framed.npy", progress=False, **options).details
