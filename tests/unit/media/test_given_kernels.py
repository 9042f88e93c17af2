"""Kernels that users give: what is corrected is told, and what is no kernel is refused."""

from __future__ import annotations

import numpy as np
import pytest

from invkit.core.errors import InputError
from invkit.media.kernels import as_kernel


def gaussian(side: int, sigma: float) -> np.ndarray:
    steps = np.arange(side) - side // 2
    values = np.exp(-(steps**2) / (2 * sigma**2))
    return np.asarray(np.outer(values, values) / values.sum() ** 2)


@pytest.mark.parametrize("offset", [100, 1000])
@pytest.mark.parametrize("side", [31, 101])
def test_the_offset_of_a_camera_is_subtracted_and_told(side: int, offset: int) -> None:
    clean = gaussian(side, 2.0)
    noise = 5 * np.random.default_rng(0).standard_normal(clean.shape)
    bead = np.rint(20000 * clean / clean.max() + offset + noise).clip(0).astype(np.uint16)
    with pytest.warns(UserWarning, match="lies on an offset, .* of its sum, as of a camera; it is subtracted"):
        found = as_kernel(bead)
    assert np.abs(found - clean).sum() < 0.1


def test_an_offset_with_which_the_values_sum_to_one_is_told_and_kept() -> None:
    kernel = gaussian(15, 1.5) + 1e-3
    kernel /= kernel.sum()
    with pytest.warns(UserWarning, match="it is kept, because the values sum to one with it"):
        np.testing.assert_allclose(as_kernel(kernel), kernel)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "kernel",
    [
        pytest.param(np.full((7, 7), 1 / 49), id="box"),
        pytest.param(np.full((1, 9), 1 / 9), id="line"),
        pytest.param(gaussian(15, 2.0), id="gaussian"),
        pytest.param(gaussian(15, 4.0), id="gaussian that the frame cuts off"),
        pytest.param(gaussian(15, 8.0), id="wide gaussian"),
        pytest.param(np.eye(13) / 13, id="diagonal"),
        pytest.param(np.array([[0.25, 0, 0.25], [0, 0, 0], [0.25, 0, 0.25]]), id="four points of three by three"),
        pytest.param(np.ones((1, 1)), id="point"),
    ],
)
def test_kernels_without_an_offset_stay_as_they_are(kernel: np.ndarray) -> None:
    np.testing.assert_allclose(as_kernel(kernel), kernel)


@pytest.mark.parametrize("side", [15, 16, 64])
def test_a_kernel_in_the_layout_of_a_fourier_transform_is_refused(side: int) -> None:
    kernel = np.zeros((side, side))
    kernel[side // 2 - 2 : side // 2 + 3, side // 2 - 2 : side // 2 + 3] = gaussian(5, 1.0)
    as_kernel(kernel)
    with pytest.raises(InputError, match=r"sits in the corners of its frame.*give np.fft.fftshift"):
        as_kernel(np.fft.ifftshift(kernel))
