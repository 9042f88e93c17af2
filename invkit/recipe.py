"""A recipe (validated TOML) -> a problem and a solver: the composition root, where names become components.

Validation has two phases: the recipe's own form first, then each component's parameters by the component's own
model; errors name the place, as ``kernel_prior.params.hidden``.
"""

from __future__ import annotations

import difflib
import inspect
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from . import registry
from .errors import InputError, PluginError, RecipeError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = [
    "ComponentSpec",
    "FidelitySpec",
    "Measurement",
    "Parameters",
    "Recipe",
    "RegularizerSpec",
    "check_parameters",
    "check_recipe",
    "load_recipe",
    "parse_recipe",
    "recipe_text",
    "resolved",
]


def _named(value: object) -> object:
    """``"tv"`` is short for ``{name = "tv"}``."""
    return {"name": value} if isinstance(value, str) else value


def _listed(value: object) -> object:
    """One table is short for a list of one."""
    return [value] if isinstance(value, Mapping | str) else value


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


Component = Annotated[ComponentSpec, BeforeValidator(_named)]


class Recipe(_Strict):
    """One named method, as components and their parameters."""

    name: str = Field(min_length=1)
    title: str = ""
    source: str = Field(default="", description="the paper or page the method is from")
    notes: str = Field(default="", description="what follows the source and what differs")
    operator: Component = ComponentSpec(name="convolution")
    image_prior: Component
    kernel_prior: Component | None = Field(default=None, description="none: the operator has no unknown")
    fidelity: Annotated[list[Annotated[FidelitySpec, BeforeValidator(_named)]], BeforeValidator(_listed)] = Field(
        default=[FidelitySpec(name="mse")], min_length=1
    )
    regularizers: list[RegularizerSpec] = Field(default_factory=list)
    solver: Component
    measurement: Measurement = Measurement()

    def components(self) -> list[tuple[str, str, ComponentSpec]]:
        """(place in the recipe, family, spec) of every component."""
        one = [
            ("operator", "operators", self.operator),
            ("image_prior", "image_priors", self.image_prior),
            ("kernel_prior", "kernel_priors", self.kernel_prior or ComponentSpec(name="known")),
            ("solver", "solvers", self.solver),
        ]
        terms = [(f"regularizers.{i}", "regularizers", spec) for i, spec in enumerate(self.regularizers)]
        stages = [(f"fidelity.{i}", "fidelities", spec) for i, spec in enumerate(self.fidelity)]
        return [*one, *stages, *terms]

    def with_overrides(self, overrides: Sequence[str]) -> Recipe:
        """The recipe with ``place=value`` settings applied, as ``kernel_prior.params.hidden=2000``.

        Raises:
            RecipeError: a setting is not of that form, or names no place of a recipe.
        """
        document = self.model_dump()
        for setting in overrides:
            apply_override(document, setting)
        return validate_recipe(document, "--set")


@dataclass(frozen=True)
class Parameters:
    """The checked parameters of one component, with its class."""

    place: str
    component: Any
    values: BaseModel

    def build(self, given: Mapping[str, object]) -> Any:
        """Construct it: positional arguments from ``given`` by name, keywords from the recipe."""
        wanted = positional_names(self.component)
        missing = [name for name in wanted if name not in given]
        if missing:
            raise PluginError(
                f"{self.place}: {self.component.__name__} asks the problem for {', '.join(missing)}, "
                f"which it does not give (it gives {', '.join(given) or 'nothing'})"
            )
        values = {name: getattr(self.values, name) for name in type(self.values).model_fields}
        return self.component(*(given[name] for name in wanted), **values)


def positional_names(component: type) -> list[str]:
    """The names of a constructor's positional arguments."""
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return [p.name for p in inspect.signature(component).parameters.values() if p.kind in kinds]


def check_parameters(recipe: Recipe, seed: int) -> dict[str, Parameters]:
    """Second phase: load every component and check its parameters; ``seed`` is given where a component has one.

    Raises:
        UnknownNameError, PluginError: as `registry.load`.
        RecipeError: a parameter is unknown or of the wrong type or range.
    """
    from .parameters import parameters_of

    checked = {}
    for place, family, spec in recipe.components():
        component = registry.load(family, spec.name)
        model = parameters_of(component)
        values = {"seed": seed, **spec.params} if "seed" in model.model_fields else spec.params
        try:
            checked[place] = Parameters(place, component, model.model_validate(values))
        except ValidationError as error:
            known = list(model.model_fields)
            raise RecipeError(explain(error, recipe.name, f"{place}.params", known)) from error
    return checked


def validate_recipe(document: Mapping[str, Any], origin: str) -> Recipe:
    """First phase: the form of a recipe; raises `RecipeError`."""
    try:
        return Recipe.model_validate(document)
    except ValidationError as error:
        raise RecipeError(explain(error, origin)) from error


def parse_recipe(text: str, origin: str = "recipe") -> Recipe:
    """A recipe from TOML text; raises `RecipeError` naming ``origin`` and the line."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"{origin} is not valid TOML: {error}") from error
    return validate_recipe(document, origin)


def load_recipe(name_or_path: str | Path) -> Recipe:
    """A registered recipe by name, or one in a ``.toml`` file.

    Raises:
        UnknownNameError: no recipe of that name is registered.
        InputError: the file cannot be read.
        RecipeError: its content is not a recipe.
    """
    return parse_recipe(recipe_text(name_or_path), str(name_or_path))


def recipe_text(name_or_path: str | Path) -> str:
    """The TOML text of a recipe; raises as `load_recipe`."""
    if str(name_or_path).endswith(".toml"):
        try:
            return Path(name_or_path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"the recipe {name_or_path} cannot be read: {error}") from error
    entry = registry.find("recipes", str(name_or_path))
    package = registry.load("recipes", str(name_or_path))
    if isinstance(package, str):  # registered in this session, as text
        return package
    resource = files(package) / f"{entry.name}.toml"
    if not resource.is_file():
        raise PluginError(f"recipe '{entry.name}' of {entry.distribution}: {resource} does not exist")
    return resource.read_text(encoding="utf-8")


def explain(error: ValidationError, origin: str, prefix: str = "", known: list[str] | None = None) -> str:
    """One line a problem: the place, what was given, what is right; the nearest name for an unknown one.

    Args:
        error: of a recipe, or of the parameters of one component.
        origin: the file or recipe it is in.
        prefix: the place of the parameters in the recipe.
        known: the names of the parameters; None for those of a recipe, which depend on the place.
    """
    lines = []
    for problem in error.errors():
        place = ".".join(part for part in (prefix, *map(str, problem["loc"])) if part)
        if problem["type"] == "extra_forbidden":
            here = known_at(problem["loc"]) if known is None else known
            near = difflib.get_close_matches(str(problem["loc"][-1]), here, n=1)
            hint = f"did you mean '{near[0]}'?" if near else f"known here: {', '.join(here) or 'none'}"
            lines.append(f"{place} is not known; {hint}")
        else:
            lines.append(f"{place}: {problem['msg'].lower()}, got {problem['input']!r:.80}")
    return f"{origin}: " + "; ".join(lines)


def known_at(place: tuple[int | str, ...]) -> list[str]:
    """The names a recipe knows where the last one of ``place`` stands."""
    nested: dict[str, type[BaseModel]] = {
        "fidelity": FidelitySpec,
        "regularizers": RegularizerSpec,
        "measurement": Measurement,
    }
    model: type[BaseModel] = Recipe if len(place) == 1 else nested.get(str(place[0]), ComponentSpec)
    return list(model.model_fields)


def apply_override(document: dict[str, Any], setting: str) -> None:
    """Apply one ``place=value`` to a recipe's document, in place; the value is TOML, or else a plain word."""
    place, equals, text = setting.partition("=")
    if not equals or not place.strip():
        raise RecipeError(f"--set {setting!r} is not of the form place=value, as solver.params.iterations=500")
    *path, last = [part.strip() for part in place.split(".")]
    node: Any = document
    for part in path:
        node = descend(node, part, setting)
    if not isinstance(node, dict):
        raise RecipeError(f"--set {setting}: a recipe has no place '{place}'")
    value = toml_value(text.strip())
    if last == "name" and node.get("name") != value:
        node["params"] = {}  # the parameters of another component mean nothing to the new one
    node[last] = value


def descend(node: Any, part: str, setting: str) -> Any:
    """One step down a recipe's document; a list is entered by position or by its item's name."""
    if isinstance(node, list):
        for position, item in enumerate(node):
            if part in (str(position), item.get("name")):
                return item
    elif isinstance(node, dict) and part in node:
        return node[part]
    known = [i.get("name") for i in node] if isinstance(node, list) else list(node) if isinstance(node, dict) else []
    raise RecipeError(f"--set {setting}: no place '{part}' here; there are {', '.join(map(str, known)) or 'none'}")


def toml_value(text: str) -> Any:
    """A TOML value, or the text itself where it is not one."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


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
