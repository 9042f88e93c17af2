"""Smooth filling: harmonic inside, unchanged outside, exact for what is harmonic."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from invkit.numerics.inpainting import filled_smoothly


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 1000))
def test_known_pixels_are_kept_and_unknown_ones_lie_between_them(height: int, width: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    picture = random.random((2, height, width), dtype=np.float32)
    unknown = random.random((height, width)) < 0.6
    filled = filled_smoothly(np.where(unknown, 7, picture).astype(np.float32), unknown)
    assert np.array_equal(filled[:, ~unknown], picture[:, ~unknown])
    if not unknown.all():
        known = picture[:, ~unknown]
        low, high = known.min(1)[:, None], known.max(1)[:, None]
        inside = filled[:, unknown]
        assert ((inside > low - 0.05) & (inside < high + 0.05)).all()  # over-relaxation may pass the mean a little


@pytest.mark.parametrize("side", [6, 20, 60])
def test_a_plane_is_continued_exactly(side: int) -> None:
    rows, columns = np.indices((100, 120), dtype=np.float32)
    picture = (0.3 + 0.002 * rows + 0.003 * columns)[None]
    hole = np.zeros((100, 120), dtype=bool)
    hole[20 : 20 + side, 30 : 30 + side] = True
    assert np.abs(filled_smoothly(np.where(hole, 0, picture), hole) - picture).max() < 5e-3


def test_the_fill_is_harmonic() -> None:
    picture = np.random.default_rng(0).random((1, 50, 50), dtype=np.float32)
    hole = np.zeros((50, 50), dtype=bool)
    hole[15:30, 20:40] = True
    filled = filled_smoothly(picture, hole)[0]
    mean = (np.roll(filled, 1, 0) + np.roll(filled, -1, 0) + np.roll(filled, 1, 1) + np.roll(filled, -1, 1)) / 4
    assert np.abs(filled - mean)[hole].max() < 2e-3  # the sweeps have converged


def test_nothing_unknown_and_nothing_known_leave_the_picture() -> None:
    picture = np.random.default_rng(0).random((1, 9, 9), dtype=np.float32)
    for unknown in (np.zeros((9, 9), dtype=bool), np.ones((9, 9), dtype=bool)):
        assert filled_smoothly(picture, unknown) is picture
