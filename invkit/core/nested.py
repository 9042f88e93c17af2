"""Slots: where a component holds another, which a recipe names.

A keyword of a constructor that is annotated with an interface of a family, as ``latent: Solver``, is a slot. In Python
it takes an instance. In a recipe it takes a registered name, or a table of name and parameters, as every place of a
recipe does; a slot of ``list[...]`` takes several, and one of ``... | None`` may stay empty.
"""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar, Union, get_args, get_origin

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

__all__ = ["FAMILY", "Component", "ComponentSpec", "NestedComponent", "Strict", "listed", "named", "nested_component_of"]

FAMILY = "x-family"
"""The word of a JSON schema that says of which family the component in a slot is."""

UNIONS = (Union, types.UnionType)


class Component:
    """What a recipe can name.

    Attributes:
        family: where it is registered; a keyword of a component that is annotated with a class of a family is a slot,
            which a recipe fills with another component.
    """

    family: ClassVar[str]

    @classmethod
    def nested_arguments(cls, slot: str, given: Mapping[str, object]) -> Mapping[str, object]:
        """What the component in a slot is given by position, of what this one is ``given``; here the same."""
        return given


class Strict(BaseModel):
    """Settings that are what they were read as, and know no others."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ComponentSpec(Strict):
    """A registered component by name, and what differs from its defaults."""

    name: str = Field(min_length=1, description="registered name, or 'distribution:name'")
    params: dict[str, Any] = Field(default_factory=dict, description="parameters of the component")


@dataclass(frozen=True)
class NestedComponent:
    """What a component asks to hold.

    Attributes:
        interface: the class that it must be of: its family's, or an ability.
        many: whether it is a list of them.
        optional: whether it may be none.
    """

    interface: type[Component]
    many: bool = False
    optional: bool = False

    @property
    def family(self) -> str:
        """The family of what may stand there."""
        return self.interface.family

    def type_in_recipe(self) -> Any:
        """The type of what a recipe says of it: a `ComponentSpec`, a list of them, or None where that may be."""
        one = Annotated[ComponentSpec, BeforeValidator(self.as_table), WithJsonSchema(self.schema())]
        kind = Annotated[list[one], BeforeValidator(listed)] if self.many else one
        return kind | None if self.optional else kind

    def as_table(self, value: Any) -> Any:
        """A name as a table; raises ``ValueError`` for what is neither."""
        if not isinstance(value, str | Mapping):
            raise ValueError(f"should be a registered name of {self.family}, or a table of name and params")
        return named(value)

    def schema(self) -> dict[str, Any]:
        """The JSON schema of one component in it."""
        table = {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}}
        return {FAMILY: self.family, "anyOf": [{"type": "string"}, table]}


def nested_component_of(annotation: Any) -> NestedComponent | None:
    """The slot that a keyword of such a type is, None where it is none."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return nested_component_of(arguments[0])
    if origin in UNIONS:
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
    """One name or table as a list of one."""
    return [value] if isinstance(value, Mapping | str) else value


def named(value: Any) -> Any:
    """A name, or each of a list, as a table."""
    if isinstance(value, list | tuple):
        return [named(item) for item in value]
    if isinstance(value, str):
        return {"name": value}
    return dict(value) if isinstance(value, Mapping) else value
