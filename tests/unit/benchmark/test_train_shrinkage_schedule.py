"""Learning of the schedule of zuo-2016: its loss, its choices, and that the recipe has the table that was learned."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from blur_kernels import dwelling
from deconvolution import blocks
from photographs import table
from scipy.ndimage import gaussian_filter, shift
from train_shrinkage_schedule import (
    RECIPE,
    RESULTS,
    Pair,
    as_toml,
    checked,
    deconvolution_loss,
    learn,
    make_pairs,
    started,
    table_of,
    trials,
)

from invkit.core.files import parse_toml
from invkit.operators.convolution import Convolution
from invkit.recipes.model import load_recipe

GRID = ((1e-3, -1.0), (1e-3, 0.5), (2e-2, 0.5))


def kernel(seed: int, size: int = 9) -> Any:
    return dwelling(np.random.default_rng(seed), size)


def pair(seed: int) -> Pair:
    true = torch.from_numpy(kernel(seed)).float()[None, None]
    sharp = blocks(size=(72, 64), dtype=torch.float32)
    blurry = Convolution()(sharp, true)
    noise = torch.randn(blurry.shape, generator=torch.Generator().manual_seed(seed))
    return Pair("blocks", "dwelling", 0.005, (blurry + 0.005 * noise).clamp(0, 1), true)


@pytest.fixture(scope="module")
def pairs() -> list[Pair]:
    return [pair(seed) for seed in (1, 2)]


def test_pairs_are_the_same_for_the_same_seed(tmp_path: Path) -> None:
    gravel = [one for one in table() if one.name == "gravel.png"]  # it comes with scikit-image
    one, again, other = (make_pairs(1, gravel, tmp_path, seed)[0] for seed in (5, 5, 6))
    assert torch.equal(one.blurry, again.blurry)
    assert torch.equal(one.kernel, again.kernel)
    assert one.kernel.shape != other.kernel.shape or not torch.equal(one.kernel, other.kernel)
    assert float(one.kernel.sum()) == pytest.approx(1, abs=1e-5)
    assert one.frame % 2 == 1
    assert one.frame >= max(one.kernel.shape) + 4


def test_the_true_kernel_loses_nothing_wherever_it_lies() -> None:
    true = kernel(3)
    assert deconvolution_loss(true, true) == pytest.approx(0, abs=1e-9)
    assert deconvolution_loss(np.pad(true, ((3, 0), (0, 5))), true) == pytest.approx(0, abs=1e-9)


def test_a_shift_by_part_of_a_pixel_is_taken_out() -> None:
    true = np.pad(gaussian_filter(kernel(4), 1.0), 4)
    moved = shift(true, (0.4, -0.3), order=5)
    assert deconvolution_loss(moved / moved.sum(), true) < 0.05


def test_the_loss_grows_with_the_error() -> None:
    true = np.pad(kernel(5), 6)
    losses = [deconvolution_loss(gaussian_filter(true, width), true) for width in (0.0, 0.5, 1.0, 2.0)]
    assert losses == sorted(losses)
    assert losses[-1] > 1


def test_every_stage_is_the_best_of_the_grid_for_all_pairs(pairs: list[Pair]) -> None:
    calls: list[int] = []
    learned = list(learn(pairs, GRID, lambda: calls.append(1)))
    assert len(calls) == trials(pairs, GRID)
    tracks = [started(one, RECIPE) for one in pairs]
    iterations = tracks[0].solver.inner.iterations
    assert [(one.scale, one.iteration) for one in learned[: iterations + 1]] == [
        *((0, i) for i in range(iterations)),
        (1, 0),
    ]
    for one in learned[:2]:
        losses = {stage: float(np.mean([track.loss(track.tried(stage)) for track in tracks])) for stage in GRID}
        assert one.loss == min(losses.values()) == losses[one.stage]
        for track in tracks:
            track.state.inner = track.tried(one.stage)


def test_a_trial_does_not_change_the_state(pairs: list[Pair]) -> None:
    track = started(pairs[0], RECIPE)
    before = track.state.inner.estimate()[1].clone()
    moved = track.tried(GRID[0])
    assert torch.equal(track.state.inner.estimate()[1], before)
    assert moved.iteration == 1 != track.state.inner.iteration
    assert not torch.equal(moved.estimate()[1], before)


def test_the_recipe_with_the_learned_table_follows_the_path_that_was_learned(pairs: list[Pair]) -> None:
    """The pairs have as many scales as each other, so that the end of the path is the result of the recipe."""
    learned = list(learn(pairs, GRID, lambda: None))
    rows = table_of(learned)
    recipe = load_recipe(RECIPE).with_overrides([f"regularizers.0.schedule={json.dumps(rows)}"])
    assert checked(pairs, recipe)["loss_db"] == pytest.approx(learned[-1].loss, abs=2e-3)


def test_the_printed_table_is_the_toml_of_the_recipe() -> None:
    rows = [[(1e-3, -1.0), (2.5e-4, 0.0)], [(0.016, 0.6)]]
    assert parse_toml(as_toml(rows), "printed")["schedule"] == [[[1e-3, -1.0], [2.5e-4, 0.0]], [[0.016, 0.6]]]


def test_the_recipe_has_the_table_of_the_committed_results() -> None:
    results = json.loads(RESULTS.read_text(encoding="utf-8"))
    (regularizer,) = load_recipe(RECIPE).regularizers
    assert regularizer.params["schedule"] == results["schedule"]


def test_only_photographs_for_choosing_were_used_and_those_of_the_check_were_not_learned_from() -> None:
    results = json.loads(RESULTS.read_text(encoding="utf-8"))
    names = [[one["photograph"] for one in results[key]] for key in ("learned_from", "checked_on")]
    splits = {photograph.name: photograph.split for photograph in table()}
    assert {splits[name] for group in names for name in group} == {"choose"}
    assert not set(names[0]) & set(names[1])
