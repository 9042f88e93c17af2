"""Every registered component does what its family promises, and the suite catches those that do not."""

from __future__ import annotations

import pytest

from invkit.testing import check_component, conformance_cases


@pytest.mark.parametrize(("family", "name"), conformance_cases())
def test_every_registered_component_conforms(family, name):
    check_component(family, name)
