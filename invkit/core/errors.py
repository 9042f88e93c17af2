"""Errors that a user can cause and correct; each message says what was wrong, what was given and what to do."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = [
    "AssemblyError",
    "DataWeightsError",
    "DivergedError",
    "FidelityWeightsError",
    "InputError",
    "InvkitError",
    "NotApplicableError",
    "OutOfMemoryError",
    "PluginError",
    "RecipeError",
    "UnknownNameError",
    "first_line",
    "is_out_of_memory",
    "name_missing_components_at",
    "one_line",
    "reported_as",
    "scaling_advice",
]

OBJECT_ADDRESS = r"\s*<[\w.]+ object at 0x[0-9a-fA-F]+>"
SLIGHTLY_ABOVE_WHITE = 1.5  # values up to this exceed white by noise or by the overshoot of a filter
SENSOR_BITS = (8, 12, 16)
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


class DataWeightsError(AssemblyError):
    """A problem whose data have weights, for a solver or a fidelity that would not use them."""


class FidelityWeightsError(DataWeightsError):
    """The fidelity is the one that would not."""


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


@contextmanager
def name_missing_components_at(place: str) -> Iterator[None]:
    """Prefix the place to the error of a component that cannot be loaded."""
    try:
        yield
    except (UnknownNameError, PluginError) as error:
        raise type(error)(f"{place}: {error}") from error


@contextmanager
def reported_as(kind: type[InvkitError], what: str, remedy: str = "") -> Iterator[None]:
    """Report any failure of code that is not invkit's: a plugin or a library may raise whatever it likes.

    invkit's own errors and a lack of memory stay as they are.

    Args:
        kind: of the error to raise.
        what: has failed; the type and the first line of the failure follow.
        remedy: what to do.

    Example:
        >>> with reported_as(PluginError, "the metric 'mine' failed", "reinstall it"):
        ...     [][0]
        Traceback (most recent call last):
        invkit.core.errors.PluginError: the metric 'mine' failed: IndexError: list index out of range; reinstall it
    """
    try:
        yield
    except (InvkitError, MemoryError):
        raise
    except (Exception, SystemExit) as error:
        if is_out_of_memory(error):
            raise
        raise kind(f"{what}: {one_line(error)}" + (f"; {remedy}" if remedy else "")) from error


def one_line(error: BaseException) -> str:
    """The type and the first line of an error.

    Example:
        >>> one_line(ValueError("too small"))
        'ValueError: too small'
    """
    return f"{type(error).__name__}: {first_line(error)}"


def first_line(error: BaseException) -> str:
    """The first line of an error's message, without addresses of objects, which tell a user nothing.

    Example:
        >>> first_line(OSError("cannot identify image file <_io.BytesIO object at 0x7f4676f5dc60>"))
        'cannot identify image file'
    """
    return re.sub(OBJECT_ADDRESS, "", str(error)).strip().partition("\n")[0]


def scaling_advice(low: float, high: float, are_whole: bool) -> str:
    """How to bring values that run from ``low`` to ``high`` into [0, 1].

    A value of white is named only if it is likely: the values are whole, and the highest is in the upper half of the
    range of 8, 12 or 16 bits.

    Args:
        low: the lowest value.
        high: the highest value.
        are_whole: whether all values are whole numbers.

    Example:
        >>> scaling_advice(0, 255, are_whole=True)
        'divide it by 255'
        >>> scaling_advice(0, 7, are_whole=False)
        'divide it by the value of white, which is not below 7'
    """
    if low < -NEGLIGIBLE:
        return f"subtract {low:.4g} and divide by {high - low:.4g}, or clip the values below black"
    if high < SLIGHTLY_ABOVE_WHITE:
        return f"divide it by {high:.4g}, or clip the values above white"
    bits = next((bits for bits in SENSOR_BITS if 2 ** (bits - 1) <= high <= 2**bits - 1), None)
    if bits and are_whole:
        return f"divide it by {2**bits - 1}"
    example = f" ({2**bits - 1} if it comes from {bits} bits)" if bits else ""
    return f"divide it by the value of white, which is not below {high:.4g}{example}"
