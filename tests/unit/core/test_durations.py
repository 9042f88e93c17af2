"""Durations in words."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from invkit.core.durations import duration_text

UNITS = {"s": 1, "min": 60, "h": 3600}


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        *((0.4, "0 s"), (59.4, "59 s"), (59.6, "1 min"), (125, "2 min 5 s"), (599.4, "9 min 59 s"), (599.6, "10 min")),
        *((3569, "59 min"), (3571, "1 h"), (3840, "1 h 4 min"), (35969, "9 h 59 min"), (35971, "10 h"), (1e6, "278 h")),
    ],
)
def test_a_duration_has_one_or_two_units(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text


@given(st.floats(0, 1e8))
def test_it_is_right_to_five_percent_or_half_a_second(seconds: float) -> None:
    parts = re.findall(r"(\d+) (s|min|h)", duration_text(seconds))
    assert abs(sum(int(count) * UNITS[unit] for count, unit in parts) - seconds) <= max(0.5, 0.05 * seconds)
