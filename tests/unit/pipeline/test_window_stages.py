"""Recipes with ``measurement.window``: all stages but the last use only the most informative window."""

from __future__ import annotations

import pytest
import torch

from invkit.core.errors import RecipeError
from invkit.pipeline.options import Options
from invkit.pipeline.stages import plan_stages
from invkit.recipes.model import check_recipe, load_recipe


def test_all_stages_but_the_last_use_the_window() -> None:
    image = torch.rand(1, 1, 300, 400, generator=torch.Generator().manual_seed(0))
    recipe = load_recipe("fast-map").with_overrides(["measurement.window=128", "candidates=[]"])
    *before, last = plan_stages(recipe, image, Options())
    assert before
    assert {tuple(stage.data.shape) for stage in before} == {(1, 1, 128, 128)}
    assert tuple(last.data.shape) == (1, 1, 300, 400)


def test_a_window_without_a_next_stage_is_refused() -> None:
    recipe = load_recipe("selfdeblur-small").with_overrides(["measurement.window=128", "next=none"])
    with pytest.raises(RecipeError, match=r"measurement\.window: a recipe with a window needs a next stage"):
        check_recipe(recipe)
