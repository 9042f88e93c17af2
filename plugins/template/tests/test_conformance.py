"""What invkit asks of every component, and that the recipe restores a picture."""

from __future__ import annotations

import numpy as np
import pytest

import invkit
from invkit.testing import check_component, conformance_cases


@pytest.mark.parametrize(("family", "name"), conformance_cases("invkit-template"))
def test_every_component_conforms(family: str, name: str) -> None:
    """Documented, pure, seeded, differentiable, and whatever else its family promises."""
    check_component(family, name)


def test_the_recipe_restores_a_picture() -> None:
    """Three steps on noise: all parts fit together."""
    picture = np.random.default_rng(0).uniform(size=(24, 28)).astype(np.float32)
    few = ["solver.params.iterations=3"]
    result = invkit.deblur(picture, recipe="straight-motion", kernel_size=5, overrides=few, progress=False)
    assert np.asarray(result.image).shape == picture.shape
    assert np.isfinite(result.image).all()
