"""The conformance suite: the check of each family, for every registered component.

A plugin tests its components with::

    import pytest
    from invkit.testing import check_component, conformance_cases

    @pytest.mark.parametrize(("family", "name"), conformance_cases("my-distribution"))
    def test_conformance(family, name):
        check_component(family, name)

A parameter without a default must have an example, ``Field(examples=[...])``; the suite uses the first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from ..core import registry
from ..core.errors import InvkitError
from ..core.parameters import parameters_schema
from ..core.registry import Adapter
from .common import assert_documented, build, demand
from .evaluation import check_dataset_class, check_metric, check_no_reference_metric
from .map_steps import check_edge_selection, check_kernel_estimation, check_kernel_postprocessing
from .objective_terms import check_fidelity, check_regularizer
from .operators import check_operator
from .priors import check_image_prior, check_kernel_prior
from .solvers import check_observer, check_solver

__all__ = ["CHECKS", "check_adapter", "check_component", "conformance_cases"]


def check_adapter(component: type[Adapter]) -> None:
    """Every property of an adapter: documented, unique names, and for each a component of its family or a reason."""
    assert_documented(component)
    adapter: Adapter = build(component)
    usable = [name for family in registry.FAMILIES for name in usable_names(adapter, family)]
    demand(bool(usable), f"{component.__name__} makes no component of any family")


def usable_names(adapter: Adapter, family: str) -> Iterator[str]:
    """Yield the names of a family that an adapter makes components of; it must give a reason to refuse the others."""
    title, names = type(adapter).__name__, list(adapter.names(family))
    demand(len(set(names)) == len(names), f"{title} gives names of {family} twice")
    demand(not any(":" in name or not name for name in names), f"{title} has empty names in {family}, or with ':'")
    for name in names:
        try:
            made = adapter.component(family, name)
        except InvkitError as error:
            demand(bool(str(error)), f"{title} refuses '{name}' of {family} without a reason")
            continue
        registry.check_class(registry.Entry(family, name, title, "", repr(made)), made)
        parameters_schema(made)
        demand(adapter.component(family, name) is made, f"{title} makes another '{name}' of {family} at every call")
        yield name


CHECKS: dict[str, Callable[[type[Any]], None]] = {
    "operators": check_operator,
    "image_priors": check_image_prior,
    "kernel_priors": check_kernel_prior,
    "regularizers": check_regularizer,
    "fidelities": check_fidelity,
    "solvers": check_solver,
    "edge_selection": check_edge_selection,
    "kernel_estimation": check_kernel_estimation,
    "kernel_postprocessing": check_kernel_postprocessing,
    "no_reference_metrics": check_no_reference_metric,
    "datasets": check_dataset_class,
    "metrics": check_metric,
    "observers": check_observer,
    "adapters": check_adapter,
}
"""The check of each family that has one."""


def conformance_cases(distribution: str | None = None) -> list[tuple[str, str]]:
    """Return (family, name) of every registered component that has a check; none of them is loaded.

    Args:
        distribution: None for the components of all distributions.

    Example:
        >>> ("solvers", "invkit:joint-adam") in conformance_cases("invkit")
        True
    """
    found = [entry for family in CHECKS for entry in registry.entries(family)]
    return [(e.family, f"{e.distribution}:{e.name}") for e in found if distribution in (None, e.distribution)]


def check_component(family: str, name: str) -> None:
    """Load a registered component and run the check of its family.

    Raises:
        AssertionError: a property does not hold.
        UnknownNameError, PluginError: the component cannot be loaded.

    Example:
        >>> check_component("fidelities", "mse")
    """
    CHECKS[family](registry.load(family, name))
