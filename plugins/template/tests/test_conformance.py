"""The component passes the tests of its family, and the recipe restores an image."""

from __future__ import annotations

import numpy as np
import pytest

import invkit
from invkit.testing import check_component, conformance_cases


@pytest.mark.parametrize(("family", "name"), conformance_cases("invkit-template"))
def test_every_component_conforms(family: str, name: str) -> None:
    """The component is documented, pure, seeded and differentiable, and has the other properties of its family."""
    check_component(family, name)


def test_the_recipe_restores_an_image() -> None:
    """Three iterations on noise."""
    image = np.random.default_rng(0).uniform(size=(24, 28)).astype(np.float32)
    few = ["solver.iterations=3"]
    result = invkit.deblur(image, recipe="straight-motion", kernel_size=5, overrides=few, progress=False)
    assert np.asarray(result.image).shape == image.shape
    assert np.isfinite(result.image).all()
