"""Errors that a user can cause and correct; each message says what was wrong, what was given and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = [
    "AssemblyError",
    "DivergedError",
    "InputError",
    "InvkitError",
    "NotApplicableError",
    "OutOfMemoryError",
    "PluginError",
    "RecipeError",
    "UnknownNameError",
    "is_out_of_memory",
    "near_names",
    "one_line",
    "scaling_advice",
    "shortened",
]

LONGEST_NAME = 100  # characters
NEGLIGIBLE = 1e-6  # below zero: the rounding of a colour conversion in float32


class InvkitError(Exception):
    """Base of all errors that the caller can correct; the command line shows one sentence and exits with code 2."""


class InputError(InvkitError, ValueError):
    """A file, image, kernel or option that cannot be used."""


class RecipeError(InvkitError, ValueError):
    """A recipe whose text or parameters are not valid; names the place, as ``kernel_prior.hidden``."""


class UnknownNameError(InvkitError, LookupError):
    """A name under which no component is registered."""


class AssemblyError(InvkitError, TypeError):
    """Components that do not fit together: wrong family, wrong shape, or an ability the solver needs is missing."""


class PluginError(InvkitError, ImportError):
    """A registered component that cannot be loaded or used."""


class OutOfMemoryError(InvkitError, MemoryError):
    """The problem does not fit in memory; the message says what makes it smaller."""


class DivergedError(InvkitError, ArithmeticError):
    """A solve whose loss is no longer a finite number."""


class NotApplicableError(InvkitError, ValueError):
    """Data without what a method needs, as light streaks; among several candidates such a method is skipped."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that there was not enough memory; torch has several ways to say so."""
    words = ("out of memory", "allocate")
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and any(word in str(error).lower() for word in words)
    )


def one_line(error: BaseException) -> str:
    """The type and the first line of an error.

    Example:
        >>> one_line(ValueError("too small"))
        'ValueError: too small'
    """
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"


def near_names(name: str, known: Iterable[str], n: int = 3, cutoff: float = 0.6) -> list[str]:
    """The known names that are most like another one; a name as long as a text is like none.

    Args:
        name: that was given.
        known: the names to choose from.
        n: how many at most.
        cutoff: the least likeness, from 0 to 1.

    >>> near_names("inpaintig", ["inpainting", "identity"])
    ['inpainting']
    """
    return difflib.get_close_matches(name[:LONGEST_NAME], list(known), n, cutoff)


def shortened(text: str, most: int = 40) -> str:
    """The first characters of a text, for an error of one line.

    >>> shortened("a long text", 6)
    'a long...'
    """
    return text if len(text) <= most else f"{text[:most]}..."


def scaling_advice(low: float, high: float) -> str:
    """How to bring values that run from ``low`` to ``high`` into [0, 1].

    >>> scaling_advice(0, 255)
    'divide it by 255'
    """
    if low < -NEGLIGIBLE:
        return f"subtract {low:.4g} and divide by {high - low:.4g}, or clip the values below black"
    white = next((white for white in (255, 4095, 65535) if 1.5 < high <= white), None)
    return f"divide it by {white}" if white else f"divide it by {high:.4g}, or clip the values above white"
