"""The places of a recipe that a setting may change, and how they are called.

A place is the way to a value through the recipe's components, as ``solver.inner.iterations``; it leaves ``params`` out.
Items of lists are called by their component's name or by their position.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ..core import registry
from ..core.errors import InvkitError
from ..core.messages import near_names, nearest_name, toml_inline
from ..core.nested import listed, named
from ..core.parameters import nested_components_of, parameters_of

__all__ = ["TEXT_FIELDS", "Site", "find_site", "places_named", "sites"]

TEXT_FIELDS = ("name", "notes", "source", "title")  # of a recipe
EXAMPLE_WEIGHT = 1e-3
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
        names: for each part of the place, the words that stand for it, the usual one last; an item of a list has a
            position and a name.
        kind: what stands there.
        family: of the component, or of the components.
        is_empty: whether no component stands there yet.
        items: the components of a list.
    """

    keys: tuple[str | int, ...]
    names: tuple[tuple[str, ...], ...]
    kind: Literal["value", "component", "components", "recipe", "recipes"] = "value"
    family: str = ""
    is_empty: bool = False
    items: tuple[Any, ...] = ()

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

    def is_part_of(self, path: Sequence[str]) -> bool:
        """Whether the place is one part longer than a full path, and begins with it."""
        return len(self.names) == len(path) + 1 and all(map(_stands_for, path, self.names))

    @property
    def has_any_parts(self) -> bool:
        """Whether its parts are not listed: a measurement's, which the recipe's model checks, or a parameter's."""
        return self.kind == "value" and ("params" in self.keys or self.keys[-1] == "measurement")

    def ends_with(self, path: Sequence[str]) -> bool:
        """Whether the last parts of the place are this path."""
        return len(path) <= len(self.names) and all(map(_stands_for, path, self.names[-len(path) :]))


def _stands_for(part: str, words: Sequence[str]) -> bool:
    return part in words


def find_site(whole: Sequence[Site], path: Sequence[str], value: Any = None) -> Site:
    """The place that a full or shortened path means.

    Args:
        whole: all places of a document, as `sites` gives them.
        path: the parts of the place.
        value: that is to stand there, for the error.

    Raises:
        LookupError: no place, or more than one, is called that; says what would do.
    """
    exact = [site for site in whole if site.is_called(path)]
    if len(exact) > 1:
        raise LookupError(f"{len(exact)} items are called that; use a position, as {exact[0].place}")
    if exact:
        return exact[0]
    if path[-1] == "name":  # of a component
        found = [site for site in whole if site.kind == "component" and site.is_called(path[:-1])]
        if len(found) == 1:
            return found[0]
    for site in whole:  # a part of a measurement, or of a parameter that is a table
        if site.has_any_parts and site.is_called(path[: len(site.names)]):
            rest = tuple(path[len(site.names) :])
            return Site((*site.keys, *rest), (*site.names, *((part,) for part in rest)))
    own = [site for site in whole if site.keys[0] not in ("next", "candidates", "referee")]
    # settings with a short place are meant for what makes the result, and a referee often has the same components
    for scope in (own, [site for site in whole if "referee" not in site.keys[:-1]]):
        several = [site for site in scope if site.may_be_called(path)]
        found = [site for site in several if len(path) > 1 and site.ends_with(path)] or several
        if len(found) == 1:
            return found[0]
        if found:
            raise LookupError(f"{path[-1]} is at {' and at '.join(site.place for site in found)}; say which")
    raise LookupError(unknown_place(path, whole, value))


def unknown_place(path: Sequence[str], whole: Sequence[Site], value: Any) -> str:
    """Why a path means no place, and where the right one is; arguments as for `find_site`."""
    known_parts = next(n for n in range(len(path)) if not any(site.is_called(path[: n + 1]) for site in whole))
    part, before = path[known_parts], path[:known_parts]
    siblings = [site for site in whole if site.is_part_of(before)]
    there = list(dict.fromkeys(words[-1] for words in (site.names[-1] for site in siblings)))
    holder = next((site for site in whole if site.is_called(before)), None)
    if holder and holder.kind in ("components", "recipes"):
        return missing_item(part, holder, there, value if path[-1] in (part, "weight") else None)
    if holder and not siblings:
        if not holder.is_empty and holder.kind == "component":
            return f"the component at {holder.place} has no settings"
        return f"nothing is at {holder.place} yet; choose it first, as {holder.place}=NAME"
    same = list(dict.fromkeys(site.place for site in whole if path[-1] in site.names[-1] and "params" in site.keys))
    if same:
        return f"there is no place '{'.'.join(path)}'; {path[-1]} is at {' and at '.join(same)}"
    return f"there is no place '{'.'.join(path)}'; {nearest_place(path[-1], siblings, whole)}"


def missing_item(name: str, holder: Site, there: Sequence[str], value: Any) -> str:
    """Why a list has no item of a name, and how to add one.

    Args:
        name: of the item.
        holder: the list.
        there: the names of its items.
        value: of its weight, if it is a number.
    """
    listing = f"it has {', '.join(there)}" if there else "it is empty"
    if holder.kind == "recipes":
        return f"there is no '{name}' in {holder.place} ({listing}); to add one, write {holder.place}=[NAME, ...]"
    [example] = near_names(name, registry.names(holder.family), n=1, cutoff=0)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    weight = value if is_number else EXAMPLE_WEIGHT
    has_weight = holder.family == "regularizers" and "params" not in holder.keys
    item = {"name": example, **({"weight": weight} if has_weight else {})}
    items = ", ".join(map(toml_inline, (*holder.items, item)))
    return f"there is no '{name}' in {holder.place} ({listing}); to add one, set \"{holder.place}=[{items}]\""


def nearest_place(name: str, siblings: Sequence[Site], whole: Sequence[Site]) -> str:
    """A hint with the nearest name and its places, or with the names of the siblings."""
    for several, cutoff in ((siblings, 0.6), (whole, 0.8)):  # elsewhere only what is nearly the same
        words = {word for site in several for word in site.names[-1]}
        near = near_names(name, words, n=1, cutoff=cutoff)
        if near:
            places = list(dict.fromkeys(site.place for site in several if near[0] in site.names[-1]))
            return f"did you mean {' or '.join(map(repr, places[:3]))}?"
    return nearest_name(name, dict.fromkeys(site.names[-1][-1] for site in siblings))


def places_named(document: Mapping[str, Any], name: str) -> list[str]:
    """The full places of all parameters of a recipe that have this name."""
    return list(dict.fromkeys(site.place for site in sites(document) if site.names[-1] == (name,)))


def sites(document: Mapping[str, Any], keys: tuple[str | int, ...] = (), names: Any = ()) -> Iterator[Site]:
    """Every place of an expanded document that may be set; those of recipes inside it come last."""
    for field in (*TEXT_FIELDS, "measurement"):
        yield Site((*keys, field), (*names, (field,)))
    for place, family in registry.PLACES.items():
        here, called = (*keys, place), (*names, (place,))
        if place in registry.COMPONENT_LISTS:
            yield from list_sites(document.get(place), here, called, family, SPEC_FIELDS[place])
        else:
            yield from component_sites(document.get(place), here, called, family)
    for place in ("referee", "next"):
        yield Site((*keys, place), (*names, (place,)), "recipe")
    yield Site((*keys, "candidates"), (*names, ("candidates",)), "recipes")
    for place in ("referee", "next"):
        if isinstance(document.get(place), Mapping):
            yield from sites(document[place], (*keys, place), (*names, (place,)))
    there = document.get("candidates")
    candidates = there if isinstance(there, list | tuple) else ()
    for index, words in enumerate(item_words(candidates)):
        here, called = (*keys, "candidates", index), (*names, ("candidates",), words)
        yield Site(here, called, "recipe")
        if isinstance(candidates[index], Mapping):
            yield from sites(candidates[index], here, called)


def list_sites(
    items: Any, keys: tuple[str | int, ...], names: Any, family: str, fields: Sequence[str] = ()
) -> Iterator[Site]:
    """The places of a list of components; arguments as for `component_sites`."""
    whole = named(listed(items)) if isinstance(items, list | tuple | str | Mapping) else ()
    yield Site(keys, names, "components", family, items=tuple(whole))
    for index, words in enumerate(item_words(whole)):
        yield from component_sites(whole[index], (*keys, index), (*names, words), family, fields)


def item_words(items: Sequence[Any]) -> list[tuple[str, ...]]:
    """For each item of a list, the words that stand for it: position and name; the name first if it is not unique."""
    called = [str(item.get("name")) if isinstance(item, Mapping) else None for item in items]
    return [
        (str(index),) if name is None else (name, str(index)) if called.count(name) > 1 else (str(index), name)
        for index, name in enumerate(called)
    ]


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
    spec = named(spec) if isinstance(spec, str | Mapping) else None
    yield Site(keys, names, "component", family, is_empty=spec is None)
    if spec is None:
        return
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
