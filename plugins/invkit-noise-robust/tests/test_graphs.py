"""A GPU can replay its steps."""

from __future__ import annotations

import pytest

from invkit.core import registry
from invkit.testing import check_graph_safe, graph_safety_cases


@pytest.mark.parametrize(("family", "name"), graph_safety_cases("invkit-noise-robust"))
def test_every_component_of_a_step_can_be_recorded(family, name):
    check_graph_safe(registry.load(family, name))
