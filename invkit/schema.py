"""Recipes and components described for people and editors."""

from __future__ import annotations

import inspect
from typing import Any

from . import registry
from .errors import PluginError
from .parameters import parameters_of
from .recipe import Recipe, RegularizerSpec

__all__ = ["describe", "recipe_schema"]

PLACES = {
    "operator": "operators",
    "image_prior": "image_priors",
    "kernel_prior": "kernel_priors",
    "solver": "solvers",
    "fidelity": "fidelities",
    "regularizers": "regularizers",
}


def describe(family: str, name: str) -> dict[str, Any]:
    """What a component is and what may be set on it, as plain data.

    Raises:
        UnknownNameError, PluginError: as `registry.load`.
    """
    entry = registry.find(family, name)
    component = registry.load(family, name)
    schema = parameters_of(component).model_json_schema()
    return {
        "family": family,
        "name": entry.name,
        "distribution": f"{entry.distribution} {entry.version}".strip(),
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
    for place, family in PLACES.items():
        slot = {"oneOf": [_component_schema(family, name) for name in registry.names(family)]}
        schema["properties"][place] = _slot_schema(place, slot)
    return schema


def _slot_schema(place: str, slot: dict[str, Any]) -> dict[str, Any]:
    if place == "regularizers":
        return {"type": "array", "items": slot}
    if place == "fidelity":
        return {"anyOf": [slot, {"type": "array", "items": slot}]}
    return {"anyOf": [slot, {"enum": registry.names(PLACES[place])}]}


def _component_schema(family: str, name: str) -> dict[str, Any]:
    place: dict[str, Any] = {"name": {"const": name}}
    try:
        place["params"] = parameters_of(registry.load(family, name)).model_json_schema()
    except PluginError as error:
        place["description"] = str(error)  # an editor still knows the name; using it reports the error
    if family == "fidelities":
        place["until"] = {"type": ["integer", "null"]}
    if family == "regularizers":
        place |= RegularizerSpec.model_json_schema()["properties"] | place
    return {"type": "object", "properties": place, "required": ["name"], "additionalProperties": False}
