"""A recipe with a referee: the kernel that is selected does not depend on the last stage."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from toy_recipes import LAST, NOISY, REFINED, TWO, Diary, blurry_blocks, job, registered_toys, with_candidates

from invkit.core.errors import InvkitError
from invkit.core.result import Result
from invkit.recipes.model import Recipe, load_recipe, parse_recipe

LONGER = LAST.replace("last", "longer").replace("= 7", "= 30")


@pytest.fixture(autouse=True)
def toys() -> Iterator[None]:
    with registered_toys():
        yield


def refereed(referee: Recipe | None, *later: str) -> Recipe:
    whole = with_candidates(TWO, REFINED, *later, selection="['normalized-sparsity', 'log-gradient']")
    return whole.model_copy(update={"referee": referee})


def scores(result: Result) -> list[dict[str, float]]:
    return [one["scores"] for one in result.details["candidates"]]


def test_the_selection_is_the_same_whatever_the_last_stage() -> None:
    referee = parse_recipe(LAST)
    results = [job(blurry_blocks(), refereed(referee, last)).run() for last in (LAST, LONGER)]
    assert scores(results[0]) == scores(results[1])
    np.testing.assert_array_equal(results[0].kernel, results[1].kernel)
    assert not np.array_equal(results[0].image, results[1].image)


def test_a_referee_gives_the_scores_that_it_gives_as_last_stage() -> None:
    last, named = (job(blurry_blocks(), refereed(one, LAST)).run() for one in (None, parse_recipe(LAST)))
    assert scores(last) == scores(named)
    np.testing.assert_array_equal(last.image, named.image)
    other = job(blurry_blocks(), refereed(None, LONGER)).run()
    assert scores(other) != scores(last)


def test_the_referee_restores_at_its_own_noise_level_and_the_last_stage_at_the_stage_s() -> None:
    diary = Diary()
    result = job(blurry_blocks(), refereed(parse_recipe(NOISY), LONGER)).run(progress=diary)
    weights = [problem.regularizers[0].weight for problem in diary.problems if problem.regularizers]
    assert len(set(weights)) == 1  # every kernel is restored at one level
    assert len(weights) == 4  # two candidates, before and after their refinement
    assert result.details["stages"][-1]["name"] == "longer"


def test_a_referee_that_does_not_fit_the_data_is_refused_before_compute() -> None:
    unfit = load_recipe("inpaint-tv")
    with pytest.raises(InvkitError, match="referee"):
        job(blurry_blocks(), refereed(unfit, LAST))


def test_the_choice_of_fast_does_not_depend_on_its_last_step() -> None:
    rng = np.random.default_rng(3)
    blurry = np.kron(rng.uniform(0.1, 0.9, (12, 12)), np.ones((8, 8)))
    blurry = np.mean([np.roll(blurry, shift, 1) for shift in range(5)], axis=0).astype(np.float32)
    recipe = load_recipe("fast")
    assert recipe.referee == load_recipe("sparse-admm")
    results = [job(blurry, recipe.with_overrides([f"next={last}"])).run() for last in ("sparse-admm", "wiener")]
    assert scores(results[0]) == scores(results[1])
    np.testing.assert_array_equal(results[0].kernel, results[1].kernel)
