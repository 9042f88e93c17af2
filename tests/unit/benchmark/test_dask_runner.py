"""Jobs on a Dask cluster: what can be told without one. The rest is in tests/end_to_end/test_bench_command.py."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable

import pytest

from invkit.benchmark.dask_runner import DaskRunner, local_workers, slurm_options, threads_each
from invkit.benchmark.jobs import failure, perform
from invkit.benchmark.plan import BenchmarkJob
from invkit.benchmark.store import Finished
from invkit.benchmark.suite import parse_suite
from invkit.core.errors import InputError
from invkit.core.evaluation import Case
from invkit.core.runtime.threads import thread_variables
from invkit.recipes.model import load_recipe

distributed = pytest.importorskip("distributed")


RUNNER = DaskRunner(None, perform, failure)  # type: ignore[arg-type]
SUITE = parse_suite("datasets = ['toy']\nrecipes = ['wiener']\nmetrics = ['psnr']")


def a_job(name: str = "job") -> BenchmarkJob:
    return BenchmarkJob(name, "wiener", load_recipe("wiener"), SUITE.datasets[0], None, Case("case"), 0, SUITE, {})


class Future:
    """A result that is there, or an error."""

    def __init__(self, key: str, result: Finished | Exception) -> None:
        self.key, self.given = key, result

    def result(self) -> Finished:
        if isinstance(self.given, Exception):
            raise self.given
        return self.given

    def add_done_callback(self, function: Callable[[Future], object]) -> None:
        function(self)


class Client:
    """A cluster of so many workers that does jobs as soon as they come."""

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self.sent: list[str] = []
        self.cancelled: list[str] = []

    def nthreads(self) -> dict[int, int]:
        return dict.fromkeys(range(self.workers), 1)

    def submit(self, function: object, job: BenchmarkJob, key: str, pure: bool) -> Future:
        self.sent.append(job.id)
        return Future(key, Finished({"id": job.id, "stopped": "finished"}))

    def cancel(self, futures: Iterable[Future], force: bool) -> None:
        self.cancelled += [future.key for future in futures]


def test_a_job_that_workers_die_of_counts_as_failed() -> None:
    killed = distributed.KilledWorker("job", None, 2)
    record = RUNNER.result_of(Future("job", killed), a_job()).record
    assert record["status"] == "failed"
    assert record["error"]["type"] == "WorkerDied"


@pytest.mark.parametrize("error", [distributed.CancelledError("gone"), OSError("closed")])
def test_a_scheduler_that_is_gone_is_told(error: Exception) -> None:
    with pytest.raises(InputError, match="connection to the Dask scheduler is lost"):
        RUNNER.result_of(Future("job", error), a_job())


def test_workers_without_the_plugins_are_told() -> None:
    with pytest.raises(InputError, match="install the same invkit and the same plugins"):
        RUNNER.result_of(Future("job", ModuleNotFoundError("no module named toys")), a_job())


def test_a_worker_is_given_one_job_at_a_time_and_every_job_is_done() -> None:
    client = Client(2)
    results = RUNNER.through(client, [a_job(str(i)) for i in range(5)], threading.Event())
    assert next(results).record["id"] == "0"
    assert client.sent == ["0", "1"]
    assert [one.record["id"] for one in results] == ["1", "2", "3", "4"]


def test_ctrl_c_gives_up_what_was_begun_and_sends_nothing_more() -> None:
    client, asked = Client(2), threading.Event()
    results = RUNNER.through(client, [a_job(str(i)) for i in range(5)], asked)
    next(results)
    asked.set()
    assert list(results) == []
    assert client.sent == ["0", "1"]
    assert [key.partition("-")[0] for key in client.cancelled] == ["1"]


def test_cores_are_shared_out_and_no_process_is_without(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(8)), raising=False)
    assert [threads_each(count) for count in (1, 2, 3, 8, 20)] == [8, 4, 2, 1, 1]
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert [threads_each(count) for count in (1, 8)] == [2, 1]
    assert thread_variables(3)["MKL_NUM_THREADS"] == "3"


def test_slurm_options_are_read_and_checked() -> None:
    options = slurm_options("queue=gpu, gpus=1,walltime=08:00:00,jobs=4")
    assert (options.queue, options.gpus, options.walltime, options.jobs) == ("gpu", 1, "08:00:00", 4)
    with pytest.raises(InputError, match=r"quue=gpu cannot be used.*known are queue, account"):
        slurm_options("quue=gpu")


@pytest.mark.parametrize("error", [RuntimeError("Nanny failed to start."), OSError("no address")])
def test_workers_that_cannot_be_started_are_told(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def fails(**options: object) -> object:
        assert os.environ["PYTHONSAFEPATH"] == "1"
        raise error

    monkeypatch.delenv("PYTHONSAFEPATH", raising=False)
    monkeypatch.setattr(distributed, "SpecCluster", fails)
    with pytest.raises(InputError, match=f"no worker process can be started .{error}.; try fewer"):
        local_workers(1, "cpu").__enter__()
    assert "PYTHONSAFEPATH" not in os.environ
