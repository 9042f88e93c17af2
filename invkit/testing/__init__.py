"""Tests for authors of components: one check per family, and the cases of all registered components."""

from .conformance import CHECKS, check_adapter, check_component, conformance_cases
from .evaluation import check_dataset, check_dataset_class, check_metric, check_no_reference_metric
from .example_problems import small_problem
from .graph_safety import RecordedGraph, check_graph_safe, emulated_graphs, graph_safety_cases, host_accesses
from .map_steps import check_edge_selection, check_kernel_estimation, check_kernel_postprocessing
from .objective_terms import check_fidelity, check_regularizer
from .operators import (
    assert_adjoint,
    assert_gradients,
    assert_homogeneous,
    assert_linear,
    assert_shape_law,
    assert_stateless,
    check_operator,
)
from .priors import assert_image, assert_kernel, check_image_prior, check_kernel_prior
from .solvers import check_observer, check_solved, check_solver

__all__ = [
    "CHECKS",
    "RecordedGraph",
    "assert_adjoint",
    "assert_gradients",
    "assert_homogeneous",
    "assert_image",
    "assert_kernel",
    "assert_linear",
    "assert_shape_law",
    "assert_stateless",
    "check_adapter",
    "check_component",
    "check_dataset",
    "check_dataset_class",
    "check_edge_selection",
    "check_fidelity",
    "check_graph_safe",
    "check_image_prior",
    "check_kernel_estimation",
    "check_kernel_postprocessing",
    "check_kernel_prior",
    "check_metric",
    "check_no_reference_metric",
    "check_observer",
    "check_operator",
    "check_regularizer",
    "check_solved",
    "check_solver",
    "conformance_cases",
    "emulated_graphs",
    "graph_safety_cases",
    "host_accesses",
    "small_problem",
]
