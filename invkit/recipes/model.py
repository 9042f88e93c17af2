"""A recipe (validated TOML) -> a problem and a solver: the composition root, where names become components.

Validation has two phases: the recipe's own form first, then each component's parameters by the component's own
model; errors name the place, as ``kernel_prior.params.hidden``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, Field, ValidationError

from ..core import registry
from ..core.errors import InvkitError, PluginError, RecipeError, is_out_of_memory
from ..core.nested import ComponentSpec, Strict, listed, named
from ..core.parameters import nested_components_of, parameters_of, positional_names, read_strictly, reason
from .messages import Place, explain, placed
from .overrides import overridden, whole_recipe, whole_recipes, written_out
from .toml import read_toml, recipe_of_result, recipe_text

__all__ = [
    "ComponentSpec",
    "FidelitySpec",
    "Measurement",
    "CheckedComponent",
    "Recipe",
    "RegularizerSpec",
    "SelectionSpec",
    "blamed",
    "check_parameters",
    "check_recipe",
    "load_recipe",
    "parse_recipe",
    "recipe_text",
    "resolved",
]


class FidelitySpec(ComponentSpec):
    """A fidelity and the iteration (counted from 0) at which the next one takes over."""

    until_iteration: int | None = Field(default=None, gt=0, description="first iteration it no longer serves; none: to the end")


class RegularizerSpec(ComponentSpec):
    """One term ``weight * R``."""

    weight: float = Field(ge=0, allow_inf_nan=False, description="factor of the regularizer, of 'scale_by' if given")
    scale_by: Literal["one", "sigma", "variance"] = Field(
        default="one", description="'sigma': the weight times the noise level; 'variance': times its square"
    )
    min_weight: float = Field(
        default=0.0,
        ge=0,
        allow_inf_nan=False,
        description="what that is at least, however low the noise level; a weight of 0 stays 0",
    )
    target: Literal["image", "kernel"] = Field(default="image", description="what is penalised")


class SelectionSpec(ComponentSpec):
    """One term ``weight * score`` of what the starts of a recipe are compared by."""

    weight: float = Field(default=1.0, gt=0, allow_inf_nan=False, description="factor of the score")


class Measurement(Strict):
    """The files of a problem, for ``invkit solve``; paths are relative to the recipe's folder."""

    image: str | None = Field(default=None, description="the measured image")
    kernel: str | None = Field(default=None, description="the kernel, for kernel priors that start from one")
    kernel_size: int | tuple[int, int] | Literal["auto"] = Field(default="auto", description="pixels: N or [h, w]")
    color: Literal["luma", "rgb"] = Field(default="luma", description="what is restored of a colour image")
    window: int | None = Field(
        default=None,
        gt=0,
        description="side of the part, the richest in edges, that all but the last of several recipes look at, pixels; "
        "none: the whole image",
    )


Component = Annotated[ComponentSpec, BeforeValidator(named)]
Fidelities = Annotated[list[Annotated[FidelitySpec, BeforeValidator(named)]], BeforeValidator(listed)]
Regularizers = Annotated[list[Annotated[RegularizerSpec, BeforeValidator(named)]], BeforeValidator(listed)]
Scores = Annotated[list[Annotated[SelectionSpec, BeforeValidator(named)]], BeforeValidator(listed)]
SLOT = "a registered name, or {name = ..., params = {...}}"
THEN = "the recipe that goes on from the kernel found, a registered name or a whole recipe; none: it ends here"
STARTS = "recipes that each find a kernel for this one to begin from, registered names or whole recipes"
SCORES = "tables {name = ..., weight = ...}: the least sum chooses one of the starts, or of the kernels found and given"


class Recipe(Strict):
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
    candidates: Annotated[list[Recipe], BeforeValidator(whole_recipes)] = Field(default_factory=list, description=STARTS)
    selection: Scores = Field(default_factory=list, description=SCORES)
    next: Annotated[Recipe | None, BeforeValidator(whole_recipe)] = Field(default=None, description=THEN)

    def links(self) -> list[Recipe]:
        """The recipe and those that go on from it, in the order they are used; starts aside."""
        return [self, *(self.next.links() if self.next else ())]

    def tree(self, before: str = "") -> list[tuple[str, Recipe]]:
        """The recipe, its starts and those that go on, each with its place, as "candidates.0.next." or an empty text."""
        candidates = [one for i, start in enumerate(self.candidates) for one in start.tree(f"{before}candidates.{i}.")]
        return [(before, self), *candidates, *(self.next.tree(f"{before}next.") if self.next else ())]

    @property
    def is_nonblind(self) -> bool:
        """Whether the kernel it begins from is taken as it is; starts, and recipes that go on from it, aside."""
        return self.kernel_prior is not None and self.kernel_prior.name.rpartition(":")[2] == "known"

    @property
    def is_on_trial(self) -> bool:
        """Whether the kernel it finds is kept only where its selection prefer it to the one it goes on from."""
        return bool(self.selection) and not self.candidates

    def components(self) -> list[tuple[str, str, ComponentSpec]]:
        """(place in the recipe, family, spec) of every component, those of ``starts`` and ``next`` included."""
        return [
            (before + place, family, spec)
            for before, recipe in self.tree()
            for place, family, spec in recipe.own_components()
        ]

    def own_components(self) -> list[tuple[str, str, ComponentSpec]]:
        """(place in the recipe, family, spec) of the components of this recipe alone."""
        specs = {
            "operator": self.operator,
            "image_prior": self.image_prior,
            "kernel_prior": self.kernel_prior or ComponentSpec(name="known"),
            "solver": self.solver,
            **{f"fidelity.{i}": spec for i, spec in enumerate(self.fidelity)},
            **{f"regularizers.{i}": spec for i, spec in enumerate(self.regularizers)},
            **{f"selection.{i}": spec for i, spec in enumerate(self.selection)},
        }
        return [(place, registry.PLACES[place.partition(".")[0]], spec) for place, spec in specs.items()]

    def with_overrides(self, overrides: Sequence[str]) -> Recipe:
        """The recipe with ``place=value`` settings applied, as ``kernel_prior.params.hidden=2000``.

        A component that takes another's place keeps the parameters that both have.

        Raises:
            RecipeError: a setting is not of that form, names no place of a recipe, or its value is not allowed there.
            UnknownNameError, PluginError: a component chosen instead of one with parameters cannot be loaded, or a
                recipe that goes on cannot be had.
        """
        return validate_recipe(overridden(self.model_dump(), overrides), f"{self.name}, as set")

    def _repr_html_(self) -> str:
        """Its components and their parameters, for notebooks."""
        from .notebook import recipe_html

        parts = [
            (f"{before.rstrip('.')}: {one.name}" if before else "", [(at, spec) for at, _, spec in one.own_components()])
            for before, one in self.tree()
        ]
        return recipe_html(self.name, self.title, self.source, self.notes, parts)


@dataclass(frozen=True)
class CheckedComponent:
    """The checked parameters of one component, with its class.

    Attributes:
        place: in the recipe, as "solver.params.latent".
        component: its class.
        values: what the recipe says and what it leaves at its default.
        slots: by keyword, the components it is to hold: one, a list of them, or None.
    """

    place: str
    component: Any
    values: BaseModel
    slots: Mapping[str, CheckedComponent | list[CheckedComponent] | None] = field(default_factory=dict)

    def held(self, slot: str) -> list[CheckedComponent]:
        """The components of one slot."""
        there = self.slots[slot]
        return there if isinstance(there, list) else [there] if there else []

    def build(self, given: Mapping[str, object]) -> Any:
        """Construct it: positional arguments from ``given`` by name, keywords from the recipe.

        The components it holds are built first, and are given what it says (`Component.nested_arguments`).

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
        values |= {name: self.filled(name, given) for name in self.slots}
        with blamed(self.place, self.component):
            return self.component(*(given[name] for name in wanted), **values)

    def filled(self, slot: str, given: Mapping[str, object]) -> Any:
        """What stands in a slot, built from what it is given of what this one is."""
        theirs = self.component.nested_arguments(slot, given)
        return of_each(self.slots[slot], lambda one: one.build(theirs))

    def written_out(self) -> dict[str, Any]:
        """The parameters with every default, those of the components it holds too, JSON-serialisable."""
        plain = self.values.model_dump(mode="json")
        inner = {name: of_each(there, lambda one: one.written_out()) for name, there in self.slots.items()}
        return plain | {name: with_params(plain[name], params) for name, params in inner.items()}


def of_each(there: CheckedComponent | list[CheckedComponent] | None, function: Callable[[CheckedComponent], Any]) -> Any:
    """What a function gives for what stands in a slot."""
    if isinstance(there, list):
        return [function(one) for one in there]
    return None if there is None else function(there)


def with_params(spec: Any, params: Any) -> Any:
    """The plain data of what stands in a slot, with other parameters."""
    if isinstance(spec, list):
        return [with_params(*pair) for pair in zip(spec, params, strict=True)]
    return None if spec is None else {**spec, "params": params}


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


def check_parameters(recipe: Recipe, seed: int) -> dict[str, CheckedComponent]:
    """Second phase: load every component and check its parameters; ``seed`` is given where a component has one.

    Raises:
        UnknownNameError, PluginError: as `registry.load` and `parameters_of`.
        RecipeError: a parameter is unknown or of the wrong type or range; a recipe that goes on has a kernel prior
            that cannot start from the kernel found.
    """
    checked = {}
    for place, family, spec in recipe.components():
        checked[place] = check_component(place, family, spec, seed, recipe.name)
    for before, one in recipe.tree():
        check_starts(one, before)
        if one.candidates or before.endswith("next."):
            check_goes_on(recipe.name, checked[f"{before}kernel_prior"], "candidates" if one.candidates else "next")
    return checked


def check_component(place: str, family: str, spec: ComponentSpec, seed: int, origin: str) -> CheckedComponent:
    """Load a component, and those it holds, and check their parameters; raises as `check_parameters`."""
    with placed(place):
        component = registry.load(family, spec.name)
    model = parameters_of(component)
    values = {"seed": seed, **spec.params} if "seed" in model.model_fields else spec.params
    read = read_parameters(component, values, origin, f"{place}.params")

    def check_slot(name: str, family: str, there: Any) -> Any:
        inside = f"{place}.params.{name}"
        if isinstance(there, list):
            return [check_component(f"{inside}.{i}", family, one, seed, origin) for i, one in enumerate(there)]
        return None if there is None else check_component(inside, family, there, seed, origin)

    slots = {name: check_slot(name, slot.family, getattr(read, name)) for name, slot in nested_components_of(component).items()}
    return CheckedComponent(place, component, read, slots)


def check_starts(recipe: Recipe, before: str) -> None:
    """Refuse starts that find no kernel or cannot be chosen from, and what would be of no use; `RecipeError`."""
    if before.endswith("next.") and recipe.candidates:
        raise RecipeError(f"{before}candidates: {recipe.name} goes on from the kernel found, and can have no starts")
    if recipe.measurement.window and not recipe.next:
        raise RecipeError(f"{before}measurement.window: a recipe must go on ('next') from a window to the whole image")
    if recipe.is_on_trial and not (before.endswith("next.") and recipe.next and not recipe.is_nonblind):
        raise RecipeError(
            f"{before}selection: there is nothing to choose from; name the recipes to start from in 'candidates', or give the "
            "selection to a recipe that goes on from a kernel ('next'), finds another and is gone on from itself"
        )
    if len(recipe.candidates) > 1 and not recipe.selection:
        raise RecipeError(f"{before}selection is missing ({SCORES})")
    for index, start in enumerate(recipe.candidates):
        if start.is_nonblind and not start.candidates:
            raise RecipeError(f"{before}candidates.{index}: {start.name} finds no kernel; name a blind recipe")


def check_goes_on(origin: str, kernel_prior: CheckedComponent, why: str) -> None:
    """Refuse a recipe that would not look at the kernel it is to go on from; raises `RecipeError`."""
    if "start" not in positional_names(kernel_prior.component):
        raise RecipeError(
            f"{origin}: {kernel_prior.place}: {kernel_prior.component.__name__} starts from no kernel, but '{why}' "
            "goes on from the kernel found; name one that does, as known (or simplex)"
        )


def read_parameters(component: type, values: dict[str, Any], origin: str, place: str) -> BaseModel:
    """The parameters of one component; raises `RecipeError`."""
    model, slots = parameters_of(component), nested_components_of(component)

    def model_inside(place: Place) -> type[BaseModel]:
        return ComponentSpec if len(place) > 1 and place[0] in slots else model

    try:
        return read_strictly(model, values)
    except ValidationError as error:
        raise RecipeError(f"{origin}: {explain(error, values, model_inside, place)}") from error
    except TypeError as error:
        raise RecipeError(f"{origin}: {place} hold a value that no recipe can: {error}") from error


def validate_recipe(document: Mapping[str, Any], origin: str) -> Recipe:
    """First phase: the form of a recipe; raises `RecipeError`, and as `written_out` for one that goes on."""
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


def model_at(place: Place) -> type[BaseModel]:
    """The model that knows the last name of a place in a recipe."""
    nested: dict[str, type[BaseModel]] = {
        "fidelity": FidelitySpec,
        "regularizers": RegularizerSpec,
        "measurement": Measurement,
        "selection": SelectionSpec,
    }
    if len(place) > 1 and place[0] == "next":
        return model_at(place[1:])
    if len(place) > 2 and place[0] == "candidates":
        return model_at(place[2:])
    return Recipe if len(place) == 1 else nested.get(str(place[0]), ComponentSpec)


def resolved(recipe: Recipe, checked: Mapping[str, CheckedComponent], prefix: str = "") -> dict[str, Any]:
    """The recipe with every default written out, JSON-serialisable.

    Args:
        recipe: the recipe, or one that goes on from it.
        checked: the parameters of every component by its place.
        prefix: the place of the recipe itself, with a dot.
    """
    document = recipe.model_dump(mode="json", exclude={"measurement", "candidates", "next"})
    document["kernel_prior"] = document["kernel_prior"] or {"name": "known"}
    for place, _, _ in recipe.own_components():
        node: Any = document
        for part in place.split("."):
            node = node[int(part)] if isinstance(node, list) else node[part]
        node["params"] = checked[prefix + place].written_out()
    document["candidates"] = [resolved(one, checked, f"{prefix}candidates.{i}.") for i, one in enumerate(recipe.candidates)]
    document["next"] = None if recipe.next is None else resolved(recipe.next, checked, f"{prefix}next.")
    return document


def check_recipe(recipe: Recipe) -> None:
    """Both phases without building anything; raises what `check_parameters` raises."""
    check_parameters(recipe, seed=0)
