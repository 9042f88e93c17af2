"""What invkit asks of every component, and that the recipes restore a picture."""

from __future__ import annotations

import numpy as np
import pytest

import invkit
from invkit.testing import check_component, conformance_cases

FEW = ["image_prior.params.channels=4", "image_prior.params.scales=2", "solver.params.iterations=6"]


@pytest.mark.parametrize(("family", "name"), conformance_cases("invkit-wdip"))
def test_every_component_conforms(family, name):
    check_component(family, name)


@pytest.mark.parametrize("recipe", ["wdip", "wdip-small"])
def test_the_recipes_restore_a_picture(recipe):
    picture = np.random.default_rng(0).uniform(size=(24, 28)).astype(np.float32)
    overrides = [*FEW, "fidelity=[{name='mse',until_iteration=3},{name='ssim'}]"]
    if recipe == "wdip":
        overrides.append("image_prior.params.nonlocal_scales=1")
    result = invkit.deblur(picture, recipe=recipe, kernel_size=5, overrides=overrides, progress=False)
    assert result.iterations == 6
    assert np.asarray(result.image).shape == picture.shape
    assert np.asarray(result.image).std() > 0
    np.testing.assert_allclose(np.asarray(result.kernel).sum(), 1, rtol=1e-5)
