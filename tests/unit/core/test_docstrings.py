"""The sections of docstrings: summary, entries of ``Args:``, first sentences."""

from __future__ import annotations

import pytest

from invkit.core.docstrings import args_of, argument_descriptions, summary_of
from invkit.core.messages import first_sentence

DOCSTRING = """A blur.

    It has a width, as in: Gauss, 1809.

    Args:
        shape: (B, 1, h, w).
        sigma: "auto": estimated. Otherwise
            a number: ``sigma`` pixels.

        angle (float): degrees,
        clockwise.

    The other arguments are those of `Blur`.

    Raises:
        ValueError: the width is negative.

    Example:
        >>> angle: int = 1
    """


def test_the_summary_ends_at_the_first_section() -> None:
    assert summary_of(DOCSTRING) == "A blur.\n\nIt has a width, as in: Gauss, 1809."
    assert summary_of("A blur.") == "A blur."


def test_entries_are_single_lines_by_name() -> None:
    assert args_of(DOCSTRING) == {
        "shape": "(B, 1, h, w).",
        "sigma": '"auto": estimated. Otherwise a number: `sigma` pixels.',
        "angle": "degrees, clockwise.",
    }


@pytest.mark.parametrize("docstring", ["", "A blur.", "Args: none.", "A blur.\n\nRaises:\n    ValueError: never."])
def test_a_docstring_without_the_section_has_no_entries(docstring: str) -> None:
    assert args_of(docstring) == {}


def test_the_nearest_class_describes_an_argument() -> None:
    class Base:
        """Base.

        Args:
            width: of the base.
            height: of the base.
        """

    class Middle(Base):
        pass

    class Derived(Middle):
        """Derived.

        Args:
            width: of its own.
        """

    assert argument_descriptions(Derived) == {"width": "of its own.", "height": "of the base."}


@pytest.mark.parametrize(
    ("description", "sentence"),
    [
        ("pixels.", "pixels"),
        ("pixels", "pixels"),
        ("at most 0.5 px. Above, it rings.", "at most 0.5 px"),
        ("as Pan et al. use it.", "as Pan et al. use it"),
        ('"a": one. "b": two.', '"a": one'),
    ],
)
def test_the_first_sentence_ends_before_a_capital_a_number_or_a_quote(description: str, sentence: str) -> None:
    assert first_sentence(description) == sentence
