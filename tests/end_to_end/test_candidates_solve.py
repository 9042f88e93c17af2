"""Recipes with candidates: the candidate with the best restoration is used, whatever happens to the others."""

from __future__ import annotations

import json
import math
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from narrow import array
from PIL import Image
from toy_recipes import (
    DECLINING,
    DIVERGING,
    ENDLESS,
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

from invkit.apps.cli.main import main as invkit
from invkit.core.errors import DivergedError, InputError, NotApplicableError, PluginError, RecipeError
from invkit.pipeline.job import prepare
from invkit.pipeline.sequence import SELECTION_NOISE_FACTOR
from invkit.recipes.model import load_recipe, parse_recipe


@pytest.fixture(autouse=True)
def toys() -> Iterator[None]:
    with registered_toys():
        yield


@pytest.fixture
def blurry() -> np.ndarray:
    return blurry_blocks()


@pytest.fixture
def colourful(blurry: np.ndarray) -> np.ndarray:
    return np.stack([blurry, blurry[::-1], blurry[:, ::-1]], axis=-1)


# Which candidate is selected, and the result.


@pytest.mark.parametrize("best", [0, 1])
@pytest.mark.parametrize("after", [(LAST,), (LAST, NOISY), (REFINED, LAST), (REFINED,)])
def test_the_result_is_that_of_the_best_candidate_alone_with_the_same_next_stages(
    blurry: np.ndarray, best: int, after: tuple[str, ...]
) -> None:
    alone = job(blurry, stages((QUICK, SLOW)[best], *after)).run()
    aim_at(alone.kernel)
    result = job(blurry, with_candidates(TWO, *after)).run()
    assert selected(result) == [("quick", "slow")[best]]
    np.testing.assert_array_equal(result.image, alone.image)
    np.testing.assert_array_equal(result.kernel, alone.kernel)
    assert (result.history, result.iterations, result.stopped) == (alone.history, alone.iterations, "finished")
    assert stage_names(result) == stage_names(alone)
    assert [stage["noise_sigma"] for stage in result.details["stages"]] == [
        stage["noise_sigma"] for stage in alone.details["stages"]
    ]


def test_the_least_weighted_sum_decides(blurry: np.ndarray) -> None:
    aim_at(job(blurry, TWO[0]).run().kernel)
    for near, far, best in [(1, 0.9, "quick"), (0.9, 1, "slow")]:
        selection = f"[{{name = 'toy-near', weight = {near}}}, {{name = 'toy-far', weight = {far}}}]"
        result = job(blurry, with_candidates(TWO, LAST, selection=selection)).run()
        assert selected(result) == [best]
        for candidate in result.details["candidates"]:
            scores = candidate["scores"]
            assert list(scores) == ["toy-near", "toy-far", "sum"]
            weighted = near * scores["toy-near"] + far * scores["toy-far"]
            assert scores["sum"] == pytest.approx(weighted, abs=2e-5)  # rounded


def test_two_metrics_of_one_name_are_both_reported(blurry: np.ndarray) -> None:
    selection = "['log-gradient', {name = 'log-gradient', params = {floor = 0.1}}]"
    scores = job(blurry, with_candidates(TWO, LAST, selection=selection)).run().details["candidates"][0]["scores"]
    assert scores["log-gradient"] < scores["log-gradient.1"]
    assert scores["sum"] == pytest.approx(scores["log-gradient"] + scores["log-gradient.1"], abs=2e-5)


def test_the_details_describe_every_candidate(blurry: np.ndarray, tmp_path: Path) -> None:
    aim_at(np.eye(5) / 5)
    result = job(blurry, with_candidates(TWO, LAST)).run()
    entries = result.details["candidates"]
    assert [one["name"] for one in entries] == ["quick", "slow"]
    assert sum(one["selected"] for one in entries) == 1
    best = min(entries, key=lambda one: one["scores"]["sum"])
    assert best["selected"]
    assert all(one["scores"]["toy-near"] == one["scores"]["sum"] > 0 for one in entries)
    assert all(one["seconds"] > 0 for one in entries)
    # The seconds of all candidates count, rounded to three digits.
    assert result.seconds >= sum(one["seconds"] for one in entries) - 2e-3
    assert len(result.history) == result.iterations == sum(stage["iterations"] for stage in result.details["stages"])
    result.save(tmp_path)
    assert json.loads((tmp_path / "result.json").read_text())["candidates"] == entries


def test_a_candidate_without_a_finite_score_is_not_selected(blurry: np.ndarray) -> None:
    Prescribed.values = math.nan, 1e9
    assert selected(job(blurry, with_candidates(TWO, LAST, selection="toy-prescribed")).run()) == ["slow"]


def test_a_single_candidate_needs_no_selection_and_is_not_scored(blurry: np.ndarray) -> None:
    diary = Diary()
    result = job(blurry, with_candidates(TWO[1:], REFINED, LAST)).run(progress=diary)
    np.testing.assert_array_equal(result.image, job(blurry, stages(SLOW, REFINED, LAST)).run().image)
    [entry] = result.details["candidates"]
    assert (entry["name"], entry["selected"], entry["scores"]) == ("slow", True, {})
    assert len(diary.titles) == 3


def test_last_stages_of_a_candidate_that_keep_the_kernel_are_not_solved(blurry: np.ndarray) -> None:
    aim_at(np.eye(5) / 5)
    diary = Diary()
    result = job(blurry, with_candidates([stages(SLOW, REFINED, LAST, NOISY), *TWO[:1]], LAST)).run(progress=diary)
    assert diary.titles == [
        "last 1 of 2: slow: joint-adam",
        "last 1 of 2: slow: joint-adam",
        "last 1 of 2: slow: joint-adam",
        "last 2 of 2: quick",
        "last 2 of 2: quick: joint-adam",
        f"last: {selected(result)[0]}: joint-adam",
    ]
    assert [one["name"] for one in result.details["candidates"]] == ["slow", "quick"]


def test_candidates_may_have_candidates(blurry: np.ndarray) -> None:
    alone = job(blurry, stages(SLOW, LAST)).run()
    aim_at(alone.kernel)
    inner = with_candidates(TWO, LAST.replace("last", "inner"))
    outer = with_candidates([parse_recipe(REFINED), inner], LAST)
    result = job(blurry, outer).run()
    assert selected(result) == ["inner"]
    np.testing.assert_array_equal(result.kernel, alone.kernel)
    np.testing.assert_array_equal(result.image, alone.image)
    assert stage_names(result) == ["slow", "inner", "last"]
    entries = result.details["candidates"][1]["candidates"]
    assert [(one["name"], one["selected"]) for one in entries] == [("quick", False), ("slow", True)]


def test_candidates_of_a_candidate_are_selected_by_its_own_last_stage(blurry: np.ndarray) -> None:
    aim_at(np.eye(5) / 5)
    inner = with_candidates(TWO, REFINED, LAST)
    diary = Diary()
    nested = job(blurry, with_candidates([inner], LAST)).run(progress=diary)
    alone = job(blurry, inner).run()
    np.testing.assert_array_equal(nested.kernel, alone.kernel)
    assert [one["scores"] for one in nested.details["candidates"][0]["candidates"]] == [
        one["scores"] for one in alone.details["candidates"]
    ]
    assert diary.titles[0] == "last 1 of 1: refined 1 of 2: quick"


def test_the_result_holds_a_recipe_that_gives_the_same_result(colourful: np.ndarray, tmp_path: Path) -> None:
    aim_at(np.eye(5) / 5)
    candidates = [stages(QUICK, LAST), parse_recipe(SLOW + 'measurement.color = "rgb"\n')]
    first = job(colourful, with_candidates(candidates, REFINED, LAST), color="rgb", seed=3).run()
    first.save(tmp_path)
    recipe = load_recipe(str(tmp_path / "result.json"))
    colours = [(place, one.measurement.color) for place, one in recipe.tree()]
    assert colours == [
        ("", "luma"),
        ("candidates.0.", "luma"),
        ("candidates.0.next.", "luma"),
        ("candidates.1.", "rgb"),
        ("next.", "rgb"),
    ]
    again = prepare(colourful, recipe=recipe, kernel_size=5, seed=3).run()
    np.testing.assert_array_equal(again.image, first.image)
    assert again.details["recipe"] == first.details["recipe"]


# The data and the noise level of the comparison.


def test_all_are_compared_at_one_noise_level_and_the_last_stage_has_that_of_its_kernel(blurry: np.ndarray) -> None:
    aim_at(job(blurry, TWO[1]).run().kernel)
    diary, (first, second) = Diary(), (job(blurry, stages(text, NOISY)).run() for text in (QUICK, SLOW))
    levels = [result.details["stages"][-1]["noise_sigma"] for result in (first, second)]
    assert levels[0] != pytest.approx(levels[1], rel=1e-4)
    result = job(blurry, with_candidates(TWO, NOISY)).run(progress=diary)
    weights = [term.weight for problem in diary.problems for term in problem.regularizers]
    assert weights == pytest.approx([0.5 * SELECTION_NOISE_FACTOR * levels[0]] * 2 + [0.5 * levels[1]])
    assert result.details["stages"][-1]["noise_sigma"] == pytest.approx(levels[1])
    given = job(blurry, with_candidates(TWO, NOISY), sigma=0.1).run()
    assert {stage["noise_sigma"] for stage in given.details["stages"]} == {0.1}


def test_the_seed_is_one_for_all(blurry: np.ndarray) -> None:
    aim_at(np.eye(5) / 5)
    network = QUICK.replace('"simplex"', '{name = "softmax-fcn", params = {hidden = 8}}')
    candidates = [parse_recipe(network), parse_recipe(network.replace("quick", "same"))]
    kernels = []
    for seed in (0, 1):
        result = job(blurry, with_candidates(candidates, LAST), seed=seed).run()
        first, second = (one["scores"] for one in result.details["candidates"])
        assert first == second
        assert selected(result) == ["quick"]  # the first of equals
        assert Near.calls[-1][0] == seed
        kernels.append(array(result.kernel))
    assert not np.array_equal(kernels[0], kernels[1])


def test_each_stage_has_its_colour_and_the_metrics_see_that_of_the_first(colourful: np.ndarray) -> None:
    aim_at(np.eye(5) / 5)
    diary, rgb = Diary(), 'measurement.color = "rgb"\n'
    result = job(colourful, with_candidates(TWO, REFINED, LAST + rgb)).run(progress=diary)
    assert [problem.data.shape[1] for problem in diary.problems] == [1, 1, 1, 1] * 2 + [3]
    assert result.details["color"] == "rgb"
    assert Near.calls[-1][1:] == (1, 1, 36, 42, 4, 1, 36, 42, 4, 1, 5, 5)  # two candidates, two kernels each

    diary = Diary()
    result = job(colourful, with_candidates(TWO, LAST + rgb)).run(progress=diary)
    assert [problem.data.shape[1] for problem in diary.problems] == [1, 3] * 2 + [3]
    assert Near.calls[-1][1:9] == (1, 3, 36, 42, 2, 3, 36, 42)
    assert job(colourful, with_candidates(TWO, LAST + rgb), color="luma").run().details["color"] == "luma"


def test_metrics_see_the_part_of_a_larger_image_that_the_data_show(blurry: np.ndarray) -> None:
    aim_at(np.eye(5) / 5)
    valid = LAST + 'operator = {name = "convolution", params = {padding = "valid"}}\n'
    diary = Diary()
    result = job(blurry, with_candidates(TWO, valid)).run(progress=diary)
    assert diary.problems[-1].image_prior.shape[-2:] == (40, 46)
    assert Near.calls[-1][1:9] == (1, 1, 36, 42, 2, 1, 36, 42)
    assert result.image.shape == blurry.shape


# Failures, interruptions and time limits.


def test_a_candidate_that_diverges_is_dropped_and_reported(blurry: np.ndarray) -> None:
    aim_at(np.eye(5) / 5)
    wrong = parse_recipe(DIVERGING)
    result = job(blurry, with_candidates([wrong, *TWO, stages(QUICK, DIVERGING)], LAST)).run()
    first, *others, later = result.details["candidates"]
    assert (first["name"], first["selected"]) == ("diverging", False)
    assert first["failed"].startswith("candidates.0: the loss is nan after 3 iterations")
    assert later["failed"].startswith("candidates.3: next: the loss is nan")
    assert [one["name"] for one in others] == ["quick", "slow"]
    assert Near.calls[-1][5] == 2
    assert result.stopped == "finished"

    only = job(blurry, with_candidates([wrong, TWO[0]], LAST)).run()
    assert selected(only) == ["quick"]
    assert only.details["candidates"][1]["scores"] == {}


def test_if_all_diverge_the_error_names_each(blurry: np.ndarray) -> None:
    both = [parse_recipe(DIVERGING), parse_recipe(DIVERGING.replace('"diverging"', '"other"'))]
    with pytest.raises(
        DivergedError, match=r"diverging \(candidates\.0: the loss is nan .*; other \(candidates\.1: the loss is"
    ):
        job(blurry, with_candidates(both, LAST)).run()
    unstable = LAST.replace("joint-adam", "toy-diverging")
    with pytest.raises(DivergedError, match=r"quick \(next: the loss is nan .*; slow \(next: the loss is nan"):
        job(blurry, with_candidates(TWO, REFINED, unstable)).run()
    with pytest.raises(DivergedError, match=r"^next: the loss is nan"):
        job(blurry, with_candidates(TWO[:1], REFINED, unstable)).run()


def test_a_candidate_that_does_not_apply_is_skipped_with_its_reason(blurry: np.ndarray) -> None:
    aim_at(np.eye(5) / 5)
    declining = parse_recipe(DECLINING)
    result = job(blurry, with_candidates([declining, *TWO], LAST)).run()
    without = job(blurry, with_candidates(TWO, LAST)).run()
    first, *others = result.details["candidates"]
    assert first == {"name": "declining", "selected": False, "skipped": "candidates.0: there is nothing to do"}
    assert [one["scores"] for one in others] == [one["scores"] for one in without.details["candidates"]]
    np.testing.assert_array_equal(result.image, without.image)
    assert result.stopped == "finished"


def test_if_no_candidate_applies_the_error_says_so(blurry: np.ndarray) -> None:
    declining = parse_recipe(DECLINING)
    with pytest.raises(
        NotApplicableError, match=r"^all candidates failed: declining \(candidates\.0: there is nothing"
    ):
        job(blurry, with_candidates([declining], LAST)).run()
    with pytest.raises(DivergedError, match=r"there is nothing to do.*the loss is nan"):
        job(blurry, with_candidates([declining, parse_recipe(DIVERGING)], LAST)).run()
    with pytest.raises(NotApplicableError, match=r"^there is nothing to do"):
        job(blurry, declining).run()


def test_a_metric_that_fails_is_named_and_one_that_cannot_be_built_is_refused_first(blurry: np.ndarray) -> None:
    aim_at(np.eye(5) / 5)
    with pytest.raises(PluginError, match=r"selection\.1: the component .*Failing failed: .*nothing to divide by"):
        job(blurry, with_candidates(TWO, LAST, selection="['toy-near', 'toy-failing']")).run()
    diary = Diary()
    with pytest.raises(PluginError, match=r"selection\.0: Demanding asks the problem for shape"):
        job(blurry, with_candidates(TWO, LAST, selection="toy-demanding")).run(progress=diary)
    assert diary.titles == []


def test_ctrl_c_in_the_first_candidate_still_gives_an_image(blurry: np.ndarray, ctrl_c: Callable[[], None]) -> None:
    diary = Diary(ctrl_c, watched=(0,))
    result = job(blurry, with_candidates([TWO[1], TWO[0]], REFINED, LAST)).run(progress=diary)
    assert result.stopped == "interrupted"
    assert stage_names(result) == ["slow", "refined", "last"]
    assert stops(result) == ["interrupted", "skipped", "finished"]
    assert result.iterations == 2 + 7
    entries = result.details["candidates"]
    assert [one["selected"] for one in entries] == [True, False]
    assert entries[1]["skipped"] == "interrupted"
    assert result.image.shape == blurry.shape
    assert len(diary.titles) == 2


@pytest.mark.parametrize("when", [2, 3], ids=["in it", "in its restoration"])
def test_ctrl_c_in_the_second_candidate_keeps_the_first(
    blurry: np.ndarray, ctrl_c: Callable[[], None], when: int
) -> None:
    alone = job(blurry, stages(QUICK, LAST)).run()
    aim_at(job(blurry, TWO[1]).run().kernel)  # the second would be selected
    result = job(blurry, with_candidates([*TWO, TWO[1]], LAST)).run(progress=Diary(ctrl_c, watched=(when,)))
    assert selected(result) == ["quick"]
    assert result.stopped == "interrupted"
    assert stops(result) == ["finished", "finished"]
    np.testing.assert_array_equal(result.image, alone.image)
    assert [one.get("skipped") for one in result.details["candidates"]] == [None, "interrupted", "interrupted"]


def test_ctrl_c_in_the_restoration_of_the_last_candidate_is_reported(
    blurry: np.ndarray, ctrl_c: Callable[[], None]
) -> None:
    result = job(blurry, with_candidates(TWO, LAST)).run(progress=Diary(ctrl_c, watched=(3,)))
    assert (result.stopped, selected(result)) == ("interrupted", ["quick"])


def test_ctrl_c_ends_with_the_kernel_so_far_if_the_last_stage_is_blind(
    blurry: np.ndarray, ctrl_c: Callable[[], None]
) -> None:
    diary = Diary(ctrl_c, watched=(0,))
    result = job(blurry, with_candidates(TWO, REFINED)).run(progress=diary)
    assert stops(result) == ["interrupted", "skipped"]
    assert len(diary.titles) == 1
    assert result.image.shape == blurry.shape


def test_ctrl_c_in_a_candidate_of_a_candidate_still_gives_an_image(
    blurry: np.ndarray, ctrl_c: Callable[[], None]
) -> None:
    inner = with_candidates([TWO[1], TWO[0]], REFINED)
    diary = Diary(ctrl_c, watched=(0,))
    result = job(blurry, with_candidates([inner, TWO[0]], LAST)).run(progress=diary)
    assert stops(result) == ["interrupted", "skipped", "finished"]
    assert result.stopped == "interrupted"
    assert len(diary.titles) == 2


def test_a_second_ctrl_c_ends_at_once(blurry: np.ndarray, ctrl_c: Callable[[], None]) -> None:
    with pytest.raises(KeyboardInterrupt):
        job(blurry, with_candidates(TWO, LAST)).run(progress=Diary(ctrl_c, watched=(0, 1)))
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_the_time_limit_stops_the_first_candidate_and_no_other_is_started(blurry: np.ndarray) -> None:
    diary = Diary()
    candidates = [parse_recipe(ENDLESS), TWO[0]]
    result = job(blurry, with_candidates(candidates, REFINED, LAST)).run(time_limit=0.2, progress=diary)
    assert stage_names(result) == ["endless", "refined", "last"]
    assert stops(result) == ["time limit", "skipped", "finished"]
    assert result.stopped == "time limit"
    assert [one.get("skipped") for one in result.details["candidates"]] == [None, "time limit"]
    assert len(diary.titles) == 2


def test_no_candidate_is_started_without_time_for_it(blurry: np.ndarray) -> None:
    aim_at(np.eye(5) / 5)
    diary = Diary(lambda: time.sleep(0.7), watched=(0,))
    result = job(blurry, with_candidates([*TWO, TWO[1]], LAST)).run(time_limit=1.0, progress=diary)
    assert selected(result) == ["quick"]
    assert [one.get("skipped") for one in result.details["candidates"]] == [None, "time limit", "time limit"]
    assert result.stopped == "time limit"
    assert stops(result)[-1] == "finished"


def test_only_the_last_stage_has_a_guaranteed_share_of_the_time(
    blurry: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("invkit.pipeline.sequence.MIN_LAST_STAGE_SECONDS", 0.05)
    endless = stages(QUICK, ENDLESS, LAST)
    started = time.monotonic()
    result = job(blurry, with_candidates([endless, TWO[0]], LAST.replace("= 7", "= 1000000"))).run(time_limit=0.6)
    took = time.monotonic() - started
    assert stops(result) == ["finished", "time limit", "time limit"]
    # The candidate ends at the limit, and the last stage has half of it more; a busy machine may take the rest.
    assert 0.25 < result.details["stages"][-1]["seconds"] < 0.6 + 5
    assert result.details["candidates"][0]["seconds"] < 0.6 + 5
    assert took < 0.6 + 0.3 + 10


# Refusals.


def test_a_kernel_prior_that_cannot_start_from_a_kernel_is_refused(blurry: np.ndarray) -> None:
    softmax = LAST.replace('"known"', '"softmax-fcn"')
    with pytest.raises(RecipeError, match=r"kernel_prior: SoftmaxFCN cannot start from the kernel of its candidates"):
        job(blurry, with_candidates(TWO, softmax))


def test_every_candidate_is_built_before_the_first_starts(blurry: np.ndarray) -> None:
    deep = QUICK.replace('"pixels"', '{name = "dip-skip", params = {scales = 7}}')
    with pytest.raises(InputError, match=r"^candidates\.1: .*scales"):
        job(blurry, with_candidates([TWO[0], parse_recipe(deep)], LAST))
    with pytest.raises(InputError, match=r"^candidates\.0: next: .*scales"):
        job(blurry, with_candidates([stages(QUICK, deep), TWO[0]], LAST))
    with pytest.raises(InputError, match=r"^next: .*scales"):
        job(blurry, with_candidates(TWO, LAST, deep.replace("simplex", "known")))


def test_nothing_is_saved_to_resume_from(blurry: np.ndarray, ctrl_c: Callable[[], None], tmp_path: Path) -> None:
    file = tmp_path / "state.pt"
    stopped = job(blurry, with_candidates([TWO[1]], LAST)).run(
        progress=Diary(ctrl_c, watched=(0,)), checkpoint=file, checkpoint_every=0
    )
    assert stopped.stopped == "interrupted"
    assert not file.exists()
    with pytest.raises(InputError, match="last has several candidates, of which nothing is saved to resume; start an"):
        job(blurry, with_candidates([TWO[1]], LAST)).run(checkpoint=file, resume=True)


def test_the_command_line_says_the_same(
    blurry: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    photo, recipe, out = tmp_path / "photo.png", tmp_path / "mine.toml", tmp_path / "out"
    Image.fromarray(np.round(255 * blurry).astype(np.uint8)).save(photo)
    candidate = ENDLESS.strip().replace("\n", ", ")
    recipe.write_text(f"candidates = [{{{candidate}}}, {{{candidate}}}]\nselection = 'log-gradient'\n{LAST}")
    command = ["invkit", "deblur", str(photo), "--recipe", str(recipe), "--kernel-size", "5", "-o", str(out)]

    def output_of(*more: str) -> tuple[int, str]:
        monkeypatch.setattr("sys.argv", [*command, *more])
        with pytest.raises(SystemExit) as ended:
            invkit()
        captured = capsys.readouterr()
        return int(ended.value.code or 0), " ".join((captured.out + captured.err).split())

    code, words = output_of("--time-limit", "0.2", "--checkpoint-every", "0")
    assert code == 0, words
    assert "stopped early (time limit), result so far:" in words
    assert "--resume" not in words
    code, words = output_of("--resume")
    assert code == 2
    assert "left no checkpoint.pt to resume from; start it anew with --overwrite" in words
