"""Writing over a blurred photograph is found and removed; the photograph itself, sharp or blurred, is not."""

from __future__ import annotations

import numpy as np
import pytest
from drawn_over import Picture, blurry, box_kernel, curved_kernel, photograph, with_text

from invkit.numerics.overlays import Colour, overlay_of

KERNELS = {"box": box_kernel(7), "curve": curved_kernel(21), "line": np.full((1, 11), 1 / 11, dtype=np.float32)}


def remaining(picture: Picture, scene: Picture) -> float:
    """The share of the energy of what was drawn that is left."""
    drawn = np.abs(picture - scene) > 0.05
    error = np.square(picture - overlay_of(picture) - scene)[drawn].sum()
    return float(error / np.square(picture - scene)[drawn].sum())


@pytest.mark.parametrize("name", ["astronaut", "coffee", "camera"])
@pytest.mark.parametrize("kernel", KERNELS)
def test_a_date_stamp_is_removed_from_a_blurred_photograph(name: str, kernel: str) -> None:
    scene = blurry(photograph(name), KERNELS[kernel])
    stamped = with_text(scene, "'98 07 23", (scene.shape[1] - 34, scene.shape[2] - 130), 22, colour=(1.0, 0.95, 0.3))
    assert remaining(stamped, scene) < 0.15


@pytest.mark.parametrize("opacity", [0.35, 0.6])
def test_a_watermark_is_removed_and_the_scene_below_it_kept(opacity: float) -> None:
    scene = blurry(photograph("coffee", 300, 340, 40, 100), KERNELS["curve"])
    marked = with_text(scene, "SAMPLE", (120, 60), 48, opacity, (1.0, 1.0, 1.0))
    assert remaining(marked, scene) < 0.15


def test_what_an_overlay_adds_is_zero_far_from_it() -> None:
    scene = blurry(photograph("coffee"), KERNELS["curve"])
    added = overlay_of(with_text(scene, "'98 07 23", (190, 110), 22, colour=(1.0, 0.95, 0.3)))
    assert np.abs(added[:, 180:]).max() > 0.3
    assert not added[:, :130].any()


@pytest.mark.parametrize("name", ["camera", "astronaut", "coffee", "chelsea", "rocket", "coins", "page", "grass"])
@pytest.mark.parametrize("kernel", [None, box_kernel(3), *KERNELS.values()])
def test_photographs_have_no_overlays(name: str, kernel: Picture | None) -> None:
    photo = photograph(name)
    assert not overlay_of(photo if kernel is None else blurry(photo, kernel)).any()


def test_lights_that_draw_the_kernel_are_no_overlays() -> None:
    night = 0.3 * photograph("astronaut")
    for row, column in np.random.default_rng(0).integers(30, 200, (6, 2)):
        night[:, row : row + 2, column : column + 2] = 40.0
    assert not overlay_of(blurry(night, KERNELS["curve"])).any()


def test_a_sharp_face_before_a_blurred_background_is_no_overlay() -> None:
    photo = photograph("astronaut", 300, 340, 0, 60)
    scene = blurry(photo, box_kernel(9))
    scene[:, 60:160, 100:180] = photo[:, 64:164, 104:184]
    assert not overlay_of(scene).any()


def test_a_colour_explains_what_it_was_mixed_with() -> None:
    outside = np.linspace(0.1, 0.9, 9, dtype=np.float32)
    colour = Colour(0.4, 1.0)
    assert colour.explains(outside, 0.6 * outside + 0.4).all()
    assert colour.explains(0.6 * outside + 0.4, outside).all()
    assert not colour.explains(outside[:3], np.asarray(outside[2::-1] / 2, dtype=np.float32)).any()  # two dark sides


@pytest.mark.parametrize("shape", [(1, 17, 17), (3, 9, 40), (1, 8, 8)])
def test_small_pictures_have_none(shape: tuple[int, int, int]) -> None:
    assert not overlay_of(np.random.default_rng(0).random(shape, dtype=np.float32)).any()
