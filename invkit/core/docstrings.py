"""Google-style docstrings: the summary of a class, and the descriptions of its constructor's arguments."""

from __future__ import annotations

import inspect
import re

__all__ = ["args_of", "argument_descriptions", "summary_of"]

SECTION = re.compile(r"^[A-Z][a-z]+:\n(?= )", re.MULTILINE)
ARGS = re.compile(r"^Args:\n((?: .*\n|\n)*)", re.MULTILINE)
ENTRY = re.compile(r"^ {4}(\w+)(?: \(.*?\))?:\s", re.MULTILINE)  # "name: text" or "name (type): text"


def summary_of(docstring: str) -> str:
    r"""The text before the first section.

    Example:
        >>> summary_of("A blur.\n\nArgs:\n    sigma: its width, pixels.")
        'A blur.'
    """
    return SECTION.split(inspect.cleandoc(docstring), maxsplit=1)[0].strip()


def args_of(docstring: str) -> dict[str, str]:
    r"""The entries of the section ``Args:`` by name, each on one line and with the quotes of Markdown.

    Names stand four spaces deeper than the title of the section. An entry ends at the next name.

    Example:
        >>> args_of("A blur.\n\nArgs:\n    sigma: its width,\n        pixels.\n    angle: degrees.")
        {'sigma': 'its width, pixels.', 'angle': 'degrees.'}
    """
    section = ARGS.search(inspect.cleandoc(docstring) + "\n")
    parts = ENTRY.split(section[1]) if section else []
    return {
        name: " ".join(text.split()).replace("``", "`") for name, text in zip(parts[1::2], parts[2::2], strict=True)
    }


def argument_descriptions(component: type) -> dict[str, str]:
    """The entries of a class's ``Args:`` section, and those of its base classes that it does not replace."""
    found: dict[str, str] = {}
    for base in reversed(component.__mro__):
        found |= args_of(vars(base).get("__doc__") or "")
    return found
