"""The places of a recipe that a setting may change, and how they are called.

A place is the way to a value through the recipe's components, as ``solver.inner.iterations``; it leaves ``params`` out.
Items of lists are called by their component's name or by their position.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ..core import registry
from ..core.errors import InvkitError
from ..core.nested import listed, named
from ..core.parameters import nested_components_of, parameters_of
from .messages import nearest_name

__all__ = ["PLAIN_FIELDS", "Site", "find_site", "places_named", "sites"]

PLAIN_FIELDS = ("measurement", "name", "notes", "source", "title")  # of a recipe that hold no component
SPEC_FIELDS = {
    "fidelity": ("until_iteration",),
    "regularizers": ("weight", "scale_by", "min_weight", "target"),
    "selection": ("weight",),
}
"""What a recipe may say of a component beside its name and parameters, by the component's place."""


@dataclass(frozen=True)
class Site:
    """A place of a document that may be set.

    Attributes:
        keys: the way to it through the document's tables and lists.
        names: for each part of the place, the words that stand for it; an item of a list has a position and a name.
        kind: what stands there.
        family: of the component, or of the components.
    """

    keys: tuple[str | int, ...]
    names: tuple[tuple[str, ...], ...]
    kind: Literal["value", "component", "components", "recipe", "recipes"] = "value"
    family: str = ""

    @property
    def place(self) -> str:
        """The full place as the user writes it, without "params"."""
        return ".".join(words[-1] for words in self.names)

    def is_called(self, path: Sequence[str]) -> bool:
        """Whether a full path means this place."""
        return len(path) == len(self.names) and all(map(_stands_for, path, self.names))

    def may_be_called(self, path: Sequence[str]) -> bool:
        """Whether a shortened path may mean this place: its parts are some of the place's, in order, with the last."""
        if not _stands_for(path[-1], self.names[-1]):
            return False
        rest = iter(self.names[:-1])
        return all(any(_stands_for(part, words) for words in rest) for part in path[:-1])


def _stands_for(part: str, words: Sequence[str]) -> bool:
    return part in words


def find_site(document: Mapping[str, Any], path: Sequence[str]) -> Site:
    """The place that a full or shortened path means.

    Args:
        document: of a recipe, without short forms.
        path: the parts of the place.

    Raises:
        LookupError: no place, or more than one, is called that; says what would do.
    """
    whole = list(sites(document))
    exact = [site for site in whole if site.is_called(path)]
    if len(exact) > 1:
        raise LookupError(f"{len(exact)} items are called that; use a position, as {first_position(exact)}")
    if exact:
        return exact[0]
    if path[0] == "measurement" and len(path) == 2:  # its keys are the recipe model's to check
        return Site(tuple(path), tuple((part,) for part in path))
    for site in whole:  # a parameter that is a table itself
        if site.kind == "value" and site.is_called(path[: len(site.names)]) and "params" in site.keys:
            rest = tuple(path[len(site.names) :])
            return Site((*site.keys, *rest), (*site.names, *((part,) for part in rest)))
    for scope in ([site for site in whole if site.keys[0] not in ("next", "candidates")], whole):
        found = [site for site in scope if site.may_be_called(path)]
        if len(found) == 1:
            return found[0]
        if found:
            raise LookupError(f"{path[-1]} is at {' and at '.join(site.place for site in found)}; say which")
    raise LookupError(unknown_place(path, whole))


def first_position(several: Sequence[Site]) -> str:
    """The first of several places, its items named by their positions."""
    return ".".join(words[0] for words in several[0].names)


def unknown_place(path: Sequence[str], whole: Sequence[Site]) -> str:
    """Why a path means no place, and where the right one is."""
    same = list(dict.fromkeys(site.place for site in whole if path[-1] in site.names[-1] and "params" in site.keys))
    if same:
        return f"there is no place '{'.'.join(path)}'; {path[-1]} is at {' and at '.join(same)}"
    if path[0] in ("regularizers", "selection") and len(path) > 1:
        there = [words[-1] for words in dict.fromkeys(site.names[1] for site in whole if _is_item_of(site, path[0]))]
        listing = f"it has {', '.join(there)}" if there else "the recipe has none"
        example = "{name = 'tv', weight = 1e-3}" if path[0] == "regularizers" else "{name = 'log-gradient'}"
        return f"there is no '{path[1]}' in {path[0]} ({listing}); to add one, write {path[0]}=[{example}]"
    holder = [site for site in whole if len(site.names) == len(path) and _same_holder(site, path)]
    known = list(dict.fromkeys(words for site in holder or whole for words in site.names[-1]))
    return f"there is no place '{'.'.join(path)}'; {nearest_place(path[-1], known, whole)}"


def _is_item_of(site: Site, place: str) -> bool:
    return site.keys[0] == place and len(site.names) == 2


def _same_holder(site: Site, path: Sequence[str]) -> bool:
    return all(map(_stands_for, path[:-1], site.names[:-1]))


def nearest_place(name: str, known: Sequence[str], whole: Sequence[Site]) -> str:
    """A hint with the nearest name and its places, or with all known names."""
    near = difflib.get_close_matches(name, known, n=1)
    if not near:
        return nearest_name(name, known)
    places = list(dict.fromkeys(site.place for site in whole if near[0] in site.names[-1]))
    return f"did you mean '{near[0]}', at {' or '.join(places[:3])}?"


def places_named(document: Mapping[str, Any], name: str) -> list[str]:
    """The full places of all parameters of a recipe that have this name."""
    return list(dict.fromkeys(site.place for site in sites(document) if site.names[-1] == (name,)))


def sites(document: Mapping[str, Any], keys: tuple[str | int, ...] = (), names: Any = ()) -> Iterator[Site]:
    """Every place of an expanded document that may be set; those of ``next`` and ``candidates`` come last."""
    for field in PLAIN_FIELDS:
        yield Site((*keys, field), (*names, (field,)))
    for place, family in registry.PLACES.items():
        here, called = (*keys, place), (*names, (place,))
        if place in registry.COMPONENT_LISTS:
            yield from list_sites(document.get(place), here, called, family, SPEC_FIELDS[place])
        else:
            yield from component_sites(document.get(place), here, called, family)
    yield Site((*keys, "next"), (*names, ("next",)), "recipe")
    yield Site((*keys, "candidates"), (*names, ("candidates",)), "recipes")
    if isinstance(document.get("next"), Mapping):
        yield from sites(document["next"], (*keys, "next"), (*names, ("next",)))
    candidates = document.get("candidates")
    for index, candidate in enumerate(candidates if isinstance(candidates, list | tuple) else ()):
        item = (str(index), str(candidate.get("name"))) if isinstance(candidate, Mapping) else (str(index),)
        here, called = (*keys, "candidates", index), (*names, ("candidates",), item)
        yield Site(here, called, "recipe")
        if isinstance(candidate, Mapping):
            yield from sites(candidate, here, called)


def list_sites(
    items: Any, keys: tuple[str | int, ...], names: Any, family: str, fields: Sequence[str] = ()
) -> Iterator[Site]:
    """The places of a list of components; arguments as for `component_sites`."""
    yield Site(keys, names, "components", family)
    for index, item in enumerate(named(listed(items)) if isinstance(items, list | tuple | str | Mapping) else ()):
        words = (str(index), str(item.get("name"))) if isinstance(item, Mapping) else (str(index),)
        yield from component_sites(item, (*keys, index), (*names, words), family, fields)


def component_sites(
    spec: Any, keys: tuple[str | int, ...], names: Any, family: str, fields: Sequence[str] = ()
) -> Iterator[Site]:
    """The places of one component, of its parameters and of the components nested in it.

    Args:
        spec: what the document says of it: a name, a table or nothing.
        keys: the way to it.
        names: what each part of its place is called.
        family: of the component.
        fields: what a recipe may say of it beside name and parameters.
    """
    yield Site(keys, names, "component", family)
    spec = named(spec) if isinstance(spec, str | Mapping) else None
    if spec is None:
        return
    yield Site((*keys, "name"), (*names, ("name",)), "component", family)
    for field in fields:
        yield Site((*keys, field), (*names, (field,)))
    component = loaded(family, spec.get("name"))
    params = spec.get("params") if isinstance(spec.get("params"), Mapping) else {}
    nested = nested_components_of(component) if component else {}
    for parameter in parameters_of(component).model_fields if component else ():
        here, called, there = (*keys, "params", parameter), (*names, (parameter,)), params.get(parameter)
        if parameter not in nested:
            yield Site(here, called)
        elif nested[parameter].many:
            yield from list_sites(there, here, called, nested[parameter].family)
        else:
            yield from component_sites(there, here, called, nested[parameter].family)


def loaded(family: str, name: Any) -> Any:
    """The component of that name; None if it cannot be loaded, which validation reports."""
    try:
        return registry.load(family, name) if isinstance(name, str) and name else None
    except InvkitError:
        return None
