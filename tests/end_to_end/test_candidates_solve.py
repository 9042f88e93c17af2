"""A recipe that begins from several: the start whose restoration selection best leads on, whatever befalls the others."""

from __future__ import annotations

import json
import math
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from toy_recipes import (
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

from invkit.apps.cli.main import main as invkit
from invkit.core.errors import DivergedError, InputError, PluginError, RecipeError
from invkit.pipeline.job import prepare
from invkit.pipeline.selection import SMOOTHER
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


# What is chosen, and what comes of it.


@pytest.mark.parametrize("best", [0, 1])
@pytest.mark.parametrize("after", [(LAST,), (LAST, NOISY), (REFINED, LAST), (REFINED,)])
def test_the_result_is_that_of_the_best_start_alone_followed_by_the_same_stages(
    blurry: np.ndarray, best: int, after: tuple[str, ...]
) -> None:
    alone = job(blurry, chain((QUICK, SLOW)[best], *after)).run()
    aim_at(alone.kernel)
    result = job(blurry, several(TWO, *after)).run()
    assert chosen(result) == [("quick", "slow")[best]]
    np.testing.assert_array_equal(result.image, alone.image)
    np.testing.assert_array_equal(result.kernel, alone.kernel)
    assert (result.history, result.iterations, result.stopped) == (alone.history, alone.iterations, "finished")
    assert names(result) == names(alone)
    assert [stage["noise_sigma"] for stage in result.details["stages"]] == [
        stage["noise_sigma"] for stage in alone.details["stages"]
    ]


def test_the_least_weighted_sum_decides(blurry: np.ndarray) -> None:
    aim_at(job(blurry, TWO[0]).run().kernel)
    for near, far, best in [(1, 0.9, "quick"), (0.9, 1, "slow")]:
        selection = f"[{{name = 'toy-near', weight = {near}}}, {{name = 'toy-far', weight = {far}}}]"
        result = job(blurry, several(TWO, LAST, selection=selection)).run()
        assert chosen(result) == [best]
        for start in result.details["candidates"]:
            told = start["selection"]
            assert list(told) == ["toy-near", "toy-far", "sum"]
            assert told["sum"] == pytest.approx(near * told["toy-near"] + far * told["toy-far"], abs=2e-5)  # rounded


def test_two_scores_of_one_name_are_both_told(blurry: np.ndarray) -> None:
    selection = "['log-gradient', {name = 'log-gradient', params = {floor = 0.1}}]"
    told = job(blurry, several(TWO, LAST, selection=selection)).run().details["candidates"][0]["selection"]
    assert told["log-gradient"] < told["log-gradient.1"]
    assert told["sum"] == pytest.approx(told["log-gradient"] + told["log-gradient.1"], abs=2e-5)


def test_the_details_tell_of_every_start(blurry: np.ndarray, tmp_path: Path) -> None:
    aim_at(np.eye(5) / 5)
    result = job(blurry, several(TWO, LAST)).run()
    told = result.details["candidates"]
    assert [start["name"] for start in told] == ["quick", "slow"]
    assert sum(start["chosen"] for start in told) == 1
    least = min(told, key=lambda start: start["selection"]["sum"])
    assert least["chosen"]
    assert all(start["selection"]["toy-near"] == start["selection"]["sum"] > 0 for start in told)
    assert all(start["seconds"] > 0 for start in told)
    # What was not kept was time spent, too; three digits are told.
    assert result.seconds >= sum(start["seconds"] for start in told) - 2e-3
    assert len(result.history) == result.iterations == sum(stage["iterations"] for stage in result.details["stages"])
    result.save(tmp_path)
    assert json.loads((tmp_path / "result.json").read_text())["candidates"] == told


def test_a_score_that_cannot_tell_is_no_reason_to_choose(blurry: np.ndarray) -> None:
    Verdict.values = math.nan, 1e9
    assert chosen(job(blurry, several(TWO, LAST, selection="toy-verdict")).run()) == ["slow"]


def test_one_start_needs_no_scores_and_is_not_judged(blurry: np.ndarray) -> None:
    diary = Diary()
    result = job(blurry, several(TWO[1:], REFINED, LAST)).run(progress=diary)
    np.testing.assert_array_equal(result.image, job(blurry, chain(SLOW, REFINED, LAST)).run().image)
    [told] = result.details["candidates"]
    assert (told["name"], told["chosen"], told["selection"]) == ("slow", True, {})
    assert len(diary.titles) == 3


def test_the_end_of_a_start_that_finds_no_kernel_is_left_out(blurry: np.ndarray) -> None:
    aim_at(np.eye(5) / 5)
    diary = Diary()
    result = job(blurry, several([chain(SLOW, REFINED, LAST, NOISY), *TWO[:1]], LAST)).run(progress=diary)
    assert diary.titles == [
        "last 1 of 2: slow: joint-adam",
        "last 1 of 2: slow: joint-adam",
        "last 1 of 2: slow: joint-adam",
        "last 2 of 2: quick",
        "last 2 of 2: quick: joint-adam",
        f"last: {chosen(result)[0]}: joint-adam",
    ]
    assert [start["name"] for start in result.details["candidates"]] == ["slow", "quick"]


def test_starts_may_have_starts(blurry: np.ndarray) -> None:
    alone = job(blurry, chain(SLOW, LAST)).run()
    aim_at(alone.kernel)
    inner = several(TWO, LAST.replace("last", "inner"))
    outer = several([parse_recipe(REFINED), inner], LAST)
    result = job(blurry, outer).run()
    assert chosen(result) == ["inner"]
    np.testing.assert_array_equal(result.kernel, alone.kernel)
    np.testing.assert_array_equal(result.image, alone.image)
    assert names(result) == ["slow", "inner", "last"]
    told = result.details["candidates"][1]["candidates"]
    assert [(start["name"], start["chosen"]) for start in told] == [("quick", False), ("slow", True)]


def test_starts_within_starts_are_chosen_by_their_own_last_stage(blurry: np.ndarray) -> None:
    aim_at(np.eye(5) / 5)
    inner = several(TWO, REFINED, LAST)
    diary = Diary()
    nested = job(blurry, several([inner], LAST)).run(progress=diary)
    alone = job(blurry, inner).run()
    np.testing.assert_array_equal(nested.kernel, alone.kernel)
    assert [start["selection"] for start in nested.details["candidates"][0]["candidates"]] == [
        start["selection"] for start in alone.details["candidates"]
    ]
    assert diary.titles[0] == "last 1 of 1: refined 1 of 2: quick"


def test_the_result_tells_the_recipe_it_can_be_made_again_with(colourful: np.ndarray, tmp_path: Path) -> None:
    aim_at(np.eye(5) / 5)
    candidates = [chain(QUICK, LAST), parse_recipe(SLOW + 'measurement.color = "rgb"\n')]
    first = job(colourful, several(candidates, REFINED, LAST), color="rgb", seed=3).run()
    first.save(tmp_path)
    recipe = load_recipe(str(tmp_path / "result.json"))
    colours = [(place, one.measurement.color) for place, one in recipe.tree()]
    assert colours == [
        ("", "luma"),
        ("candidates.0.", "luma"),
        ("candidates.0.next.", "luma"),
        ("candidates.1.", "rgb"),
        ("then.", "rgb"),
    ]
    again = prepare(colourful, recipe=recipe, kernel_size=5, seed=3).run()
    np.testing.assert_array_equal(again.image, first.image)
    assert again.details["recipe"] == first.details["recipe"]


# Under what they are judged.


def test_all_are_judged_under_one_noise_level_and_the_last_under_what_its_kernel_misses(blurry: np.ndarray) -> None:
    aim_at(job(blurry, TWO[1]).run().kernel)
    diary, (first, second) = Diary(), (job(blurry, chain(text, NOISY)).run() for text in (QUICK, SLOW))
    levels = [result.details["stages"][-1]["noise_sigma"] for result in (first, second)]
    assert levels[0] != pytest.approx(levels[1], rel=1e-4)
    result = job(blurry, several(TWO, NOISY)).run(progress=diary)
    weights = [term.weight for problem in diary.problems for term in problem.regularizers]
    assert weights == pytest.approx([0.5 * SMOOTHER * levels[0]] * 2 + [0.5 * levels[1]])
    assert result.details["stages"][-1]["noise_sigma"] == pytest.approx(levels[1])
    given = job(blurry, several(TWO, NOISY), sigma=0.1).run()
    assert {stage["noise_sigma"] for stage in given.details["stages"]} == {0.1}


def test_the_seed_is_one_for_all(blurry: np.ndarray) -> None:
    aim_at(np.eye(5) / 5)
    network = QUICK.replace('"simplex"', '{name = "softmax-fcn", params = {hidden = 8}}')
    candidates = [parse_recipe(network), parse_recipe(network.replace("quick", "same"))]
    kernels = []
    for seed in (0, 1):
        result = job(blurry, several(candidates, LAST), seed=seed).run()
        first, second = (start["selection"] for start in result.details["candidates"])
        assert first == second
        assert chosen(result) == ["quick"]  # the first of equals
        assert Near.given[-1][0] == seed
        kernels.append(result.kernel)
    assert not np.array_equal(*kernels)


def test_each_has_its_colour_and_the_scores_see_that_of_the_first_stage(colourful: np.ndarray) -> None:
    aim_at(np.eye(5) / 5)
    diary, rgb = Diary(), 'measurement.color = "rgb"\n'
    result = job(colourful, several(TWO, REFINED, LAST + rgb)).run(progress=diary)
    assert [problem.data.shape[1] for problem in diary.problems] == [1, 1, 1] * 2 + [3]
    assert result.details["color"] == "rgb"
    assert Near.given[-1][1:] == (1, 1, 36, 42, 2, 1, 36, 42, 2, 1, 5, 5)

    diary = Diary()
    result = job(colourful, several(TWO, LAST + rgb)).run(progress=diary)
    assert [problem.data.shape[1] for problem in diary.problems] == [1, 3] * 2 + [3]
    assert Near.given[-1][1:9] == (1, 3, 36, 42, 2, 3, 36, 42)
    assert job(colourful, several(TWO, LAST + rgb), color="luma").run().details["color"] == "luma"


def test_scores_see_what_the_data_show_of_an_image_that_reaches_further(blurry: np.ndarray) -> None:
    aim_at(np.eye(5) / 5)
    valid = LAST + 'operator = {name = "convolution", params = {padding = "valid"}}\n'
    diary = Diary()
    result = job(blurry, several(TWO, valid)).run(progress=diary)
    assert diary.problems[-1].image_prior.shape[-2:] == (40, 46)
    assert Near.given[-1][1:9] == (1, 1, 36, 42, 2, 1, 36, 42)
    assert result.image.shape == blurry.shape


# What befalls them.


def test_one_that_diverges_is_left_out_and_told(blurry: np.ndarray) -> None:
    aim_at(np.eye(5) / 5)
    wrong = parse_recipe(DIVERGING)
    result = job(blurry, several([wrong, *TWO, chain(QUICK, DIVERGING)], LAST)).run()
    first, *others, later = result.details["candidates"]
    assert (first["name"], first["chosen"]) == ("diverging", False)
    assert first["failed"].startswith("candidates.0: the loss is nan after 3 iterations")
    assert later["failed"].startswith("candidates.3: next: the loss is nan")
    assert [start["name"] for start in others] == ["quick", "slow"]
    assert Near.given[-1][5] == 2
    assert result.stopped == "finished"

    only = job(blurry, several([wrong, TWO[0]], LAST)).run()
    assert chosen(only) == ["quick"]
    assert only.details["candidates"][1]["selection"] == {}


def test_if_all_diverge_it_says_so_of_each(blurry: np.ndarray) -> None:
    both = [parse_recipe(DIVERGING), parse_recipe(DIVERGING.replace('"diverging"', '"other"'))]
    with pytest.raises(
        DivergedError, match=r"diverging \(candidates\.0: the loss is nan .*; other \(candidates\.1: the loss is"
    ):
        job(blurry, several(both, LAST)).run()
    unstable = LAST.replace("joint-adam", "toy-diverging")
    with pytest.raises(DivergedError, match=r"quick \(next: the loss is nan .*; slow \(next: the loss is nan"):
        job(blurry, several(TWO, REFINED, unstable)).run()
    with pytest.raises(DivergedError, match=r"^then: the loss is nan"):
        job(blurry, several(TWO[:1], REFINED, unstable)).run()


def test_a_score_that_fails_is_named_and_one_that_cannot_be_built_is_refused_first(blurry: np.ndarray) -> None:
    aim_at(np.eye(5) / 5)
    with pytest.raises(PluginError, match=r"selection\.1: the component .*Failing failed: .*nothing to divide by"):
        job(blurry, several(TWO, LAST, selection="['toy-near', 'toy-failing']")).run()
    diary = Diary()
    with pytest.raises(PluginError, match=r"selection\.0: Demanding asks the problem for shape"):
        job(blurry, several(TWO, LAST, selection="toy-demanding")).run(progress=diary)
    assert diary.titles == []


def test_ctrl_c_in_the_first_still_gives_an_image(blurry: np.ndarray, ctrl_c: Callable[[], None]) -> None:
    diary = Diary(ctrl_c, watched=(0,))
    result = job(blurry, several([TWO[1], TWO[0]], REFINED, LAST)).run(progress=diary)
    assert result.stopped == "interrupted"
    assert names(result) == ["slow", "refined", "last"]
    assert ends(result) == ["interrupted", "skipped", "finished"]
    assert result.iterations == 2 + 7
    told = result.details["candidates"]
    assert [start["chosen"] for start in told] == [True, False]
    assert told[1]["skipped"] == "interrupted"
    assert result.image.shape == blurry.shape
    assert len(diary.titles) == 2


@pytest.mark.parametrize("when", [2, 3], ids=["in it", "while it is judged"])
def test_ctrl_c_in_the_second_keeps_the_first(blurry: np.ndarray, ctrl_c: Callable[[], None], when: int) -> None:
    alone = job(blurry, chain(QUICK, LAST)).run()
    aim_at(job(blurry, TWO[1]).run().kernel)  # the second would be chosen
    result = job(blurry, several([*TWO, TWO[1]], LAST)).run(progress=Diary(ctrl_c, watched=(when,)))
    assert chosen(result) == ["quick"]
    assert result.stopped == "interrupted"
    assert ends(result) == ["finished", "finished"]
    np.testing.assert_array_equal(result.image, alone.image)
    assert [start.get("skipped") for start in result.details["candidates"]] == [None, "interrupted", "interrupted"]


def test_ctrl_c_while_the_last_of_them_is_judged_is_told(blurry: np.ndarray, ctrl_c: Callable[[], None]) -> None:
    result = job(blurry, several(TWO, LAST)).run(progress=Diary(ctrl_c, watched=(3,)))
    assert (result.stopped, chosen(result)) == ("interrupted", ["quick"])


def test_ctrl_c_ends_with_the_kernel_so_far_where_the_last_would_refine_it(
    blurry: np.ndarray, ctrl_c: Callable[[], None]
) -> None:
    diary = Diary(ctrl_c, watched=(0,))
    result = job(blurry, several(TWO, REFINED)).run(progress=diary)
    assert ends(result) == ["interrupted", "skipped"]
    assert len(diary.titles) == 1
    assert result.image.shape == blurry.shape


def test_ctrl_c_within_starts_of_a_start_still_gives_an_image(blurry: np.ndarray, ctrl_c: Callable[[], None]) -> None:
    inner = several([TWO[1], TWO[0]], REFINED)
    diary = Diary(ctrl_c, watched=(0,))
    result = job(blurry, several([inner, TWO[0]], LAST)).run(progress=diary)
    assert ends(result) == ["interrupted", "skipped", "finished"]
    assert result.stopped == "interrupted"
    assert len(diary.titles) == 2


def test_a_second_ctrl_c_ends_at_once(blurry: np.ndarray, ctrl_c: Callable[[], None]) -> None:
    with pytest.raises(KeyboardInterrupt):
        job(blurry, several(TWO, LAST)).run(progress=Diary(ctrl_c, watched=(0, 1)))
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_the_time_limit_stops_the_first_and_no_other_is_begun(blurry: np.ndarray) -> None:
    diary = Diary()
    candidates = [parse_recipe(ENDLESS), TWO[0]]
    result = job(blurry, several(candidates, REFINED, LAST)).run(time_limit=0.2, progress=diary)
    assert names(result) == ["endless", "refined", "last"]
    assert ends(result) == ["time limit", "skipped", "finished"]
    assert result.stopped == "time limit"
    assert [start.get("skipped") for start in result.details["candidates"]] == [None, "time limit"]
    assert len(diary.titles) == 2


def test_no_start_is_begun_that_there_is_no_time_for(blurry: np.ndarray) -> None:
    aim_at(np.eye(5) / 5)
    diary = Diary(lambda: time.sleep(0.7), watched=(0,))
    result = job(blurry, several([*TWO, TWO[1]], LAST)).run(time_limit=1.0, progress=diary)
    assert chosen(result) == ["quick"]
    assert [start.get("skipped") for start in result.details["candidates"]] == [None, "time limit", "time limit"]
    assert result.stopped == "time limit"
    assert ends(result)[-1] == "finished"


def test_the_last_gets_its_share_of_the_whole_time_and_starts_do_not(
    blurry: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("invkit.pipeline.chain.LEAST", 0.05)
    endless = chain(QUICK, ENDLESS, LAST)
    begun = time.monotonic()
    result = job(blurry, several([endless, TWO[0]], LAST.replace("= 7", "= 1000000"))).run(time_limit=0.6)
    took = time.monotonic() - begun
    assert ends(result) == ["finished", "time limit", "time limit"]
    # The start ends at the limit, and the last has a half of it more; a machine that is busy may take the rest.
    assert 0.25 < result.details["stages"][-1]["seconds"] < 0.6 + 5
    assert result.details["candidates"][0]["seconds"] < 0.6 + 5
    assert took < 0.6 + 0.3 + 10


# What there is not.


def test_a_kernel_prior_that_starts_from_none_cannot_go_on(blurry: np.ndarray) -> None:
    softmax = LAST.replace('"known"', '"softmax-fcn"')
    with pytest.raises(RecipeError, match=r"kernel_prior: SoftmaxFCN starts from no kernel, but 'candidates'"):
        job(blurry, several(TWO, softmax))


def test_every_start_is_built_before_the_first_begins(blurry: np.ndarray) -> None:
    deep = QUICK.replace('"pixels"', '{name = "dip-skip", params = {scales = 7}}')
    with pytest.raises(InputError, match=r"^candidates\.1: .*scales"):
        job(blurry, several([TWO[0], parse_recipe(deep)], LAST))
    with pytest.raises(InputError, match=r"^candidates\.0: next: .*scales"):
        job(blurry, several([chain(QUICK, deep), TWO[0]], LAST))
    with pytest.raises(InputError, match=r"^then: .*scales"):
        job(blurry, several(TWO, LAST, deep.replace("simplex", "known")))


def test_nothing_is_saved_to_resume_from(blurry: np.ndarray, ctrl_c: Callable[[], None], tmp_path: Path) -> None:
    file = tmp_path / "state.pt"
    stopped = job(blurry, several([TWO[1]], LAST)).run(
        progress=Diary(ctrl_c, watched=(0,)), checkpoint=file, checkpoint_every=0
    )
    assert stopped.stopped == "interrupted"
    assert not file.exists()
    with pytest.raises(InputError, match="last begins from several starts, of which nothing is saved to resume; start"):
        job(blurry, several([TWO[1]], LAST)).run(checkpoint=file, resume=True)


def test_the_command_says_so_too(
    blurry: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    photo, recipe, out = tmp_path / "photo.png", tmp_path / "mine.toml", tmp_path / "out"
    Image.fromarray(np.round(255 * blurry).astype(np.uint8)).save(photo)
    start = ENDLESS.strip().replace("\n", ", ")
    recipe.write_text(f"candidates = [{{{start}}}, {{{start}}}]\nscores = 'log-gradient'\n{LAST}")
    command = ["invkit", "deblur", str(photo), "--recipe", str(recipe), "--kernel-size", "5", "-o", str(out)]

    def said(*more: str) -> tuple[int, str]:
        monkeypatch.setattr("sys.argv", [*command, *more])
        with pytest.raises(SystemExit) as ended:
            invkit()
        given = capsys.readouterr()
        return int(ended.value.code or 0), " ".join((given.out + given.err).split())

    code, words = said("--time-limit", "0.2", "--checkpoint-every", "0")
    assert code == 0, words
    assert "stopped early (time limit), result so far:" in words
    assert "--resume" not in words
    code, words = said("--resume")
    assert code == 2
    assert "left no checkpoint.pt to resume from; start it anew with --overwrite" in words
