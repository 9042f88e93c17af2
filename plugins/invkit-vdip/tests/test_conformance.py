"""What invkit asks of every component."""

from __future__ import annotations

import pytest
from invkit_vdip.variational_adam import VariationalAdam

from invkit.testing import check_component, conformance_cases
from invkit.testing.solvers import check_solver


@pytest.mark.parametrize(("family", "name"), conformance_cases("invkit-vdip"))
def test_every_component_conforms(family, name):
    check_component(family, name)


def test_a_solve_is_resumed_to_the_same_bits_from_each_of_its_phases():
    """The suite's 20 iterations are resumed after 6, 13 and 20: here while fitting, sampling and neither."""
    check_solver(VariationalAdam, {"warmup": 8, "kl_milestones": (10,), "kl_until": 16})
