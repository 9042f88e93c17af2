"""The documents of recipes: plain data, as they stand in a file, before anything of them is checked.

A document may hold short forms; `invkit.recipes.overrides.written_out` replaces them all.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from ..core import registry
from ..core.errors import InputError, PluginError, RecipeError
from ..core.parameters import reason

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["LISTS", "read_toml", "recipe_of_result", "recipe_text", "registered_text", "toml_value"]

LISTS = ("fidelity", "regularizers", "selection")  # the places of a recipe where several components may stand


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
