"""The components pass invkit's conformance checks, a GPU can replay their steps, and the recipes restore an image."""

from __future__ import annotations

import numpy as np
import pytest

import invkit
from invkit.core import registry
from invkit.testing import check_component, check_graph_safe, conformance_cases, graph_safety_cases

FEW = ["channels=4", "skip_channels=2", "iterations=4"]


@pytest.mark.parametrize(("family", "name"), conformance_cases("invkit-noise-robust"))
def test_every_component_conforms(family: str, name: str) -> None:
    check_component(family, name)


@pytest.mark.parametrize(("family", "name"), graph_safety_cases("invkit-noise-robust"))
def test_every_component_of_a_step_can_be_recorded(family: str, name: str) -> None:
    check_graph_safe(registry.load(family, name))


@pytest.mark.parametrize("recipe", ["noise-robust", "noise-robust-small"])
def test_the_recipes_restore_an_image(recipe: str) -> None:
    image = np.random.default_rng(0).uniform(size=(24, 28)).astype(np.float32)
    result = invkit.deblur(image, recipe=recipe, kernel_size=5, overrides=FEW, progress=False)
    assert result.iterations == 4
    assert np.asarray(result.image).shape == image.shape
    assert np.asarray(result.image).std() > 0
    np.testing.assert_allclose(np.asarray(result.kernel).sum(), 1, rtol=1e-5)
