"""The recipe variational-refinement: its stages, its noise level, and what it does to a damaged kernel."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from blurred_rectangles import blurred_rectangles

from invkit import restore
from invkit.pipeline.assemble import assemble
from invkit.recipes.model import load_recipe
from invkit.testing.map_steps import strokes


def test_a_refinement_and_a_deconvolution() -> None:
    first, last = load_recipe("variational-refinement").links()
    assert (first.solver.name, last.name) == ("monte-carlo-em", "sparse-admm")


@pytest.mark.parametrize(("sigma", "deviation"), [(0.01, 0.01), (0.001, 0.004)])
def test_the_noise_is_the_picture_s_and_at_least_four_thousandths(sigma: float, deviation: float) -> None:
    recipe = load_recipe("variational-refinement")
    data = torch.rand(1, 1, 20, 20, generator=torch.Generator().manual_seed(0))
    problem = assemble(recipe, data, (5, 5), kernel=torch.full((1, 1, 5, 5), 0.04), sigma=sigma, seed=0).problem
    assert (problem.regularizers[0].weight / 2) ** 0.5 == pytest.approx(deviation)


def test_a_damaged_kernel_and_its_restoration_improve() -> None:
    true = strokes(1, (9, 9)).float()
    damaged = true / 2 + 1 / (2 * 81)
    data, _ = blurred_rectangles(true)
    result = restore(data[0, 0].numpy(), "variational-refinement", kernel=damaged[0, 0].numpy(), progress=False)
    assert result.kernel is not None
    found = torch.as_tensor(result.kernel).view_as(true)
    assert float((found - true).norm()) < 0.8 * float((damaged - true).norm())
    assert np.asarray(result.image).shape == (92, 92)
