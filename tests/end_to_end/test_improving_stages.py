"""A stage with a selection must improve its kernel: otherwise the kernel of the stage before is used."""

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
    Prescribed,
    aim_at,
    blurry_blocks,
    job,
    registered_toys,
    selected,
    stage_names,
    stages,
    stops,
    with_candidates,
)

from invkit.core.errors import PluginError
from invkit.core.result import Result
from invkit.pipeline.sequence import SELECTION_NOISE_FACTOR, Referee
from invkit.recipes.model import load_recipe

FREE = REFINED.replace("= 4", "= 4, kernel_lr = 0.3")  # finds another kernel than it starts from
RGB, WINDOW = 'measurement.color = "rgb"\n', "measurement.window = 24\n"
KERNEL = torch.full((1, 1, 5, 5), 1 / 25)


def improving(selection: str = "'toy-near'") -> str:
    """A recipe that must improve its kernel."""
    return FREE.replace("refined", "improving") + f"selection = {selection}\n"


@pytest.fixture(autouse=True)
def toys() -> Iterator[None]:
    with registered_toys():
        yield


@pytest.fixture
def blurry() -> np.ndarray:
    return blurry_blocks()


@pytest.fixture
def prefers_the_later(blurry: np.ndarray) -> None:
    """Makes "toy-near" prefer the kernel of `FREE` to that of `QUICK` before it; "toy-far" then prefers the other."""
    aim_at(job(blurry, stages(QUICK, FREE)).run().kernel)


@pytest.fixture
def hours_pass(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Gives a function that advances the clock, so that no test has to wait for a time limit."""
    clock, late = time.monotonic, [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock() + sum(late))
    return lambda: late.append(3600.0)


def weight_at(sigma: float) -> object:
    """The weight of the term of `NOISY` at a noise level."""
    return pytest.approx([0.5 * sigma])


def weights(diary: Diary) -> list[list[float]]:
    """The weights of all terms of each problem that was solved."""
    return [[term.weight for term in problem.regularizers] for problem in diary.problems]


def level(result: Result) -> float:
    """The noise level of the last stage."""
    return float(result.details["stages"][-1]["noise_sigma"])


def assert_same_image_and_kernel(one: Result, other: Result) -> None:
    np.testing.assert_array_equal(one.kernel, other.kernel)
    np.testing.assert_array_equal(one.image, other.image)


# Whether the new kernel is accepted.


@pytest.mark.usefixtures("prefers_the_later")
@pytest.mark.parametrize("last", [LAST, NOISY])
@pytest.mark.parametrize(("selection", "accepted"), [("'toy-near'", True), ("'toy-far'", False)])
def test_the_last_stage_starts_from_the_kernel_that_the_selection_prefers(
    blurry: np.ndarray, selection: str, accepted: bool, last: str
) -> None:
    expected = job(blurry, stages(QUICK, *([FREE] if accepted else []), last)).run()
    result = job(blurry, stages(QUICK, improving(selection), last)).run()
    assert_same_image_and_kernel(result, expected)
    assert level(result) == level(expected)
    assert result.details["stages"][1]["accepted"] is accepted
    assert len(result.history) == result.iterations == 3 + 4 + 7  # the restorations by the referee are not counted
    assert result.stopped == "finished"


@pytest.mark.usefixtures("prefers_the_later")
def test_only_the_improving_stage_reports_its_scores(blurry: np.ndarray) -> None:
    result = job(blurry, stages(QUICK, improving(), LAST)).run()
    assert stage_names(result) == ["quick", "improving", "last"]
    reported = [{"accepted", "scores"} & stage.keys() for stage in result.details["stages"]]
    assert reported == [set(), {"accepted", "scores"}, set()]
    assert not {"accepted", "scores"} & result.details.keys()


@pytest.mark.parametrize(
    ("before", "after", "accepted"),
    [
        (2, 1, True),
        (1, 2, False),
        (1, 1, False),
        (1, math.nan, False),
        (math.nan, math.nan, False),
        (math.nan, 1, True),
    ],
)
def test_only_a_lower_sum_is_accepted_and_nan_is_the_worst(
    blurry: np.ndarray, before: float, after: float, accepted: bool
) -> None:
    Prescribed.values = before, after
    [_, entry, _] = job(blurry, stages(QUICK, improving("'toy-prescribed'"), LAST)).run().details["stages"]
    assert entry["accepted"] is accepted


@pytest.mark.parametrize(("near", "far", "accepted"), [(1, 0.5, True), (0.5, 1, False)])
def test_the_weighted_sum_decides_and_the_change_of_each_score_is_reported(
    blurry: np.ndarray, near: float, far: float, accepted: bool
) -> None:
    first, second = (job(blurry, stages(*texts)).run().kernel for texts in ([QUICK], [QUICK, FREE]))
    aim_at(second)
    selection = f"[{{name = 'toy-near', weight = {near}}}, {{name = 'toy-far', weight = {far}}}]"
    entry = job(blurry, stages(QUICK, improving(selection), LAST)).run().details["stages"][1]
    fall = np.square(first - second).sum()
    assert fall > 0.01
    rise = {"toy-near": -fall, "toy-far": fall, "sum": (far - near) * fall}
    assert entry["scores"] == pytest.approx(rise, abs=2e-5)  # rounded
    assert entry["accepted"] is accepted


@pytest.mark.usefixtures("prefers_the_later")
def test_each_improving_stage_is_compared_with_the_last_accepted_kernel(blurry: np.ndarray) -> None:
    texts = [QUICK, improving("'toy-far'"), improving("'toy-near'"), improving("'toy-near'"), LAST]
    result = job(blurry, stages(*texts)).run()
    assert [stage.get("accepted") for stage in result.details["stages"]] == [None, False, True, False, None]
    assert_same_image_and_kernel(result, job(blurry, stages(QUICK, FREE, LAST)).run())


@pytest.mark.usefixtures("prefers_the_later")
def test_the_result_holds_a_recipe_that_gives_the_same_result(blurry: np.ndarray, tmp_path: Path) -> None:
    first = job(blurry, stages(QUICK, improving("'toy-far'"), LAST)).run()
    first.save(tmp_path)
    recipe = load_recipe(str(tmp_path / "result.json"))
    assert [[score.name for score in link.selection] for link in recipe.links()] == [[], ["toy-far"], []]
    assert_same_image_and_kernel(job(blurry, recipe).run(), first)


# What the referee sees.


@pytest.mark.usefixtures("prefers_the_later")
def test_both_kernels_are_compared_at_the_noise_level_of_the_first(
    blurry: np.ndarray,
) -> None:
    before, after = (level(job(blurry, stages(*texts, NOISY)).run()) for texts in ([QUICK], [QUICK, FREE]))
    assert before > 2 * after
    diary = Diary()
    job(blurry, stages(QUICK, improving(), NOISY)).run(progress=diary)
    assert weights(diary) == [[], [], *[weight_at(SELECTION_NOISE_FACTOR * before)] * 2, weight_at(after)]

    diary = Diary()
    job(blurry, stages(QUICK, improving(), NOISY), sigma=0.1).run(progress=diary)
    assert weights(diary) == [[], [], *[weight_at(SELECTION_NOISE_FACTOR * 0.1)] * 2, weight_at(0.1)]


def test_the_referee_sees_the_data_of_the_first_stage(blurry: np.ndarray) -> None:
    aim_at(KERNEL[0, 0])
    diary, colourful = Diary(), np.stack([blurry, blurry[::-1], blurry[:, ::-1]], axis=-1)
    job(colourful, stages(QUICK + WINDOW, improving(), LAST + RGB)).run(progress=diary)
    seen = [tuple(problem.data.shape) for problem in diary.problems]
    assert seen == [(1, 1, 24, 24)] * 4 + [(1, 3, 36, 42)]
    assert Near.calls[-1][1:] == (1, 1, 24, 24, 2, 1, 24, 24, 2, 1, 5, 5)


@pytest.mark.usefixtures("prefers_the_later")
@pytest.mark.parametrize(("selection", "restored"), [("'toy-near'", 3), ("'toy-far'", 2)])
def test_the_referee_restores_no_kernel_twice(blurry: np.ndarray, selection: str, restored: int) -> None:
    """After a rejection, the second stage finds the same kernel again; otherwise it starts from a compared kernel."""
    diary = Diary()
    job(blurry, stages(QUICK, improving(selection), improving(selection), LAST)).run(progress=diary)
    assert len(diary.problems) == 4 + restored


def test_the_referee_recognises_kernels_by_their_values_and_keeps_no_stopped_restoration(blurry: np.ndarray) -> None:
    planned = job(blurry, stages(QUICK, LAST))
    referee = Referee.of(planned.stages, planned.device)
    assert referee(KERNEL, list, 0.0).stopped == "time limit"
    whole = referee(KERNEL, list, None)
    assert whole.stopped == "finished"
    assert referee(KERNEL.clone(), list, 0.0) is whole
    assert referee(torch.eye(5)[None, None] / 5, list, None) is not whole


def test_the_kernel_before_an_improving_stage_that_diverges_is_used(blurry: np.ndarray) -> None:
    result = job(blurry, stages(QUICK, improving().replace("joint-adam", "toy-diverging"), LAST)).run()
    assert_same_image_and_kernel(result, job(blurry, stages(QUICK, LAST)).run())
    assert result.details["stages"][1]["accepted"] is False


# Inside and after candidates.


@pytest.mark.usefixtures("prefers_the_later")
@pytest.mark.parametrize(("selection", "accepted"), [("'toy-near'", True), ("'toy-far'", False)])
def test_a_candidate_may_have_an_improving_stage(blurry: np.ndarray, selection: str, accepted: bool) -> None:
    alone = stages(QUICK, *([FREE] if accepted else []), REFINED, LAST)
    result = job(blurry, with_candidates([stages(QUICK, improving(selection), LAST)], REFINED, LAST)).run()
    assert_same_image_and_kernel(result, job(blurry, alone).run())
    assert stage_names(result) == ["quick", "improving", "refined", "last"]
    assert [stage.get("accepted") for stage in result.details["stages"]] == [None, accepted, None, None]


@pytest.mark.usefixtures("prefers_the_later")
def test_an_improving_stage_of_a_candidate_is_compared_by_the_candidates_last_stage(blurry: np.ndarray) -> None:
    diary, texts = Diary(), (QUICK, SLOW)
    candidates = [stages(text, improving(), NOISY) for text in texts]
    result = job(blurry, with_candidates(candidates, LAST)).run(progress=diary)
    first, second = (level(job(blurry, stages(text, NOISY)).run()) for text in texts)
    assert first != pytest.approx(second, rel=1e-4)
    expected = [[[], [], *[weight_at(SELECTION_NOISE_FACTOR * each)] * 2, []] for each in (first, second)]
    assert weights(diary) == [*expected[0], *expected[1], []]
    assert selected(result) == ["quick"]


@pytest.mark.usefixtures("prefers_the_later")
@pytest.mark.parametrize(("selection", "accepted"), [("'toy-near'", True), ("'toy-far'", False)])
def test_an_improving_stage_after_candidates_compares_each_kernel_once_at_one_noise_level(
    blurry: np.ndarray, selection: str, accepted: bool
) -> None:
    """The candidates are compared by the restorations of the improving stage, without further solves."""
    diary = Diary()
    result = job(blurry, with_candidates(TWO, REFINED, improving(selection), NOISY)).run(progress=diary)
    one = weight_at(SELECTION_NOISE_FACTOR * level(job(blurry, stages(QUICK, REFINED, NOISY)).run()))
    assert weights(diary) == [[], [], [], one, one] * 2 + [weight_at(level(result))]
    first = {"quick": QUICK, "slow": SLOW}[selected(result)[0]]
    assert_same_image_and_kernel(
        result, job(blurry, stages(first, REFINED, *([FREE] if accepted else []), NOISY)).run()
    )
    assert [stage.get("accepted") for stage in result.details["stages"]] == [None, None, accepted, None]


# Interruptions and failures.


stopping = pytest.mark.parametrize(
    ("stop", "reason"), [("ctrl_c", "interrupted"), ("hours_pass", "time limit")], ids=["ctrl-c", "time limit"]
)
when = pytest.mark.parametrize(
    "solve", [1, 2, 3], ids=["in the stage", "restoring with the old kernel", "restoring with the new kernel"]
)


@pytest.mark.usefixtures("prefers_the_later")
@stopping
@when
def test_the_kernel_before_is_used_if_the_stage_or_the_comparison_is_stopped(
    blurry: np.ndarray, request: pytest.FixtureRequest, stop: str, reason: str, solve: int
) -> None:
    diary = Diary(request.getfixturevalue(stop), watched=(solve,))
    result = job(blurry, stages(QUICK, improving(), LAST)).run(progress=diary, time_limit=60.0)
    assert_same_image_and_kernel(result, job(blurry, stages(QUICK, LAST)).run())
    assert result.stopped == reason
    assert stops(result) == ["finished", reason if solve == 1 else "finished", "finished"]
    entry = result.details["stages"][1]
    assert entry["accepted"] is False
    assert "scores" not in entry
    assert len(diary.titles) == solve + 2  # of the later stages only the last is solved


@pytest.mark.usefixtures("prefers_the_later")
@stopping
def test_an_improving_stage_after_a_stop_is_skipped(
    blurry: np.ndarray, request: pytest.FixtureRequest, stop: str, reason: str
) -> None:
    diary = Diary(request.getfixturevalue(stop), watched=(0,))
    result = job(blurry, stages(QUICK, improving(), LAST)).run(progress=diary, time_limit=60.0)
    assert stops(result) == [reason, "skipped", "finished"]
    assert "accepted" not in result.details["stages"][1]
    assert len(diary.titles) == 2


@pytest.mark.usefixtures("prefers_the_later")
@stopping
@when
@pytest.mark.parametrize("candidate", [0, 1], ids=["first", "second"])
def test_the_first_candidate_is_used_with_its_kernel_before_an_improving_stage_that_is_stopped(
    blurry: np.ndarray, request: pytest.FixtureRequest, stop: str, reason: str, solve: int, candidate: int
) -> None:
    solves = 5  # of a completed candidate: two stages, two to accept the second, one to select the candidate
    diary = Diary(request.getfixturevalue(stop), watched=(solves * candidate + solve,))
    candidates = [stages(text, improving(), LAST) for text in (QUICK, SLOW)]
    result = job(blurry, with_candidates(candidates, LAST)).run(progress=diary, time_limit=60.0)
    assert_same_image_and_kernel(result, job(blurry, stages(QUICK, *([FREE] if candidate else []), LAST)).run())
    assert (result.stopped, selected(result)) == (reason, ["quick"])
    assert result.details["candidates"][1]["skipped"] == reason
    assert result.details["stages"][1]["accepted"] is bool(candidate)


@pytest.mark.parametrize(
    ("selection", "error"),
    [
        ("'toy-failing'", "selection.0: the component .*Failing failed: .*nothing to divide by"),
        ("['toy-near', 'toy-demanding']", "selection.1: Demanding asks the problem for shape"),
    ],
)
def test_a_metric_that_fails_or_cannot_be_built_is_named(blurry: np.ndarray, selection: str, error: str) -> None:
    aim_at(KERNEL[0, 0])
    with pytest.raises(PluginError, match=error):
        job(blurry, stages(QUICK, improving(selection), LAST)).run()
