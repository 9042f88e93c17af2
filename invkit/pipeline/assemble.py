"""From a checked recipe and data to a problem and a solver."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..core import registry
from ..core.errors import AssemblyError, InputError, PluginError
from ..core.evaluation import NoReferenceMetric
from ..core.interfaces import Fidelity, ForwardOperator
from ..core.parameters import nested_components_of, positional_names
from ..core.problem import Problem, Term, check_data
from ..core.solver import Solver
from ..fidelities.schedule import Schedule
from ..numerics.geometry import Shape, shape_of, size_of
from ..recipes.model import CheckedComponent, Recipe, blamed, check_component, check_parameters, resolved

__all__ = ["Assembly", "as_many", "assemble", "build_scores", "pose"]


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
    """Build every component of a recipe for the data; of a recipe that goes on from it, check what can be without.

    Args:
        recipe: the method.
        data: the measurement, (B, C, H, W) in [0, 1].
        kernel_size: (h, w) of the unknown kernel, pixels; of no matter where the operator's unknown is no kernel.
        kernel: (B, 1, h, w), or the operator's other unknown, what kernel priors that start from one start from; its
            size wins. None for others.
        sigma: noise standard deviation in [0, 1] units, for terms weighted by it.
        seed: of every component that draws random numbers and whose recipe names no seed of its own.

    Raises:
        UnknownNameError, PluginError, RecipeError: a component cannot be had, or its parameters are wrong.
        AssemblyError: the components do not fit together.
        InputError: the data, or the kernel, are not what they can use.
    """
    checked = check_parameters(recipe, seed)
    check_chain(recipe, checked, sigma)
    if kernel is not None:
        check_start(recipe, checked["kernel_prior"])
    operator: ForwardOperator = checked["operator"].build({})
    check_data(data, operator.data_range)
    problem, solver = pose(recipe, checked, operator, data, kernel_size, kernel, sigma)
    solver.check(problem)
    return Assembly(problem, solver, resolved(recipe, checked))


def pose(
    recipe: Recipe,
    checked: dict[str, CheckedComponent],
    operator: ForwardOperator,
    data: Tensor,
    kernel_size: tuple[int, int],
    kernel: Tensor | None,
    sigma: float,
) -> tuple[Problem, Solver[Any]]:
    """The problem of checked parameters under an operator, and its solver; arguments and errors as `assemble`."""
    solver: Solver[Any] = checked["solver"].build({})
    fidelity = build_fidelity(recipe, checked, data, solver.iterations)
    size = kernel_size if kernel is None else size_of(kernel)
    kernel_shape = operator.parameter_shape(shape_of(data), size)
    start = None if kernel is None else as_many(kernel, kernel_shape)
    guess = operator.initial_parameter(data, kernel_shape) if start is None else None
    kernel_prior = checked["kernel_prior"].build({"shape": kernel_shape, "start": start, "guess": guess})
    image_shape = operator.image_shape(shape_of(data), kernel_prior.shape)
    first = operator.initial_image(data, kernel_prior().detach().to(data))
    image_prior = checked["image_prior"].build({"shape": image_shape, "start": first})
    problem = Problem(
        data=data,
        operator=operator,
        image_prior=image_prior,
        kernel_prior=kernel_prior,
        fidelity=fidelity,
        regularizers=tuple(build_terms(recipe, checked, weights_of(recipe, sigma))),
    )
    return problem, solver


def as_many(kernel: Tensor, shape: Shape) -> Tensor:
    """A kernel, or another unknown, as often as it is needed; raises `InputError` for another number of them."""
    if len(kernel) not in (1, shape[0]):
        raise InputError(f"{len(kernel)} kernels (h, w) are given where {shape[0]} are needed; give one, or as many")
    return kernel if len(kernel) == shape[0] else kernel.expand(shape[0], *kernel.shape[1:])


def check_chain(recipe: Recipe, checked: dict[str, CheckedComponent], sigma: float) -> None:
    """Refuse, before any compute, what does not fit together in a recipe, its starts or those that go on from it.

    Raises `AssemblyError` and `PluginError`, as `check_slots` and `check_abilities`.
    """
    for before, link in recipe.tree():
        weights = weights_of(link, sigma)
        own = [place for place, _, _ in link.own_components()]
        for place in own:
            check_slots(checked[before + place])
        on_kernel = {f"regularizers.{i}" for i, spec in enumerate(link.regularizers) if spec.target == "kernel"}
        used = [place for place in own if weights.get(place, 1.0) > 0 and place not in on_kernel]
        check_parameter_prior(checked[before + "operator"], checked[before + "kernel_prior"])
        check_abilities({place: checked[before + place] for place in used}, before)


def check_slots(parameters: CheckedComponent) -> None:
    """Refuse what stands in a slot and lacks the ability that the slot's type asks for; raises `AssemblyError`."""
    for name, slot in nested_components_of(parameters.component).items():
        for inner in parameters.held(name):
            if not issubclass(inner.component, slot.interface):
                raise AssemblyError(
                    f"{inner.place}: {parameters.component.__name__} needs a {slot.interface.__name__}, and "
                    f"{inner.component.__name__} is none; registered components that would do: "
                    f"{able(slot.family, slot.interface)}"
                )
            check_slots(inner)


def check_parameter_prior(operator: CheckedComponent, kernel_prior: CheckedComponent) -> None:
    """Refuse a prior of another kind of unknown than the operator has; raises `AssemblyError`."""
    kind = operator.component.parameter_prior
    if not issubclass(kernel_prior.component, kind):
        raise AssemblyError(
            f"{kernel_prior.place}: {operator.component.__name__} needs a {kind.__name__}, and "
            f"{kernel_prior.component.__name__} is none; registered components that would do: "
            f"{able('kernel_priors', kind)}"
        )


def check_abilities(used: dict[str, CheckedComponent], before: str = "") -> None:
    """Refuse, before any compute, components without the abilities the solver asks for.

    Args:
        used: the components by their places in the recipe, without the terms of weight zero, which are left out, and
            those on the kernel.
        before: the place of the recipe itself, with a dot, for one that goes on.

    Raises:
        AssemblyError: names the component, the ability and the registered components that have it.
        PluginError: the solver asks for an ability of what is no part of a problem.
    """
    for solver in solvers_in(used["solver"]):
        check_needs(solver.component, used, before)


def solvers_in(solver: CheckedComponent) -> list[CheckedComponent]:
    """A solver and those in its slots, which solve variants of the same problem."""
    slots = [name for name, slot in nested_components_of(solver.component).items() if slot.family == Solver.family]
    return [solver, *(found for name in slots for inner in solver.held(name) for found in solvers_in(inner))]


def check_needs(solver: type[Solver[Any]], used: dict[str, CheckedComponent], before: str) -> None:
    """As `check_abilities`, for one solver."""
    for part, ability in solver.needs.items():
        if part not in registry.PLACES:
            raise PluginError(
                f"{solver.__name__} needs abilities of '{part}'; a problem has {', '.join(registry.PLACES)}"
            )
        there = {place: parameters.component for place, parameters in used.items() if place.partition(".")[0] == part}
        lacking = [place for place, component in there.items() if not issubclass(component, ability)]
        if lacking or not there:
            place = lacking[0] if lacking else part
            found = (
                f"{there[place].__name__} is none"
                if lacking
                else "the recipe has none of a weight above zero on the image"
            )
            raise AssemblyError(
                f"{before}{place}: {solver.__name__} needs a {ability.__name__}, and {found}; "
                f"registered components that would do: {able(registry.PLACES[part], ability)}"
            )


def check_start(recipe: Recipe, kernel_prior: CheckedComponent) -> None:
    """Refuse a kernel that the kernel prior would not look at; raises `InputError`."""
    if "start" not in positional_names(kernel_prior.component):
        name = "known" if recipe.kernel_prior is None else recipe.kernel_prior.name
        raise InputError(
            f"the recipe {recipe.name} estimates its kernel with '{name}', which starts from none; set "
            "kernel_prior=known (or simplex, which starts from it), or leave the kernel out"
        )


def able(family: str, ability: type) -> str:
    """The names of the built-in or installed components of a family that have an ability; loads the family."""
    found = []
    for name in registry.names(family):
        try:
            component = registry.load(family, name)
        except PluginError:
            continue  # a broken plugin is no candidate; using it by name reports why
        if issubclass(component, ability):
            found.append(name)
    return ", ".join(found) or "none"


def build_fidelity(recipe: Recipe, checked: dict[str, CheckedComponent], data: Tensor, iterations: int) -> Fidelity:
    """The recipe's fidelity, or its schedule of several; each that will serve is tried on the data.

    Raises:
        InputError: one cannot compare data like these, as when they are smaller than its window.
        PluginError: one fails.
    """
    stages = [(checked[f"fidelity.{i}"].build({}), spec.until_iteration) for i, spec in enumerate(recipe.fidelity)]
    only = len(stages) == 1 and stages[0][1] is None
    fidelity: Fidelity = stages[0][0] if only else Schedule(stages)
    begins = [0, *(until or 0 for _, until in stages)]
    for i, (stage, _) in enumerate(stages):
        if begins[i] < iterations:
            try_fidelity(checked[f"fidelity.{i}"], stage, data)
    return fidelity


def try_fidelity(parameters: CheckedComponent, fidelity: Fidelity, data: Tensor) -> None:
    """Compare the data with themselves, so that what would fail after many iterations fails before the first."""
    here = data.cpu()  # where components are built
    with torch.no_grad(), blamed(parameters.place, parameters.component):
        fidelity(here, here)


def weights_of(recipe: Recipe, sigma: float) -> dict[str, float]:
    """The weight of each term by its place in the recipe."""
    factors = {"one": 1.0, "sigma": sigma, "variance": sigma**2}
    return {
        f"regularizers.{i}": max(spec.weight * factors[spec.scale_by], spec.min_weight) if spec.weight > 0 else 0.0
        for i, spec in enumerate(recipe.regularizers)
    }


def build_scores(recipe: Recipe, seed: int) -> list[NoReferenceMetric]:
    """The selection of a recipe, by which kernels are compared; raises `InvkitError`, saying at which place."""
    places = [(f"selection.{index}", spec) for index, spec in enumerate(recipe.selection)]
    return [check_component(place, "no_reference_metrics", spec, seed, recipe.name).build({}) for place, spec in places]


def build_terms(recipe: Recipe, checked: dict[str, CheckedComponent], weights: dict[str, float]) -> list[Term]:
    """The weighted regularizers; terms of weight zero are left out."""
    return [
        Term(checked[place].build({}), weight, spec.target)
        for spec, (place, weight) in zip(recipe.regularizers, weights.items(), strict=True)
        if weight > 0
    ]
