"""What pydantic found wrong, in sentences that name the place in a recipe and none of pydantic's own words."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from pydantic import BaseModel, ValidationError

from ..core.errors import PluginError, UnknownNameError

__all__ = ["Place", "explain", "hint", "placed"]

Place = tuple[int | str, ...]

WANTED = {
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
"""What should stand there, by pydantic's type of error, where its own message speaks of Python or JSON."""

TELLING = {"missing", "model_type"}  # errors that the description of the place makes clear
SHOWN = 80  # characters of a value in an error


def explain(
    error: ValidationError, document: Mapping[str, Any], model_at: Callable[[Place], type[BaseModel]], prefix: str = ""
) -> str:
    """One sentence a problem: the place, what was given, what is right; the nearest name for an unknown one.

    Args:
        error: of a recipe, or of the parameters of one component.
        document: what was validated.
        model_at: the model that knows the last name of a place.
        prefix: the place of the document in the recipe.
    """
    problems: dict[Place, list[Any]] = {}
    for problem in error.errors():
        problems.setdefault(place_of(problem, document), []).append(problem)
    return "; ".join(sentence(place, several, document, model_at, prefix) for place, several in problems.items())


def place_of(problem: Any, document: Mapping[str, Any]) -> Place:
    """A problem's place in the document; names of pydantic's own, of the branches of a union, are left out."""
    node: Any = document
    place: Place = problem["loc"]
    for depth, part in enumerate(place):
        if not within(node, part):
            missing = problem["type"] == "missing" and depth == len(place) - 1
            return place if missing else place[:depth]
        node = node[part]
    return place


def within(node: object, part: int | str) -> bool:
    """Whether a table or a list has that part."""
    if isinstance(node, Mapping):
        return part in node
    return isinstance(node, list | tuple) and isinstance(part, int) and part < len(node)


def sentence(
    place: Place,
    problems: Sequence[Any],
    document: Mapping[str, Any],
    model_at: Callable[[Place], type[BaseModel]],
    prefix: str,
) -> str:
    """What is wrong at one place: one problem, or one for each branch of a union."""
    where = ".".join(part for part in (prefix, *map(str, place)) if part)
    kind = problems[0]["type"]
    fields = model_at(place).model_fields
    field = fields.get(str(place[-1])) if place else None
    meaning = f" ({field.description})" if field and field.description else ""
    if kind == "extra_forbidden":
        return f"{where} is not known; {hint(str(place[-1]), fields)}"
    if kind == "missing":
        return f"{where} is missing{meaning}"
    value: Any = document
    for part in place:
        value = value[part]
    wanted = " or ".join(dict.fromkeys(wish(problem) for problem in problems)).replace(" or should be ", " or ")
    meaning = meaning if len(problems) > 1 or kind in TELLING else ""
    return f"{where}: {wanted}, got {value!r:.{SHOWN}}{meaning}"


def wish(problem: Any) -> str:
    """What should stand in the place of a wrong value."""
    message = str(problem["msg"]).removeprefix("Input ").removeprefix("Value error, ")
    wanted = WANTED.get(problem["type"])
    return f"should be {wanted}" if wanted else message[0].lower() + message[1:]


@contextmanager
def placed(place: str) -> Iterator[None]:
    """Say of a component that cannot be had where the recipe asks for it."""
    try:
        yield
    except (UnknownNameError, PluginError) as error:
        raise type(error)(f"{place}: {error}") from error


def hint(name: str, known: Collection[str]) -> str:
    """The nearest of the known names, or all of them."""
    near = difflib.get_close_matches(name, known, n=1)
    return f"did you mean '{near[0]}'?" if near else f"known here: {', '.join(known) or 'none'}"
