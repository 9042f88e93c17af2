"""Recipes: a method named in TOML, and how it is validated.

Validation has two phases: first the form of the recipe, then the parameters of each component by the component's own
model. Errors name the place, as ``kernel_prior.hidden``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, Field, ValidationError

from ..core import registry
from ..core.errors import RecipeError
from ..core.files import parse_toml
from ..core.messages import Place, describe_errors
from ..core.nested import ComponentSpec, Strict, listed, named
from ..core.parameters import NonNegative, Positive, positional_names, read_strictly
from .components import CheckedComponent, check_component
from .overrides import MAX_ITEMS, apply_settings, expanded, expanded_recipe, expanded_recipes, expanded_referee
from .places import places_named
from .toml import read_result_document, recipe_text

__all__ = [
    "FidelitySpec",
    "Measurement",
    "Recipe",
    "RegularizerSpec",
    "SelectionSpec",
    "check_parameters",
    "check_recipe",
    "load_recipe",
    "parse_recipe",
    "resolved_recipe",
]


class FidelitySpec(ComponentSpec):
    """A fidelity and the iteration (counted from 0) at which the next one replaces it."""

    until_iteration: int | None = Field(
        default=None, gt=0, description="first iteration without this fidelity; none: it is used to the end"
    )


class RegularizerSpec(ComponentSpec):
    """One term ``weight * R``."""

    weight: NonNegative = Field(description="factor of the regularizer, scaled by 'scale_by'")
    scale_by: Literal["one", "sigma", "variance", "gain"] = Field(
        default="one",
        description="'sigma': multiply the weight by the noise level; 'variance': by its square; 'gain': by the value "
        "of one photon, which is estimated from the data",
    )
    min_weight: NonNegative = Field(
        default=0.0,
        description="lower bound of the scaled weight, however low the noise level; a weight of 0 stays 0",
    )
    target: Literal["image", "kernel"] = Field(default="image", description="what is penalised")


class SelectionSpec(ComponentSpec):
    """One term ``weight * metric`` of the sum that selects a candidate; the lowest sum wins."""

    weight: Positive = Field(default=1.0, description="factor of the metric")


class Measurement(Strict):
    """The files of a problem, for ``invkit solve``; paths are relative to the recipe's folder."""

    image: str | None = Field(default=None, description="the measured image")
    kernel: str | None = Field(default=None, description="the kernel, for kernel priors that start from one")
    kernel_size: int | tuple[int, int] | Literal["auto", "largest"] = Field(
        default="auto",
        description="pixels: N or [h, w]; largest: of a kernel of unknown size, the largest that the image allows",
    )
    color: Literal["luma", "rgb"] = Field(default="luma", description="what is restored of a colour image")
    window: int | None = Field(
        default=None,
        gt=0,
        description="side, in pixels, of the square with most edges that all stages but the last see; none: the image",
    )


Component = Annotated[ComponentSpec, BeforeValidator(named)]
Fidelities = Annotated[list[Annotated[FidelitySpec, BeforeValidator(named)]], BeforeValidator(listed)]
Regularizers = Annotated[list[Annotated[RegularizerSpec, BeforeValidator(named)]], BeforeValidator(listed)]
Selection = Annotated[list[Annotated[SelectionSpec, BeforeValidator(named)]], BeforeValidator(listed)]
COMPONENT = "a registered name, or {name = ..., params = {...}}"
NEXT = "the recipe of the next stage, which starts from the kernel found: a registered name or a whole recipe; or none"
CANDIDATES = "recipes that each find a kernel for this one to start from: registered names or whole recipes"
REFEREE = (
    "the recipe that restores an image with each kernel for the selection: a registered name or a whole recipe; none: "
    "the last stage"
)
SELECTION = "no-reference metrics {name = ..., weight = ...}; the candidate or kernel of the lowest sum is taken"


class Recipe(Strict):
    """A named method, as components and their parameters."""

    name: str = Field(min_length=1)
    title: str = ""
    source: str = Field(default="", description="the paper or page that describes the method")
    notes: str = Field(default="", description="what follows the source and what differs from it")
    changes: list[str] = Field(default_factory=list, description="settings that differ from the recipe of this name")
    operator: Component = Field(default=ComponentSpec(name="convolution"), description=COMPONENT)
    image_prior: Component = Field(description=COMPONENT)
    kernel_prior: Component | None = Field(default=None, description=f"{COMPONENT}; none: no operator parameter")
    fidelity: Fidelities = Field(
        default=[FidelitySpec(name="mse")], min_length=1, max_length=MAX_ITEMS, description=f"{COMPONENT}; or several"
    )
    regularizers: Regularizers = Field(
        default_factory=list, max_length=MAX_ITEMS, description="tables {name = ..., weight = ...}"
    )
    solver: Component = Field(description=COMPONENT)
    measurement: Measurement = Measurement()
    candidates: Annotated[list[Recipe], BeforeValidator(expanded_recipes)] = Field(
        default_factory=list, max_length=MAX_ITEMS, description=CANDIDATES
    )
    selection: Selection = Field(default_factory=list, max_length=MAX_ITEMS, description=SELECTION)
    referee: Annotated[Recipe | None, BeforeValidator(expanded_referee)] = Field(default=None, description=REFEREE)
    next: Annotated[Recipe | None, BeforeValidator(expanded_recipe)] = Field(default=None, description=NEXT)

    def links(self) -> list[Recipe]:
        """The recipe and those of its next stages, in order, without candidates."""
        return [self, *(self.next.links() if self.next else ())]

    def tree(self, before: str = "") -> list[tuple[str, Recipe]]:
        """The recipe and all recipes inside it, each with the prefix of its places: "candidates.0.next."."""
        candidates = [one for i, inner in enumerate(self.candidates) for one in inner.tree(f"{before}candidates.{i}.")]
        referee = self.referee.tree(f"{before}referee.") if self.referee else []
        return [(before, self), *candidates, *referee, *(self.next.tree(f"{before}next.") if self.next else ())]

    @property
    def keeps_kernel(self) -> bool:
        """Whether this stage keeps the kernel that it starts from: a given one, or that of its candidates."""
        return self.kernel_prior is not None and self.kernel_prior.name.rpartition(":")[2] == "known"

    @property
    def is_nonblind(self) -> bool:
        """Whether the kernel must be given: this stage keeps it, and no candidates find one."""
        return self.keeps_kernel and not self.candidates

    @property
    def needs_improvement(self) -> bool:
        """Whether the kernel it finds is accepted only if its selection prefers it to the one it starts from."""
        return bool(self.selection) and not self.candidates

    def components(self) -> list[tuple[str, str, ComponentSpec]]:
        """(place, family, spec) of every component, those of recipes inside this one included."""
        return [
            (before + place, family, spec)
            for before, recipe in self.tree()
            for place, family, spec in recipe.own_components()
        ]

    def own_components(self) -> list[tuple[str, str, ComponentSpec]]:
        """(place, family, spec) of the components of this recipe alone."""
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
        """The recipe with ``place=value`` settings, as ``kernel_prior.hidden=2000`` (`invkit.recipes.overrides`).

        A component that replaces another one keeps the parameters that both have. Title and ``changes`` of the new
        recipe say what was set.

        Raises:
            RecipeError: a setting has another form, its place is unknown or ambiguous, or its value is not allowed.
            UnknownNameError, PluginError: a chosen component or recipe cannot be loaded.

        Example:
            >>> load_recipe("selfdeblur").with_overrides(["solver.iterations=40"]).changes
            ['solver.iterations=40']
        """
        return validate_recipe(apply_settings(self.model_dump(), overrides), f"{self.name}, as set")

    def _repr_html_(self) -> str:
        """Its components and their parameters, for notebooks."""
        from .notebook import recipe_html

        parts = [
            (
                f"{before.rstrip('.')}: {one.name}" if before else "",
                [(at, spec) for at, _, spec in one.own_components()],
            )
            for before, one in self.tree()
        ]
        return recipe_html(self.name, self.title, self.source, self.notes, parts)


def check_parameters(recipe: Recipe, seed: int) -> dict[str, CheckedComponent]:
    """The second phase: load every component and validate its parameters.

    Args:
        recipe: with its candidates and next stages.
        seed: for every component that has a ``seed`` and whose recipe names none.

    Returns:
        The components by their places.

    Raises:
        UnknownNameError, PluginError: as `registry.load` and `parameters_of`.
        RecipeError: a parameter is unknown or has a wrong type or range; a candidate or a next stage does not fit.
    """
    checked = {}
    for place, family, spec in recipe.components():
        try:
            checked[place] = check_component(place, family, spec, seed, recipe.name)
        except RecipeError as error:
            raise RecipeError(f"{error}{right_place(recipe, str(error))}") from error
    for before, one in recipe.tree():
        check_stages_of(one, before)
        if one.candidates or before.endswith("next."):
            check_starts_from_kernel(recipe.name, checked[f"{before}kernel_prior"], bool(one.candidates))
    return checked


def right_place(recipe: Recipe, message: str) -> str:
    """Where a parameter stands that a message says is not known in its place; nothing if it stands nowhere."""
    place = message.partition(" is not known;")[0].rpartition(" ")[2]
    found = places_named(recipe.model_dump(), place.rpartition(".")[2]) if " is not known;" in message else []
    elsewhere = [one for one in found if one != place]
    return f"; {place.rpartition('.')[2]} is at {' and at '.join(elsewhere)}" if elsewhere else ""


def check_stages_of(recipe: Recipe, before: str) -> None:
    """Refuse candidates that find no kernel or cannot be compared, and settings without effect; `RecipeError`."""
    is_later = before.endswith("next.")
    if is_later and recipe.candidates:
        raise RecipeError(f"{before}candidates: {recipe.name} starts from the kernel found and cannot have candidates")
    if recipe.measurement.window and not recipe.next:
        raise RecipeError(f"{before}measurement.window: a recipe with a window needs a next stage for the whole image")
    if recipe.needs_improvement and not (is_later and recipe.next and not recipe.keeps_kernel):
        raise RecipeError(
            f"{before}selection: there is nothing to select from; name recipes in 'candidates', or put the selection "
            "in a 'next' stage that refines the kernel and is followed by another stage"
        )
    if recipe.referee:
        check_referee(recipe, recipe.referee, before)
    if len(recipe.candidates) > 1 and not recipe.selection:
        raise RecipeError(f"{before}selection is missing ({SELECTION})")
    for index, candidate in enumerate(recipe.candidates):
        if candidate.is_nonblind:
            raise RecipeError(f"{before}candidates.{index}: {candidate.name} finds no kernel; name a blind recipe")


def check_referee(recipe: Recipe, referee: Recipe, before: str) -> None:
    """Refuse a referee that has nothing to do, or is more than one stage with a given kernel; raises `RecipeError`."""
    if before.endswith("next."):
        raise RecipeError(f"{before}referee: the first stage names the referee of all stages; put it there")
    if not any(link.selection for link in recipe.links()):
        raise RecipeError(f"{before}referee: no stage has a selection, so {referee.name} would restore nothing")
    if not referee.is_nonblind or referee.next:
        raise RecipeError(
            f"{before}referee: {referee.name} is not one stage with a given kernel; name one, as sparse-admm"
        )


def check_starts_from_kernel(origin: str, kernel_prior: CheckedComponent, has_candidates: bool) -> None:
    """Refuse a kernel prior that would ignore the kernel of the stage before; raises `RecipeError`."""
    if "start" not in positional_names(kernel_prior.component):
        why = "the kernel of its candidates" if has_candidates else "the kernel of the stage before"
        raise RecipeError(
            f"{origin}: {kernel_prior.place}: {kernel_prior.component.__name__} cannot start from {why}; use a kernel "
            "prior that can, as 'known' or 'simplex'"
        )


def validate_recipe(document: Mapping[str, Any], origin: str) -> Recipe:
    """The first phase: the form of a recipe; raises `RecipeError`, and as `expanded` for recipes inside it."""
    whole = expanded(document)
    try:
        return read_strictly(Recipe, whole)
    except ValidationError as error:
        raise RecipeError(f"{origin}: {describe_errors(error, whole, model_at)}") from error
    except TypeError as error:
        raise RecipeError(f"{origin} holds a value that no recipe can hold: {error}") from error


def parse_recipe(text: str, origin: str = "recipe") -> Recipe:
    """A recipe from TOML text; raises `RecipeError` that names ``origin`` and the line."""
    return validate_recipe(parse_toml(text, origin), origin)


def load_recipe(name_or_path: str | Path) -> Recipe:
    """A registered recipe by name, one in a ``.toml`` file, or the one that a ``result.json`` was made with.

    Raises:
        UnknownNameError: no recipe of that name is registered.
        InputError: the file cannot be read.
        RecipeError: its content is not a recipe.

    Example:
        >>> load_recipe("pan-l0").solver.name
        'pyramid'
    """
    origin = str(name_or_path)
    if origin.endswith(".json"):
        return validate_recipe(read_result_document(origin)["recipe"], origin)
    return parse_recipe(recipe_text(origin), origin)


def model_at(place: Place) -> type[BaseModel]:
    """The model whose fields include the last part of a place in a recipe."""
    lists: dict[str, type[BaseModel]] = {
        "fidelity": FidelitySpec,
        "regularizers": RegularizerSpec,
        "measurement": Measurement,
        "selection": SelectionSpec,
    }
    if len(place) > 1 and place[0] in ("next", "referee"):
        return model_at(place[1:])
    if len(place) > 2 and place[0] == "candidates":
        return model_at(place[2:])
    return Recipe if len(place) <= 1 else lists.get(str(place[0]), ComponentSpec)


def resolved_recipe(recipe: Recipe, checked: Mapping[str, CheckedComponent], prefix: str = "") -> dict[str, Any]:
    """The recipe's document with every default, JSON-serialisable.

    Args:
        recipe: the recipe, or one inside it.
        checked: every component by its place, as `check_parameters` gives them.
        prefix: of the recipe's places, with a dot.
    """
    document = recipe.model_dump(mode="json", exclude={"measurement", "candidates", "referee", "next"})
    document["kernel_prior"] = document["kernel_prior"] or {"name": "known"}
    for place, _, _ in recipe.own_components():
        node: Any = document
        for part in place.split("."):
            node = node[int(part)] if isinstance(node, list) else node[part]
        node["params"] = checked[prefix + place].all_parameters()
    inner = [resolved_recipe(one, checked, f"{prefix}candidates.{i}.") for i, one in enumerate(recipe.candidates)]
    document["candidates"] = inner
    for place, one in (("referee", recipe.referee), ("next", recipe.next)):
        document[place] = None if one is None else resolved_recipe(one, checked, f"{prefix}{place}.")
    return document


def check_recipe(recipe: Recipe) -> None:
    """Both phases without building anything; raises as `check_parameters`."""
    check_parameters(recipe, seed=0)
