"""Tests for whoever writes a component: one check a family, and the cases of everything that is registered."""

from .adapters import check_adapter
from .conformance import CHECKS, check_component, check_operator, conformance_cases
from .datasets import check_dataset, check_dataset_class
from .edge_selection import check_edge_selection
from .fidelities import check_fidelity
from .graph_safety import check_graph_safe, graph_safety_cases, host_accesses
from .graphs import RecordedGraph, emulated_graphs
from .kernel_parts import check_kernel_estimation, check_kernel_postprocessing
from .metrics import check_metric
from .no_reference_metrics import check_no_reference_metric
from .observers import check_observer
from .operators import assert_adjoint, assert_gradients, assert_linear, assert_shape_law, assert_stateless
from .priors import assert_image, assert_kernel, check_image_prior, check_kernel_prior
from .regularizers import check_regularizer
from .solvers import check_solver

__all__ = [
    "CHECKS",
    "RecordedGraph",
    "assert_adjoint",
    "assert_gradients",
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
    "check_solver",
    "conformance_cases",
    "emulated_graphs",
    "graph_safety_cases",
    "host_accesses",
]
