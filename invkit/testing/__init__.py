"""Tests for whoever writes a component: one check a family, and the cases of everything that is registered."""

from .conformance import CHECKS, check_component, check_operator, conformance_cases
from .fidelities import check_fidelity
from .operators import assert_adjoint, assert_gradients, assert_linear, assert_shape_law, assert_stateless
from .priors import assert_image, assert_kernel, check_image_prior, check_kernel_prior
from .regularizers import check_regularizer
from .solvers import check_solver

__all__ = [
    "CHECKS",
    "assert_adjoint",
    "assert_gradients",
    "assert_image",
    "assert_kernel",
    "assert_linear",
    "assert_shape_law",
    "assert_stateless",
    "check_component",
    "check_fidelity",
    "check_image_prior",
    "check_kernel_prior",
    "check_operator",
    "check_regularizer",
    "check_solver",
    "conformance_cases",
]
