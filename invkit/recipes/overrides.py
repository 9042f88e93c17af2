"""Short forms of recipe documents, and settings such as ``solver.inner.iterations=500``.

Short forms: a name alone stands for ``{name = ...}``, one table for a list of one, and the name of a registered recipe
for that recipe. ``{recipe = NAME, overrides = [...]}`` is a registered recipe with settings, perhaps with a new
``name``.

A setting is ``place=value``. A place leaves ``params`` out and may be shortened as long as it stays unambiguous:
``solver.inner.iterations`` may be written ``inner.iterations``, and ``iterations`` alone if the recipe has no second
one. A short place is looked for among the recipe's own components first, then among those of its candidates and of the
recipes that follow. Items of lists are named by their component or by their position: ``regularizers.tv.weight``.

Components and recipes are chosen before their parameters are set, whatever the order of the settings. Of settings for
the same place the last one counts.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from ..core import registry
from ..core.errors import RecipeError, name_missing_components_at
from ..core.files import parse_toml, parse_value
from ..core.messages import nearest_name, shortened
from ..core.nested import listed, named
from ..core.parameters import parameters_of
from .places import TEXT_FIELDS, Site, find_site, sites
from .toml import registered_text

__all__ = [
    "MAX_ITEMS",
    "apply_settings",
    "changed_title",
    "expanded",
    "expanded_recipe",
    "expanded_recipes",
    "expanded_referee",
]

CHANGED = ", changed: "
MAX_ITEMS = 50  # of a list of components or candidates; no method has so many, and each costs time
WEIGHTED_FAMILIES = ("regularizers", "no_reference_metrics")
CHANGED_RECIPE_KEYS = ("recipe", "overrides", "name")  # of a registered recipe with settings inside another recipe
Ancestors: TypeAlias = tuple[str, ...]
"""The registered recipes that contain a document; it must not contain one of them."""


# --- short forms -------------------------------------------------------------------------------------------------


def expanded(document: Mapping[str, Any], ancestors: Ancestors = ()) -> dict[str, Any]:
    """A recipe's document without short forms.

    Raises:
        UnknownNameError, PluginError, RecipeError: a recipe inside it cannot be loaded, or contains itself.
    """
    whole = {place: listed(value) if place in registry.COMPONENT_LISTS else value for place, value in document.items()}
    whole = {place: named(value) if place in registry.PLACES else value for place, value in whole.items()}
    inside = {"next": expanded_recipe, "referee": expanded_referee, "candidates": expanded_recipes}
    return {place: inside[place](value, ancestors) if place in inside else value for place, value in whole.items()}


def expanded_recipes(value: Any, ancestors: Ancestors = ()) -> Any:
    """The documents of a recipe's candidates; raises as `expanded`."""
    value = listed(value)
    if not isinstance(value, list | tuple):
        return value
    if len(value) > MAX_ITEMS:
        raise RecipeError(f"{len(value)} candidates are too many; name at most {MAX_ITEMS}")
    return [expanded_recipe(one, ancestors, f"candidates.{index}") for index, one in enumerate(value)]


def expanded_referee(value: Any, ancestors: Ancestors = ()) -> Any:
    """The document of a recipe's referee; raises as `expanded`."""
    return expanded_recipe(value, ancestors, "referee")


def expanded_recipe(value: Any, ancestors: Ancestors = (), place: str = "next") -> Any:
    """The document of a recipe inside another one.

    Args:
        value: a document, a registered name, or a registered name with settings.
        ancestors: the registered recipes that contain it.
        place: where it stands.

    Raises:
        UnknownNameError, PluginError, RecipeError: as `expanded`.
    """
    if isinstance(value, Mapping):
        return recipe_with_settings(value, ancestors, place) if "recipe" in value else expanded(value, ancestors)
    if not isinstance(value, str):
        return value
    names = (*ancestors, value)
    if value in ancestors:
        raise RecipeError(f"{place}: the recipe '{value}' contains itself ({' > '.join(names)})")
    with name_missing_components_at(place):
        text = registered_text(value)
    return expanded(parse_toml(text, f"{place}: {value}"), names)


def recipe_with_settings(value: Mapping[str, Any], ancestors: Ancestors, place: str) -> dict[str, Any]:
    """The document of ``{recipe = NAME, overrides = [...]}``; arguments and errors as `expanded_recipe`."""
    name, settings = value["recipe"], listed(value.get("overrides", []))
    strange = [key for key in value if key not in CHANGED_RECIPE_KEYS]
    if strange:
        nearest = nearest_name(strange[0], CHANGED_RECIPE_KEYS)
        raise RecipeError(f"{place}.{strange[0]} is not known beside 'recipe'; {nearest}")
    texts = isinstance(settings, list | tuple) and all(isinstance(one, str) for one in settings)
    if not isinstance(name, str) or not texts:
        raise RecipeError(
            f"{place}: should be {{recipe = NAME, overrides = ['place=value', ...]}}, got {dict(value)!r}"
        )
    plain = expanded_recipe(name, ancestors, place)
    try:
        changed = apply_settings(plain, settings, (*ancestors, name))
    except RecipeError as error:
        raise RecipeError(f"{place}: {error}") from error
    return {**changed, "name": value.get("name", changed.get("name"))}


# --- settings ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Setting:
    """One change of a document.

    Attributes:
        text: as the user wrote it.
        path: the parts of its place, without "params".
        value: the new content of the place.
        ancestors: the registered recipes that contain the document.
        gives_parameters: whether the value is a table of all parameters of a component, as in ``solver.params={}``.
    """

    text: str
    path: tuple[str, ...]
    value: Any
    ancestors: Ancestors
    gives_parameters: bool = False

    def refuse(self, why: str) -> RecipeError:
        """The error that says why the setting cannot be applied."""
        return RecipeError(f"the setting '{shortened(self.text, 200)}': {shortened(why, 2000)}")


def apply_settings(document: Mapping[str, Any], settings: Sequence[str], ancestors: Ancestors = ()) -> dict[str, Any]:
    """A recipe's document with settings applied; its title and ``changes`` say which.

    Args:
        document: of a recipe.
        settings: each ``place=value``; the value is TOML or a plain word, of which ``none`` stands for None.
        ancestors: the registered recipes that contain the document.

    Raises:
        RecipeError: a setting has another form, or its place is unknown or ambiguous.
        UnknownNameError, PluginError: a chosen component or recipe cannot be loaded.
    """
    changed = copy.deepcopy(expanded(document, ancestors))
    waiting, places = [read_setting(text, ancestors) for text in settings], {}
    while waiting:
        setting, site = next_setting(changed, waiting)
        waiting.remove(setting)
        apply_setting(changed, setting, site)
        places[changed_place(setting, site)] = setting.text.partition("=")[2].strip()
    described = {place: value for place, value in places.items() if place not in TEXT_FIELDS}
    whole = with_changes(changed, described, title_start(document))
    return {**whole, "title": changed["title"]} if "title" in places else whole


def next_setting(document: Mapping[str, Any], waiting: Sequence[Setting]) -> tuple[Setting, Site]:
    """The setting to apply next, and the place that it means in the document as it is now.

    The settings that choose recipes and components come first, at the outermost places first. The names of recipes
    inside come last, because the places of other settings may contain the old names.

    Raises:
        RecipeError: no setting means a place; says why the first one does not.
    """
    whole, found, refused = list(sites(document)), [], []
    for setting in waiting:
        try:
            found.append((setting, find_site(whole, setting.path, setting.value)))
        except LookupError as error:
            refused.append(setting.refuse(str(error)))
    if not found:
        raise refused[0]
    return min(found, key=lambda pair: rank(*pair))


def rank(setting: Setting, site: Site) -> tuple[bool, bool, int, str]:
    """Settings are applied in this order."""
    is_value = site.kind == "value"
    place = changed_place(setting, site)
    return is_value, is_value and site.names[-1] == ("name",), place.count("."), place


def changed_place(setting: Setting, site: Site) -> str:
    """The full place that a setting changes."""
    return f"{site.place}.params" if setting.gives_parameters else site.place


def read_setting(text: str, ancestors: Ancestors = ()) -> Setting:
    """Parse ``place=value``; raises `RecipeError`."""
    place, equals, value = text.partition("=")
    parts = tuple(part.strip() for part in place.split("."))
    path = tuple(part for part in parts if part != "params")
    if not equals or not path or not all(parts):
        raise RecipeError(
            f"the setting '{shortened(text, 200)}' is not of the form place=value, as solver.iterations=500"
        )
    value = value.strip()
    return Setting(text, path, None if value == "none" else parse_value(value), ancestors, parts[-1] == "params")


def apply_setting(document: dict[str, Any], setting: Setting, site: Site) -> None:
    """Apply one setting in place.

    Args:
        document: without short forms.
        setting: the change.
        site: the place that it means.

    Raises:
        RecipeError: what is there has no parts.
        UnknownNameError, PluginError: the chosen component or recipe cannot be loaded.
    """
    *way, last = site.keys
    holder = holder_at(document, way, setting)
    if site.kind == "component":
        old = holder.get(last) if isinstance(holder, dict) else holder[int(last)]
        with name_missing_components_at(changed_place(setting, site)):
            holder[last] = successor(named(old), content_for(site, setting), site.family)
    else:
        holder[last] = content_for(site, setting)


def content_for(site: Site, setting: Setting) -> Any:
    """What a setting puts there, without short forms."""
    if site.kind == "component" and (setting.gives_parameters or setting.path[-1] == "name"):
        return {"params" if setting.gives_parameters else "name": setting.value}
    if site.kind == "component" and isinstance(setting.value, int | float) and site.family in WEIGHTED_FAMILIES:
        raise setting.refuse(f"{site.place} is a component; its weight is {site.place}.weight={setting.value}")
    if site.kind == "component":
        return named(setting.value)
    if site.kind == "components":
        return named(listed(setting.value))
    if site.kind == "recipes":
        return expanded_recipes(setting.value, setting.ancestors)
    if site.kind == "recipe":
        return expanded_recipe(setting.value, setting.ancestors, site.place)
    return setting.value


def holder_at(document: dict[str, Any], way: Sequence[str | int], setting: Setting) -> Any:
    """The table or list at the end of a way; short forms on the way are expanded, absent ``params`` made."""
    node: Any = document
    for key in way:
        there = node.get(key) if isinstance(node, dict) else node[key]
        if there is None:
            there = {}
        if isinstance(there, str | Mapping | list | tuple):
            there = named(there)
        node[key] = there
        node = there
    if not isinstance(node, dict | list):
        place = ".".join(str(key) for key in way if key != "params")
        raise setting.refuse(f"{place} is neither a table nor a list; it is {node!r:.40}")
    return node


def successor(old: Any, new: Any, family: str) -> Any:
    """The new component at a place; it keeps the fields and the parameters of the old one that it has too.

    Args:
        old: what is there now.
        new: a name, a table, or only the parameters, which replace all of the old ones.
        family: of the component.
    """
    if not isinstance(new, Mapping):
        return new
    before = dict(old) if isinstance(old, Mapping) else {}
    kept = before if set(new) in ({"name"}, {"params"}) else {}
    whole = {**kept, **new}
    if "params" not in new:
        whole["params"] = shared_parameters(before, whole.get("name"), family)
    return whole


def shared_parameters(old: Mapping[str, Any], name: Any, family: str) -> dict[str, Any]:
    """The parameters of the old component that the new one has too."""
    params = old.get("params")
    if not isinstance(params, Mapping) or not isinstance(name, str) or not name:
        return {}
    known = params if name == old.get("name") else parameters_of(registry.load(family, name)).model_fields
    return {parameter: value for parameter, value in params.items() if parameter in known}


# --- titles ------------------------------------------------------------------------------------------------------


def with_changes(document: dict[str, Any], places: Mapping[str, str], start: str) -> dict[str, Any]:
    """A document whose title and ``changes`` say what was set: the recipe's own title would no longer be true.

    Args:
        document: settings applied.
        places: the value of each setting by its place.
        start: of the title.
    """
    if not places:
        return document
    old = dict(text.split("=", 1) for text in document.get("changes") or ())
    changes = [f"{place}={value}" for place, value in {**old, **places}.items()]
    return {**document, "changes": changes, "title": changed_title(start, changes)}


def title_start(document: Mapping[str, Any]) -> str:
    """The start of the title of a recipe with settings: the name of the recipe without any."""
    changed_before = str(document.get("title")) if document.get("changes") else ""
    return changed_before.partition(CHANGED)[0] or str(document.get("name"))


def changed_title(name: str, changes: Sequence[str]) -> str:
    """The title of a recipe with settings.

    Example:
        >>> changed_title("selfdeblur-small", ["solver.iterations=40"])
        'selfdeblur-small, changed: solver.iterations=40'
    """
    return f"{name}{CHANGED}{', '.join(changes)}"
