"""The documents of recipes: plain data, as they stand in a file, before anything of them is checked.

A document may hold short forms: a name alone for ``{name = ...}``, one table for a list of one, and the name of a
registered recipe for the recipe that goes on. `written_out` replaces them all.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from . import registry
from .errors import InputError, PluginError, RecipeError
from .explain import placed
from .parameters import reason
from .slots import listed, named

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = [
    "LISTS",
    "read_toml",
    "recipe_of_result",
    "recipe_text",
    "toml_value",
    "whole_recipe",
    "whole_recipes",
    "written_out",
]

LISTS = ("fidelity", "regularizers", "scores")  # the places of a recipe where several components may stand


def read_toml(text: str, origin: str) -> dict[str, Any]:
    """A document from TOML; raises `RecipeError` naming ``origin`` and the line."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"{origin} is not valid TOML: {error}") from error


def toml_value(text: str) -> Any:
    """A value as TOML writes it, or the text itself where it is none."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def recipe_text(name_or_path: str | Path) -> str:
    """The TOML text of a recipe, of a registered one by name or of a ``.toml`` file.

    Raises:
        UnknownNameError: no recipe of that name is registered.
        PluginError: the distribution that registered it does not hold it.
        InputError: the file cannot be read.
    """
    given = str(name_or_path)
    return read_file(given) if given.endswith(".toml") else registered_text(given)


def registered_text(name: str) -> str:
    """The TOML text of a registered recipe; raises as `recipe_text`."""
    entry, package = registry.find("recipes", name), registry.load("recipes", name)
    if isinstance(package, str):  # registered in this session, as text
        return package
    try:
        return (files(package) / f"{entry.name}.toml").read_text(encoding="utf-8")
    except Exception as error:  # what a plugin registers as its package may be anything
        raise PluginError(
            f"the recipe '{entry.name}' of {entry.distribution} cannot be read from {entry.value}: {reason(error)}"
        ) from error


def recipe_of_result(path: str) -> Mapping[str, Any]:
    """The resolved recipe in a result.json; raises `InputError`."""
    try:
        document = json.loads(read_file(path))
    except json.JSONDecodeError as error:
        raise InputError(f"{path} is not valid JSON: {error}") from error
    recipe = document.get("recipe") if isinstance(document, dict) else None
    if not isinstance(recipe, dict):
        raise InputError(f"{path} holds no recipe; give the result.json of a run, a .toml file or a recipe's name")
    return recipe


def read_file(path: str) -> str:
    """The text of a file; raises `InputError`."""
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"the recipe {path} cannot be read: {error}") from error


def written_out(document: Mapping[str, Any], before: tuple[str, ...] = ()) -> dict[str, Any]:
    """The document without short forms.

    Args:
        document: of a whole recipe.
        before: the registered recipes that led to it.

    Raises:
        UnknownNameError, PluginError, RecipeError: the recipe that goes on cannot be had, or goes on with itself.
    """
    written = {place: listed(value) if place in LISTS else value for place, value in document.items()}
    written = {place: named(value) if place in registry.PLACES else value for place, value in written.items()}
    inside = {"then": whole_recipe, "starts": whole_recipes}
    return {place: inside[place](value, before) if place in inside else value for place, value in written.items()}


def whole_recipes(value: Any, before: tuple[str, ...] = ()) -> Any:
    """The recipes to start from as documents; arguments and errors as `written_out`."""
    value = listed(value)
    if not isinstance(value, list | tuple):
        return value
    return [whole_recipe(one, before, f"starts.{index}") for index, one in enumerate(value)]


def whole_recipe(value: Any, before: tuple[str, ...] = (), place: str = "then") -> Any:
    """The recipe at a place of another as a document, for a registered name; arguments and errors as `written_out`."""
    if isinstance(value, Mapping):
        return written_out(value, before)
    if not isinstance(value, str):
        return value
    names = (*before, value)
    if value in before:
        raise RecipeError(f"{place}: the recipe '{value}' goes on with itself ({', then '.join(names)})")
    with placed(place):
        text = registered_text(value)
    return written_out(read_toml(text, f"{place}: {value}"), names)
