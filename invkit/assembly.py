"""From a checked recipe and data to a problem and a solver."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from . import registry
from .errors import AssemblyError, PluginError
from .fidelities.schedule import Schedule
from .interfaces import Fidelity
from .problem import Problem, Term, check_data, shape_of
from .recipe import Parameters, Recipe, check_parameters, resolved
from .solver import Solver

__all__ = ["Assembly", "assemble"]

FAMILY_OF_PART = {"image_prior": "image_priors", "kernel_prior": "kernel_priors", "regularizers": "regularizers"}


@dataclass(frozen=True)
class Assembly:
    """A recipe made concrete: what to solve, with what, and the recipe as resolved."""

    problem: Problem
    solver: Solver[Any]
    recipe: dict[str, Any]


def assemble(
    recipe: Recipe,
    data: Tensor,
    kernel_size: tuple[int, int],
    *,
    kernel: Tensor | None = None,
    sigma: float = 0.0,
    seed: int = 0,
) -> Assembly:
    """Build every component of a recipe for the data.

    Args:
        recipe: the method.
        data: the measurement, (B, C, H, W) in [0, 1].
        kernel_size: (h, w) of the unknown kernel, pixels.
        kernel: (B, 1, h, w), what kernel priors that start from a kernel start from; its size wins.
        sigma: noise standard deviation in [0, 1] units, for terms weighted by it.
        seed: of every component that draws random numbers and whose recipe names no seed of its own.

    Raises:
        UnknownNameError, PluginError, RecipeError: a component cannot be had, or its parameters are wrong.
        AssemblyError: the components do not fit together.
    """
    checked = check_parameters(recipe, seed)
    check_abilities(checked)
    check_data(data)
    operator = checked["operator"].build({})
    kernel_shape = (len(data), 1, *kernel_size) if kernel is None else shape_of(kernel)
    kernel_prior = checked["kernel_prior"].build({"shape": kernel_shape, "start": kernel})
    image_shape = operator.image_shape(shape_of(data), kernel_prior.shape)
    image_prior = checked["image_prior"].build({"shape": image_shape, "start": data})
    problem = Problem(
        data=data,
        operator=operator,
        image_prior=image_prior,
        kernel_prior=kernel_prior,
        fidelity=build_fidelity(recipe, checked),
        regularizers=tuple(build_terms(recipe, checked, sigma)),
    )
    solver = checked["solver"].build({})
    solver.check(problem)
    return Assembly(problem, solver, resolved(recipe, checked))


def check_abilities(checked: dict[str, Parameters]) -> None:
    """Refuse, before any compute, components without the abilities the solver asks for.

    Raises:
        AssemblyError: names the component, the ability and the registered components that have it.
    """
    solver = checked["solver"].component
    for part, ability in solver.needs.items():
        for place, parameters in checked.items():
            if place.split(".")[0] == part and not issubclass(parameters.component, ability):
                able = ", ".join(having(FAMILY_OF_PART[part], ability)) or "none"
                raise AssemblyError(
                    f"{place}: {solver.__name__} needs a {ability.__name__}, and {parameters.component.__name__} "
                    f"is none; registered components that would do: {able}"
                )


def having(family: str, ability: type) -> list[str]:
    """Names of the built-in or installed components of a family that have an ability; loads the family."""
    able = []
    for name in registry.names(family):
        try:
            component = registry.load(family, name)
        except PluginError:
            continue  # a broken plugin is no candidate; using it by name reports why
        if issubclass(component, ability):
            able.append(name)
    return able


def build_fidelity(recipe: Recipe, checked: dict[str, Parameters]) -> Fidelity:
    """The recipe's fidelity, or its schedule of several."""
    stages = [(checked[f"fidelity.{i}"].build({}), spec.until) for i, spec in enumerate(recipe.fidelity)]
    if len(stages) == 1 and stages[0][1] is None:
        fidelity: Fidelity = stages[0][0]
        return fidelity
    return Schedule(stages)


def build_terms(recipe: Recipe, checked: dict[str, Parameters], sigma: float) -> list[Term]:
    """The weighted regularizers; terms of weight zero are left out."""
    weights = [spec.weight * (sigma if spec.times == "sigma" else 1.0) for spec in recipe.regularizers]
    return [
        Term(checked[f"regularizers.{i}"].build({}), weight, spec.on)
        for i, (spec, weight) in enumerate(zip(recipe.regularizers, weights, strict=True))
        if weight > 0
    ]
