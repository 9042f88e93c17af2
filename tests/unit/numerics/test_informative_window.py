"""The window that tells most about a blur, and stages that look through one."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from invkit.core.errors import InputError, RecipeError
from invkit.numerics.informative_window import WINDOW_STEP, informative_window, window_sums
from invkit.pipeline.options import Options
from invkit.pipeline.stages import plan
from invkit.recipes.model import check_recipe, load_recipe


def picture(top: int, left: int) -> torch.Tensor:
    """Grey noise of a hundredth with one bright square of 90 pixels at a place."""
    noise = torch.rand(1, 1, 300, 400, generator=torch.Generator().manual_seed(0))
    data = 0.3 + 0.01 * noise
    data[..., top : top + 90, left : left + 90] += 0.4
    return data


@pytest.mark.parametrize(("top", "left"), [(0, 0), (100, 280), (200, 30)])
def test_the_window_holds_the_only_edges(top, left):
    rows, columns = informative_window(picture(top, left), 128)
    assert rows.stop - rows.start == columns.stop - columns.start == 128
    held = min(rows.stop, top + 90) - max(rows.start, top), min(columns.stop, left + 90) - max(columns.start, left)
    assert min(held) > 90 - 16  # places are compared in steps of 16 pixels


def test_sums_over_windows_are_those_of_their_parts():
    values = np.random.default_rng(0).random((70, 53), dtype=np.float32)
    sums = window_sums(values, (20, 30))
    assert sums.shape == (4, 2)  # windows that begin at rows 0, 16, 32, 48 and columns 0, 16
    direct = [[values[row:, column:][:20, :30].sum() for column in (0, WINDOW_STEP)] for row in range(0, 4 * WINDOW_STEP, WINDOW_STEP)]
    assert np.allclose(sums, direct, rtol=1e-5)  # of 600 numbers in float32


def test_clipped_highlights_and_fine_texture_do_not_count():
    data = picture(20, 20)
    data[..., 180:260, 300:380] = 1.0  # steeper, but nobody knows how bright it was
    data[..., 180:260, 150:230] += 0.5 * (torch.arange(80) % 2)  # stripes of one pixel
    rows, columns = informative_window(data, 128)
    assert max(rows.start, columns.start) <= 20


@pytest.mark.parametrize("side", [300, 1000])
def test_a_side_that_the_picture_does_not_have_is_cut(side):
    rows, columns = informative_window(picture(0, 0), side)
    assert rows == slice(0, 300)
    assert columns.stop - columns.start == min(side, 400)


def test_a_side_of_nothing_is_refused():
    with pytest.raises(InputError, match="at least 1 pixel, got 0"):
        informative_window(picture(0, 0), 0)


def test_all_but_the_last_stage_look_through_the_window():
    recipe = load_recipe("fast-map").with_overrides(["measurement.window=128", "candidates=[]"])
    *before, last = plan(recipe, picture(100, 280), Options())
    assert before
    assert {tuple(stage.data.shape) for stage in before} == {(1, 1, 128, 128)}
    assert tuple(last.data.shape) == (1, 1, 300, 400)


def test_a_window_that_nothing_goes_on_from_is_refused():
    recipe = load_recipe("selfdeblur-small").with_overrides(["measurement.window=128", "next=none"])
    with pytest.raises(RecipeError, match=r"measurement\.window: a recipe must go on"):
        check_recipe(recipe)
