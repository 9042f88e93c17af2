"""BT.601 in full range: known values, and an exact inverse."""

from __future__ import annotations

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from invkit.media.colour import from_luma_chroma, to_luma_chroma

PRIMARIES: dict[str, tuple[list[float], float, list[float]]] = {
    "black": ([0, 0, 0], 0, [0, 0]),
    "white": ([1, 1, 1], 1, [0, 0]),
    "grey": ([0.3, 0.3, 0.3], 0.3, [0, 0]),
    "red": ([1, 0, 0], 0.299, [-0.299 / 1.772, 0.5]),
    "green": ([0, 1, 0], 0.587, [-0.587 / 1.772, -0.587 / 1.402]),
    "blue": ([0, 0, 1], 0.114, [0.5, -0.114 / 1.402]),
}


@pytest.mark.parametrize("name", PRIMARIES)
def test_known_colours(name: str) -> None:
    rgb, luma, chroma = PRIMARIES[name]
    y, c = to_luma_chroma(np.array(rgb, np.float64).reshape(1, 1, 3))
    np.testing.assert_allclose(y.ravel(), luma, atol=1e-15)
    np.testing.assert_allclose(c.ravel(), chroma, atol=1e-15)


@settings(deadline=None, max_examples=50)
@given(hnp.arrays(np.float32, (2, 3, 4, 5), elements=st.floats(0, 1, width=32)))
def test_the_inverse_is_exact_and_arrays_agree_with_tensors(rgb: np.ndarray) -> None:
    tensor = torch.from_numpy(rgb)
    luma, chroma = to_luma_chroma(tensor)
    assert luma.shape == (2, 1, 4, 5)
    assert chroma.shape == (2, 2, 4, 5)
    np.testing.assert_allclose(from_luma_chroma(luma, chroma), rgb, atol=1e-6)
    array_luma, array_chroma = to_luma_chroma(np.moveaxis(rgb, 1, -1))
    assert array_luma.dtype == np.float32
    np.testing.assert_allclose(np.moveaxis(array_luma, -1, 1), luma, atol=1e-7)  # one rounding in float32
    np.testing.assert_allclose(np.moveaxis(from_luma_chroma(array_luma, array_chroma), -1, 1), rgb, atol=1e-6)


def test_it_is_the_conversion_of_jpeg() -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    luma, chroma = to_luma_chroma(rgb / 255)
    ours = np.concatenate([luma * 255, chroma * 255 + 128], -1)
    theirs = np.asarray(Image.fromarray(rgb).convert("YCbCr"), np.float64)
    assert np.abs(ours - theirs).max() <= 1  # Pillow rounds to integers, through a table


def test_changed_luma_moves_all_three_channels_alike() -> None:
    rgb = torch.rand(1, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    luma, chroma = to_luma_chroma(rgb)
    np.testing.assert_allclose(from_luma_chroma(luma + 0.1, chroma), rgb + 0.1, atol=1e-6)


def test_gradients_pass_through() -> None:
    rgb = torch.rand(1, 3, 2, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: from_luma_chroma(*to_luma_chroma(x)), (rgb,))


def test_grey_is_refused() -> None:
    with pytest.raises(ValueError, match="three channels"):
        to_luma_chroma(torch.zeros(1, 1, 4, 4))
