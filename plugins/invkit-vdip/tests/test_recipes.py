"""Each recipe, with few iterations on a small picture."""

from __future__ import annotations

import numpy as np
import pytest

import invkit

SHORT = [
    "image_prior.params.channels=4",
    "image_prior.params.nonlocal_scales=0",
    "solver.params.iterations=6",
    "solver.params.warmup=2",
    "solver.params.kl_milestones=[3]",
    "solver.params.kl_until=4",
    "fidelity.derivative-mse.until_iteration=4",
]


@pytest.mark.parametrize("recipe", ["vdip-sparse", "vdip-extreme", "vdip-small"])
def test_the_recipe_restores_a_picture(recipe):
    picture = np.random.default_rng(0).uniform(size=(40, 44, 3)).astype(np.float32)
    result = invkit.deblur(picture, recipe=recipe, kernel_size=7, overrides=SHORT, progress=False, device="cpu")
    assert np.asarray(result.image).shape == picture.shape
    assert np.isfinite(result.image).all()
    assert float(np.asarray(result.kernel).sum()) == pytest.approx(1, abs=1e-5)
    assert len(result.history) == 6
    assert np.isfinite(result.history).all()
