"""Components of a recipe: loaded, their parameters validated, ready to be built."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ValidationError

from ..core import registry
from ..core.errors import PluginError, RecipeError, name_missing_components_at, reported_as
from ..core.messages import Place, describe_errors
from ..core.nested import ComponentSpec
from ..core.parameters import nested_components_of, parameters_of, positional_names, read_strictly

__all__ = ["CheckedComponent", "blamed", "check_component", "read_parameters"]


@dataclass(frozen=True)
class CheckedComponent:
    """A component's class with its validated parameters.

    Attributes:
        place: in the recipe, as "solver.latent".
        component: the class.
        values: its parameters, defaults included.
        nested: by keyword, the components nested in it: one, a list of them, or None.
    """

    place: str
    component: Any
    values: BaseModel
    nested: Mapping[str, CheckedComponent | list[CheckedComponent] | None] = field(default_factory=dict)

    def nested_at(self, keyword: str) -> list[CheckedComponent]:
        """The components nested at one keyword."""
        there = self.nested[keyword]
        return there if isinstance(there, list) else [there] if there else []

    def build(self, arguments: Mapping[str, object]) -> Any:
        """Construct the component: positional arguments by name from ``arguments``, keywords from the recipe.

        Nested components are built first; `Component.nested_arguments` gives their positional arguments.

        Raises:
            PluginError: the component asks for an argument that the problem does not give, or fails.
            InvkitError: the component refuses its arguments.
        """
        wanted = positional_names(self.component)
        missing = [name for name in wanted if name not in arguments]
        if missing:
            raise PluginError(
                f"{self.place}: {self.component.__name__} asks the problem for {', '.join(missing)}, "
                f"but the problem gives {', '.join(arguments) or 'nothing'}"
            )
        values = {name: getattr(self.values, name) for name in type(self.values).model_fields}
        for keyword in self.nested:
            values[keyword] = self.build_nested(keyword, arguments)
        with blamed(self.place, self.component):
            return self.component(*(arguments[name] for name in wanted), **values)

    def build_nested(self, keyword: str, arguments: Mapping[str, object]) -> Any:
        """Construct what is nested at one keyword, from what this component makes of its own arguments."""
        inner = self.component.nested_arguments(keyword, arguments)
        return for_each(self.nested[keyword], lambda one: one.build(inner))

    def all_parameters(self) -> dict[str, Any]:
        """The parameters with every default, also those of nested components, JSON-serialisable."""
        plain = self.values.model_dump(mode="json")
        inner = {name: for_each(there, lambda one: one.all_parameters()) for name, there in self.nested.items()}
        return plain | {name: with_params(plain[name], params) for name, params in inner.items()}


def for_each(
    there: CheckedComponent | list[CheckedComponent] | None, function: Callable[[CheckedComponent], Any]
) -> Any:
    """Apply a function to one nested component, to each of a list, or to none."""
    if isinstance(there, list):
        return [function(one) for one in there]
    return None if there is None else function(there)


def with_params(spec: Any, params: Any) -> Any:
    """The plain data of nested components with other parameters."""
    if isinstance(spec, list):
        return [with_params(*pair) for pair in zip(spec, params, strict=True)]
    return None if spec is None else {**spec, "params": params}


@contextmanager
def blamed(place: str, component: type) -> Iterator[None]:
    """Turn an unexpected error of a component into a `PluginError` that names it; a lack of memory stays as it is."""
    who = f"{component.__module__}.{component.__qualname__}"
    with reported_as(PluginError, f"{place}: the component {who} failed"):
        yield


def check_component(place: str, family: str, spec: ComponentSpec, seed: int, origin: str) -> CheckedComponent:
    """Load a component and those nested in it, and validate their parameters.

    Args:
        place: in the recipe.
        family: in which it is registered.
        spec: name and parameters.
        seed: for components that have one and whose spec names none.
        origin: what errors call the recipe.

    Raises:
        UnknownNameError, PluginError, RecipeError: as `check_parameters`.
    """
    with name_missing_components_at(place):
        component = registry.load(family, spec.name)
    model = parameters_of(component)
    values = {"seed": seed, **spec.params} if "seed" in model.model_fields else spec.params
    read = read_parameters(component, values, origin, place)

    def check_nested(name: str, family: str, there: Any) -> Any:
        inside = f"{place}.{name}"
        if isinstance(there, list):
            return [check_component(f"{inside}.{i}", family, one, seed, origin) for i, one in enumerate(there)]
        return None if there is None else check_component(inside, family, there, seed, origin)

    expected = nested_components_of(component)
    nested = {name: check_nested(name, one.family, getattr(read, name)) for name, one in expected.items()}
    return CheckedComponent(place, component, read, nested)


def read_parameters(component: type, values: dict[str, Any], origin: str, place: str) -> BaseModel:
    """Validate the parameters of one component; raises `RecipeError`.

    Args:
        component: its class.
        values: as the recipe has them.
        origin: what errors call the recipe.
        place: of the component in the recipe.
    """
    model, expected = parameters_of(component), nested_components_of(component)

    def model_inside(inside: Place) -> type[BaseModel]:
        return ComponentSpec if len(inside) > 1 and inside[0] in expected else model

    try:
        return read_strictly(model, values)
    except ValidationError as error:
        raise RecipeError(f"{origin}: {describe_errors(error, values, model_inside, place)}") from error
    except TypeError as error:
        raise RecipeError(f"{origin}: {place} holds a value that no recipe can hold: {error}") from error
