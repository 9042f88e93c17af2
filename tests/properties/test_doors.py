"""Whatever a file, a setting or a command line holds, the answer is a result or one sentence, soon, in little memory.

Continuous integration tries about 2,000 inputs, the profile "thorough" 20,000.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from functools import cache
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from damaged import archives, as_npy, damaged, documents, images, numbers_in_arrays, toml_of
from hypothesis import given, settings
from hypothesis import strategies as st

from invkit.apps.cli.main import main
from invkit.apps.report.runs import read_run, runs_page
from invkit.benchmark.records import read_results
from invkit.core.errors import InputError, InvkitError
from invkit.core.observers.checkpoint import load_checkpoint
from invkit.core.result import Result
from invkit.datasets.archives import unpack
from invkit.media.decoding import decode
from invkit.pipeline import api
from invkit.pipeline.inputs import read_input_image, read_kernels
from invkit.pipeline.job import Job
from invkit.recipes.model import check_parameters, load_recipe

SECONDS = 10  # an input that takes longer hangs
MEGABYTES = 600  # that all inputs of a test may add to the largest memory of the process
THOROUGH = settings.default is not None and settings.default.max_examples >= 500
BAD_VALUES = [
    "",
    "0",
    "-3",
    "nan",
    "1e200",
    "1e999",
    "9" * 5000,
    "[" * 300,
    "{a=1}",
    "\0",
    "ä",
    "\udcff",
    "none",
    "true",
]


def inputs(count: int) -> settings:
    """So many inputs, and ten times as many in the profile "thorough"."""
    return settings(max_examples=10 * count if THOROUGH else count)


@pytest.fixture(autouse=True)
def little_memory() -> Iterator[None]:
    """The largest memory of the process, in kilobytes on Linux, which is where it is measured."""
    if sys.platform != "linux":
        yield
        return
    import resource

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1024 * MEGABYTES


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("doors")


@contextlib.contextmanager
def in_time() -> Iterator[None]:
    """Raise an error after `SECONDS`, unless a single call of a library takes longer; then pytest ends the test."""

    def late(*_: object) -> None:
        raise AssertionError(f"the input takes more than {SECONDS} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def answered(action: Callable[[], object]) -> bool:
    """Whether an action ends with a result; its refusal must be one sentence, and it may raise nothing else."""
    with in_time(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            action()
        except InvkitError as error:
            said = str(error)
        else:
            return True
    assert 0 < len(said) < 4000
    return False


@inputs(700)
@given(content=images())
def test_images(folder: Path, content: bytes) -> None:
    path = folder / "image"
    path.write_bytes(content)
    if answered(lambda: decode(path)):
        answered(lambda: read_input_image(path))


@inputs(200)
@given(values=numbers_in_arrays(), data=st.data())
def test_kernels(folder: Path, values: np.ndarray, data: st.DataObject) -> None:
    path, content = folder / "kernel.npy", as_npy(values)
    path.write_bytes(content if data.draw(st.booleans()) else data.draw(damaged(content)))
    answered(lambda: read_kernels(path))


@inputs(150)
@given(content=archives())
def test_archives(folder: Path, content: bytes) -> None:
    path = folder / "archive"
    path.write_bytes(content)
    with contextlib.suppress(OSError):  # two members of one path, or a name that the file system does not take
        answered(lambda: unpack(path, folder / "contents", 10_000))


@cache
def whole_recipe(name: str) -> dict[str, Any]:
    return load_recipe(name).model_dump(mode="json", exclude_defaults=True)


RECIPES = ["fast-map", "wiener", "selfdeblur-small", "best", "tv-admm"]


@inputs(250)
@given(data=st.data(), name=st.sampled_from(RECIPES))
def test_toml(folder: Path, data: st.DataObject, name: str) -> None:
    path, document = folder / "recipe.toml", data.draw(documents(whole_recipe(name)))
    lines = [f"{key} = {toml_of(value)}" for key, value in document.items()] if isinstance(document, dict) else ["x"]
    content = "\n".join(lines).encode()
    path.write_bytes(content if data.draw(st.integers(0, 3)) else data.draw(damaged(content)))
    answered(lambda: check_parameters(load_recipe(path), 0))


@cache
def whole_result() -> dict[str, Any]:
    options = {"kernel_size": [3, 5], "sigma": 0.01, "seed": 3, "whole_picture": False, "kernel": None}
    image = {"file": "image.npy", "path": "image.npy", "sha256": "0" * 64}
    return {
        "recipe": whole_recipe("wiener"),
        "options": options,
        "image": image,
        "image_size": [24, 20],
        "loss_history": [3.0, 2.5, None],
        "stages": [{"name": "wiener", "solver": "wiener", "iterations": 1, "seconds": 0.1, "stopped": "finished"}],
        "psnr": {"before": 20.0, "after": 25.0},
        "versions": {"invkit": "0.1"},
        "warnings": ["dark"],
        "seconds": 0.1,
        "iterations": 1,
        "stopped": "finished",
    }


@inputs(250)
@given(data=st.data())
def test_result_files(folder: Path, data: st.DataObject) -> None:
    path, content = folder / "result.json", json.dumps(data.draw(documents(whole_result()))).encode()
    path.write_bytes(content if data.draw(st.integers(0, 3)) else data.draw(damaged(content)))
    if answered(lambda: load_recipe(path)):
        answered(lambda: api.prepare_rerun(path, image=np.eye(16), kernel=np.eye(3)))
        answered(lambda: api.prepare_rerun(path))
    answered(lambda: runs_page([read_run(folder)]))


@inputs(100)
@given(data=st.data())
def test_results_of_benchmarks(folder: Path, data: st.DataObject) -> None:
    plan = {"title": "t", "jobs": ["j"], "datasets": ["d"], "recipes": ["r"], "metrics": [{"label": "psnr"}]}
    record = {
        **{"id": "j", "dataset": "d", "recipe": "r", "case": "c", "seed": 0, "started": "2026", "seconds": 1.0},
        **{"stopped": "finished", "metrics": {"psnr": 20.0}, "history": [1.0, None], "iterations": 2},
    }
    job = folder / "suite" / "jobs" / "j"
    job.mkdir(parents=True, exist_ok=True)
    (job / "result.json").write_text(json.dumps(data.draw(documents(record))))
    (job.parents[1] / "suite.json").write_text(json.dumps(data.draw(documents(plan) | st.just(plan))))
    answered(lambda: read_results(job.parents[1]))


@inputs(200)
@given(data=st.data(), name=st.sampled_from(RECIPES))
def test_settings(data: st.DataObject, name: str) -> None:
    place = data.draw(
        st.sampled_from(["solver", "iterations", "regularizers", "regularizers.0.weight", "next", "candidates", "name"])
        | st.text(max_size=8)
    )
    value = data.draw(st.sampled_from(BAD_VALUES) | st.text(max_size=12) | documents([1]).map(toml_of))
    answered(lambda: check_parameters(load_recipe(name).with_overrides([f"{place}={value}"]), 0))


@inputs(100)
@given(data=st.data())
def test_checkpoints(folder: Path, data: st.DataObject) -> None:
    path, state = (
        folder / "checkpoint.pt",
        {"iteration": 1, "losses": torch.ones(2), "converged": False, "seconds": 1.0},
    )
    parts = {"format": 2, "run": {"seed": 0}, "made_with": {}, "state": state}
    torch.save(parts, path)
    path.write_bytes(data.draw(damaged(path.read_bytes())))
    answered(lambda: load_checkpoint(path, {"seed": 0}))


COMMANDS = {
    "deblur": [
        "--kernel-size",
        "--sigma",
        "--recipe",
        "--set",
        "--seed",
        "--time-limit",
        "--device",
        "--color",
        "--truth",
    ],
    "deconvolve": ["--kernel", "--sigma", "--recipe", "--set"],
    "solve": ["--kernel", "--set", "--seed"],
    "rerun": ["--device", "--image"],
    "describe": ["--json"],
    "recipe": ["show", "--set"],
    "list": ["--json"],
    "animate": ["--output"],
    "report": ["--output", "--photo"],
}


@inputs(150)
@given(data=st.data())
def test_command_lines(folder: Path, data: st.DataObject) -> None:
    """The solve itself is left out: a command line that everything accepts would take its time."""
    np.save(folder / "image.npy", np.random.default_rng(0).random((24, 24)))
    name = data.draw(st.sampled_from(sorted(COMMANDS)))
    files = [str(folder / "image.npy"), str(folder), str(folder / "absent"), os.devnull]
    words = st.sampled_from([*files, *BAD_VALUES, "wiener", "fast-map", "tv"]) | st.text(max_size=6)
    given = [name, data.draw(words)]
    for option in data.draw(st.lists(st.sampled_from(COMMANDS[name]), max_size=3)):
        given += [option, data.draw(words)]
    with pytest.MonkeyPatch.context() as patch, in_time(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        patch.setattr(sys, "argv", ["invkit", *given, *(["--output", str(folder / "out")] if name == "deblur" else [])])
        patch.setattr(Job, "run", not_solved)
        patch.chdir(folder)
        with redirect_stdout(StringIO()), redirect_stderr(StringIO()), contextlib.suppress(SystemExit):
            main()


def not_solved(job: Job, **options: Any) -> Result:
    raise InputError("enough was seen")
