"""A recipe that goes on with selection is on trial: its kernel is kept only where they prefer it to the one before."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from toy_recipes import (
    LAST,
    NOISY,
    QUICK,
    REFINED,
    SLOW,
    TWO,
    Diary,
    Near,
    Verdict,
    aim_at,
    blurry_blocks,
    chain,
    chosen,
    ends,
    job,
    names,
    registered_toys,
    several,
)

from invkit.core.errors import PluginError
from invkit.core.result import Result
from invkit.pipeline.selection import SMOOTHER, Judge
from invkit.recipes.model import load_recipe

FREE = REFINED.replace("= 4", "= 4, kernel_lr = 0.3")  # leaves another kernel than it is given
RGB, WINDOW = 'measurement.color = "rgb"\n', "measurement.window = 24\n"
KERNEL = torch.full((1, 1, 5, 5), 1 / 25)


def trial(selection: str = "'toy-near'") -> str:
    """A recipe that has to prove itself."""
    return FREE.replace("refined", "trial") + f"selection = {selection}\n"


@pytest.fixture(autouse=True)
def toys() -> Iterator[None]:
    with registered_toys():
        yield


@pytest.fixture
def blurry() -> np.ndarray:
    return blurry_blocks()


@pytest.fixture
def prefers_the_later(blurry: np.ndarray) -> None:
    """Makes "toy-near" prefer the kernel of `FREE` to that of `QUICK` before it, and "toy-far" the other way round."""
    aim_at(job(blurry, chain(QUICK, FREE)).run().kernel)


@pytest.fixture
def hours_pass(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Puts the clock forward, so that no test has to wait for a time limit."""
    clock, late = time.monotonic, [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock() + sum(late))
    return lambda: late.append(3600.0)


def under(sigma: float) -> object:
    """The weight of the term of `NOISY` under a noise level."""
    return pytest.approx([0.5 * sigma])


def weights(diary: Diary) -> list[list[float]]:
    """Of all terms of each problem that was solved."""
    return [[term.weight for term in problem.regularizers] for problem in diary.problems]


def level(result: Result) -> float:
    """The noise level of the last stage."""
    return float(result.details["stages"][-1]["noise_sigma"])


def assert_same_image_and_kernel(one: Result, other: Result) -> None:
    np.testing.assert_array_equal(one.kernel, other.kernel)
    np.testing.assert_array_equal(one.image, other.image)


# Whether it is kept.


@pytest.mark.usefixtures("prefers_the_later")
@pytest.mark.parametrize("last", [LAST, NOISY])
@pytest.mark.parametrize(("selection", "kept"), [("'toy-near'", True), ("'toy-far'", False)])
def test_the_last_stage_starts_from_the_kernel_that_the_scores_prefer(
    blurry: np.ndarray, selection: str, kept: bool, last: str
) -> None:
    expected = job(blurry, chain(QUICK, *([FREE] if kept else []), last)).run()
    result = job(blurry, chain(QUICK, trial(selection), last)).run()
    assert_same_image_and_kernel(result, expected)
    assert level(result) == level(expected)
    assert result.details["stages"][1]["kept"] is kept
    assert len(result.history) == result.iterations == 3 + 4 + 7  # those of the judge lead to no result
    assert result.stopped == "finished"


@pytest.mark.usefixtures("prefers_the_later")
def test_only_the_stage_on_trial_tells_how_it_was_judged(blurry: np.ndarray) -> None:
    result = job(blurry, chain(QUICK, trial(), LAST)).run()
    assert names(result) == ["quick", "trial", "last"]
    told = [{"kept", "selection"} & stage.keys() for stage in result.details["stages"]]
    assert told == [set(), {"kept", "selection"}, set()]
    assert not {"kept", "selection"} & result.details.keys()


@pytest.mark.parametrize(
    ("before", "after", "kept"),
    [
        (2, 1, True),
        (1, 2, False),
        (1, 1, False),
        (1, math.nan, False),
        (math.nan, math.nan, False),
        (math.nan, 1, True),
    ],
)
def test_it_takes_a_lower_sum_to_be_kept_and_what_cannot_be_told_is_none(
    blurry: np.ndarray, before: float, after: float, kept: bool
) -> None:
    Verdict.values = before, after
    [_, told, _] = job(blurry, chain(QUICK, trial("'toy-verdict'"), LAST)).run().details["stages"]
    assert told["kept"] is kept


@pytest.mark.parametrize(("near", "far", "kept"), [(1, 0.5, True), (0.5, 1, False)])
def test_the_weighted_sum_decides_and_what_each_score_rose_by_is_told(
    blurry: np.ndarray, near: float, far: float, kept: bool
) -> None:
    first, second = (job(blurry, chain(*texts)).run().kernel for texts in ([QUICK], [QUICK, FREE]))
    aim_at(second)
    selection = f"[{{name = 'toy-near', weight = {near}}}, {{name = 'toy-far', weight = {far}}}]"
    told = job(blurry, chain(QUICK, trial(selection), LAST)).run().details["stages"][1]
    fall = np.square(first - second).sum()
    assert fall > 0.01
    rise = {"toy-near": -fall, "toy-far": fall, "sum": (far - near) * fall}
    assert told["selection"] == pytest.approx(rise, abs=2e-5)  # rounded
    assert told["kept"] is kept


@pytest.mark.usefixtures("prefers_the_later")
def test_each_of_several_is_on_trial_against_the_kernel_that_was_kept_before_it(blurry: np.ndarray) -> None:
    texts = [QUICK, trial("'toy-far'"), trial("'toy-near'"), trial("'toy-near'"), LAST]
    result = job(blurry, chain(*texts)).run()
    assert [stage.get("kept") for stage in result.details["stages"]] == [None, False, True, False, None]
    assert_same_image_and_kernel(result, job(blurry, chain(QUICK, FREE, LAST)).run())


@pytest.mark.usefixtures("prefers_the_later")
def test_the_result_tells_the_recipe_it_can_be_made_again_with(blurry: np.ndarray, tmp_path: Path) -> None:
    first = job(blurry, chain(QUICK, trial("'toy-far'"), LAST)).run()
    first.save(tmp_path)
    recipe = load_recipe(str(tmp_path / "result.json"))
    assert [[score.name for score in link.selection] for link in recipe.links()] == [[], ["toy-far"], []]
    assert_same_image_and_kernel(job(blurry, recipe).run(), first)


# What the judge sees.


@pytest.mark.usefixtures("prefers_the_later")
def test_both_are_judged_under_one_level_by_the_first_and_the_last_is_solved_under_its_own(blurry: np.ndarray) -> None:
    before, after = (level(job(blurry, chain(*texts, NOISY)).run()) for texts in ([QUICK], [QUICK, FREE]))
    assert before > 2 * after
    diary = Diary()
    job(blurry, chain(QUICK, trial(), NOISY)).run(progress=diary)
    assert weights(diary) == [[], [], *[under(SMOOTHER * before)] * 2, under(after)]

    diary = Diary()
    job(blurry, chain(QUICK, trial(), NOISY), sigma=0.1).run(progress=diary)
    assert weights(diary) == [[], [], *[under(SMOOTHER * 0.1)] * 2, under(0.1)]


def test_the_judge_sees_what_the_first_stage_does(blurry: np.ndarray) -> None:
    aim_at(KERNEL[0, 0])
    diary, colourful = Diary(), np.stack([blurry, blurry[::-1], blurry[:, ::-1]], axis=-1)
    job(colourful, chain(QUICK + WINDOW, trial(), LAST + RGB)).run(progress=diary)
    seen = [tuple(problem.data.shape) for problem in diary.problems]
    assert seen == [(1, 1, 24, 24)] * 4 + [(1, 3, 36, 42)]
    assert Near.given[-1][1:] == (1, 1, 24, 24, 2, 1, 24, 24, 2, 1, 5, 5)


@pytest.mark.usefixtures("prefers_the_later")
@pytest.mark.parametrize(("selection", "restored"), [("'toy-near'", 3), ("'toy-far'", 2)])
def test_the_judge_restores_no_kernel_twice(blurry: np.ndarray, selection: str, restored: int) -> None:
    """Refused, the second finds the same kernel from the same one again; kept, it begins from one that was judged."""
    diary = Diary()
    job(blurry, chain(QUICK, trial(selection), trial(selection), LAST)).run(progress=diary)
    assert len(diary.problems) == 4 + restored


def test_the_judge_knows_kernels_by_their_values_and_forgets_what_was_stopped(blurry: np.ndarray) -> None:
    planned = job(blurry, chain(QUICK, LAST))
    judge = Judge.of(planned.stages, planned.device)
    assert judge(KERNEL, list, 0.0).stopped == "time limit"
    whole = judge(KERNEL, list, None)
    assert whole.stopped == "finished"
    assert judge(KERNEL.clone(), list, 0.0) is whole
    assert judge(torch.eye(5)[None, None] / 5, list, None) is not whole


def test_a_trial_that_diverges_leaves_the_kernel_it_was_given(blurry: np.ndarray) -> None:
    result = job(blurry, chain(QUICK, trial().replace("joint-adam", "toy-diverging"), LAST)).run()
    assert_same_image_and_kernel(result, job(blurry, chain(QUICK, LAST)).run())
    assert result.details["stages"][1]["kept"] is False


# Below starts.


@pytest.mark.usefixtures("prefers_the_later")
@pytest.mark.parametrize(("selection", "kept"), [("'toy-near'", True), ("'toy-far'", False)])
def test_a_start_may_hold_its_own_trial(blurry: np.ndarray, selection: str, kept: bool) -> None:
    alone = chain(QUICK, *([FREE] if kept else []), REFINED, LAST)
    result = job(blurry, several([chain(QUICK, trial(selection), LAST)], REFINED, LAST)).run()
    assert_same_image_and_kernel(result, job(blurry, alone).run())
    assert names(result) == ["quick", "trial", "refined", "last"]
    assert [stage.get("kept") for stage in result.details["stages"]] == [None, kept, None, None]


@pytest.mark.usefixtures("prefers_the_later")
def test_each_start_is_tried_by_the_end_of_its_own_chain(blurry: np.ndarray) -> None:
    diary, texts = Diary(), (QUICK, SLOW)
    result = job(blurry, several([chain(text, trial(), NOISY) for text in texts], LAST)).run(progress=diary)
    first, second = (level(job(blurry, chain(text, NOISY)).run()) for text in texts)
    assert first != pytest.approx(second, rel=1e-4)
    expected = [[[], [], *[under(SMOOTHER * each)] * 2, []] for each in (first, second)]
    assert weights(diary) == [*expected[0], *expected[1], []]
    assert chosen(result) == ["quick"]


@pytest.mark.usefixtures("prefers_the_later")
@pytest.mark.parametrize(("selection", "kept"), [("'toy-near'", True), ("'toy-far'", False)])
def test_a_trial_that_follows_starts_tries_the_kernel_of_each_under_one_level_and_none_twice(
    blurry: np.ndarray, selection: str, kept: bool
) -> None:
    """What a trial has judged, the starts are compared by without another solve."""
    diary = Diary()
    result = job(blurry, several(TWO, REFINED, trial(selection), NOISY)).run(progress=diary)
    one = under(SMOOTHER * level(job(blurry, chain(QUICK, REFINED, NOISY)).run()))
    assert weights(diary) == [[], [], [], one, one] * 2 + [under(level(result))]
    first = {"quick": QUICK, "slow": SLOW}[chosen(result)[0]]
    assert_same_image_and_kernel(result, job(blurry, chain(first, REFINED, *([FREE] if kept else []), NOISY)).run())
    assert [stage.get("kept") for stage in result.details["stages"]] == [None, None, kept, None]


# What befalls it.


stopping = pytest.mark.parametrize(
    ("stop", "said"), [("ctrl_c", "interrupted"), ("hours_pass", "time limit")], ids=["ctrl-c", "time limit"]
)
when = pytest.mark.parametrize("solve", [1, 2, 3], ids=["in it", "judging the one before", "judging its own"])


@pytest.mark.usefixtures("prefers_the_later")
@stopping
@when
def test_what_is_stopped_before_it_is_judged_leaves_the_kernel_before(
    blurry: np.ndarray, request: pytest.FixtureRequest, stop: str, said: str, solve: int
) -> None:
    diary = Diary(request.getfixturevalue(stop), watched=(solve,))
    result = job(blurry, chain(QUICK, trial(), LAST)).run(progress=diary, time_limit=60.0)
    assert_same_image_and_kernel(result, job(blurry, chain(QUICK, LAST)).run())
    assert result.stopped == said
    assert ends(result) == ["finished", said if solve == 1 else "finished", "finished"]
    told = result.details["stages"][1]
    assert told["kept"] is False
    assert "selection" not in told
    assert len(diary.titles) == solve + 2  # of what was to come, the last alone


@pytest.mark.usefixtures("prefers_the_later")
@stopping
def test_what_is_stopped_before_it_begins_is_skipped_and_not_judged(
    blurry: np.ndarray, request: pytest.FixtureRequest, stop: str, said: str
) -> None:
    diary = Diary(request.getfixturevalue(stop), watched=(0,))
    result = job(blurry, chain(QUICK, trial(), LAST)).run(progress=diary, time_limit=60.0)
    assert ends(result) == [said, "skipped", "finished"]
    assert "kept" not in result.details["stages"][1]
    assert len(diary.titles) == 2


@pytest.mark.usefixtures("prefers_the_later")
@stopping
@when
@pytest.mark.parametrize("start", [0, 1], ids=["first", "second"])
def test_a_start_that_is_stopped_in_its_trial_leaves_its_kernel_before_if_it_is_the_first(
    blurry: np.ndarray, request: pytest.FixtureRequest, stop: str, said: str, solve: int, start: int
) -> None:
    solves = 5  # of a start that comes to its end: two stages, two to judge, one to compare
    diary = Diary(request.getfixturevalue(stop), watched=(solves * start + solve,))
    candidates = [chain(text, trial(), LAST) for text in (QUICK, SLOW)]
    result = job(blurry, several(candidates, LAST)).run(progress=diary, time_limit=60.0)
    assert_same_image_and_kernel(result, job(blurry, chain(QUICK, *([FREE] if start else []), LAST)).run())
    assert (result.stopped, chosen(result)) == (said, ["quick"])
    assert result.details["candidates"][1]["skipped"] == said
    assert result.details["stages"][1]["kept"] is bool(start)


@pytest.mark.parametrize(
    ("selection", "error"),
    [
        ("'toy-failing'", "selection.0: the component .*Failing failed: .*nothing to divide by"),
        ("['toy-near', 'toy-demanding']", "selection.1: Demanding asks the problem for shape"),
    ],
)
def test_a_score_that_fails_or_cannot_be_built_is_named(blurry: np.ndarray, selection: str, error: str) -> None:
    aim_at(KERNEL[0, 0])
    with pytest.raises(PluginError, match=error):
        job(blurry, chain(QUICK, trial(selection), LAST)).run()
