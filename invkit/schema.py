"""Recipes and components described for people and editors."""

from __future__ import annotations

import inspect
from typing import Any

from . import registry
from .errors import InvkitError, PluginError
from .overrides import LISTS
from .parameters import parameters_schema
from .recipe import Recipe, RegularizerSpec, check_parameters, check_recipe, load_recipe, resolved

__all__ = ["describe", "problem_of", "recipe_schema"]


def describe(family: str, name: str) -> dict[str, Any]:
    """What a component is and what may be set on it, or what a recipe says and consists of, as plain data.

    Raises:
        UnknownNameError, PluginError: as `registry.load` and `parameters_schema`.
        RecipeError: the recipe is not valid.
    """
    entry = registry.find(family, name)
    origin = {
        "family": family,
        "name": entry.name,
        "distribution": f"{entry.distribution} {entry.version}".strip(),
    }
    return origin | (_recipe_facts(name) if family == "recipes" else _component_facts(family, name))


def problem_of(entry: registry.Entry) -> str:
    """What keeps a registered component or recipe from being used, in a sentence; empty where nothing does."""
    name = f"{entry.distribution}:{entry.name}"
    try:
        if entry.family == "recipes":
            check_recipe(load_recipe(name))
        elif registry.FAMILIES[entry.family]:
            parameters_schema(registry.load(entry.family, name))
        else:
            registry.load(entry.family, name)
    except InvkitError as error:
        return str(error)
    return ""


def _recipe_facts(name: str) -> dict[str, Any]:
    recipe = load_recipe(name)
    components = resolved(recipe, check_parameters(recipe, seed=0))
    facts = {"title": recipe.title, "source": recipe.source, "notes": recipe.notes}
    return facts | {"components": {place: components[place] for place in registry.PLACES}}


def _component_facts(family: str, name: str) -> dict[str, Any]:
    component = registry.load(family, name)
    schema = parameters_schema(component)
    return {
        "class": f"{component.__module__}.{component.__qualname__}",
        "about": inspect.getdoc(component) or "",
        "parameters": schema.get("properties", {}),
        "required": schema.get("required", []),
    }


def recipe_schema() -> dict[str, Any]:
    """The JSON schema of recipe files, with the parameters of every component that can be loaded."""
    schema = Recipe.model_json_schema()
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "invkit recipe"
    for place, family in registry.PLACES.items():
        schema["properties"][place] = _slot_schema(place, family)
    return schema


def _slot_schema(place: str, family: str) -> dict[str, Any]:
    """What may stand in one place: a table, or its name alone where nothing else is needed, or a list of them."""
    names = registry.names(family)
    options: list[dict[str, Any]] = [{"oneOf": [_component_schema(family, name) for name in names]}]
    if place != "regularizers":  # which need a weight
        options.append({"enum": names})
    if place in LISTS:
        options.append({"type": "array", "items": {"anyOf": list(options)}})
    return {"anyOf": options}


def _component_schema(family: str, name: str) -> dict[str, Any]:
    """A table that names one component; of one that cannot be loaded the parameters are left open, and it says why."""
    table: dict[str, Any] = {"type": "object", "required": ["name"], "additionalProperties": False}
    places: dict[str, Any] = {"name": {"const": name}}
    try:
        places["params"] = parameters_schema(registry.load(family, name))
    except PluginError as error:
        places["params"] = {"type": "object"}
        table["description"] = str(error)
    if family == "fidelities":
        places["until"] = {"type": ["integer", "null"]}
    if family == "regularizers":
        places = RegularizerSpec.model_json_schema()["properties"] | places
        table["required"] = ["name", "weight"]
    return table | {"properties": places}
