"""Descriptions of recipes and components, and the JSON schema of recipe files."""

from __future__ import annotations

import inspect
from typing import Any

from ..core import registry
from ..core.docstrings import summary_of
from ..core.errors import InvkitError, PluginError
from ..core.nested import FAMILY_KEY
from ..core.parameters import parameters_schema
from .model import Recipe, RegularizerSpec, SelectionSpec, check_parameters, check_recipe, load_recipe, resolved_recipe

__all__ = ["describe", "problem_of", "recipe_schema"]


def describe(family: str, name: str) -> dict[str, Any]:
    """A component with its parameters, or a recipe with its components, as plain data.

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
    """Why a registered component or recipe cannot be used, in a sentence; empty if it can."""
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
    whole = resolved_recipe(recipe, check_parameters(recipe, seed=0))
    facts = {"title": recipe.title, "source": recipe.source, "notes": recipe.notes}
    return facts | {
        "components": {place: whole[place] for place in registry.PLACES},
        **{place: whole[place] for place in ("candidates", "referee", "next")},
    }


def _component_facts(family: str, name: str) -> dict[str, Any]:
    component = registry.load(family, name)
    schema = parameters_schema(component)
    return {
        "class": f"{component.__module__}.{component.__qualname__}",
        "about": summary_of(inspect.getdoc(component) or ""),
        "parameters": schema.get("properties", {}),
        "required": schema.get("required", []),
    }


CHANGED_RECIPE: dict[str, Any] = {
    "type": "object",
    "required": ["recipe"],
    "additionalProperties": False,
    "properties": {
        "recipe": {"type": "string"},
        "overrides": {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]},
        "name": {"type": "string"},
    },
}
"""A registered recipe with settings inside another recipe."""

QUALIFIED: dict[str, Any] = {"type": "string", "pattern": "^[^:]+:[^:]+$"}
"""A name with its origin: ``distribution:name``, or ``adapter:name``, of which there may be any number."""


def recipe_schema() -> dict[str, Any]:
    """The JSON schema of recipe files, with the parameters of every component that can be loaded.

    Nested components are defined once for each family, under ``$defs``, because a solver may hold a solver.
    """
    definitions = Recipe.model_json_schema()["$defs"]
    schema: dict[str, Any] = definitions.pop("Recipe")
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "invkit recipe"
    for place, family in registry.PLACES.items():
        schema["properties"][place] = _place_schema(place, family)
    one = [{"$ref": "#"}, {"enum": registry.names("recipes")}, CHANGED_RECIPE]
    for place in ("referee", "next"):
        schema["properties"][place]["anyOf"] = [*one, {"type": "null"}]
    candidates = schema["properties"]["candidates"]
    described = {key: value for key, value in candidates.items() if key not in ("type", "items")}
    schema["properties"]["candidates"] = described | {"anyOf": [*one, {"type": "array", "items": {"anyOf": one}}]}
    families = {
        family: _family_schema(family)
        for family in registry.FAMILIES
        if family not in registry.FAMILIES_OUTSIDE_RECIPES
    }
    return schema | {"$defs": definitions | families}


def _place_schema(place: str, family: str) -> dict[str, Any]:
    """The schema of one place: a table, a name alone if nothing else is required, or a list of them."""
    if place not in registry.COMPONENT_LISTS:
        return {"$ref": f"#/$defs/{family}"}
    names = registry.names(family)
    options: list[dict[str, Any]] = [{"oneOf": [_item_schema(family, name) for name in (*names, None)]}]
    if place != "regularizers":  # regularizers need a weight
        options += [{"enum": names}, QUALIFIED]
    return {"anyOf": [*options, {"type": "array", "items": {"anyOf": options}}]}


def _family_schema(family: str) -> dict[str, Any]:
    """The schema of one component of a family: a table, or its name alone."""
    names = registry.names(family)
    tables = [_component_schema(family, name) for name in (*names, None)]
    return {"anyOf": [{"oneOf": tables}, {"enum": names}, QUALIFIED]} if names else {"not": {}}


def _item_schema(family: str, name: str | None) -> dict[str, Any]:
    """The schema of an item of a recipe's list, which has more fields than name and parameters."""
    table = _component_schema(family, name)
    if family == "fidelities":
        table["properties"]["until_iteration"] = {"type": ["integer", "null"]}
    if family == "regularizers":
        table["properties"] = RegularizerSpec.model_json_schema()["properties"] | table["properties"]
        table["required"] = ["name", "weight"]
    if family == "no_reference_metrics":
        table["properties"] = SelectionSpec.model_json_schema()["properties"] | table["properties"]
    return table


def _component_schema(family: str, name: str | None) -> dict[str, Any]:
    """The schema of a table that names one component.

    If the component cannot be loaded, any parameters are allowed and the description says why. Without a name, the
    schema of a name with its origin, with any parameters.
    """
    table: dict[str, Any] = {"type": "object", "required": ["name"], "additionalProperties": False}
    if name is None:
        return table | {"properties": {"name": QUALIFIED, "params": {"type": "object"}}}
    places: dict[str, Any] = {"name": {"const": name}}
    try:
        places["params"] = _linked(parameters_schema(registry.load(family, name)))
    except PluginError as error:
        places["params"] = {"type": "object"}
        table["description"] = str(error)
    return table | {"properties": places}


def _linked(schema: Any) -> Any:
    """A schema of parameters in which nested components refer to the definition of their family."""
    if isinstance(schema, list):
        return [_linked(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if FAMILY_KEY not in schema:
        linked = {key: _linked(value) for key, value in schema.items()}
        several = schema.get("type") == "array" and FAMILY_KEY in schema.get("items", ())
        return {"anyOf": [linked["items"], linked]} if several else linked  # one may stand for a list of one
    others = {key: value for key, value in schema.items() if key not in (FAMILY_KEY, "anyOf")}  # as its description
    return {"$ref": f"#/$defs/{schema[FAMILY_KEY]}"} | others
