"""What a recipe's document may say for short, and settings: changes to it, as ``solver.params.iterations=500``.

A name alone stands for ``{name = ...}``, one table for a list of one, and for a recipe within a recipe the name of a
registered one, or ``{recipe = NAME, overrides = [...]}`` for one with settings, which may be given another ``name``.

Settings are ``place=value``. Those of shorter places come first, whatever the order they are given in, and of those of
one length the ones that choose a component: so the parameters set are those of the component that will be there, at
any depth: ``solver.params.latent=wiener`` comes before ``solver.params.latent.params.weight=3``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from ..core import registry
from ..core.errors import InvkitError, RecipeError
from ..core.nested import NestedComponent, listed, named
from ..core.parameters import parameters_of, nested_components_of
from .messages import hint, placed
from .toml import LISTS, read_toml, registered_text, toml_value

__all__ = ["overridden", "whole_recipe", "whole_recipes", "written_out"]

CHANGED = ("recipe", "overrides", "name")  # the keys of a recipe within a recipe that is a registered one, changed


@dataclass(frozen=True)
class Setting:
    """One change: where, and to what.

    Attributes:
        text: how it was written.
        path: the parts of the place.
        value: what is to stand there.
        before: the registered recipes that led to the document, to which it may not lead back.
    """

    text: str
    path: tuple[str, ...]
    value: Any
    before: tuple[str, ...] = ()

    @property
    def place(self) -> str:
        """Where, in one word."""
        return ".".join(self.path)

    @property
    def rank(self) -> tuple[int, bool]:
        """What is applied first: whole tables before their parts, and of these the names of components."""
        return len(self.path), self.path[-1] != "name"

    def refuse(self, why: str) -> RecipeError:
        """The error that says what is wrong with the setting."""
        return RecipeError(f"the setting '{self.text}': {why}")


@dataclass(frozen=True)
class Kind:
    """What stands at a place of a document.

    Attributes:
        what: a whole recipe, a component, a list of either, the parameters of a component, or any value.
        family: of the components.
        slots: the parameters that are slots.
    """

    what: Literal["recipe", "recipes", "component", "components", "params", "value"]
    family: str = ""
    slots: Mapping[str, NestedComponent] = field(default_factory=dict)

    def inside(self, node: Any, part: str) -> Kind:
        """What stands one step further down, in a ``node`` of this kind."""
        if self.what == "recipes" or (self.what == "recipe" and part == "next"):
            return RECIPE
        if self.what == "recipe" and part == "candidates":
            return Kind("recipes")
        if self.what == "recipe" and part in registry.PLACES:
            return Kind("components" if part in LISTS else "component", registry.PLACES[part])
        if self.what == "components":
            return Kind("component", self.family)
        if self.what == "component" and part == "params":
            return Kind("params", slots=slots_at(node, self.family))
        if self.what == "params" and part in self.slots:
            slot = self.slots[part]
            return Kind("components" if slot.many else "component", slot.family)
        return VALUE

    def written_out(self, value: Any, before: tuple[str, ...], place: str) -> Any:
        """A value of this kind without short forms; arguments and errors as `whole_recipe`."""
        if self.what == "component" and isinstance(value, str):
            return named(value)
        if self.what == "components":
            return named(listed(value))
        if self.what == "recipes":
            return whole_recipes(value, before)
        return whole_recipe(value, before, place) if self.what == "recipe" else value


RECIPE, VALUE = Kind("recipe"), Kind("value")
SEVERAL = ("components", "recipes")


def written_out(document: Mapping[str, Any], before: tuple[str, ...] = ()) -> dict[str, Any]:
    """The document without short forms.

    Args:
        document: of a whole recipe.
        before: the registered recipes that led to it.

    Raises:
        UnknownNameError, PluginError, RecipeError: a recipe within it cannot be had, or leads to itself.
    """
    written = {place: listed(value) if place in LISTS else value for place, value in document.items()}
    written = {place: named(value) if place in registry.PLACES else value for place, value in written.items()}
    inside = {"next": whole_recipe, "candidates": whole_recipes}
    return {place: inside[place](value, before) if place in inside else value for place, value in written.items()}


def whole_recipes(value: Any, before: tuple[str, ...] = ()) -> Any:
    """The recipes to start from as documents; arguments and errors as `written_out`."""
    value = listed(value)
    if not isinstance(value, list | tuple):
        return value
    return [whole_recipe(one, before, f"candidates.{index}") for index, one in enumerate(value)]


def whole_recipe(value: Any, before: tuple[str, ...] = (), place: str = "next") -> Any:
    """The recipe at a place of another as a document, for a registered name; arguments and errors as `written_out`."""
    if isinstance(value, Mapping):
        return changed_recipe(value, before, place) if "recipe" in value else written_out(value, before)
    if not isinstance(value, str):
        return value
    names = (*before, value)
    if value in before:
        raise RecipeError(f"{place}: the recipe '{value}' goes on with itself ({', then '.join(names)})")
    with placed(place):
        text = registered_text(value)
    return written_out(read_toml(text, f"{place}: {value}"), names)


def changed_recipe(value: Mapping[str, Any], before: tuple[str, ...], place: str) -> dict[str, Any]:
    """A registered recipe with settings as a document; arguments and errors as `written_out` and `overridden`."""
    name, settings = value["recipe"], listed(value.get("overrides", []))
    strange = [key for key in value if key not in CHANGED]
    if strange:
        raise RecipeError(f"{place}.{strange[0]} is not known beside 'recipe'; {hint(strange[0], CHANGED)}")
    if not isinstance(name, str) or not is_texts(settings):
        raise RecipeError(
            f"{place}: should be {{recipe = NAME, overrides = ['place=value', ...]}}, got {dict(value)!r}"
        )
    plain = whole_recipe(name, before, place)
    try:
        changed = overridden(plain, settings, (*before, name))
    except RecipeError as error:
        raise RecipeError(f"{place}: {error}") from error
    return {**changed, "name": value.get("name", changed.get("name"))}


def is_texts(value: Any) -> bool:
    """Whether something is a list of texts."""
    return isinstance(value, list | tuple) and all(isinstance(one, str) for one in value)


def slots_at(spec: Any, family: str) -> Mapping[str, NestedComponent]:
    """The slots of the component that a table names; none of one that cannot be had, as validation will say."""
    name = spec.get("name") if isinstance(spec, Mapping) else None
    try:
        return nested_components_of(registry.load(family, name)) if isinstance(name, str) else {}
    except InvkitError:
        return {}


def overridden(document: Mapping[str, Any], settings: Sequence[str], before: tuple[str, ...] = ()) -> dict[str, Any]:
    """The document with all settings applied; one that is repeated counts as given last.

    Args:
        document: of a recipe.
        settings: as ``place=value``.
        before: the registered recipes that led to it, to which no setting may lead back.

    Raises:
        RecipeError: a setting is not of the form ``place=value``, or names no place of the recipe.
        UnknownNameError, PluginError: as `registry.load`, of a component chosen in the place of one with parameters,
            and of a recipe that goes on.
    """
    changed = written_out(document, before)
    for setting in sorted(map(read_setting, settings), key=lambda setting: setting.rank):
        change(changed, replace(setting, before=before))
    return changed


def read_setting(text: str) -> Setting:
    """A setting from ``place=value``; the value is TOML, or else a plain word, of which ``none`` stands for None."""
    place, equals, value = text.partition("=")
    path = tuple(part.strip() for part in place.split("."))
    if not equals or not all(path):
        raise RecipeError(f"the setting '{text}' is not of the form place=value, as solver.params.iterations=500")
    return Setting(text, path, plain_value(value.strip()))


def plain_value(text: str) -> Any:
    """A TOML value, None, or the text itself where it is neither."""
    return None if text == "none" else toml_value(text)


def change(document: dict[str, Any], setting: Setting) -> None:
    """Apply one setting to the document."""
    *way, last = setting.path
    value = setting.value
    if last == "name" and way and kind_of(document, way, setting) == "component":
        value = value if isinstance(value, str) else {"name": value}  # of the wrong type; validation says so
        *way, last = way
    holder, kind = walk(document, way, setting)
    there = kind.inside(holder, last)
    key: Any = position_of(holder, last, ".".join(way), setting) if kind.what in SEVERAL else last
    if key is last and not isinstance(holder, dict):
        raise setting.refuse(f"a recipe has no place '{'.'.join(setting.path)}'")
    if there.what == "component":
        old = holder.get(key) if isinstance(holder, dict) else holder[key]
        with placed(".".join([*way, last])):
            holder[key] = successor(there.written_out(old, setting.before, setting.place), value, there.family)
    else:
        holder[key] = there.written_out(value, setting.before, setting.place)


def kind_of(document: dict[str, Any], way: Sequence[str], setting: Setting) -> str:
    """What stands, or may stand, at the end of a way."""
    holder, kind = walk(document, way[:-1], setting)
    return kind.inside(holder, way[-1]).what


def walk(document: dict[str, Any], way: Sequence[str], setting: Setting) -> tuple[Any, Kind]:
    """What stands at the end of a way into the document, with its kind; short forms on it are written out."""
    node: Any = document
    kind = RECIPE
    for depth, part in enumerate(way):
        below = kind.inside(node, part)
        grows = "params" in way[: depth + 1]  # a parameter may be a table that is not there yet
        key = key_of(node, kind, part, ".".join(way[:depth]), setting)
        if isinstance(node, dict) and key not in node:
            if below is VALUE and not grows:
                raise setting.refuse(f"there is no place '{part}'; {hint(part, list(node))}")
            node[key] = {} if below.what in ("params", "value") else None
        node[key] = below.written_out(node[key], setting.before, setting.place)
        node, kind = node[key], below
        if node is None and kind is not VALUE:
            raise setting.refuse(f"nothing stands there yet; choose it first, as {'.'.join(way[: depth + 1])}=NAME")
    return node, kind


def key_of(node: Any, kind: Kind, part: str, where: str, setting: Setting) -> Any:
    """The key, or for a list the position, that a part of a way means; raises `RecipeError`."""
    if kind.what in SEVERAL or isinstance(node, list):
        return position_of(node, part, where, setting)
    if not isinstance(node, dict):
        raise setting.refuse(f"there is no place '{part}'; {hint(part, [])}")
    return part


def successor(old: Any, value: Any, family: str) -> Any:
    """What stands where ``old`` stood: all that was said of it stays as far as it means something to the new one."""
    before = dict(old) if isinstance(old, Mapping) else {}
    if isinstance(value, str):
        new = {**before, "name": value}
    elif isinstance(value, Mapping):
        new = dict(value)
    else:
        return value
    if not isinstance(value, Mapping) or "params" not in value:
        new["params"] = still_known(before, new.get("name"), family)
    return new


def still_known(old: Mapping[str, Any], name: Any, family: str) -> dict[str, Any]:
    """The parameters of the old component that the new one has too."""
    params = old.get("params")
    if not isinstance(params, Mapping) or not isinstance(name, str) or not name:
        return {}
    known = params if name == old.get("name") else parameters_of(registry.load(family, name)).model_fields
    return {parameter: value for parameter, value in params.items() if parameter in known}


def position_of(items: Any, part: str, where: str, setting: Setting) -> int:
    """Which item of the list at a place is meant, by its position or by its name; raises `RecipeError`."""
    if not isinstance(items, list):
        raise setting.refuse(f"{where} is no list; it is {items!r:.40}")
    names = [str(item.get("name")) if isinstance(item, Mapping) else str(item) for item in items]
    found = [i for i, name in enumerate(names) if part in (str(i), name)]
    if not found:
        raise setting.refuse(f"there is no '{part}' in {where}; {hint(part, names)}")
    if len(found) > 1:
        raise setting.refuse(f"{len(found)} items are named '{part}'; say which by position: {found}")
    return found[0]
