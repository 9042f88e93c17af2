"""The scene of a picture: what is left out, that nothing else changes, and that everything comes back."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from drawn_over import Picture, blurry, curved_kernel, photograph, with_text
from hypothesis import given, settings
from hypothesis import strategies as st

from invkit.pipeline.inputs import read_input_image
from invkit.pipeline.scene import MIN_SIDE, Scene, find_scene

PHOTO = blurry(photograph("coffee"), curved_kernel(15))
POINT = torch.zeros(15, 15)
POINT[7, 7] = 1
SPREAD = torch.full((15, 15), 1 / 225)


def scene_in(picture: Picture, min_size: tuple[int, int] = (1, 1)) -> Scene:
    """The scene of an array (C, H, W)."""
    return find_scene(read_input_image(torch.from_numpy(picture)), min_size)


def framed(picture: Picture, lines: int, level: float = 1.0) -> Picture:
    return np.pad(picture, ((0, 0), (lines, lines), (lines, lines)), constant_values=level)


@pytest.mark.parametrize("name", ["camera", "astronaut", "coffee", "chelsea"])
@pytest.mark.parametrize("is_blurred", [True, False])
def test_a_natural_picture_is_its_own_scene_bit_for_bit(name: str, is_blurred: bool) -> None:
    photo = photograph(name)
    scene = scene_in(blurry(photo, curved_kernel(15)) if is_blurred else photo)
    assert scene.picture is scene.whole
    assert not scene.left_out
    assert scene.facts(is_sharp=False) == {}
    restored = torch.rand(scene.whole.shape)
    assert scene.put_back(restored) is restored


def test_a_frame_is_cut_off_and_put_back() -> None:
    scene = scene_in(framed(PHOTO, 11))
    assert scene.left_out == {"frame": [11, 11, 11, 11]}
    assert torch.equal(scene.picture, torch.from_numpy(PHOTO)[None])
    whole = scene.put_back(torch.zeros_like(scene.picture))
    assert torch.equal(whole, torch.from_numpy(framed(np.zeros_like(PHOTO), 11))[None])


def test_bad_pixels_are_filled_and_stay_filled() -> None:
    broken = PHOTO.copy()
    broken[:, 30, 40] = 1.0
    scene = scene_in(broken)
    assert scene.left_out == {"bad_pixels": 1}
    assert (scene.picture[0] - torch.from_numpy(PHOTO)).abs().max() < 0.1
    assert torch.equal(scene.put_back(scene.picture), scene.picture)


def test_writing_is_left_out_and_kept_in_the_result() -> None:
    stamped = with_text(PHOTO, "'98 07 23", (190, 110), 22, colour=(1.0, 0.95, 0.3))
    scene = scene_in(stamped)
    assert list(scene.left_out) == ["overlay_share"]
    drawn = torch.from_numpy(np.abs(stamped - PHOTO).max(0) > 0.1)
    assert (scene.picture[0] - torch.from_numpy(PHOTO)).abs().amax(0)[drawn].mean() < 0.06
    whole = scene.put_back(torch.full_like(scene.picture, 0.5))
    assert torch.equal(whole[0][:, drawn], torch.from_numpy(stamped)[:, drawn])  # as it was
    assert (whole[0, :, :120] == 0.5).all()  # restored elsewhere


@settings(max_examples=8)
@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1))
def test_the_colour_of_transparent_pixels_does_not_matter(red: float, green: float, blue: float) -> None:
    rows, columns = np.indices(PHOTO.shape[1:])
    opaque = np.asarray((rows - 110) ** 2 + (columns - 120) ** 2 < 90**2)
    colour = np.array([red, green, blue], np.float32)[:, None, None]
    picture = np.concatenate([np.where(opaque, PHOTO, colour), opaque[None]]).astype(np.float32)
    scene, other = scene_in(picture), scene_in(np.concatenate([PHOTO * opaque, opaque[None]]).astype(np.float32))
    assert list(scene.left_out) == ["transparent_share"]
    assert torch.equal(scene.picture, other.picture)
    assert scene.picture.shape[-2:] == (179, 179)  # the rectangle around the circle
    whole = scene.put_back(torch.zeros_like(scene.picture))[0].numpy()
    assert np.array_equal(whole[:, ~opaque], picture[:3, ~opaque])
    assert not whole[:, opaque].any()


def test_an_opaque_or_an_empty_picture_is_whole() -> None:
    for opacity in (np.ones_like(PHOTO[:1]), 0.1 * np.ones_like(PHOTO[:1])):
        scene = scene_in(np.concatenate([PHOTO, opacity]))
        assert scene.picture is scene.whole


def test_several_and_small_pictures_and_too_small_scenes_are_whole() -> None:
    several = read_input_image(torch.from_numpy(np.stack([framed(PHOTO, 9)] * 2)))
    assert not find_scene(several).left_out
    assert not scene_in(framed(PHOTO[:, : MIN_SIDE - 19, :40], 9)).left_out
    strip = np.zeros_like(PHOTO[:1])
    strip[:, 50:78] = 1  # opaque, and too narrow to estimate a kernel from
    assert not scene_in(np.concatenate([PHOTO, strip])).left_out
    assert not scene_in(framed(PHOTO, 9), min_size=(PHOTO.shape[1] + 1, 3)).left_out


@pytest.mark.parametrize("name", ["camera", "astronaut", "coffee"])
def test_only_a_sharp_picture_with_a_point_for_a_kernel_is_sharp(name: str) -> None:
    photo = photograph(name)
    sharp, blurred = (scene_in(picture) for picture in (photo, blurry(photo, np.full((1, 5), 0.2, np.float32))))
    assert sharp.is_sharp(sharp.picture, POINT)
    assert not sharp.is_sharp(sharp.picture, SPREAD)
    assert not blurred.is_sharp(blurred.picture, POINT)
    as_given = Scene(sharp.whole, sharp.whole)
    assert not as_given.is_sharp(sharp.picture, POINT)


def test_the_sentence_names_everything_that_was_left_out() -> None:
    broken = framed(with_text(PHOTO, "'98 07 23", (190, 110), 22, colour=(1.0, 0.95, 0.3)), 10)
    broken[:, 40, 50] = 1.0 - broken[:, 40, 50].round()
    facts = scene_in(broken).facts(is_sharp=True)
    assert list(facts["left_out"]) == ["frame", "bad_pixels", "overlay_share"]
    first, second = facts["notices"]
    for words in ("a frame or bars (10 pixels at the top", "1 bad pixels", "writing or a mark"):
        assert words in first
    assert "sharp already" in second
    assert facts["unchanged"] is True
