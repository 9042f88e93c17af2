"""The conformance suite: what every registered component must do, by family.

A plugin tests its components with::

    import pytest
    from invkit.testing import check_component, conformance_cases

    @pytest.mark.parametrize(("family", "name"), conformance_cases("my-distribution"))
    def test_conformance(family, name):
        check_component(family, name)

A parameter without default must carry an example, ``Field(examples=[...])``; the suite uses the first.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch

from ..core import registry
from ..core.interfaces import ForwardOperator, KernelPrior
from ..numerics.geometry import Shape, Size
from .adapters import check_adapter
from .common import Settings, assert_documented, assert_random_state_untouched, build, drawn
from .datasets import check_dataset_class
from .edge_selection import check_edge_selection
from .fidelities import check_fidelity
from .kernel_parts import check_kernel_estimation, check_kernel_postprocessing
from .metrics import check_metric
from .no_reference_metrics import check_no_reference_metric
from .observers import check_observer
from .operators import (
    assert_adjoint,
    assert_first_image,
    assert_gradients,
    assert_linear,
    assert_shape_law,
    assert_stateless,
    demand,
)
from .priors import check_image_prior, check_kernel_prior
from .regularizers import check_regularizer
from .solvers import check_solver

__all__ = ["CHECKS", "check_component", "check_operator", "conformance_cases"]

KERNEL_SIZE: Size = (3, 4)


def check_operator(
    component: type[ForwardOperator],
    params: Settings | None = None,
    *,
    data_shape: Shape | None = None,
    kernel_shape: Shape | None = None,
) -> None:
    """Every property of a forward operator: documented, linear, with its adjoint and gradients, and stateless.

    Args:
        component: the class.
        params: that differ from its defaults.
        data_shape: None takes the class's ``example``.
        kernel_shape: of its unknown; None takes what it asks for, with kernels of 3x4 pixels.
    """
    assert_documented(component)
    operator = build(component, {}, params)
    data_shape = data_shape or operator.example
    kernel_shape = kernel_shape or operator.parameter_shape(data_shape, KERNEL_SIZE)
    assert_shape_law(operator, data_shape, kernel_shape)
    for check in (assert_linear, assert_adjoint, assert_stateless, assert_first_image):
        check(operator, data_shape, kernel_shape)
    assert_gradients(operator, *smaller(operator, data_shape, kernel_shape))
    assert_repeatable(operator, data_shape, kernel_shape)


def smaller(operator: ForwardOperator, data_shape: Shape, kernel_shape: Shape) -> tuple[Shape, Shape]:
    """Shapes of data and unknown whose gradients are soon checked, where the unknown is a kernel for each image."""
    per_image = issubclass(operator.parameter_prior, KernelPrior) and kernel_shape[0] == data_shape[0] > 1
    return ((1, 1, 4, 5), (1, *kernel_shape[1:])) if per_image else (data_shape, kernel_shape)


def assert_repeatable(operator: ForwardOperator, data_shape: Shape, kernel_shape: Shape) -> None:
    """Two calls, and one of a deep copy, give the same float32 data without a global random number."""
    name, image = type(operator).__name__, drawn(operator.image_shape(data_shape, kernel_shape), seed=1)
    kernel = operator.parameter_prior.allowed(drawn(kernel_shape, seed=2))
    with assert_random_state_untouched(f"calling {name}"):
        data, again = operator(image, kernel), operator(image, kernel)
    demand(data.dtype == torch.float32, f"{name} gives {data.dtype} for float32")
    demand(torch.equal(data, again), f"two calls of {name} give different data")
    demand(torch.equal(data, copy.deepcopy(operator)(image, kernel)), f"a deep copy of {name} gives other data")


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
    """(family, name) of every registered component that has a check, or of those of one distribution; loads none."""
    found = [entry for family in CHECKS for entry in registry.entries(family)]
    return [(e.family, f"{e.distribution}:{e.name}") for e in found if distribution in (None, e.distribution)]


def check_component(family: str, name: str) -> None:
    """Load a registered component and run the check of its family.

    Raises:
        AssertionError: it does not do what it must.
        UnknownNameError, PluginError: it cannot be loaded.
    """
    CHECKS[family](registry.load(family, name))
