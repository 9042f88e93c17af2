"""Starts that are tried by several processes: the result is that of one, whatever befalls the others."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from toy_recipes import Diary

from invkit.core import registry
from invkit.core.result import Result
from invkit.core.runtime.workers import WorkerLostError, Workers, dismiss_workers
from invkit.pipeline import multistart
from invkit.pipeline.job import Job, prepare
from invkit.recipes.model import Recipe, parse_recipe

HEAD = """
image_prior = "pixels"
kernel_prior = {name = "simplex", params = {parametrization = "projection"}}
regularizers = {name = "l0-gradient", weight = 4e-3, params = {smoothing = 0.0}}
[solver]
name = "alternating-map"
params = {latent = {name = "half-quadratic", params = {beta_max = 100.0}}, edge_selection = "gradients", kernel_estimation = "toeplitz"}
"""
ADAM = """
image_prior = "pixels"
kernel_prior = {name = "softmax-fcn", params = {hidden = 50}}
solver = {name = "joint-adam", params = {iterations = 5, milestones = []}}
"""
LAST = """
name = "last"
image_prior = "pixels"
kernel_prior = "known"
regularizers = {name = "tv", weight = 1e-4, params = {smoothing = 0.0}}
solver = {name = "admm", params = {iterations = 5}}
"""
ENDLESS = ADAM.replace("iterations = 5", "iterations = 1000000")
DIVERGING = ADAM.replace("iterations = 5", "iterations = 50, image_lr = 1e38, kernel_lr = 1e38")


def start(text: str, name: str, *settings: str) -> Recipe:
    return parse_recipe(f'name = "{name}"\n{text}').with_overrides(settings)


def several(*more: Recipe) -> Recipe:
    """A recipe of four starts and these, the last stage of which restores the picture."""
    weights = (1e-3, 4e-3, 1.6e-2, 6.4e-2)
    four = [start(HEAD, f"weight-{weight}", f"regularizers.0.weight={weight}") for weight in weights]
    own = parse_recipe('name = "several"\nscores = ["log-gradient", "kernel-agreement"]\n' + HEAD)
    return own.model_copy(update={"candidates": [*four, *more], "next": parse_recipe(LAST)})


@pytest.fixture(autouse=True)
def two_threads(torch_threads: Callable[[int], None]) -> Iterator[None]:
    """Two, whatever the machine has; and no process stays."""
    torch_threads(2)
    yield
    dismiss_workers()


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Fills with the places of the starts that helpers were asked for."""
    places: list[int] = []
    ask = Workers.ask

    def noted(self: Workers, function: Callable[[Any], Any], given: Any) -> Any:
        places.append(given.index)
        return ask(self, function, given)

    monkeypatch.setattr(Workers, "ask", noted)
    return places


def blurry(side: int = 128) -> np.ndarray:
    """A grey picture in [0, 1], blurred along its rows."""
    count = side // 8
    plain = np.kron(np.random.default_rng(1).uniform(0.1, 0.9, (count, count)), np.ones((8, 8)))
    return np.mean([np.roll(plain, shift, 1) for shift in range(4)], axis=0).astype(np.float32)


def job(recipe: Recipe, side: int = 128, **choices: Any) -> Job:
    return prepare(blurry(side), recipe=recipe, kernel_size=7, **choices)


def alone(recipe: Recipe, **choices: Any) -> Result:
    """By one process, with one thread."""
    torch.set_num_threads(1)
    result = job(recipe, **choices).run()
    torch.set_num_threads(2)
    return result


def timeless(details: Any) -> Any:
    """What is told of starts, and of theirs, but for the time."""
    if isinstance(details, list):
        return [timeless(one) for one in details]
    if isinstance(details, dict):
        return {name: timeless(value) for name, value in details.items() if name != "seconds"}
    return details


def assert_same(one: Result, other: Result) -> None:
    np.testing.assert_array_equal(one.image, other.image)
    np.testing.assert_array_equal(one.kernel, other.kernel)
    assert timeless(one.details["candidates"]) == timeless(other.details["candidates"])
    assert one.history == other.history


def test_the_result_is_that_of_one_process(asked: list[int]) -> None:
    expected = alone(several())
    assert not asked
    result = job(several()).run()
    assert asked
    assert 0 not in asked  # the first settles the noise level
    assert_same(result, expected)
    assert torch.get_num_threads() == 2


def test_a_larger_picture_s_starts_see_a_part_of_it(asked: list[int]) -> None:
    windowed = several().with_overrides(["measurement.window=128"])
    expected = alone(windowed, side=192)
    result = job(windowed, side=192).run()
    assert asked
    assert result.image.shape == (192, 192)
    assert_same(result, expected)


def test_starts_may_have_starts_there(asked: list[int]) -> None:
    inner = several().model_copy(update={"name": "inner"})
    expected = alone(several(inner, inner))
    assert_same(job(several(inner, inner)).run(), expected)
    assert asked


def test_a_start_that_diverges_there_is_left_out(asked: list[int]) -> None:
    first, *others = several().candidates
    bad = [start(DIVERGING, f"bad-{number}") for number in range(3)]
    result = job(several().model_copy(update={"candidates": [first, *bad, *others]})).run()
    failed = [one for one in result.details["candidates"] if "failed" in one]
    assert [one["name"] for one in failed] == ["bad-0", "bad-1", "bad-2"]
    assert asked[0] in (1, 2)
    assert result.stopped == "finished"


def test_a_start_whose_process_is_lost_is_tried_once_more(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = alone(several())

    def lost(self: Workers, function: object, given: object) -> None:
        raise WorkerLostError("it was killed")

    monkeypatch.setattr(Workers, "ask", lost)
    with pytest.warns(UserWarning, match=r"weight-0\.\d+ is tried once more, since its process was lost: it was kill"):
        result = job(several()).run()
    assert_same(result, expected)


def test_a_process_that_is_killed_is_a_lost_one(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = alone(several())
    ask = Workers.ask
    monkeypatch.setattr(Workers, "ask", lambda self, function, given: ask(self, os._exit, 1))
    with pytest.warns(UserWarning, match="tried once more"):
        result = job(several()).run()
    assert_same(result, expected)


def test_ctrl_c_while_others_are_waited_for_keeps_those_that_are_done(asked: list[int]) -> None:
    done = threading.Event()
    endless = start(ENDLESS, "endless")
    keep = multistart._Starts.keep

    def noted(self: Any, index: int, *became: Any) -> None:
        keep(self, index, *became)
        if len(self.tried) == 4:
            done.set()

    def interrupt() -> None:
        assert done.wait(120)
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(multistart._Starts, "keep", noted)
        thread.start()
        result = job(several(endless)).run()
    thread.join()
    assert result.stopped == "interrupted"
    last = result.details["candidates"][-1]
    assert last == {"name": "endless", "chosen": False, "skipped": "interrupted"}
    assert sum(one["chosen"] for one in result.details["candidates"]) == 1
    assert result.image.shape == (128, 128)


def test_the_time_limit_holds_for_the_others_too(asked: list[int]) -> None:
    begun = time.monotonic()
    result = job(several(*(start(ENDLESS, f"endless-{number}") for number in range(2)))).run(time_limit=15)
    assert time.monotonic() - begun < 60
    assert result.stopped == "time limit"
    assert any("skipped" in one for one in result.details["candidates"])
    assert asked


def test_what_reached_its_end_within_the_limit_is_not_stopped_by_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(multistart, "LOADING", 1e9)  # by one process
    attempt = multistart._Starts.attempt

    def slow_at_last(self: Any, index: int) -> None:
        attempt(self, index)
        if index == 3:  # as if it had taken longer than what is left
            self.tried[index] = replace(self.tried[index], seconds=1e9)

    monkeypatch.setattr(multistart._Starts, "attempt", slow_at_last)
    assert job(several()).run(time_limit=600).stopped == "finished"


def test_one_that_the_system_ends_politely_is_a_lost_one_too(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = alone(several())
    ask = Workers.ask

    def ended(self: Workers, function: Callable[[Any], Any], given: Any) -> Any:
        thread = threading.Timer(1.5, self.ended_politely)  # type: ignore[attr-defined]
        thread.start()
        try:
            endless = start(ENDLESS, "endless")
            stage = replace(given.stages[0].candidates[given.index][0], recipe=endless)
            first = replace(given.stages[0], candidates=((stage, stage),) * 5)
            return ask(self, function, replace(given, stages=[first, *given.stages[1:]]))
        finally:
            thread.join()

    def politely(self: Workers) -> None:
        assert self.pool is not None
        for process in self.pool._processes.values():
            os.kill(process.pid, signal.SIGTERM)

    monkeypatch.setattr(Workers, "ask", ended)
    monkeypatch.setattr(Workers, "ended_politely", politely, raising=False)
    with pytest.warns(UserWarning, match="tried once more"):
        result = job(several()).run()
    assert_same(result, expected)


def test_one_that_was_stopped_is_not_compared_with_those_that_were_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.set_num_threads(1)
    attempt = multistart._Starts.attempt

    def first_is_stopped(self: Any, index: int) -> None:
        attempt(self, index)
        if index == 0:
            self.tried[0] = replace(self.tried[0], judged=None)

    monkeypatch.setattr(multistart._Starts, "attempt", first_is_stopped)
    told = job(several()).run().details["candidates"]
    assert (told[0]["chosen"], told[0]["selection"]) == (False, {})
    assert sum(one["chosen"] for one in told) == 1


def test_an_error_there_is_raised_here(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(self: Workers, function: object, given: object) -> None:
        raise MemoryError("there is none left")

    monkeypatch.setattr(Workers, "ask", failing)
    with pytest.raises(MemoryError, match="does not fit in memory"):
        job(several()).run()


@pytest.mark.parametrize(
    "why", ["few starts", "a small picture", "one thread", "little memory", "an observer", "registered here"]
)
def test_one_process_does_it_all(asked: list[int], why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe, side, watchers = several(), 128, []
    if why == "few starts":
        recipe = recipe.model_copy(update={"candidates": recipe.candidates[:3]})
    elif why == "a small picture":
        side = 120
    elif why == "one thread":
        torch.set_num_threads(1)
    elif why == "little memory":
        monkeypatch.setattr(multistart, "LIBRARIES", 2**60)
    elif why == "an observer":
        watchers = [Diary()]
    elif why == "registered here":
        registry.register("recipes", "mine", object())
    try:
        result = job(recipe, side).run(observers=watchers)
    finally:
        registry.unregister("recipes", "mine")
    assert result.stopped == "finished"
    assert asked == []
    assert all(np.isfinite(one["selection"]["sum"]) for one in result.details["candidates"])


def test_a_script_needs_no_guard(tmp_path: Path) -> None:
    np.save(tmp_path / "blurry.npy", blurry())
    script = tmp_path / "script.py"
    script.write_text(
        "import invkit, numpy\n"
        "print('begun')\n"
        "result = invkit.deblur(numpy.load('blurry.npy'), recipe='best', kernel_size=5, progress=False)\n"
        "print(result.stopped, len(result.details['candidates']))\n"
    )
    environment = {**os.environ, "OMP_NUM_THREADS": "2"}
    command = [sys.executable, str(script)]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split() == ["begun", "finished", "9"]
