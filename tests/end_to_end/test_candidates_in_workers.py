"""Candidates that several processes solve: the result is that of one process, whatever happens to the others."""

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
from narrow import known
from toy_recipes import Diary

from invkit.core import registry
from invkit.core.result import Result
from invkit.core.runtime.workers import WorkerLostError, Workers, dismiss_workers
from invkit.pipeline import multistart, worker_count
from invkit.pipeline.job import Job, prepare
from invkit.recipes.model import Recipe, parse_recipe

HEAD = """
image_prior = "pixels"
kernel_prior = {name = "simplex", params = {parametrization = "projection"}}
regularizers = {name = "l0-gradient", weight = 4e-3, params = {smoothing = 0.0}}
[solver]
name = "alternating-map"
[solver.params]
latent = {name = "half-quadratic", params = {beta_max = 100.0}}
edge_selection = "gradients"
kernel_estimation = "toeplitz"
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
DEEP = ADAM.replace("hidden = 50", "hidden = 200, layers = 2, activation = 'leaky-relu'")
DIVERGING = DEEP.replace("iterations = 5", "iterations = 50, image_lr = 1e12, kernel_lr = 1e12")


def candidate(text: str, name: str, *settings: str) -> Recipe:
    """A candidate with settings, without the title and changes that would name them."""
    return parse_recipe(f'name = "{name}"\n{text}').with_overrides(settings)


def recipe_of(*more: Recipe) -> Recipe:
    """A recipe of four candidates and these; its last stage restores the picture."""
    weights = (1e-3, 4e-3, 1.6e-2, 6.4e-2)
    four = [candidate(HEAD, f"weight-{weight}", f"regularizers.0.weight={weight}") for weight in weights]
    own = parse_recipe('name = "several"\nselection = ["log-gradient", "kernel-agreement"]\n' + HEAD)
    return own.model_copy(update={"candidates": [*four, *more], "next": parse_recipe(LAST)})


@pytest.fixture(autouse=True)
def two_threads(torch_threads: Callable[[int], None]) -> Iterator[None]:
    """Two threads, whatever the machine has; no worker is left afterwards."""
    torch_threads(2)
    yield
    dismiss_workers()


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The indices of the candidates that workers solve."""
    places: list[int] = []
    ask = Workers.ask

    def noted(self: Workers, function: Callable[[Any], Any], task: Any) -> Any:
        places.append(task.index)
        return ask(self, function, task)

    monkeypatch.setattr(Workers, "ask", noted)
    return places


def blurry(side: int = 128) -> np.ndarray:
    """A grey picture in [0, 1], blurred along its rows."""
    count = side // 8
    plain = np.kron(np.random.default_rng(1).uniform(0.1, 0.9, (count, count)), np.ones((8, 8)))
    return np.asarray(np.mean([np.roll(plain, shift, 1) for shift in range(4)], axis=0), np.float32)


def job(recipe: Recipe, side: int = 128, **options: Any) -> Job:
    return prepare(blurry(side), recipe=recipe, kernel_size=7, **options)


def alone(recipe: Recipe, **options: Any) -> Result:
    """The result of one process with one thread."""
    torch.set_num_threads(1)
    result = job(recipe, **options).run()
    torch.set_num_threads(2)
    return result


def timeless(details: Any) -> Any:
    """The entries of candidates, and of their candidates, without the seconds."""
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
    expected = alone(recipe_of())
    assert not asked
    result = job(recipe_of()).run()
    assert asked
    assert 0 not in asked  # the first fixes the noise level
    assert_same(result, expected)
    assert torch.get_num_threads() == 2


def test_a_network_gives_the_same_bits_whatever_the_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_count, "MIN_CANDIDATES_FOR_WORKERS", 99)  # workers have one thread each
    settings = ("image_prior=dip-skip", "image_prior.channels=32", "solver.iterations=10")
    network = recipe_of(candidate(ADAM, "network", *settings))
    assert_same(job(network).run(), alone(network))


def test_the_candidates_of_a_large_picture_see_a_window_of_it(asked: list[int]) -> None:
    windowed = recipe_of().with_overrides(["measurement.window=128"])
    expected = alone(windowed, side=192)
    result = job(windowed, side=192).run()
    assert asked
    assert result.image.shape == (192, 192)
    assert_same(result, expected)


def test_candidates_in_workers_may_have_candidates(asked: list[int]) -> None:
    inner = recipe_of().model_copy(update={"name": "inner"})
    expected = alone(recipe_of(inner, inner))
    assert_same(job(recipe_of(inner, inner)).run(), expected)
    assert asked


def test_a_candidate_that_diverges_in_a_worker_is_dropped(asked: list[int]) -> None:
    first, *others = recipe_of().candidates
    bad = [candidate(DIVERGING, f"bad-{number}") for number in range(3)]
    result = job(recipe_of().model_copy(update={"candidates": [first, *bad, *others]})).run()
    failed = [one for one in result.details["candidates"] if "failed" in one]
    assert [one["name"] for one in failed] == ["bad-0", "bad-1", "bad-2"]
    assert asked[0] in (1, 2)
    assert result.stopped == "finished"


def test_a_candidate_whose_worker_is_lost_is_solved_once_more(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = alone(recipe_of())

    def lost(self: Workers, function: object, given: object) -> None:
        raise WorkerLostError("it was killed")

    monkeypatch.setattr(Workers, "ask", lost)
    with pytest.warns(UserWarning, match=r"weight-0\.\d+ is solved once more because its worker was lost: it was kill"):
        result = job(recipe_of()).run()
    assert_same(result, expected)


def test_a_worker_that_is_killed_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = alone(recipe_of())
    ask = Workers.ask
    monkeypatch.setattr(Workers, "ask", lambda self, function, given: ask(self, os._exit, 1))
    with pytest.warns(UserWarning, match="solved once more"):
        result = job(recipe_of()).run()
    assert_same(result, expected)


def test_ctrl_c_keeps_the_candidates_that_are_done(asked: list[int]) -> None:
    done = threading.Event()
    endless = candidate(ENDLESS, "endless")
    keep = multistart.Multistart.keep

    def noted(self: Any, index: int, *outcome: Any) -> None:
        keep(self, index, *outcome)
        if len(self.done) == 4:
            done.set()

    def interrupt() -> None:
        assert done.wait(120)
        signal.pthread_kill(known(threading.main_thread().ident), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(multistart.Multistart, "keep", noted)
        thread.start()
        result = job(recipe_of(endless)).run()
    thread.join()
    assert result.stopped == "interrupted"
    last = result.details["candidates"][-1]
    assert last == {"name": "endless", "selected": False, "skipped": "interrupted"}
    assert sum(one["selected"] for one in result.details["candidates"]) == 1
    assert result.image.shape == (128, 128)


def test_the_time_limit_holds_for_workers_too(asked: list[int]) -> None:
    started = time.monotonic()
    result = job(recipe_of(*(candidate(ENDLESS, f"endless-{number}") for number in range(2)))).run(time_limit=15)
    assert time.monotonic() - started < 60
    assert result.stopped == "time limit"
    assert any("skipped" in one for one in result.details["candidates"])
    assert asked


def test_candidates_that_were_completed_in_time_are_not_reported_as_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_count, "WORKER_START_SECONDS", 1e9)  # one process only
    attempt = multistart.Multistart.attempt

    def slow_at_last(self: Any, index: int) -> None:
        attempt(self, index)
        if index == 3:  # as if it had taken longer than the remaining time
            self.done[index] = replace(self.done[index], seconds=1e9)

    monkeypatch.setattr(multistart.Multistart, "attempt", slow_at_last)
    assert job(recipe_of()).run(time_limit=600).stopped == "finished"


def test_a_worker_that_the_system_terminates_is_lost_too(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = alone(recipe_of())
    ask = Workers.ask

    def ended(self: Workers, function: Callable[[Any], Any], task: Any) -> Any:
        thread = threading.Timer(1.5, self.terminate_workers)  # type: ignore[attr-defined]
        thread.start()
        try:
            endless = candidate(ENDLESS, "endless")
            stage = replace(task.stages[0].candidates[task.index][0], recipe=endless)
            first = replace(task.stages[0], candidates=((stage, stage),) * 5)
            return ask(self, function, replace(task, stages=[first, *task.stages[1:]]))
        finally:
            thread.join()

    def terminate(self: Workers) -> None:
        assert self.pool is not None
        for process in self.pool._processes.values():
            os.kill(process.pid, signal.SIGTERM)

    monkeypatch.setattr(Workers, "ask", ended)
    monkeypatch.setattr(Workers, "terminate_workers", terminate, raising=False)
    with pytest.warns(UserWarning, match="solved once more"):
        result = job(recipe_of()).run()
    assert_same(result, expected)


def test_a_candidate_that_was_stopped_is_not_compared_with_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.set_num_threads(1)
    attempt = multistart.Multistart.attempt

    def first_is_stopped(self: Any, index: int) -> None:
        attempt(self, index)
        if index == 0:
            self.done[0] = replace(self.done[0], restorations={})

    monkeypatch.setattr(multistart.Multistart, "attempt", first_is_stopped)
    entries = job(recipe_of()).run().details["candidates"]
    assert (entries[0]["selected"], entries[0]["scores"]) == (False, {})
    assert sum(one["selected"] for one in entries) == 1


def test_an_error_of_a_worker_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(self: Workers, function: object, given: object) -> None:
        raise MemoryError("no memory is left")

    monkeypatch.setattr(Workers, "ask", failing)
    with pytest.raises(MemoryError, match="does not fit in memory"):
        job(recipe_of()).run()


@pytest.mark.parametrize(
    "why", ["few candidates", "a small picture", "one thread", "little memory", "an observer", "registered here"]
)
def test_one_process_solves_all_candidates(asked: list[int], why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe, side, observers = recipe_of(), 128, []
    if why == "few candidates":
        recipe = recipe.model_copy(update={"candidates": recipe.candidates[:3]})
    elif why == "a small picture":
        side = 120
    elif why == "one thread":
        torch.set_num_threads(1)
    elif why == "little memory":
        monkeypatch.setattr(worker_count, "WORKER_BYTES", 2**60)
    elif why == "an observer":
        observers = [Diary()]
    elif why == "registered here":
        registry.register("recipes", "mine", object())
    try:
        result = job(recipe, side).run(observers=observers)
    finally:
        registry.unregister("recipes", "mine")
    assert result.stopped == "finished"
    assert asked == []
    assert all(np.isfinite(one["scores"]["sum"]) for one in result.details["candidates"])


def test_a_script_needs_no_guard(tmp_path: Path) -> None:
    np.save(tmp_path / "blurry.npy", blurry())
    script = tmp_path / "script.py"
    script.write_text(
        "import invkit, numpy\n"
        "print('started')\n"
        "result = invkit.deblur(numpy.load('blurry.npy'), recipe='best', kernel_size=5, progress=False)\n"
        "print(result.stopped, len(result.details['candidates']))\n"
    )
    environment = {**os.environ, "OMP_NUM_THREADS": "2"}
    command = [sys.executable, str(script)]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split() == ["started", "finished", "9"]
