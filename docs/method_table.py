"""The components of the classical methods, as a table for the concepts page, made from the recipes."""

from __future__ import annotations

from typing import Any

from tables import table

from invkit.core import registry
from invkit.core.nested import named
from invkit.recipes.model import Recipe, load_recipe

HEADS = ["recipe", "latent image", "regularizers", "edge selection", "kernel estimation", "next stages"]


def method_table() -> str:
    """One line for each recipe that alternates between an image and a kernel."""
    recipes = [load_recipe(name) for name in registry.names("recipes")]
    return table(HEADS, [row_of(recipe) for recipe in recipes if "kernel_estimation" in alternation(recipe)])


def row_of(recipe: Recipe) -> list[str]:
    """The components of one method."""
    parts = alternation(recipe)
    latent = name_of(parts["latent"]) if "latent" in parts else "(of the gradients)"
    edges = name_of(parts["edge_selection"]) if "edge_selection" in parts else "none, all gradients"
    penalties = " + ".join(term.name for term in recipe.regularizers)
    later = " → ".join(stage_name(stage) for stage in recipe.links()[1:])
    link = f"[`{recipe.name}`](generated/recipes.md#{recipe.name})"
    return [link, latent, penalties, edges, name_of(parts["kernel_estimation"]), later]


def alternation(recipe: Recipe) -> dict[str, Any]:
    """The parameters of the alternating solver, which may be nested in a pyramid."""
    params = recipe.solver.params
    return dict(named(params["inner"]).get("params", {})) if "inner" in params else dict(params)


def stage_name(stage: Recipe) -> str:
    """The name of a registered recipe; the solver of any other one."""
    return stage.name if stage.name in registry.names("recipes") else stage.solver.name


def name_of(spec: Any) -> str:
    """The name of a nested component."""
    return str(named(spec)["name"])
