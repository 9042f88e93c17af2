"""Nested components: components that hold other components.

A constructor's keyword that is annotated with the interface of a family, as ``latent: Solver``, holds a nested
component. Python code gives an instance. A recipe gives a registered name, or a table with name and parameters, as at
every other place. A keyword of type ``list[...]`` holds several components, one of ``... | None`` may be empty.
"""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar, Union, get_args, get_origin

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

__all__ = [
    "FAMILY_KEY",
    "Component",
    "ComponentSpec",
    "NestedComponent",
    "Strict",
    "listed",
    "named",
    "nested_component_of",
]

FAMILY_KEY = "x-family"
"""The key of a JSON schema that names the family of a nested component."""

UNION_TYPES = (Union, types.UnionType)


class Component:
    """A class that a recipe can name.

    Attributes:
        family: in which it is registered. A constructor's keyword annotated with a class of a family holds a nested
            component.
    """

    family: ClassVar[str]

    @classmethod
    def nested_arguments(cls, keyword: str, arguments: Mapping[str, object]) -> Mapping[str, object]:
        """Positional arguments for the component nested at a keyword; by default, those of this component."""
        return arguments


class Strict(BaseModel):
    """Immutable settings that refuse unknown names."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ComponentSpec(Strict):
    """A registered component by name, with the parameters that differ from its defaults."""

    name: str = Field(min_length=1, description="registered name, or 'distribution:name'")
    params: dict[str, Any] = Field(default_factory=dict, description="parameters of the component")


@dataclass(frozen=True)
class NestedComponent:
    """A keyword that holds a nested component.

    Attributes:
        interface: the class that the nested component must have: its family's, or an ability.
        many: whether the keyword holds a list.
        optional: whether it may be None.
    """

    interface: type[Component]
    many: bool = False
    optional: bool = False

    @property
    def family(self) -> str:
        """The family of the nested component."""
        return self.interface.family

    def type_in_recipe(self) -> Any:
        """The type of the keyword in a recipe: a `ComponentSpec`, a list of them, or None if that is allowed."""
        one = Annotated[ComponentSpec, BeforeValidator(self.as_table), WithJsonSchema(self.schema())]
        kind = Annotated[list[one], BeforeValidator(listed)] if self.many else one
        return kind | None if self.optional else kind

    def as_table(self, value: Any) -> Any:
        """A name as a table; raises ``ValueError`` for a value that is neither."""
        if not isinstance(value, str | Mapping):
            raise ValueError(f"should be a registered name of {self.family}, or a table of name and params")
        return named(value)

    def schema(self) -> dict[str, Any]:
        """The JSON schema of one nested component."""
        table = {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}}
        return {FAMILY_KEY: self.family, "anyOf": [{"type": "string"}, table]}


def nested_component_of(annotation: Any) -> NestedComponent | None:
    """The nested component that a keyword of this type holds; None if it holds none."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return nested_component_of(arguments[0])
    if origin in UNION_TYPES:
        others = [nested_component_of(argument) for argument in arguments if argument is not type(None)]
        only = others[0] if len(others) == 1 else None
        return replace(only, optional=True) if only else None
    if origin is list:
        item = nested_component_of(arguments[0])
        return None if item is None or item.many or item.optional else replace(item, many=True)
    kind = origin or annotation  # the origin of Solver[Any] is Solver
    is_interface = isinstance(kind, type) and issubclass(kind, Component) and getattr(kind, "family", None)
    return NestedComponent(kind) if is_interface else None


def listed(value: Any) -> Any:
    """One name or table as a list of one; other values unchanged."""
    return [value] if isinstance(value, Mapping | str) else value


def named(value: Any) -> Any:
    """A name as ``{"name": ...}``; in a list, each item."""
    if isinstance(value, list | tuple):
        return [named(item) for item in value]
    if isinstance(value, str):
        return {"name": value}
    return dict(value) if isinstance(value, Mapping) else value
