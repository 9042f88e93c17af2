"""Masks of measured pixels: every program's way to save one gives the same mask, and what is no mask is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from invkit.core.errors import InputError
from invkit.media.masks import as_measured_pixels, check_not_inverted, read_measured_pixels
from invkit.pipeline.inputs import Inputs
from invkit.pipeline.job import prepare


def lines(side: int = 64) -> NDArray[np.bool_]:
    """Measured everywhere but on some thick lines."""
    mask = np.ones((side, side), dtype=bool)
    mask[10:14], mask[:, 40:44] = False, False
    return mask


def grey(mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    return np.asarray(255 * mask, np.uint8)


def on_transparent(mask: NDArray[np.bool_]) -> Image.Image:
    white = np.full((*mask.shape, 3), 255, np.uint8)
    return Image.fromarray(np.dstack([white, grey(mask)]))


PICTURES: dict[str, Any] = {
    "grey.png": lambda mask: Image.fromarray(grey(mask)),
    "colours.png": lambda mask: Image.fromarray(np.stack([grey(mask)] * 3, -1)),
    "strong.jpg": lambda mask: Image.fromarray(grey(mask)),
    "bits.png": lambda mask: Image.fromarray(grey(mask)).convert("1"),
    "ones.png": lambda mask: Image.fromarray(mask.astype(np.uint8)),
    "palette.png": lambda mask: Image.fromarray(grey(mask)).convert("P"),
    "transparent.png": on_transparent,
    "deep.tif": lambda mask: Image.fromarray(65535 * mask.astype(np.uint16)),
}


@pytest.mark.parametrize("name", PICTURES)
def test_every_picture_of_a_mask_gives_it(name: str, tmp_path: Path) -> None:
    PICTURES[name](lines()).save(tmp_path / name, **({"quality": 75} if name.endswith("jpg") else {}))
    np.testing.assert_array_equal(read_measured_pixels(tmp_path / name), lines())


@pytest.mark.parametrize("dtype", [np.bool_, np.uint8, np.uint16, np.int32, np.float32])
@pytest.mark.parametrize("scale", [1, 255])
def test_the_scale_of_an_array_has_no_meaning(dtype: Any, scale: int) -> None:
    np.testing.assert_array_equal(as_measured_pixels((lines() * scale).astype(dtype)), lines())


def test_grey_pixels_are_told_and_a_photograph_is_refused() -> None:
    few = lines().astype(np.float32)
    few[0, :3] = 0.6
    with pytest.warns(UserWarning, match="is grey; a pixel counts as the nearer"):
        found = as_measured_pixels(few)
    assert found[0, :3].all()
    with pytest.raises(InputError, match="of the mask is neither black nor white"):
        as_measured_pixels(np.random.default_rng(0).uniform(size=(20, 20)))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.zeros((4, 4)), "zero everywhere, so that no pixel was measured"),
        (np.full((4, 4), np.nan), "holds NaN"),
        (np.ones((4, 4, 2)), r"must be a mask \(H, W\)"),
        (np.ones((4, 4), complex), r"must be a mask \(H, W\) of real numbers"),
    ],
)
def test_what_is_no_mask_is_refused(values: NDArray[Any], expected: str) -> None:
    with pytest.raises(InputError, match=expected):
        as_measured_pixels(values)


def test_a_mask_that_leaves_nothing_to_fill_is_told() -> None:
    with pytest.warns(UserWarning, match="every pixel was measured, so that there is nothing to fill"):
        as_measured_pixels(np.ones((4, 4)))


def picture(mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    values = np.random.default_rng(0).uniform(0.2, 0.8, mask.shape)
    return np.asarray(np.where(mask, values, 0), np.float32)


def test_an_inverted_mask_is_refused() -> None:
    check_not_inverted(picture(lines())[None], lines())
    with pytest.raises(InputError, match="seems to be inverted"):
        check_not_inverted(picture(lines())[None], ~lines())
    with pytest.raises(InputError, match="seems to be inverted"):
        prepare(picture(lines()), recipe="inpaint-tv", kernel=~lines())


def test_an_operator_that_mixes_layers_keeps_the_greys_of_its_mask() -> None:
    from invkit.operators.pixelwise import Mixture

    soft = np.linspace(0, 1, 64 * 64, dtype=np.float32).reshape(64, 64)
    inputs = Inputs.read(picture(lines()), soft, None, Mixture)
    assert inputs.parameter is not None
    np.testing.assert_allclose(inputs.parameter[0, 0].numpy(), soft)
