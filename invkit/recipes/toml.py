"""Recipes as text and as plain data, before they are validated.

A document may use short forms; `invkit.recipes.overrides.expanded` replaces all of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from ..core import registry
from ..core.errors import InputError, PluginError, reported_as
from ..core.files import read_json, read_toml_text

__all__ = ["read_result_document", "recipe_text", "registered_text"]


def recipe_text(name_or_path: str | Path) -> str:
    """The TOML text of a registered recipe or of a ``.toml`` file.

    Raises:
        UnknownNameError: no recipe of that name is registered.
        PluginError: the distribution that registered the name does not contain the recipe.
        InputError: the file cannot be read.
    """
    given = str(name_or_path)
    return read_toml_text(Path(given)) if given.endswith(".toml") else registered_text(given)


def registered_text(name: str) -> str:
    """The TOML text of a registered recipe; raises as `recipe_text`."""
    entry, package = registry.find("recipes", name), registry.load("recipes", name)
    if isinstance(package, str):  # registered in this session, as text
        return package
    what = f"the recipe '{entry.name}' of {entry.distribution} cannot be read from {entry.value}"
    with reported_as(PluginError, what):  # a plugin may register anything as its package
        return (files(package) / f"{entry.name}.toml").read_text(encoding="utf-8")


def read_result_document(path: str | Path) -> Mapping[str, Any]:
    """The content of a run's result.json; raises `InputError` if the file is unreadable or holds no recipe."""
    document = read_json(Path(path))
    if not isinstance(document, dict) or not isinstance(document.get("recipe"), dict):
        raise InputError(f"{path} holds no recipe; give the result.json of a run, a .toml file or a recipe's name")
    return document
