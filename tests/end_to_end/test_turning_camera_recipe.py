"""The recipe turning-camera: the result of fast where one kernel fits, otherwise kernels on a grid."""

from __future__ import annotations

import numpy as np
import torch
from blurred_rectangles import blurred_rectangles

import invkit
from invkit.recipes.model import load_recipe
from invkit.testing.map_steps import strokes

QUICK = ["solver.iterations=1", "solver.patches=2", "solver.kernel_iterations=3"]


def test_it_starts_from_fast_and_restores_as_fast_does() -> None:
    recipe = load_recipe("turning-camera")
    last, reference = recipe.links()[-1], load_recipe("sparse-admm")
    assert [one.name for one in recipe.candidates] == ["fast"]
    assert last.regularizers == reference.regularizers
    assert last.solver.params["uniform"] == reference.solver.model_dump()
    assert last.solver.params["patch"] == reference.solver.params["inner"]


def test_a_camera_that_does_not_turn_gives_the_result_of_one_kernel() -> None:
    kernel = strokes(1, (9, 9)).float()
    data, _ = blurred_rectangles(kernel)
    settings = ["candidates=[]", *QUICK, "solver.min_gain=1000"]
    picture, known = data[0, 0].numpy(), kernel[0, 0].numpy()
    found = invkit.restore(picture, "turning-camera", kernel=known, sigma=0.004, overrides=settings, progress=False)
    uniform = invkit.deconvolve(picture, known, recipe="sparse-admm", sigma=0.004, progress=False)
    kernels = np.asarray(found.kernel)
    assert kernels.shape[0] == 49
    assert np.array_equal(kernels, np.repeat(kernels[:1], 49, axis=0))
    assert kernels.shape[1:] == known.shape
    # the kernels differ by a rounding, which decides on a few gradients near the threshold of their proximal map
    difference = np.asarray(found.image) - np.asarray(uniform.image)
    assert float(np.sqrt(np.mean(difference**2))) < 1e-3


def test_a_turning_camera_leaves_kernels_on_the_grid() -> None:
    kernel = strokes(1, (9, 9)).float()
    data, _ = blurred_rectangles(kernel)
    settings = ["candidates=[]", *QUICK, "solver.min_gain=-1000", "solver.min_turn=0"]
    found = invkit.restore(
        data[0, 0].numpy(), "turning-camera", kernel=kernel[0, 0].numpy(), overrides=settings, progress=False
    )
    kernels = torch.as_tensor(np.asarray(found.kernel))
    assert kernels.shape[0] == 49
    assert not torch.equal(kernels[0], kernels[-1])
    assert bool((kernels >= 0).all())
    torch.testing.assert_close(kernels.sum((1, 2)), torch.ones(49, dtype=kernels.dtype))
