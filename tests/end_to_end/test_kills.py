"""Commands that are killed at random moments: nothing is lost, nothing is mixed.

Each case has a few moments; ``HYPOTHESIS_PROFILE=thorough`` takes fifty others, by a seed that a failure names.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from killed_commands import KillableProcesses, command, restore_for_page
from PIL import Image

from invkit.apps.ui.store import RunStore

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="processes that torch has not touched are forked on Linux only"),
]

THOROUGH = os.environ.get("HYPOTHESIS_PROFILE") == "thorough"
MOMENTS = 50 if THOROUGH else 4
SEED = int.from_bytes(os.urandom(4), "big") if THOROUGH else 0
OVERRIDES = ("image_prior.channels=8", "image_prior.scales=2", "kernel_prior.hidden=32", "solver.iterations=60")
SETTINGS = ("--recipe", "selfdeblur-small", "--kernel-size", "7", "--checkpoint-every", "0", "--device", "cpu")
CHANGES = tuple(word for change in OVERRIDES for word in ("--set", change))
SUITE = """
title = "Toys"
datasets = ["toy"]
recipes = ["wiener", { name = "richardson-lucy", label = "lucy", overrides = ["solver.params.iterations=5"] }]
metrics = ["toy-error"]
"""
BITS = ("image.png", "kernel.npy")
VISIBLE = {*BITS, "kernel.png", "overview.png", "result.json"}


@pytest.fixture(scope="module")
def processes(request: pytest.FixtureRequest) -> KillableProcesses:
    """Processes whose parent finds the modules of the tests."""
    os.environ["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    return KillableProcesses()


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """A small blurry image."""
    sharp = np.kron(np.random.default_rng(0).uniform(0.1, 0.9, (9, 10)), np.ones((6, 6)))
    blurred = np.mean([np.roll(sharp, (i, i), (0, 1)) for i in range(7)], axis=0)[7:, 7:]
    Image.fromarray(np.round(255 * blurred).astype(np.uint8)).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


def moments(seconds: float) -> Iterator[float]:
    """Random moments during a command that takes so many seconds, and a little after it."""
    return iter(np.random.default_rng(SEED).uniform(0, 1.1 * seconds, MOMENTS))


def bits(folder: Path) -> tuple[Any, ...]:
    """What must be the same in two runs."""
    facts = json.loads((folder / "result.json").read_text())
    return facts["seed"], tuple(facts["loss_history"]), *((folder / name).read_bytes() for name in BITS)


def deblur(photo: Path, folder: Path, *more: str) -> tuple[str, ...]:
    """The words of a command."""
    return "deblur", str(photo), "--output", str(folder), *SETTINGS, *CHANGES, *more


def test_a_killed_run_is_resumed_or_begun_again(processes: KillableProcesses, photo: Path, tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    processes.run(command, *deblur(photo, whole))
    seconds, killed = processes.run(command, *deblur(photo, whole, "--overwrite")), 0
    for moment in moments(seconds):
        folder = tmp_path / "killed"
        killed += processes.kill(moment, command, *deblur(photo, folder))
        if not (folder / "result.json").exists():
            resumed = ("--resume",) if (folder / "checkpoint.pt").exists() else ("--overwrite",)
            processes.run(command, *deblur(photo, folder, *resumed))
        assert bits(folder) == bits(whole), f"killed after {moment} s, seed {SEED}"
        assert {path.name for path in folder.iterdir()} - {".lock", "checkpoint.pt"} == VISIBLE
        shutil.rmtree(folder)
    assert killed, "each run ended before it was killed"


def test_a_killed_run_that_replaces_another_loses_neither(
    processes: KillableProcesses, photo: Path, tmp_path: Path
) -> None:
    old, new, folder = tmp_path / "old", tmp_path / "new", tmp_path / "killed"
    processes.run(command, *deblur(photo, old, "--seed", "1"))
    processes.run(command, *deblur(photo, new))
    shutil.copytree(old, folder)
    seconds, killed = processes.run(command, *deblur(photo, folder, "--overwrite")), 0
    for moment in moments(seconds):
        shutil.rmtree(folder)
        shutil.copytree(old, folder)
        killed += processes.kill(moment, command, *deblur(photo, folder, "--overwrite"))
        where = f"killed after {moment} s, seed {SEED}"
        if (folder / "result.json").exists():
            assert bits(folder) in (bits(old), bits(new)), where
        elif not (folder / ".complete").exists():
            assert (folder / ".arriving" / "result.json").exists(), where
        resumed = ("--resume",) if (folder / ".replacing" / "checkpoint.pt").exists() else ("--overwrite",)
        processes.run(command, *deblur(photo, folder, *resumed))
        assert bits(folder) == bits(new), where
        assert {path.name for path in folder.iterdir()} == VISIBLE, where
    assert killed, "each run ended before it was killed"


def test_a_killed_benchmark_does_the_jobs_that_are_left(processes: KillableProcesses, tmp_path: Path) -> None:
    (tmp_path / "suite.toml").write_text(SUITE)

    def words(name: str) -> tuple[str, ...]:
        return "bench", "run", str(tmp_path / "suite.toml"), "--output", str(tmp_path / name)

    def table(name: str) -> dict[str, Any]:
        files = (tmp_path / name / "jobs").glob("*/result.json")
        records = [json.loads(file.read_text()) for file in files]
        assert all((tmp_path / name / "jobs" / record["id"] / file).exists() for record in records
                   for file in record["files"])  # fmt: skip
        return {record["id"]: (record["status"], record["metrics"], record["files"]) for record in records}

    seconds, killed = processes.run(command, *words("whole")), 0
    whole = table("whole")
    assert len(whole) == 8
    for moment in moments(seconds):
        killed += processes.kill(moment, command, *words("killed"))
        assert table("killed").items() <= whole.items(), f"killed after {moment} s, seed {SEED}"
        processes.run(command, *words("killed"))
        assert table("killed") == whole, f"killed after {moment} s, seed {SEED}"
        shutil.rmtree(tmp_path / "killed")
    assert killed, "each run ended before it was killed"


def test_a_page_that_is_killed_shows_whole_runs_only(processes: KillableProcesses, photo: Path, tmp_path: Path) -> None:
    def gallery() -> list[tuple[Any, ...]]:
        store = RunStore(tmp_path / "page")
        assert list(store.work.iterdir()) == [], "unfinished work is removed"
        found = store.gallery()
        assert len(found) == len(list(store.runs.iterdir()))
        store.close()
        return [bits(run.folder) for run in found]

    seconds, killed = processes.run(restore_for_page, tmp_path / "page", photo, OVERRIDES), 0
    whole = gallery()
    assert len(whole) == 1
    for moment in moments(seconds):
        before = len(gallery())
        was_killed = processes.kill(moment, restore_for_page, tmp_path / "page", photo, OVERRIDES)
        killed += was_killed
        after = gallery()
        assert set(after) == set(whole), f"killed after {moment} s, seed {SEED}"
        assert before + (not was_killed) <= len(after) <= before + 1
    assert killed, "each run ended before it was killed"
