"""Settings of some recipes of a suite, and grids: every combination of values becomes a recipe of its own."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from typing import Annotated, Any, TypeAlias

from pydantic import AfterValidator, Field

from ..core.errors import InputError
from ..core.files import parse_value
from ..core.messages import nearest_name, toml_inline

__all__ = ["MAX_LABEL", "Grid", "check_not_set", "combinations", "read_axis", "settings_of"]

MAX_COMBINATIONS = 500  # each becomes a recipe, and its jobs take hours
MAX_LABEL = 60  # characters of the label of an item of a suite
MAX_VALUE = 16  # characters of a value in a label; combinations whose labels would be equal are numbered


def distinct(values: list[Any]) -> list[Any]:
    """The values of a setting; raises `ValueError` if two are equal."""
    if any(one in values[:place] for place, one in enumerate(values)):
        raise ValueError("should hold each value once")
    return values


Grid: TypeAlias = dict[str, Annotated[list[Any], Field(min_length=1), AfterValidator(distinct)]]
"""Values by the place of a setting, as ``{"solver.iterations": [100, 200]}``."""


def combinations(label: str, grid: Mapping[str, Sequence[Any]]) -> list[tuple[str, list[str]]]:
    """The label and the settings of each combination of a grid's values; the last setting changes first.

    Args:
        label: of the recipe.
        grid: values by place; empty for the recipe alone.

    Raises:
        InputError: there are too many combinations.

    Example:
        >>> combinations("pan-l0", {"solver.iterations": [5, 10]})
        [('pan-l0.iterations-5', ['solver.iterations=5']), ('pan-l0.iterations-10', ['solver.iterations=10'])]
    """
    number = 1
    for values in grid.values():
        number *= len(values)
    if number > MAX_COMBINATIONS:
        raise InputError(f"recipes.{label}.grid: {number} combinations are too many; give at most {MAX_COMBINATIONS}")
    found = [
        (
            ".".join([label, *(part_of_label(p, v) for p, v in zip(grid, values, strict=True) if len(grid[p]) > 1)]),
            [f"{place}={setting_value(value)}" for place, value in zip(grid, values, strict=True)],
        )
        for values in product(*grid.values())
    ]
    labels = [own for own, _ in found]
    if len(set(labels)) == number and max(map(len, labels)) <= MAX_LABEL:
        return found
    return [(f"{label}.{index}", settings) for index, (_, settings) in enumerate(found)]


def setting_value(value: Any) -> str:
    """A value as settings write it."""
    return "none" if value == "none" else toml_inline(value)


def part_of_label(place: str, value: Any) -> str:
    """A setting as a part of a label.

    Example:
        >>> part_of_label("regularizers.0.weight", -1e-5)
        'weight-m1e-05'
    """
    text = f"m{str(value)[1:]}" if isinstance(value, int | float) and value < 0 else str(value)
    words = re.sub(r"[^A-Za-z0-9._]+", "-", text)[:MAX_VALUE].strip("-")
    return f"{place.rpartition('.')[2]}-{words}"


def read_axis(text: str) -> tuple[str, list[Any]]:
    """The place and the values of ``place=value,value,...``, as texts of TOML or plain words; raises `InputError`.

    Example:
        >>> read_axis("solver.iterations=5,10"), read_axis("next=wiener,tv-admm")
        (('solver.iterations', [5, 10]), ('next', ['wiener', 'tv-admm']))
    """
    place, equals, values = text.partition("=")
    if not (equals and place.strip() and values.strip()):
        raise InputError(f"the grid '{text}' should be PLACE=VALUE,VALUE,... as solver.iterations=100,200")
    listed = parse_value(f"[{values}]")
    if isinstance(listed, list):
        return place.strip(), listed
    words = [one.strip() for one in values.split(",")]
    if not all(words) or set(values) & set("[]{}'\""):
        raise InputError(
            f"the values of the grid '{text}' are not a list; write texts in quotes, as {{name='tv'}},'l1'"
        )
    return place.strip(), [parse_value(word) for word in words]


def check_not_set(label: str, settings: Iterable[str], grid: Iterable[str]) -> None:
    """Refuse a setting of a place that a grid varies, which would have no effect; raises `InputError`.

    Args:
        label: of the recipe.
        settings: of the recipe.
        grid: the places that are varied.
    """
    fixed = [setting for setting in settings if setting.partition("=")[0].strip() in set(grid)]
    if fixed:
        raise InputError(f"recipe {label}: '{fixed[0]}' sets what a grid varies; leave out one of them")


def settings_of(label: str, settings: Iterable[str], labels: Sequence[str]) -> list[str]:
    """The settings for one recipe of a suite: those for every recipe, and those that name it, as ``label:place=value``.

    Args:
        label: of the recipe.
        settings: all.
        labels: of all recipes.

    Raises:
        InputError: a setting names a recipe that the suite does not have.

    Example:
        >>> settings_of("a", ["seed=1", "a:seed=2", "b:seed=3"], ["a", "b"])
        ['seed=1', 'seed=2']
    """
    found = []
    for setting in settings:
        place, equals, value = setting.partition("=")
        name, colon, rest = place.rpartition(":")
        if colon and name not in labels:
            raise InputError(f"the setting '{setting}' is for a recipe '{name}'; {nearest_name(name, labels)}")
        if not colon or name == label:
            found.append(f"{rest}{equals}{value}")
    return found
