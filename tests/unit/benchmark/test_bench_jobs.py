"""One job: what is recorded of it, of its failure, and of how it stood on the way; and where results are kept."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from narrow import known
from rich.console import Console
from toy_benchmark import KERNEL, SIZE, Broken, MeanSquare, Toy

from invkit.benchmark.costs import JobCost
from invkit.benchmark.jobs import failure, perform
from invkit.benchmark.measuring import Meter
from invkit.benchmark.plan import BenchmarkJob, Plan, make_plan
from invkit.benchmark.reporting import Reporter, plan_table
from invkit.benchmark.runner import missing_jobs, run_plan, serially
from invkit.benchmark.store import Finished, JobStore
from invkit.benchmark.suite import parse_suite
from invkit.core import registry
from invkit.core.errors import InputError
from invkit.media.images import read_image

SUITE = """
datasets = [{ name = "toy", params = { number = 2 } }]
recipes = ["wiener"]
metrics = ["toy-error"]
"""
TOYS = (("datasets", "toy", Toy), ("metrics", "toy-error", MeanSquare), ("metrics", "toy-broken", Broken))


@pytest.fixture(autouse=True)
def toys() -> Iterator[None]:
    for toy in TOYS:
        registry.register(*toy)
    yield
    for family, name, _ in TOYS:
        registry.unregister(family, name)


def planned(text: str = SUITE) -> Plan:
    return make_plan(parse_suite(text), None)


def done(text: str = SUITE) -> Finished:
    return perform(planned(text).jobs[0])


class Quiet:
    def run_started(self, jobs: Sequence[BenchmarkJob], present: int) -> None:
        self.jobs, self.present = list(jobs), present
        self.results: list[Mapping[str, Any]] = []

    def job_finished(self, finished: Finished) -> None:
        self.results.append(finished.record)


def test_a_record_says_all_that_a_table_needs() -> None:
    record = done().record
    assert record["status"] == "done"
    assert (record["recipe"], record["dataset"], record["case"], record["seed"]) == ("wiener", "toy", "case0", 0)
    assert record["groups"] == {"parity": "0"}
    assert record["kernel_size"] == [KERNEL, KERNEL]
    assert 0 < record["metrics"]["toy-error"] < 0.02
    assert record["error"] is None
    assert record["stopped"] in ("finished", "converged")
    assert len(record["history"]) == record["iterations"]
    assert record["seconds"] > 0
    assert record["cpu_seconds"] > 0
    assert record["peak_memory"] >= 0
    assert {"invkit", "torch", "python"} <= set(record["versions"])
    assert record["machine"]["threads"] == torch.get_num_threads()


def test_pictures_and_kernels_are_kept_and_can_be_read(tmp_path: Path) -> None:
    with JobStore(tmp_path).opened() as store:
        finished = done()
        store.write(finished)
    folder = tmp_path / "jobs" / finished.record["id"]
    assert {path.name for path in folder.iterdir()} == {"result.json", *finished.record["files"]}
    kernel = np.load(folder / "kernel.npy")
    assert kernel.dtype == np.float64
    assert kernel.sum() == pytest.approx(1, abs=1e-12)
    assert read_image(folder / "image.png").pixels.shape == (SIZE, SIZE)


def test_pictures_that_no_figure_shows_are_not_kept() -> None:
    plan = planned(SUITE + "seeds = [0, 1]\nkeep = 'figures'\nsnapshots = [1]")
    first, second = (perform(job).files for job in (plan.jobs[0], plan.jobs[2]))
    assert "image.png" in first
    assert set(second) == {"kernel.npy", "kernel.png", "snapshot-1-kernel.npy"}


def test_an_error_is_recorded_with_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOY_FAILS", "case0")
    finished = done()
    assert finished.record["status"] == "failed"
    assert finished.record["error"]["type"] == "ValueError"
    assert finished.record["error"]["message"] == "a toy has broken"
    assert "toy_benchmark.py" in finished.record["error"]["traceback"]
    assert finished.record["metrics"] == {}
    assert finished.files == {}


def test_a_metric_that_fails_is_named() -> None:
    error = done(SUITE.replace('"toy-error"', '"toy-error", { name = "toy-broken", label = "odd" }')).record["error"]
    assert error["type"] == "ZeroDivisionError"
    assert error["message"] == "the metric odd failed: nothing to divide by"


def test_the_input_is_measured_like_a_result_but_has_no_cost_and_no_kernel() -> None:
    record = done(SUITE.replace('"toy-error"', '"toy-error", "psnr", "seconds", "kernel-similarity"')).record
    sample = Toy(None).sample(Toy(None).cases()[0])
    error = float(np.mean((sample.image - known(sample.truth)) ** 2))
    assert record["input_metrics"] == pytest.approx({"toy-error": error, "psnr": -10 * np.log10(error)})
    assert record["metrics"]["psnr"] != record["input_metrics"]["psnr"]


def test_a_recipe_that_needs_the_kernel_is_skipped_where_nobody_knows_it() -> None:
    record = done(SUITE.replace("number = 2", "number = 2, known = false")).record
    assert record["status"] == "skipped"
    assert "needs the true kernel" in record["error"]["message"]


def test_snapshots_count_over_all_stages_and_are_measured_as_the_result_is() -> None:
    suite = SUITE.replace('"wiener"', '{ name = "richardson-lucy", overrides = ["solver.params.iterations=6"] }')
    finished = done(suite + "snapshots = [1, 6, 99]")
    record = finished.record
    assert [one["iteration"] for one in record["snapshots"]] == [1, 6]
    assert record["snapshots"][-1]["metrics"] == record["metrics"]  # the last step's is the result
    assert record["snapshots"][0]["metrics"] != record["metrics"]
    assert record["snapshots"][0]["seconds"] <= record["snapshots"][1]["seconds"] <= record["seconds"]
    assert finished.files["snapshot-6.png"] == finished.files["image.png"]
    assert {"snapshot-1.png", "snapshot-1-kernel.npy"} <= set(finished.files)


def test_a_snapshot_of_a_coarse_scale_is_brought_to_full_size() -> None:
    job = planned(SUITE.replace('"wiener"', '"xu-l0"') + "snapshots = [1]").jobs[0]
    record = perform(replace(job, case=replace(job.case, kernel_size=(13, 13)))).record
    assert record["error"] is None
    assert record["snapshots"][0]["metrics"]["toy-error"] > 0
    assert record["iterations"] > 1


def test_a_job_gives_the_same_figures_again() -> None:
    one, other = done(), done()
    assert one.record["metrics"] == other.record["metrics"]
    assert one.files == other.files


def test_memory_is_measured_also_after_a_job_that_took_more() -> None:
    def peak(count: int) -> int:
        with Meter() as meter:
            torch.ones(count, dtype=torch.float64).sum()
        return meter.grown

    million = [peak(count) / 8e6 for count in (20_000_000, 4_000_000, 4_000_000)]
    assert million[0] > 15  # of 20, as the memory is looked at every 15 ms and at the end
    assert million[1] < 10


def test_a_finished_plan_is_not_run_again(tmp_path: Path) -> None:
    plan, store = planned(), JobStore(tmp_path)
    first, again = Quiet(), Quiet()
    assert run_plan(plan, store, first, serially(perform)).done == 2
    outcome = run_plan(plan, store, again, serially(perform))
    assert (outcome.done, outcome.left, again.present, again.results) == (0, 0, 2, [])
    assert outcome.count("done") == 2
    suite = json.loads((tmp_path / "suite.json").read_text())
    assert suite["jobs"] == [job.id for job in plan.jobs]
    assert suite["metrics"][0]["better"] == "lower"
    assert suite["datasets"][0]["citation"] == "nobody"


def test_failures_stop_nothing_and_are_tried_again_only_when_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, store = planned(), JobStore(tmp_path)
    monkeypatch.setenv("TOY_FAILS", "case0")
    outcome = run_plan(plan, store, Quiet(), serially(perform))
    assert (outcome.count("failed"), outcome.count("done")) == (1, 1)
    monkeypatch.delenv("TOY_FAILS")
    assert missing_jobs(plan, store) == []
    outcome = run_plan(plan, store, Quiet(), serially(perform), retry_failed=True)
    assert (outcome.done, outcome.count("failed"), outcome.count("done")) == (1, 0, 2)


def test_what_a_killed_run_has_left_is_cleared_and_a_broken_result_is_made_again(tmp_path: Path) -> None:
    plan, store = planned(), JobStore(tmp_path)
    run_plan(plan, store, Quiet(), serially(perform))
    (tmp_path / ".unfinished" / "half").mkdir(parents=True)
    (tmp_path / "jobs" / plan.jobs[0].id / "result.json").write_text("{")
    assert run_plan(plan, store, Quiet(), serially(perform)).done == 1
    assert not (tmp_path / ".unfinished").exists()
    assert known(store.record(plan.jobs[0].id))["status"] == "done"


def test_two_runs_cannot_write_to_one_folder(tmp_path: Path) -> None:
    refused = pytest.raises(InputError, match="is running a suite in")
    with JobStore(tmp_path).opened(), refused, JobStore(tmp_path).opened():
        pass
    with JobStore(tmp_path).opened() as store:
        assert store.records(["nothing"]) == {}


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be written"), JobStore(tmp_path / "file").opened():
        pass


def test_nothing_begins_after_ctrl_c() -> None:
    asked = threading.Event()
    asked.set()
    assert list(serially(perform)(planned().jobs, asked)) == []
    assert perform(planned().jobs[0], asked).interrupted


def test_a_reporter_tells_of_each_job_and_of_the_time_left() -> None:
    plan, output = planned(), StringIO()
    console = Console(file=output, width=100)
    with Reporter(console) as reporter:
        reporter.run_started(plan.jobs, 3)
        reporter.job_finished(done())
        reporter.job_finished(failure(plan.jobs[1], "WorkerDied", "three workers\nhave died"))
        assert reporter.seconds_left() == 0
    lines = output.getvalue().splitlines()
    assert lines[0] == "5 jobs, 3 of them done already"
    assert lines[1].startswith("[4/5] wiener on toy case0, seed 0: toy-error ")
    assert lines[2].startswith("[5/5] wiener on toy case1, seed 0: failed, three workers, ")


def test_the_plan_is_shown_with_the_jobs_to_do() -> None:
    plan, output = planned(), StringIO()
    console = Console(file=output, width=100)
    console.print(plan_table(plan, plan.jobs[:1], {("wiener", "toy"): JobCost(90.0, "a guess")}))
    rows = [line.replace("│", " ").split() for line in output.getvalue().splitlines()]
    assert ["wiener", "toy", "2", "1", "1", "min", "30", "s", "1", "min", "30", "s"] in rows
