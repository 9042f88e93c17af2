"""A frame of any width and colour is cropped to the scene; a photograph without one loses nothing."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from drawn_over import Picture, blurry, box_kernel, curved_kernel, photograph
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from invkit.numerics.borders import MIN_SCENE_SIDE, scene_rectangle

SCENE = blurry(photograph("coffee", 150, 170, 60, 150), curved_kernel(15))
widths = st.tuples(*[st.integers(0, 30)] * 4)
colours = st.tuples(*[st.sampled_from([0.0, 1.0])] * 3)  # a channel differs much from any pixel


def framed(scene: Picture, width: tuple[int, ...], colour: tuple[float, ...]) -> Picture:
    """A scene (C, H, W) with (top, bottom, left, right) lines of a colour around it."""
    top, bottom, left, right = width
    levels = np.array(colour, dtype=np.float32)[: len(scene), None, None]
    whole = np.broadcast_to(levels, (len(scene), scene.shape[1] + top + bottom, scene.shape[2] + left + right)).copy()
    whole[:, top : top + scene.shape[1], left : left + scene.shape[2]] = scene
    return whole


def as_jpeg(picture: Picture, quality: int) -> Picture:
    """A colour picture (3, H, W) after JPEG."""
    buffer = BytesIO()
    Image.fromarray(np.rint(255 * np.moveaxis(picture, 0, -1)).astype(np.uint8)).save(buffer, "JPEG", quality=quality)
    pixels = np.asarray(Image.open(buffer), dtype=np.float32)
    return np.asarray(np.moveaxis(pixels, -1, 0) / 255, dtype=np.float32)


def expected(width: tuple[int, ...], scene: Picture = SCENE) -> tuple[slice, slice]:
    top, _, left, _ = width
    return slice(top, top + scene.shape[1]), slice(left, left + scene.shape[2])


@given(widths, colours)
def test_a_frame_of_any_width_and_colour_is_cropped_to_the_scene(
    width: tuple[int, ...], colour: tuple[float, ...]
) -> None:
    assert scene_rectangle(framed(SCENE, width, colour)) == expected(width)


@given(st.tuples(*[st.integers(2, 30)] * 4), st.tuples(*[st.integers(2, 9)] * 4))
def test_nested_frames_are_cropped_to_the_scene(outer: tuple[int, ...], inner: tuple[int, ...]) -> None:
    picture = framed(framed(SCENE, inner, (0.0, 0.0, 0.0)), outer, (1.0, 1.0, 1.0))
    assert scene_rectangle(picture) == expected(tuple(a + b for a, b in zip(outer, inner, strict=True)))


@pytest.mark.parametrize("quality", [50, 75, 90])
@pytest.mark.parametrize("colour", [(1.0, 1.0, 1.0), (0.0, 0.0, 0.0), (1.0, 0.95, 0.8)])
def test_a_frame_is_found_through_jpeg(quality: int, colour: tuple[float, ...]) -> None:
    width = (17, 9, 24, 13)
    found = scene_rectangle(as_jpeg(framed(SCENE, width, colour), quality))
    for one, other in zip(found, expected(width), strict=True):
        assert abs(one.start - other.start) <= 1  # a line may be a mixture of frame and scene
        assert abs(one.stop - other.stop) <= 1


def test_a_frame_with_noise_and_bad_pixels_is_found() -> None:
    width = (12, 12, 20, 20)
    picture = framed(SCENE, width, (1.0, 1.0, 1.0))
    random = np.random.default_rng(0)
    noisy = (picture - np.abs(0.008 * random.standard_normal(picture.shape))).clip(0, 1).astype(np.float32)
    noisy[:, random.random(noisy.shape[1:]) < 1e-3] = 0
    assert scene_rectangle(noisy) == expected(width)


@pytest.mark.parametrize("name", ["camera", "astronaut", "coffee", "chelsea", "rocket", "page", "moon", "grass"])
@pytest.mark.parametrize("kernel", [None, box_kernel(5), curved_kernel(21), np.full((1, 9), 1 / 9, dtype=np.float32)])
def test_a_natural_picture_loses_nothing(name: str, kernel: Picture | None) -> None:
    random = np.random.default_rng(0)
    for _ in range(4):
        photo = photograph(name, 130, 160, int(random.integers(0, 60)), int(random.integers(0, 200)))
        picture = photo if kernel is None else blurry(photo, kernel)
        assert scene_rectangle(picture) == (slice(0, picture.shape[1]), slice(0, picture.shape[2]))


def test_paper_around_text_is_no_frame() -> None:
    page = np.ones((1, 200, 200), dtype=np.float32)
    for row in range(20, 180, 12):
        page[:, row : row + 6, 20:170:3] = 0.1  # letters begin flush at the left
    assert scene_rectangle(page) == (slice(0, 200), slice(0, 200))


def test_constant_tiny_and_nearly_all_frame_pictures_are_left_alone() -> None:
    for picture in (np.ones((1, 60, 60)), np.random.default_rng(0).random((3, 9, 20)), np.ones((1, 1, 1))):
        whole = picture.astype(np.float32)
        assert scene_rectangle(whole) == (slice(0, whole.shape[1]), slice(0, whole.shape[2]))
    little = framed(SCENE[:, : MIN_SCENE_SIDE - 5], (40, 40, 0, 0), (1.0, 1.0, 1.0))
    assert scene_rectangle(little) == (slice(0, little.shape[1]), slice(0, little.shape[2]))
