"""Durations in words."""

from __future__ import annotations

__all__ = ["duration_text"]


def duration_text(seconds: float) -> str:
    """A duration as a person says it: two units below ten of the larger one, one unit above.

    Args:
        seconds: not negative.

    Example:
        >>> [duration_text(seconds) for seconds in (8, 125, 1234, 3840, 36000)]
        ['8 s', '2 min 5 s', '21 min', '1 h 4 min', '10 h']
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 600:
        return two_units(whole, "min", "s")
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    return two_units(minutes, "h", "min") if minutes < 600 else f"{round(seconds / 3600)} h"


def two_units(count: int, large: str, small: str) -> str:
    """A number of small units in large ones, of which each holds 60; a rest of zero is left out."""
    whole, rest = divmod(count, 60)
    return f"{whole} {large} {rest} {small}" if rest else f"{whole} {large}"
