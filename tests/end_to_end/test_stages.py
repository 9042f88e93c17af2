"""Recipes with next stages: the image is of the last stage, the kernel of the one that found it, also after a stop."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from narrow import array, known
from toy_recipes import stages, stops

import invkit
from invkit.core.errors import InputError, OutOfMemoryError, RecipeError
from invkit.core.solver import Observer
from invkit.image_priors.pixels import Pixels
from invkit.media.colour import to_luma_chroma
from invkit.pipeline.job import Job, prepare
from invkit.recipes.model import load_recipe, parse_recipe

BLIND = """
name = "blind"
image_prior = "pixels"
kernel_prior = "simplex"
solver = {name = "joint-adam", params = {iterations = 12, milestones = []}}
"""
KNOWN = BLIND.replace("blind", "known").replace("simplex", "known").replace("12", "7") + 'measurement.color = "rgb"\n'


@pytest.fixture
def blurry() -> np.ndarray:
    plain = np.kron(np.random.default_rng(1).uniform(0.1, 0.9, (6, 7, 3)), np.ones((6, 6, 1)))
    return np.asarray(np.mean([np.roll(plain, shift, 1) for shift in range(4)], axis=0), np.float32)


class At(Observer):
    """Acts at an iteration of some of the solves that it observes; these are counted from 0."""

    def __init__(self, iteration: int, action: Callable[[], None], watched: tuple[int, ...] = (0,)) -> None:
        self.iteration, self.action, self.watched, self.stage = iteration, action, watched, -1

    def started(self, problem: object, state: object, iterations: int) -> None:
        self.stage += 1

    def stepped(self, problem: object, state: object) -> None:
        if self.stage in self.watched and state.iteration == self.iteration:  # type: ignore[attr-defined]
            self.action()


def job(blurry: np.ndarray, *texts: str, **options: object) -> Job:
    return prepare(blurry, recipe=stages(*texts), kernel_size=5, **options)  # type: ignore[arg-type]


def test_the_kernel_is_of_the_first_and_the_image_of_the_last(blurry: np.ndarray) -> None:
    alone, whole = job(blurry, BLIND).run(), job(blurry, BLIND, KNOWN).run()
    np.testing.assert_array_equal(whole.kernel, alone.kernel)
    again = invkit.deconvolve(blurry, alone.kernel, recipe=parse_recipe(KNOWN), progress=False)
    np.testing.assert_allclose(whole.image, again.image, atol=1e-6)  # the kernel went through float64 and back
    assert not np.array_equal(whole.image, alone.image)
    assert whole.history == alone.history + whole.history[12:]
    assert whole.iterations == len(whole.history) == 12 + 7
    assert whole.stopped == "finished"
    assert "stages" not in alone.details
    entries = whole.details["stages"]
    assert [(stage["name"], stage["solver"], stage["iterations"]) for stage in entries] == [
        ("blind", "joint-adam", 12),
        ("known", "joint-adam", 7),
    ]
    assert sum(stage["seconds"] for stage in entries) == pytest.approx(whole.seconds, abs=1e-2)


def test_each_stage_has_its_own_colour_and_the_user_chooses_the_last(blurry: np.ndarray) -> None:
    planned = job(blurry, BLIND, KNOWN)
    assert [stage.data.shape[1] for stage in planned.stages] == [1, 3]
    assert planned.run().details["color"] == "rgb"
    luma = job(blurry, BLIND, KNOWN, color="luma").run()
    assert luma.details["color"] == "luma"
    image = array(luma.image)
    given, kept = (to_luma_chroma(torch.from_numpy(x).permute(2, 0, 1)[None])[1] for x in (blurry, image))
    inside = torch.from_numpy((image > 0.001).all(-1) & (image < 0.999).all(-1))
    assert inside.float().mean() > 0.5
    torch.testing.assert_close(kept[..., inside], given[..., inside], atol=1e-4, rtol=0)
    assert [stage.data.shape[1] for stage in job(blurry, BLIND, KNOWN, color="rgb").stages] == [1, 3]


def test_a_blind_stage_in_between_refines_the_kernel(blurry: np.ndarray) -> None:
    one, two = job(blurry, BLIND, KNOWN).run(), job(blurry, BLIND, BLIND, KNOWN).run()
    assert stops(two) == ["finished"] * 3
    assert 0 < np.abs(two.kernel - one.kernel).max() < 0.5


def test_after_the_time_limit_only_the_last_stage_is_solved(blurry: np.ndarray) -> None:
    endless = BLIND.replace("12", "1000000")
    result = job(blurry, endless, BLIND, KNOWN).run(time_limit=0.2)
    assert stops(result) == ["time limit", "skipped", "finished"]
    assert result.stopped == "time limit"
    assert len(result.history) == result.iterations > 7
    assert result.details["color"] == "rgb"


def test_the_last_stage_is_skipped_too_if_its_kernel_is_unknown(blurry: np.ndarray) -> None:
    result = job(blurry, BLIND.replace("12", "1000000"), BLIND).run(time_limit=0.2)
    assert stops(result) == ["time limit", "skipped"]
    assert result.details["color"] == "luma"
    assert result.image.shape == blurry.shape


def test_the_last_stage_always_has_a_share_of_the_time(blurry: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("invkit.pipeline.sequence.MIN_LAST_STAGE_SECONDS", 0.05)
    endless = [text.replace("12", "1000000").replace("= 7", "= 1000000") for text in (BLIND, KNOWN)]
    result = job(blurry, *endless).run(time_limit=0.4)
    assert stops(result) == ["time limit", "time limit"]
    assert 0.15 < result.details["stages"][1]["seconds"] < 5  # half of the limit, on a machine that may be busy


def test_ctrl_c_ends_with_an_image_from_the_kernel_so_far(blurry: np.ndarray, ctrl_c: Callable[[], None]) -> None:
    result = job(blurry, BLIND, BLIND, KNOWN).run(observers=[At(3, ctrl_c)])
    assert stops(result) == ["interrupted", "skipped", "finished"]
    assert result.stopped == "interrupted"
    assert result.iterations == 3 + 7


def test_a_second_ctrl_c_ends_at_once(blurry: np.ndarray, ctrl_c: Callable[[], None]) -> None:
    with pytest.raises(KeyboardInterrupt):
        job(blurry, BLIND, KNOWN).run(observers=[At(3, ctrl_c, watched=(0, 1))])
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_an_interrupted_first_stage_is_resumed_to_the_same_bits(
    blurry: np.ndarray, ctrl_c: Callable[[], None], tmp_path: Path
) -> None:
    file = tmp_path / "state.pt"
    whole = job(blurry, BLIND, KNOWN).run()
    job(blurry, BLIND, KNOWN).run(observers=[At(5, ctrl_c)], checkpoint=file)
    resumed = job(blurry, BLIND, KNOWN).run(checkpoint=file, resume=True)
    assert stops(resumed) == ["finished", "finished"]
    assert resumed.history == whole.history
    np.testing.assert_array_equal(resumed.image, whole.image)
    retold = ["title=Another", "notes=other", "next.title=Other", "solver.iterations=12"]
    job(blurry, BLIND, KNOWN, overrides=retold).run(checkpoint=file, resume=True)  # texts belong to no run
    for other, words in [(KNOWN.replace("7", "8"), r"next\.solver\.iterations=7, now 8"), (BLIND, "next")]:
        with pytest.raises(InputError, match=words):
            job(blurry, BLIND, other).run(checkpoint=file, resume=True)


def test_a_later_stage_is_checked_before_anything_is_computed(
    blurry: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = KNOWN.replace('"pixels"', '{name = "dip-skip", params = {scales = 7}}')
    with pytest.raises(InputError, match=r"^next\.next: .*scales"):
        job(blurry, BLIND, BLIND, deep)
    softmax = KNOWN.replace('"known"\nsolver', '"softmax-fcn"\nsolver')
    with pytest.raises(RecipeError, match=r"next\.kernel_prior: SoftmaxFCN cannot start from the kernel of the stage"):
        job(blurry, BLIND, softmax)
    monkeypatch.setattr(Pixels, "memory_needed", lambda prior: 2**60 * (prior.shape[1] == 3))
    with pytest.raises(OutOfMemoryError, match=r"^next: Pixels needs"):
        job(blurry, BLIND, KNOWN)


def test_noise_is_estimated_from_the_data_of_each_stage(blurry: np.ndarray) -> None:
    noisy = np.clip(blurry + np.random.default_rng(2).normal(0, 0.02, blurry.shape), 0, 1).astype(np.float32)
    luma, rgb = (stage.sigma for stage in job(noisy, BLIND, KNOWN).stages)
    assert luma == pytest.approx(0.67 * known(rgb), rel=0.35)  # sqrt(.299^2 + .587^2 + .114^2), on a tiny picture
    assert [stage.sigma for stage in job(noisy, BLIND, KNOWN, sigma=0.1).stages] == [0.1, 0.1]


def test_the_result_holds_a_recipe_that_gives_the_same_result(blurry: np.ndarray, tmp_path: Path) -> None:
    first = job(blurry, BLIND, KNOWN, color="luma").run()
    first.save(tmp_path)
    recipe = load_recipe(str(tmp_path / "result.json"))
    assert [link.measurement.color for link in recipe.links()] == ["luma", "luma"]
    np.testing.assert_array_equal(prepare(blurry, recipe=recipe, kernel_size=5).run().image, first.image)
    assert [stage["stopped"] for stage in json.loads((tmp_path / "result.json").read_text())["stages"]] == [
        "finished",
        "finished",
    ]


def test_settings_reach_a_later_stage(blurry: np.ndarray) -> None:
    result = job(blurry, BLIND, KNOWN, overrides=["next.iterations=2"]).run()
    assert [stage["iterations"] for stage in result.details["stages"]] == [12, 2]


def test_each_stage_has_its_own_bar(blurry: np.ndarray) -> None:
    titles: list[str] = []

    def bar(title: str) -> Observer:
        titles.append(title)
        return Observer()

    job(blurry, BLIND, KNOWN).run(progress=bar)
    job(blurry, BLIND).run(progress=bar)
    assert titles == ["blind: joint-adam", "blind: joint-adam", "blind"]
