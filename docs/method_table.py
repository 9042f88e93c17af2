"""The classical methods as words: a table for the concepts page, made from the recipes."""

from __future__ import annotations

from typing import Any

from tables import table

from invkit.core import registry
from invkit.core.nested import named
from invkit.recipes.model import Recipe, load_recipe

HEADS = ["recipe", "latent image", "penalised by", "kernel fitted to", "fitted by", "next"]


def method_table() -> str:
    """A line for every recipe that turns between an image and a kernel."""
    recipes = [load_recipe(name) for name in registry.names("recipes")]
    return table(HEADS, [words(recipe) for recipe in recipes if "kernel_estimation" in turning(recipe)])


def words(recipe: Recipe) -> list[str]:
    """The words of one method."""
    parts = turning(recipe)
    latent = name_of(parts["latent"]) if "latent" in parts else "(of the gradients)"
    edges = name_of(parts["edge_selection"]) if "edge_selection" in parts else "all gradients"
    penalties = " + ".join(term.name for term in recipe.regularizers)
    later = " → ".join(link_words(link) for link in recipe.links()[1:])
    link = f"[`{recipe.name}`](generated/recipes.md#{recipe.name})"
    return [link, latent, penalties, edges, name_of(parts["kernel_estimation"]), later]


def turning(recipe: Recipe) -> dict[str, Any]:
    """The parameters of the solver that takes the turns, which may stand in a pyramid."""
    params = recipe.solver.params
    return dict(named(params["inner"]).get("params", {})) if "inner" in params else dict(params)


def link_words(link: Recipe) -> str:
    """A registered recipe by name, another one by its solver."""
    return link.name if link.name in registry.names("recipes") else link.solver.name


def name_of(spec: Any) -> str:
    """What stands in a slot."""
    return str(named(spec)["name"])
