"""Checks of adapters."""

from __future__ import annotations

from collections.abc import Iterator

from ..core import registry
from ..core.registry import Adapter
from ..core.errors import InvkitError
from ..core.parameters import parameters_schema
from .common import assert_documented, build
from .operators import demand

__all__ = ["check_adapter"]


def check_adapter(component: type[Adapter]) -> None:
    """Every property of an adapter: documented, names each once, and of each a component of its family or a reason."""
    assert_documented(component)
    adapter: Adapter = build(component)
    usable = [name for family in registry.FAMILIES for name in usable_names(adapter, family)]
    demand(bool(usable), f"{component.__name__} makes no component of anything")


def usable_names(adapter: Adapter, family: str) -> Iterator[str]:
    """The names of a family that an adapter makes components of, each checked; the others it must refuse in words."""
    title, names = type(adapter).__name__, list(adapter.names(family))
    demand(len(set(names)) == len(names), f"{title} gives names of {family} twice")
    demand(not any(":" in name or not name for name in names), f"{title} has empty names in {family}, or with ':'")
    for name in names:
        try:
            made = adapter.component(family, name)
        except InvkitError as error:
            demand(bool(str(error)), f"{title} refuses '{name}' of {family} without a reason")
            continue
        registry.check_class(registry.Entry(family, name, title, "", repr(made)), made)
        parameters_schema(made)
        demand(adapter.component(family, name) is made, f"{title} makes another '{name}' of {family} at every call")
        yield name
