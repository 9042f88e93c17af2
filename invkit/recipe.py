"""A recipe (validated TOML) -> a problem and a solver: the composition root, where names become components.

Validation has two phases: the recipe's own form first, then each component's parameters by the component's own
model; errors name the place, as ``kernel_prior.params.hidden``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from . import registry
from .errors import InputError, InvkitError, PluginError, RecipeError
from .explain import Place, explain
from .overrides import listed, named, overridden, read_toml, written_out
from .parameters import parameters_of, positional_names, read_strictly, reason

__all__ = [
    "ComponentSpec",
    "FidelitySpec",
    "Measurement",
    "Parameters",
    "Recipe",
    "RegularizerSpec",
    "blamed",
    "check_parameters",
    "check_recipe",
    "is_out_of_memory",
    "load_recipe",
    "parse_recipe",
    "recipe_text",
    "resolved",
]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ComponentSpec(_Strict):
    """A registered component by name, and what differs from its defaults."""

    name: str = Field(min_length=1, description="registered name, or 'distribution:name'")
    params: dict[str, Any] = Field(default_factory=dict, description="parameters of the component")


class FidelitySpec(ComponentSpec):
    """A fidelity and the iteration (counted from 0) at which the next one takes over."""

    until: int | None = Field(default=None, gt=0, description="first iteration it no longer serves; none: to the end")


class RegularizerSpec(ComponentSpec):
    """One term ``weight * R``."""

    weight: float = Field(ge=0, allow_inf_nan=False, description="factor of the regularizer, of 'times' if given")
    times: Literal["one", "sigma"] = Field(default="one", description="'sigma': the weight times the noise level")
    on: Literal["image", "kernel"] = Field(default="image", description="what is penalised")


class Measurement(_Strict):
    """The files of a problem, for ``invkit solve``; paths are relative to the recipe's folder."""

    image: str | None = Field(default=None, description="the measured image")
    kernel: str | None = Field(default=None, description="the kernel, for kernel priors that start from one")
    kernel_size: int | tuple[int, int] | Literal["auto"] = Field(default="auto", description="pixels: N or [h, w]")
    color: Literal["luma", "rgb"] = Field(default="luma", description="what is restored of a colour image")


Component = Annotated[ComponentSpec, BeforeValidator(named)]
Fidelities = Annotated[list[Annotated[FidelitySpec, BeforeValidator(named)]], BeforeValidator(listed)]
Regularizers = Annotated[list[Annotated[RegularizerSpec, BeforeValidator(named)]], BeforeValidator(listed)]
SLOT = "a registered name, or {name = ..., params = {...}}"


class Recipe(_Strict):
    """One named method, as components and their parameters."""

    name: str = Field(min_length=1)
    title: str = ""
    source: str = Field(default="", description="the paper or page the method is from")
    notes: str = Field(default="", description="what follows the source and what differs")
    operator: Component = Field(default=ComponentSpec(name="convolution"), description=SLOT)
    image_prior: Component = Field(description=SLOT)
    kernel_prior: Component | None = Field(default=None, description=f"{SLOT}; none: the operator has no unknown")
    fidelity: Fidelities = Field(default=[FidelitySpec(name="mse")], min_length=1, description=f"{SLOT}, or several")
    regularizers: Regularizers = Field(default_factory=list, description="tables {name = ..., weight = ...}")
    solver: Component = Field(description=SLOT)
    measurement: Measurement = Measurement()

    def components(self) -> list[tuple[str, str, ComponentSpec]]:
        """(place in the recipe, family, spec) of every component."""
        specs = {
            "operator": self.operator,
            "image_prior": self.image_prior,
            "kernel_prior": self.kernel_prior or ComponentSpec(name="known"),
            "solver": self.solver,
            **{f"fidelity.{i}": spec for i, spec in enumerate(self.fidelity)},
            **{f"regularizers.{i}": spec for i, spec in enumerate(self.regularizers)},
        }
        return [(place, registry.PLACES[place.partition(".")[0]], spec) for place, spec in specs.items()]

    def with_overrides(self, overrides: Sequence[str]) -> Recipe:
        """The recipe with ``place=value`` settings applied, as ``kernel_prior.params.hidden=2000``.

        A component that takes another's place keeps the parameters that both have.

        Raises:
            RecipeError: a setting is not of that form, names no place of a recipe, or its value is not allowed there.
            UnknownNameError, PluginError: a component chosen instead of one with parameters cannot be loaded.
        """
        return validate_recipe(overridden(self.model_dump(), overrides), f"{self.name}, as set")


@dataclass(frozen=True)
class Parameters:
    """The checked parameters of one component, with its class."""

    place: str
    component: Any
    values: BaseModel

    def build(self, given: Mapping[str, object]) -> Any:
        """Construct it: positional arguments from ``given`` by name, keywords from the recipe.

        Raises:
            PluginError: it asks for what is not given, or fails.
            InvkitError: it refuses what it is given.
        """
        wanted = positional_names(self.component)
        missing = [name for name in wanted if name not in given]
        if missing:
            raise PluginError(
                f"{self.place}: {self.component.__name__} asks the problem for {', '.join(missing)}, "
                f"which it does not give (it gives {', '.join(given) or 'nothing'})"
            )
        values = {name: getattr(self.values, name) for name in type(self.values).model_fields}
        with blamed(self.place, self.component):
            return self.component(*(given[name] for name in wanted), **values)


@contextmanager
def blamed(place: str, component: type) -> Iterator[None]:
    """Turn what a component raises by accident into a `PluginError` that names it; a lack of memory stays one."""
    try:
        yield
    except (InvkitError, MemoryError):
        raise
    except (Exception, SystemExit) as error:
        if is_out_of_memory(error):
            raise
        who = f"{component.__module__}.{component.__qualname__}"
        raise PluginError(f"{place}: the component {who} failed: {reason(error)}") from error


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that there was not enough memory; torch has several ways to say so."""
    words = ("out of memory", "allocate")
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and any(word in str(error).lower() for word in words)
    )


def check_parameters(recipe: Recipe, seed: int) -> dict[str, Parameters]:
    """Second phase: load every component and check its parameters; ``seed`` is given where a component has one.

    Raises:
        UnknownNameError, PluginError: as `registry.load` and `parameters_of`.
        RecipeError: a parameter is unknown or of the wrong type or range.
    """
    checked = {}
    for place, family, spec in recipe.components():
        component = registry.load(family, spec.name)
        model = parameters_of(component)
        values = {"seed": seed, **spec.params} if "seed" in model.model_fields else spec.params
        checked[place] = Parameters(place, component, read_parameters(model, values, recipe.name, f"{place}.params"))
    return checked


def read_parameters(model: type[BaseModel], values: dict[str, Any], origin: str, place: str) -> BaseModel:
    """The parameters of one component; raises `RecipeError`."""
    try:
        return read_strictly(model, values)
    except ValidationError as error:
        raise RecipeError(f"{origin}: {explain(error, values, lambda _: model, place)}") from error
    except TypeError as error:
        raise RecipeError(f"{origin}: {place} hold a value that no recipe can: {error}") from error


def validate_recipe(document: Mapping[str, Any], origin: str) -> Recipe:
    """First phase: the form of a recipe; raises `RecipeError`."""
    written = written_out(document)
    try:
        return read_strictly(Recipe, written)
    except ValidationError as error:
        raise RecipeError(f"{origin}: {explain(error, written, model_at)}") from error
    except TypeError as error:
        raise RecipeError(f"{origin} holds a value that no recipe can: {error}") from error


def parse_recipe(text: str, origin: str = "recipe") -> Recipe:
    """A recipe from TOML text; raises `RecipeError` naming ``origin`` and the line."""
    return validate_recipe(read_toml(text, origin), origin)


def load_recipe(name_or_path: str | Path) -> Recipe:
    """A registered recipe by name, one in a ``.toml`` file, or the one that a ``result.json`` was made with.

    Raises:
        UnknownNameError: no recipe of that name is registered.
        InputError: the file cannot be read.
        RecipeError: its content is not a recipe.
    """
    origin = str(name_or_path)
    if origin.endswith(".json"):
        return validate_recipe(recipe_of_result(origin), origin)
    return parse_recipe(recipe_text(origin), origin)


def recipe_of_result(path: str) -> Mapping[str, Any]:
    """The resolved recipe in a result.json; raises `InputError`."""
    try:
        document = json.loads(read_file(path))
    except json.JSONDecodeError as error:
        raise InputError(f"{path} is not valid JSON: {error}") from error
    recipe = document.get("recipe") if isinstance(document, dict) else None
    if not isinstance(recipe, dict):
        raise InputError(f"{path} holds no recipe; give the result.json of a run, a .toml file or a recipe's name")
    return recipe


def read_file(path: str) -> str:
    """The text of a file; raises `InputError`."""
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"the recipe {path} cannot be read: {error}") from error


def recipe_text(name_or_path: str | Path) -> str:
    """The TOML text of a recipe; raises as `load_recipe`."""
    if str(name_or_path).endswith(".toml"):
        return read_file(str(name_or_path))
    entry = registry.find("recipes", str(name_or_path))
    package = registry.load("recipes", str(name_or_path))
    if isinstance(package, str):  # registered in this session, as text
        return package
    try:
        return (files(package) / f"{entry.name}.toml").read_text(encoding="utf-8")
    except Exception as error:  # what a plugin registers as its package may be anything
        raise PluginError(
            f"the recipe '{entry.name}' of {entry.distribution} cannot be read from {entry.value}: {reason(error)}"
        ) from error


def model_at(place: Place) -> type[BaseModel]:
    """The model that knows the last name of a place in a recipe."""
    nested: dict[str, type[BaseModel]] = {
        "fidelity": FidelitySpec,
        "regularizers": RegularizerSpec,
        "measurement": Measurement,
    }
    return Recipe if len(place) == 1 else nested.get(str(place[0]), ComponentSpec)


def resolved(recipe: Recipe, checked: Mapping[str, Parameters]) -> dict[str, Any]:
    """The recipe with every default written out, JSON-serialisable."""
    document = recipe.model_dump(mode="json", exclude={"measurement"})
    document["kernel_prior"] = document["kernel_prior"] or {"name": "known"}
    for place, parameters in checked.items():
        node: Any = document
        for part in place.split("."):
            node = node[int(part)] if isinstance(node, list) else node[part]
        node["params"] = parameters.values.model_dump(mode="json")
    return document


def check_recipe(recipe: Recipe) -> None:
    """Both phases without building anything; raises what `check_parameters` raises."""
    check_parameters(recipe, seed=0)
