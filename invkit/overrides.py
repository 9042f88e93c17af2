"""Settings: ``place=value`` changes to a recipe's document, as ``solver.params.iterations=500``.

A document is the plain data of a recipe. Settings that choose a component come first, whatever the order they are
given in, so that the parameters set are those of the component that will be there.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from . import registry
from .errors import RecipeError
from .explain import hint
from .parameters import parameters_of

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["LISTS", "overridden", "read_toml", "written_out"]

LISTS = ("fidelity", "regularizers")  # the places of a recipe where several components may stand


@dataclass(frozen=True)
class Setting:
    """One change: where, and to what; ``text`` is how it was written."""

    text: str
    path: tuple[str, ...]
    value: Any

    @property
    def chosen(self) -> tuple[str, ...] | None:
        """The place of the component that the setting chooses, None where it chooses none."""
        place = self.path[0]
        depth = 2 if place in LISTS else 1
        if place not in registry.PLACES or len(self.path) > depth + 1:
            return None
        if len(self.path) <= depth:
            return self.path
        return self.path[:-1] if self.path[-1] == "name" else None

    @property
    def rank(self) -> tuple[bool, int]:
        """What is applied first: choices, and whole tables before their parts."""
        return self.chosen is None, len(self.path)

    def refuse(self, why: str) -> RecipeError:
        """The error that says what is wrong with the setting."""
        return RecipeError(f"the setting '{self.text}': {why}")


def overridden(document: Mapping[str, Any], settings: Sequence[str]) -> dict[str, Any]:
    """The document with all settings applied; one that is repeated counts as given last.

    Raises:
        RecipeError: a setting is not of the form ``place=value``, or names no place of the recipe.
        UnknownNameError, PluginError: as `registry.load`, of a component chosen in the place of one with parameters.
    """
    changed = written_out(document)
    for setting in sorted(map(read_setting, settings), key=lambda setting: setting.rank):
        if setting.chosen is None:
            put(changed, setting)
        else:
            choose(changed, setting, setting.chosen)
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
    if text == "none":
        return None
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def read_toml(text: str, origin: str) -> dict[str, Any]:
    """A document from TOML; raises `RecipeError` naming ``origin`` and the line."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"{origin} is not valid TOML: {error}") from error


def written_out(document: Mapping[str, Any]) -> dict[str, Any]:
    """The document without short forms: a name is ``{name = ...}``, and one table a list of one."""
    written = {place: listed(value) if place in LISTS else value for place, value in document.items()}
    return {place: named(value) if place in registry.PLACES else value for place, value in written.items()}


def listed(value: Any) -> Any:
    """One name or table as a list of one."""
    return [value] if isinstance(value, Mapping | str) else value


def named(value: Any) -> Any:
    """A name, or each of a list, as a table."""
    if isinstance(value, list | tuple):
        return [named(item) for item in value]
    if isinstance(value, str):
        return {"name": value}
    return dict(value) if isinstance(value, Mapping) else value


def choose(document: dict[str, Any], setting: Setting, where: tuple[str, ...]) -> None:
    """Put another component in its place, in the document."""
    family = registry.PLACES[where[0]]
    value = setting.value
    if where != setting.path and not isinstance(value, str):
        value = {"name": value}  # of the wrong type; validation says so, with its place
    if len(where) == 2:
        items = descend(document, where[0], setting, grows=False)
        position = position_of(items, where[1], setting)
        items[position] = successor(items[position], value, family)
    elif where[0] in LISTS:
        document[where[0]] = named(listed(value))
    else:
        document[where[0]] = successor(document.get(where[0]), value, family)


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


def put(document: dict[str, Any], setting: Setting) -> None:
    """Set a value that chooses no component, in the document."""
    *way, last = setting.path
    node: Any = document
    for depth, part in enumerate(way):
        grows = part == "params" or "params" in way[:depth]  # a parameter may be a table that is not there yet
        node = descend(node, part, setting, grows)
    if not isinstance(node, dict):
        raise setting.refuse(f"a recipe has no place '{'.'.join(setting.path)}'")
    node[last] = setting.value


def descend(node: Any, part: str, setting: Setting, grows: bool) -> Any:
    """One step down a document; a list is entered by position or by its item's name."""
    if isinstance(node, list):
        return node[position_of(node, part, setting)]
    if isinstance(node, dict) and (part in node or grows):
        return node.setdefault(part, {})
    if node is None:
        raise setting.refuse(f"nothing stands there yet; choose it first, as {setting.path[0]}=NAME")
    raise setting.refuse(f"there is no place '{part}'; {hint(part, list(node) if isinstance(node, dict) else [])}")


def position_of(items: Any, part: str, setting: Setting) -> int:
    """Which item of a list is meant, by its position or by its name; raises `RecipeError`."""
    if not isinstance(items, list):
        raise setting.refuse(f"{setting.path[0]} is no list; it is {items!r:.40}")
    names = [str(item.get("name")) if isinstance(item, Mapping) else str(item) for item in items]
    found = [i for i, name in enumerate(names) if part in (str(i), name)]
    if not found:
        raise setting.refuse(f"there is no '{part}' in {setting.path[0]}; {hint(part, names)}")
    if len(found) > 1:
        raise setting.refuse(f"{len(found)} items are named '{part}'; say which by position: {found}")
    return found[0]
