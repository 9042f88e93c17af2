"""What invkit asks of every component, and that the recipes restore a picture."""

from __future__ import annotations

import numpy as np
import pytest

import invkit
from invkit.testing import check_component, conformance_cases

FEW = ["image_prior.params.channels=4", "image_prior.params.skip_channels=2", "solver.params.iterations=4"]


@pytest.mark.parametrize(("family", "name"), conformance_cases("invkit-noise-robust"))
def test_every_component_conforms(family, name):
    check_component(family, name)


@pytest.mark.parametrize("recipe", ["noise-robust", "noise-robust-small"])
def test_the_recipes_restore_a_picture(recipe):
    picture = np.random.default_rng(0).uniform(size=(24, 28)).astype(np.float32)
    result = invkit.deblur(picture, recipe=recipe, kernel_size=5, overrides=FEW, progress=False)
    assert result.iterations == 4
    assert np.asarray(result.image).shape == picture.shape
    assert np.asarray(result.image).std() > 0
    np.testing.assert_allclose(np.asarray(result.kernel).sum(), 1, rtol=1e-5)
