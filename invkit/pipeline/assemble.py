"""From a validated recipe and data to a problem and a solver."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ..core import registry
from ..core.errors import DataWeightsError, InputError, PluginError
from ..core.interfaces import (
    Blur,
    Fidelity,
    ForwardOperator,
    GriddedBlur,
    ImagePrior,
    OperatorParameterPrior,
)
from ..core.operator_parameters import Stacked
from ..core.parameters import nested_components_of, positional_names
from ..core.problem import Problem, Term, check_data
from ..core.ranges import UNIT_RANGE, Ranged, ValueRange, usable_range
from ..core.solver import Solver
from ..numerics.framing import resize_kernel_support
from ..numerics.geometry import Shape, shape_of, size_of
from ..numerics.noise import photon_gain
from ..recipes.components import CheckedComponent, blamed
from ..recipes.model import Recipe, check_parameters, resolved_recipe
from .abilities import cannot_weight_data, lacks_ability

__all__ = ["Assembly", "Checked", "as_batch", "assemble", "build_kernel_prior", "build_problem"]

Checked = Mapping[str, CheckedComponent]
"""The validated components of a recipe by their places."""


@dataclass(frozen=True)
class Assembly:
    """A recipe made concrete: the problem, its solver, and the recipe with every default."""

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
    weights: Tensor | None = None,
    needs_weights: bool = False,
    image_range: ValueRange = UNIT_RANGE,
) -> Assembly:
    """Build every component of a recipe for the data; check next stages and candidates as far as possible.

    Args:
        recipe: the method.
        data: the measurement, (B, C, H, W) in [0, 1].
        kernel_size: (h, w) of the unknown kernel, pixels; ignored if the operator's parameter is not a kernel.
        kernel: (B, 1, h, w), or another operator parameter, for kernel priors that start from one; its size replaces
            ``kernel_size``. None otherwise.
        sigma: standard deviation of the noise in [0, 1] units, for terms scaled by it.
        seed: of every component that draws random numbers and whose recipe names no seed.
        weights: of the data, as `Problem` takes them; None: all 1. A solver without the ability takes the data as they
            are.
        needs_weights: refuse such a solver instead.
        image_range: that the image should have, where prior and solver can have another one than [0, 1].

    Raises:
        UnknownNameError, PluginError, RecipeError: a component cannot be loaded, or its parameters are wrong.
        AssemblyError: the components do not fit together.
        DataWeightsError: the weights are needed, and the solver or the fidelity would not use them.
        InputError: the components cannot use the data or the kernel.
    """
    checked = check_parameters(recipe, seed)
    check_components(recipe, checked, sigma)
    if kernel is not None:
        check_start(recipe, checked["kernel_prior"])
    operator: ForwardOperator = checked["operator"].build({})
    check_data(data, operator.data_range)
    problem, solver = build_problem(recipe, checked, operator, data, kernel_size, kernel, sigma, weights)
    image_prior = in_widest_range(problem.image_prior, solver, image_range)
    try:
        problem = replace(problem, image_prior=image_prior, weights=weights)
        solver.check(problem)
    except DataWeightsError as reason:
        if needs_weights:
            raise cannot_weight_data(recipe.name, operator, reason) from reason
        problem = replace(problem, weights=None)
        solver.check(problem)
    return Assembly(problem, solver, resolved_recipe(recipe, checked))


def build_problem(
    recipe: Recipe,
    checked: Checked,
    operator: ForwardOperator,
    data: Tensor,
    kernel_size: tuple[int, int],
    kernel: Tensor | None,
    sigma: float,
    weights: Tensor | None = None,
) -> tuple[Problem, Solver[Any]]:
    """The problem of validated components under an operator, and its solver; raises as `assemble`.

    Args:
        recipe: the method.
        checked: its components.
        operator: built.
        data: (B, C, H, W).
        kernel_size: (h, w), as for `assemble`.
        kernel: as for `assemble`.
        sigma: as for `assemble`.
        weights: as for `assemble`; here only the regularizers' weights depend on them.
    """
    solver: Solver[Any] = checked["solver"].build({})
    fidelity = build_fidelity(recipe, checked, data, solver.iterations)
    kernel_prior = build_kernel_prior(checked, operator, data, kernel_size, kernel)
    image_shape = operator.image_shape(shape_of(data), kernel_prior.shape)
    initial_image = operator.initial_image(data, kernel_prior().detach().to(data))
    image_prior = checked["image_prior"].build({"shape": image_shape, "start": initial_image})
    problem = Problem(
        data=data,
        operator=operator,
        image_prior=image_prior,
        kernel_prior=kernel_prior,
        fidelity=fidelity,
        regularizers=tuple(build_terms(recipe, checked, scaled_weights(recipe, sigma, data, weights))),
    )
    return problem, solver


def in_widest_range(prior: ImagePrior, solver: Solver[Any], image_range: ValueRange) -> ImagePrior:
    """An image prior in the part of a range that the solver can use, unless the recipe sets its range.

    Args:
        prior: as built from the recipe.
        solver: of the problem.
        image_range: that the image should have.
    """
    usable = usable_range(solver, image_range)
    if not isinstance(prior, Ranged) or UNIT_RANGE in (usable, image_range) or prior.range != UNIT_RANGE:
        return prior
    found: ImagePrior = prior.in_range(*usable)
    return found


def build_kernel_prior(
    checked: Checked, operator: ForwardOperator, data: Tensor, kernel_size: tuple[int, int], kernel: Tensor | None
) -> OperatorParameterPrior:
    """The prior of the operator's parameter, which starts from a given value or from the operator's estimate.

    Args:
        checked: the components of the recipe.
        operator: built.
        data: (B, C, H, W).
        kernel_size: (h, w), as for `assemble`.
        kernel: as for `assemble`.
    """
    size = kernel_size if kernel is None else size_of(kernel)
    kernel_shape = operator.parameter_shape(shape_of(data), size)
    if kernel is not None and isinstance(operator, Stacked):
        kernel_shape = (kernel_shape[0], *shape_of(kernel)[1:])  # a given kernel has its own planes
    start = None if kernel is None else as_batch(kernel, kernel_shape)
    if start is not None and isinstance(operator, GriddedBlur) and size_of(start) != kernel_shape[-2:]:
        start = resize_kernel_support(start, kernel_shape[-2:])
    guess = operator.initial_parameter(data, kernel_shape) if start is None else None
    prior: OperatorParameterPrior = checked["kernel_prior"].build(
        {"shape": kernel_shape, "start": start, "guess": guess}
    )
    return prior


def as_batch(kernel: Tensor, shape: Shape) -> Tensor:
    """One kernel, or other parameter, per item of the batch; raises `InputError` if another number is given."""
    if len(kernel) not in (1, shape[0]):
        raise InputError(f"{len(kernel)} kernels (h, w) are given where {shape[0]} are needed; give 1 or {shape[0]}")
    return kernel if len(kernel) == shape[0] else kernel.expand(shape[0], *kernel.shape[1:])


def check_components(recipe: Recipe, checked: Checked, sigma: float) -> None:
    """Refuse, before any compute, components of a recipe or of its stages that do not fit together.

    Args:
        recipe: with candidates and next stages.
        checked: all their components.
        sigma: the noise level; terms whose weight becomes zero need no ability.

    Raises:
        AssemblyError: a component lacks an ability that another one needs.
        PluginError: a solver asks for the ability of an unknown part.
    """
    for before, stage in recipe.tree():
        weights = scaled_weights(stage, sigma)
        own = [place for place, _, _ in stage.own_components()]
        for place in own:
            check_nested(checked[before + place])
        on_kernel = {f"regularizers.{i}" for i, spec in enumerate(stage.regularizers) if spec.target == "kernel"}
        used = [place for place in own if weights.get(place, 1.0) > 0 and place not in on_kernel]
        check_parameter_kind(checked[before + "operator"], checked[before + "kernel_prior"])
        outer, *nested = nested_solvers(checked[before + "solver"])
        own_parts = {place: checked[before + place] for place in used}
        check_needs(outer.component, own_parts, before)
        for solver in nested:
            check_needs(solver.component, own_parts, before, solves_patches=is_patchwise(outer.component))


def check_nested(holder: CheckedComponent) -> None:
    """Refuse nested components without the ability that their holder asks for; raises `AssemblyError`."""
    for name, expected in nested_components_of(holder.component).items():
        for inner in holder.nested_at(name):
            if not issubclass(inner.component, expected.interface):
                raise lacks_ability(inner.place, holder.component, expected.interface, inner.component, expected.family)
            check_nested(inner)


def check_parameter_kind(operator: CheckedComponent, kernel_prior: CheckedComponent) -> None:
    """Refuse a prior of another kind of parameter than the operator has; raises `AssemblyError`."""
    kind = operator.component.parameter_prior
    if not issubclass(kernel_prior.component, kind):
        raise lacks_ability(kernel_prior.place, operator.component, kind, kernel_prior.component, "kernel_priors")


def nested_solvers(solver: CheckedComponent) -> list[CheckedComponent]:
    """A solver and the solvers nested in it, which solve variants of the same problem."""
    keywords = [name for name, one in nested_components_of(solver.component).items() if one.family == Solver.family]
    return [
        solver,
        *(found for name in keywords for inner in solver.nested_at(name) for found in nested_solvers(inner)),
    ]


def is_patchwise(solver: type[Solver[Any]]) -> bool:
    """Whether the solvers nested in a solver see patches, each blurred by one of the operator's kernels."""
    return {str(part): ability for part, ability in solver.needs.items()}.get("operator") is GriddedBlur


def check_needs(solver: type[Solver[Any]], used: Checked, before: str, solves_patches: bool = False) -> None:
    """Refuse components without the abilities that a solver needs.

    Args:
        solver: its class.
        used: the components by their places, without those on the kernel and without terms of weight zero.
        before: the prefix of the places, with a dot, of a candidate or next stage.
        solves_patches: whether its operator is a convolution instead of the recipe's.

    Raises:
        AssemblyError: names the component, the ability and the registered components that have it.
        PluginError: the solver asks for an ability of an unknown part.
    """
    for part, ability in solver.needs.items():
        if part not in registry.PLACES:
            raise PluginError(
                f"{solver.__name__} needs abilities of '{part}'; the parts are {', '.join(registry.PLACES)}"
            )
        if part == "operator" and solves_patches and issubclass(Blur, ability):
            continue
        there = {place: one.component for place, one in used.items() if place.partition(".")[0] == part}
        lacking = [place for place, component in there.items() if not issubclass(component, ability)]
        if lacking or not there:
            place = lacking[0] if lacking else part
            given = there[place] if lacking else None
            raise lacks_ability(before + place, solver, ability, given, registry.PLACES[part])


def check_start(recipe: Recipe, kernel_prior: CheckedComponent) -> None:
    """Refuse a kernel that the kernel prior would ignore; raises `InputError`."""
    if "start" not in positional_names(kernel_prior.component):
        name = "known" if recipe.kernel_prior is None else recipe.kernel_prior.name
        raise InputError(
            f"the recipe {recipe.name} estimates its kernel with '{name}', which cannot start from a given one; set "
            "kernel_prior=known (or simplex, which starts from it), or leave the kernel out"
        )


def build_fidelity(recipe: Recipe, checked: Checked, data: Tensor, iterations: int) -> Fidelity:
    """The recipe's fidelity, or its schedule of several; those that will be used are tried on the data.

    Args:
        recipe: the method.
        checked: its components.
        data: (B, C, H, W).
        iterations: of the solver; a fidelity that starts later is not tried.

    Raises:
        InputError: a fidelity cannot compare such data, as data smaller than its window.
        PluginError: a fidelity fails.
    """
    parts = [(checked[f"fidelity.{i}"].build({}), spec.until_iteration) for i, spec in enumerate(recipe.fidelity)]
    fidelity: Fidelity = parts[0][0]
    if len(parts) > 1 or parts[0][1] is not None:
        from ..fidelities.schedule import Schedule

        fidelity = Schedule(parts)
    first_iterations = [0, *(until or 0 for _, until in parts)]
    for i, (part, _) in enumerate(parts):
        if first_iterations[i] < iterations:
            try_fidelity(checked[f"fidelity.{i}"], part, data)
    return fidelity


def try_fidelity(checked: CheckedComponent, fidelity: Fidelity, data: Tensor) -> None:
    """Compare the data with themselves, so that a failure comes before the first iteration and not after many."""
    here = data.cpu()  # where components are built
    with torch.no_grad(), blamed(checked.place, checked.component):
        fidelity(here, here)


def scaled_weights(
    recipe: Recipe, sigma: float, data: Tensor | None = None, data_weights: Tensor | None = None
) -> dict[str, float]:
    """The weight of each term at a noise level, by the term's place.

    Args:
        recipe: with the terms.
        sigma: the noise level.
        data: (B, C, H, W), from which the value of a photon is estimated if a term needs it; None: it is 1.
        data_weights: of the data, as for `assemble`.
    """
    gain = 1.0
    if data is not None and any(spec.scale_by == "gain" for spec in recipe.regularizers):
        known = None if data_weights is None else data_weights > 0
        gain = float(photon_gain(data, known).mean())
    factors = {"one": 1.0, "sigma": sigma, "variance": sigma**2, "gain": gain}
    return {
        f"regularizers.{i}": max(spec.weight * factors[spec.scale_by], spec.min_weight) if spec.weight > 0 else 0.0
        for i, spec in enumerate(recipe.regularizers)
    }


def build_terms(recipe: Recipe, checked: Checked, weights: dict[str, float]) -> list[Term]:
    """The weighted regularizers without those of weight zero."""
    return [
        Term(checked[place].build({}), weight, spec.target)
        for spec, (place, weight) in zip(recipe.regularizers, weights.items(), strict=True)
        if weight > 0
    ]
