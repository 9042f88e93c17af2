"""The most informative window for a blur."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from invkit.core.errors import InputError
from invkit.numerics.informative_window import WINDOW_STEP, informative_window, window_sums


def picture(top: int, left: int) -> torch.Tensor:
    """Grey noise of amplitude 0.01 with one bright square of 90x90 pixels."""
    noise = torch.rand(1, 1, 300, 400, generator=torch.Generator().manual_seed(0))
    data = 0.3 + 0.01 * noise
    data[..., top : top + 90, left : left + 90] += 0.4
    return data


@pytest.mark.parametrize(("top", "left"), [(0, 0), (100, 280), (200, 30)])
def test_the_window_contains_the_only_edges(top: int, left: int) -> None:
    rows, columns = informative_window(picture(top, left), 128)
    assert rows.stop - rows.start == columns.stop - columns.start == 128
    held = min(rows.stop, top + 90) - max(rows.start, top), min(columns.stop, left + 90) - max(columns.start, left)
    assert min(held) > 90 - 16  # places are compared in steps of 16 pixels


def test_window_sums_equal_direct_sums() -> None:
    values = np.random.default_rng(0).random((70, 53), dtype=np.float32)
    sums = window_sums(values, (20, 30))
    assert sums.shape == (4, 2)  # windows start at rows 0, 16, 32, 48 and columns 0, 16
    direct = [
        [values[row:, column:][:20, :30].sum() for column in (0, WINDOW_STEP)]
        for row in range(0, 4 * WINDOW_STEP, WINDOW_STEP)
    ]
    assert np.allclose(sums, direct, rtol=1e-5)  # of 600 numbers in float32


def test_saturated_highlights_and_fine_texture_do_not_count() -> None:
    data = picture(20, 20)
    data[..., 180:260, 300:380] = 1.0  # steeper, but saturated
    data[..., 180:260, 150:230] += 0.5 * (torch.arange(80) % 2)  # stripes of one pixel
    rows, columns = informative_window(data, 128)
    assert max(rows.start, columns.start) <= 20


@pytest.mark.parametrize("side", [300, 1000])
def test_a_side_longer_than_the_image_is_cut(side: int) -> None:
    rows, columns = informative_window(picture(0, 0), side)
    assert rows == slice(0, 300)
    assert columns.stop - columns.start == min(side, 400)


def test_a_side_of_zero_is_refused() -> None:
    with pytest.raises(InputError, match="at least 1 pixel, got 0"):
        informative_window(picture(0, 0), 0)
