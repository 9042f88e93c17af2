"""``invkit bench run`` as a program: killed and run again, interrupted, and spread over processes that die."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from typer.testing import CliRunner, Result

from invkit.apps.cli.main import app
from invkit.core import registry
from invkit.core.errors import InvkitError

Table = dict[str, tuple[str, dict[str, float | None], dict[str, str]]]
TOYS = Path(__file__).parents[1] / "helpers"
SUITE = """
title = "Toys"
datasets = ["toy"]
recipes = ["wiener", { name = "richardson-lucy", label = "lucy", overrides = ["solver.params.iterations=5"] }]
metrics = ["toy-error"]
"""
ENTRIES = """
[invkit.datasets]
toy = toy_benchmark:Toy
[invkit.metrics]
toy-error = toy_benchmark:MeanSquare
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the suite, and the toys registered as a plugin's are."""
    folder = tmp_path_factory.mktemp("bench")
    (folder / "suite.toml").write_text(SUITE)
    info = folder / "toy_benchmark-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-benchmark\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(ENTRIES)
    (folder / "marks").mkdir()
    return folder


def environment(place: Path, accidents: Mapping[str, str]) -> dict[str, str]:
    paths = os.pathsep.join([str(place), str(TOYS)])
    own = {"PYTHONPATH": paths, "TOY_MARKS": str(place / "marks"), "COLUMNS": "150"}
    others = {name: value for name, value in os.environ.items() if name != "INVKIT_DATA"}  # where no toys are
    return {**others, **own, **accidents}


def arguments(place: Path, output: str, *options: str) -> list[str]:
    words = ["bench", "run", str(place / "suite.toml"), "--output", str(place / output), *options]
    return [sys.executable, "-c", "from invkit.apps.cli.main import main; main()", *words]


def bench(place: Path, output: str, *options: str, **accidents: str) -> CompletedProcess[str]:
    return subprocess.run(
        arguments(place, output, *options),
        env=environment(place, accidents),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def invoked(place: Path, output: str, *options: str) -> Result:
    """The command in this process."""
    return CliRunner().invoke(app, arguments(place, output, *options)[3:], env={"COLUMNS": "300", "INVKIT_DATA": None})


def is_there(group: int) -> bool:
    """Whether any process of a group is left."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def table(place: Path, output: str) -> Table:
    """Recipe, case and figures of every result, with the digests of its files."""
    files = sorted((place / output / "jobs").glob("*/result.json"))
    records = [json.loads(file.read_text()) for file in files]
    return {record["id"]: (record["status"], record["metrics"], record["files"]) for record in records}


@pytest.fixture(scope="module")
def serial(place: Path) -> Table:
    """The table of a run without accidents."""
    ended = bench(place, "serial")
    assert ended.returncode == 0, ended.stderr
    return table(place, "serial")


def test_a_run_does_every_job_and_a_second_one_none(place: Path, serial: Table) -> None:
    assert [status for status, _, _ in serial.values()] == ["done"] * 8
    begun = time.perf_counter()
    again = bench(place, "serial")
    assert again.returncode == 0
    assert "8 jobs, 8 of them done already" in again.stderr
    assert "[" not in again.stderr  # no line of a job
    assert time.perf_counter() - begun < 20  # 5 s are promised of a machine that does nothing else


def test_a_run_that_was_killed_goes_on_to_the_same_table(place: Path, serial: Table) -> None:
    killed = bench(place, "killed", TOY_DIES="case2")
    assert killed.returncode == -signal.SIGKILL
    assert len(table(place, "killed")) == 4
    assert bench(place, "killed").returncode == 0
    assert table(place, "killed") == serial


@pytest.mark.slow
def test_workers_give_the_same_and_one_that_dies_costs_a_retry(place: Path, serial: Table) -> None:
    pytest.importorskip("distributed")
    accidents = {"TOY_DIES_ONCE": "case1", "OMP_NUM_THREADS": "1"}
    ended = bench(place, "workers", "--workers", "2", "--recipes", "wiener", **accidents)
    assert ended.returncode == 0, ended.stderr
    assert (place / "marks" / "case1").exists()  # a worker did die of it
    expected = {key: result for key, result in serial.items() if key.startswith("wiener")}
    assert table(place, "workers") == expected
    assert "Traceback" not in ended.stderr


@pytest.mark.slow
def test_ctrl_c_in_a_terminal_ends_the_workers_too(place: Path) -> None:
    pytest.importorskip("distributed")
    process = subprocess.Popen(
        arguments(place, "terminal", "--workers", "1"),
        env=environment(place, {"TOY_SLEEPS": "case0"}),
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        start_new_session=True,  # a group of its own, as a shell makes for a command
    )
    mark = place / "marks" / "case0"
    while not mark.exists() and process.poll() is None:
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "8 of 8 jobs are left" in errors
    ended = time.monotonic()
    while time.monotonic() < ended + 20 and is_there(process.pid):
        time.sleep(0.1)  # helpers of the multiprocessing library end after the program
    assert not is_there(process.pid)


@pytest.fixture
def toys(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The toys, registered in this process."""
    monkeypatch.syspath_prepend(str(TOYS))
    import toy_benchmark

    registry.register("datasets", "toy", toy_benchmark.Toy)
    registry.register("metrics", "toy-error", toy_benchmark.MeanSquare)
    yield
    registry.unregister("datasets", "toy")
    registry.unregister("metrics", "toy-error")


@pytest.mark.usefixtures("toys")
def test_ctrl_c_keeps_what_was_done_and_says_how_to_go_on(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOY_INTERRUPTED", "case2")
    monkeypatch.setattr(sys, "argv", ["invkit", "bench", "run", "my suite.toml"])
    stopped = invoked(place, "stopped", "--limit", "3")
    assert stopped.exit_code == 130
    assert "interrupted: 4 of 6 jobs are left; to continue: invkit bench run 'my suite.toml'" in stopped.output
    monkeypatch.delenv("TOY_INTERRUPTED")
    assert [status for status, _, _ in table(place, "stopped").values()] == ["done"] * 2
    again = invoked(place, "stopped", "--limit", "3")
    assert again.exit_code == 0
    assert "6 jobs, 2 of them done already" in again.output


@pytest.mark.usefixtures("toys")
def test_a_second_ctrl_c_stops_at_once(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOY_INTERRUPTED_TWICE", "case0")
    stopped = invoked(place, "stopped-twice")
    assert stopped.exit_code == 130
    assert "stopped at once" in stopped.output


@pytest.mark.usefixtures("toys")
def test_a_dry_run_does_nothing(place: Path) -> None:
    shown = invoked(place, "dry", "--dry-run", "--recipes", "lucy", "--seeds", "0,1")
    assert shown.exit_code == 0
    assert "lucy" in shown.output
    assert "wiener" not in shown.output
    assert not (place / "dry").exists()


def test_a_dry_run_needs_no_data_and_says_what_it_would_cost(place: Path) -> None:
    words = ["bench", "run", "levin", "--recipes", "fast,selfdeblur", "--limit", "4", "--dry-run"]
    folders = ["--data", str(place / "no-data"), "--output", str(place / "dry-levin")]
    shown = CliRunner().invoke(app, [*words, *folders], env={"COLUMNS": "200", "INVKIT_DATA": None})
    assert shown.exit_code == 0
    rows = [line.replace("│", " ").split() for line in shown.output.splitlines()]
    assert [row[:4] for row in rows if row and row[0] in ("fast", "selfdeblur")] == [
        ["fast", "levin", "4", "4"],
        ["selfdeblur", "levin", "4", "4"],
    ]
    assert "8 of 8 jobs to do, about " in shown.output
    assert "invkit data fetch levin" in shown.output
    assert not (place / "dry-levin").exists()


@pytest.mark.usefixtures("toys")
def test_a_setting_that_no_recipe_has_is_told_before_anything_is_computed(place: Path) -> None:
    result = invoked(place, "bad", "--set", "solver.params.nothing=1")
    assert isinstance(result.exception, InvkitError)
    assert str(result.exception).startswith("the suite's recipe wiener: ")
    assert "nothing" in str(result.exception)
    assert list((place / "bad").glob("jobs/*")) == []


@pytest.mark.usefixtures("toys")
def test_without_dask_the_extra_to_install_is_named(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    result = invoked(place, "bad", "--workers", "2")
    assert "pip install -e '.[cluster]'" in str(result.exception)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--seeds", "a"], "are not whole numbers"),
        (["--workers", "2", "--scheduler", "tcp://x:1"], "cannot be given together"),
        (["--slurm", "queue"], "must be options as"),
        (["--slurm", "gpus=many"], "gpus=many cannot be used"),
        (["--preset", "cpu"], "has no preset 'cpu'"),
        (["--recipes", "weiner"], "did you mean 'wiener'"),
        (["--datasets", "levine"], "nothing named 'levine'"),
    ],
)
def test_bad_options_are_told_in_a_sentence(place: Path, options: list[str], words: str) -> None:
    result = invoked(place, "bad", *options)
    told = str(result.exception) if isinstance(result.exception, InvkitError) else result.output
    assert words in told
