"""A GPU can replay its steps."""

from __future__ import annotations

import pytest
from invkit_vdip.variational_adam import VariationalAdam

from invkit.core import registry
from invkit.testing import check_graph_safe, graph_safety_cases


@pytest.mark.parametrize(("family", "name"), graph_safety_cases("invkit-vdip"))
def test_every_component_of_a_step_can_be_recorded(family, name):
    check_graph_safe(registry.load(family, name))


def test_each_phase_of_a_solve_can_be_recorded():
    """Fitting, sampling with two weights of the divergence, and neither, each in some steps before a graph and more."""
    phases = {"iterations": 24, "warmup": 6, "kl_milestones": (12,), "kl_until": 18, "milestones": (9,)}
    check_graph_safe(VariationalAdam, phases)
