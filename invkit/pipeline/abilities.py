"""What a component lacks that another one needs, in the user's words, and what has it."""

from __future__ import annotations

from typing import Any

from ..core import registry
from ..core.errors import AssemblyError, DataWeightsError, FidelityWeightsError, PluginError
from ..core.fidelity_abilities import KullbackLeibler, LeastSquares, Separable
from ..core.interfaces import (
    Assignable,
    Attracting,
    Blur,
    Denoising,
    ForwardOperator,
    GriddedBlur,
    LatentPrior,
    LinearOperator,
    Majorised,
    Proximable,
    Resizable,
    Reweightable,
)
from ..core.operator_parameters import Stacked
from ..core.parameters import nested_components_of
from ..core.problem import WeightedData
from ..core.ranges import Convolving, NonNegative

__all__ = ["cannot_weight_data", "lacks_ability"]

SOLVERS = "solvers"  # the family
WEIGHTING = {Blur: "sparse-admm and tv-admm", Stacked: "stack-tv-admm and stack-richardson-lucy"}
"""Recipes that weight data, by the kind of their operator."""

ABILITIES: dict[type, str] = {
    Assignable: "can be set to a given image or kernel",
    Attracting: "attracts the image to a target",
    Blur: "is a convolution",
    Convolving: "is a convolution of pictures or of stacks",
    Denoising: "is a denoiser",
    GriddedBlur: "has kernels on a grid",
    KullbackLeibler: "is the Kullback-Leibler divergence",
    LatentPrior: "is a network with a random input",
    LeastSquares: "is the squared error",
    LinearOperator: "is linear in the image",
    NonNegative: "is linear and gives no negative data of images without negative values",
    Majorised: "can be replaced by weighted squares",
    Proximable: "has a proximal map",
    Resizable: "can be resized",
    Reweightable: "can be reweighted",
    Separable: "has a proximal map",
}
"""What a component with an ability does, to follow "that" in an error."""


def lacks_ability(place: str, holder: type, ability: type, given: type | None, family: str) -> AssemblyError:
    """The error that names what lacks an ability, and the registered components that have it.

    Args:
        place: in the recipe.
        holder: the class that needs the ability.
        ability: as a type.
        given: the class without it; None if there is no component.
        family: in which components with the ability are registered.
    """
    needed = ABILITIES.get(ability, f"is a {ability.__name__}")
    lacking = "the recipe has no such term of a weight above zero on the image"
    if given is not None:
        lacking = f"'{registry.registered_name(family, given)}' does not qualify"
    needy = registry.registered_name(getattr(holder, "family", ""), holder)
    remedy = ""
    if given is not None and getattr(holder, "family", "") == SOLVERS and family == ForwardOperator.family:
        remedy = f"; solvers for '{registry.registered_name(family, given)}' are {', '.join(solvers_for(given))}"
    return AssemblyError(
        f"{place}: '{needy}' needs a component of {family} that {needed}, and {lacking}; these do: "
        f"{able(family, ability)}{remedy}"
    )


def cannot_weight_data(recipe: str, operator: ForwardOperator, reason: DataWeightsError) -> DataWeightsError:
    """The error for variances or a mask that a recipe would not use; names recipes and solvers that would.

    Args:
        recipe: its name.
        operator: of the recipe.
        reason: of the solver or of the fidelity.
    """
    lead = f"the recipe {recipe} has no use for variances or a mask: {reason}"
    if isinstance(reason, FidelityWeightsError):
        return DataWeightsError(lead)
    recipes = next(
        (f"the recipes {names} do, and " for kind, names in WEIGHTING.items() if isinstance(operator, kind)), ""
    )
    solvers = [name for name in solvers_for(type(operator)) if issubclass(registry.load(SOLVERS, name), WeightedData)]
    return DataWeightsError(f"{lead}; {recipes}these solvers: {', '.join(solvers)}")


def solvers_for(operator: type) -> list[str]:
    """The names of the registered solvers that take an operator, without those that need another solver inside."""
    found = []
    for name in registry.names(SOLVERS):
        try:
            solver: Any = registry.load(SOLVERS, name)
        except PluginError:
            continue  # as in `able`
        ability = {str(part): needed for part, needed in solver.needs.items()}.get("operator", ForwardOperator)
        is_outer = any(one.family == SOLVERS for one in nested_components_of(solver).values())
        if issubclass(operator, ability) and not is_outer:
            found.append(name)
    return found


def able(family: str, ability: type) -> str:
    """The names of the registered components of a family that have an ability; loads the family."""
    found = []
    for name in registry.names(family):
        try:
            component = registry.load(family, name)
        except PluginError:
            continue  # a broken plugin is no candidate; using it by name reports why
        if issubclass(component, ability):
            found.append(name)
    return ", ".join(found) or "none"
