"""Recipes as text and as plain data, before they are validated.

A document may use short forms; `invkit.recipes.overrides.expanded` replaces all of them.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from ..core import registry
from ..core.errors import InputError, PluginError, RecipeError, one_line

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["parse_value", "read_result_document", "read_toml", "recipe_text", "registered_text"]


def read_toml(text: str, origin: str) -> dict[str, Any]:
    """Parse TOML text into a document; raises `RecipeError` that names ``origin`` and the line."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"{origin} is not valid TOML: {error}") from error


def parse_value(text: str) -> Any:
    """Parse a TOML value; text that is not TOML stays text.

    Example:
        >>> parse_value("[3, 5]"), parse_value("true"), parse_value("luma")
        ([3, 5], True, 'luma')
    """
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def recipe_text(name_or_path: str | Path) -> str:
    """The TOML text of a registered recipe or of a ``.toml`` file.

    Raises:
        UnknownNameError: no recipe of that name is registered.
        PluginError: the distribution that registered the name does not contain the recipe.
        InputError: the file cannot be read.
    """
    given = str(name_or_path)
    return read_text(given) if given.endswith(".toml") else registered_text(given)


def registered_text(name: str) -> str:
    """The TOML text of a registered recipe; raises as `recipe_text`."""
    entry, package = registry.find("recipes", name), registry.load("recipes", name)
    if isinstance(package, str):  # registered in this session, as text
        return package
    try:
        return (files(package) / f"{entry.name}.toml").read_text(encoding="utf-8")
    except Exception as error:  # a plugin may register anything as its package
        raise PluginError(
            f"the recipe '{entry.name}' of {entry.distribution} cannot be read from {entry.value}: {one_line(error)}"
        ) from error


def read_result_document(path: str | Path) -> Mapping[str, Any]:
    """The content of a run's result.json; raises `InputError` if the file is unreadable or holds no recipe."""
    try:
        document = json.loads(read_text(str(path)))
    except json.JSONDecodeError as error:
        raise InputError(f"{path} is not valid JSON: {error}") from error
    if not isinstance(document, dict) or not isinstance(document.get("recipe"), dict):
        raise InputError(f"{path} holds no recipe; give the result.json of a run, a .toml file or a recipe's name")
    return document


def read_text(path: str) -> str:
    """The text of a UTF-8 file; raises `InputError`."""
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"the recipe {path} cannot be read: {error}") from error
