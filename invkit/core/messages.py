"""Validation errors of pydantic as sentences that name the place in the recipe, or the argument of a constructor."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from itertools import islice
from typing import Any, TypeAlias

from pydantic import BaseModel, ValidationError

__all__ = [
    "Place",
    "describe_errors",
    "describe_problems",
    "first_sentence",
    "near_names",
    "nearest_name",
    "shortened",
    "toml_inline",
]

Place = tuple[int | str, ...]
Descriptions: TypeAlias = Mapping[str, str | None]
"""The known names at a place, each with its description."""

EXPECTED_BY_TYPE = {
    "bool_type": "true or false",
    "dict_type": "a table",
    "finite_number": "a finite number",
    "float_type": "a number",
    "int_type": "an integer",
    "list_type": "a list",
    "mapping_type": "a table",
    "missing": "a longer list",
    "model_type": "a table",
    "string_type": "a text in quotes",
    "too_long": "a shorter list",
    "too_short": "a longer list",
    "tuple_type": "a list",
}
"""What the place expects, by pydantic's type of error, where pydantic's own message speaks of Python or JSON."""

CLEARER_WITH_DESCRIPTION = {"missing", "model_type"}  # types of error that the place's description explains
FULL_STOP = re.compile(r"\.(?=$| [A-Z0-9\"'`])")
EMPTY: tuple[Any, ...] = (None, {}, [])
LONGEST_NAME = 100  # characters
SHOWN_CHARACTERS = 80  # of a value in an error
MAX_PROBLEMS = 5  # that one error names


def describe_errors(
    error: ValidationError, document: Mapping[str, Any], model_at: Callable[[Place], type[BaseModel]], prefix: str = ""
) -> str:
    """One sentence per problem: the place, what was expected and given; for an unknown name the nearest known one.

    Args:
        error: from a recipe, or from the parameters of one component.
        document: the data that failed to validate.
        model_at: gives the model whose fields include the last part of a place.
        prefix: the place of the document in the recipe.
    """

    def known_at(place: Place) -> Descriptions:
        return {name: field.description for name, field in model_at(place).model_fields.items()}

    return describe_problems(error.errors(), document, known_at, prefix)


def describe_problems(
    problems: Sequence[Any],
    document: Mapping[str, Any],
    known_at: Callable[[Place], Descriptions],
    prefix: str = "",
) -> str:
    """As `describe_errors`.

    Args:
        problems: pydantic's errors.
        document: the data that failed to validate.
        known_at: gives the known names beside the last part of a place.
        prefix: the place of the document in the recipe.
    """
    by_place: dict[Place, list[Any]] = {}
    for problem in problems:
        by_place.setdefault(place_of(problem, document), []).append(problem)
    shown = islice(by_place.items(), MAX_PROBLEMS)
    sentences = [shortened(sentence_for(place, several, document, known_at, prefix), 500) for place, several in shown]
    more = [f"and {len(by_place) - MAX_PROBLEMS} more"] if len(by_place) > MAX_PROBLEMS else []
    return "; ".join([*sentences, *more])


def place_of(problem: Any, document: Mapping[str, Any]) -> Place:
    """A problem's place in the document, without the names that pydantic gives to branches of a union."""
    node: Any = document
    place: Place = problem["loc"]
    for depth, part in enumerate(place):
        if not has_part(node, part):
            missing = problem["type"] == "missing" and depth == len(place) - 1
            return place if missing else place[:depth]
        node = node[part]
    return place


def has_part(node: object, part: int | str) -> bool:
    """Whether a table or a list has this key or position."""
    if isinstance(node, Mapping):
        return part in node
    return isinstance(node, list | tuple) and isinstance(part, int) and part < len(node)


def sentence_for(
    place: Place,
    problems: Sequence[Any],
    document: Mapping[str, Any],
    known_at: Callable[[Place], Descriptions],
    prefix: str,
) -> str:
    """The sentence about one place; a union gives one problem per branch.

    Args:
        place: in the document.
        problems: pydantic's errors there.
        document: the data that failed to validate.
        known_at: gives the known names beside the last part of a place.
        prefix: the place of the document in the recipe.
    """
    parts = [part for part in (prefix, *map(str, place)) if part]
    where = ".".join([*(part for part in parts[:-1] if part != "params"), *parts[-1:]])
    kind = problems[0]["type"]
    known = known_at(place)
    description = known.get(str(place[-1])) if place else None
    meaning = f" ({first_sentence(description)})" if description else ""
    if kind == "extra_forbidden":
        return f"{where} is not known; {nearest_name(str(place[-1]), known)}"
    if kind == "missing":
        return f"{where} is missing{meaning}"
    value: Any = document
    for part in place:
        value = value[part]
    wanted = " or ".join(dict.fromkeys(map(expectation, problems))).replace(" or should be ", " or ")
    meaning = meaning if len(problems) > 1 or kind in CLEARER_WITH_DESCRIPTION else ""
    return f"{where}: {wanted}, got {value!r:.{SHOWN_CHARACTERS}}{meaning}"


def expectation(problem: Any) -> str:
    """What a wrong value should have been."""
    message = str(problem["msg"]).removeprefix("Input ").removeprefix("Value error, ")
    wanted = EXPECTED_BY_TYPE.get(problem["type"])
    return f"should be {wanted}" if wanted else message[0].lower() + message[1:]


def nearest_name(name: str, known: Collection[str]) -> str:
    """A hint with the nearest known name, or with all of them.

    Example:
        >>> nearest_name("iteratons", ["iterations", "seed"])
        "did you mean 'iterations'?"
    """
    near = near_names(name, known, n=1)
    return f"did you mean '{near[0]}'?" if near else f"known here: {', '.join(known) or 'nothing'}"


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


def first_sentence(description: str) -> str:
    """The first sentence of a description, without its full stop.

    Example:
        >>> first_sentence("iterations, as in Pan et al. of 2014. More give sharper images.")
        'iterations, as in Pan et al. of 2014'
    """
    return FULL_STOP.split(description, maxsplit=1)[0]


def toml_inline(value: Any) -> str:
    """A value as TOML on one line, without the keys that hold nothing; texts are in single quotes, for a shell.

    Example:
        >>> toml_inline({"name": "tv", "weight": 1e-4, "params": {}})
        "{name = 'tv', weight = 0.0001}"
    """
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{key} = {toml_inline(one)}' for key, one in value.items() if one not in EMPTY)}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(toml_inline, value))}]"
    return str(value).lower() if isinstance(value, bool) else repr(value)
