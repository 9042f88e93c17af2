"""Jobs on a Dask cluster: processes of this machine, an existing cluster, or workers from SLURM.

Workers read the data from the same folder as this process and send their results back. This process alone writes, so
workers need no folder of results, and nothing is kept from a worker that died. A worker has one job at a time. If it
dies, this costs one attempt of that job and nothing else: the scheduler gives the job to another worker, and after
three dead workers it counts as failed. (An existing cluster has its own number of attempts.)
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
import uuid
import warnings
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, TypeAlias

from pydantic import Field, ValidationError

from ..core.errors import InputError
from ..core.nested import Strict
from ..core.runtime.process import SAFE_PATH, on_safe_path, print_apart
from ..core.runtime.threads import thread_variables
from .plan import BenchmarkJob
from .runner import Perform
from .store import Finished

if TYPE_CHECKING:
    from distributed import Client, Future

__all__ = [
    "Cluster",
    "DaskRunner",
    "SlurmOptions",
    "existing_cluster",
    "local_workers",
    "slurm_options",
    "slurm_workers",
]

MAX_DEATHS = 3  # dead workers, after which a job counts as failed
CLUSTER_POLL_SECONDS = 0.2  # between two looks for Ctrl-C and for new workers
CONNECT_SECONDS = 20.0  # to find a scheduler
WORKER_WAIT = 15.0  # seconds without a worker before a warning
SAME_INSTALLATION = "install the same invkit and the same plugins there as here"

Cluster: TypeAlias = Callable[[], "AbstractContextManager[Client]"]


@dataclass(frozen=True)
class DaskRunner:
    """Does jobs on a cluster that is started before them and ended after them; an `invkit.benchmark.runner.Execute`.

    Attributes:
        cluster: opens the cluster: `local_workers`, `existing_cluster` or `slurm_workers`.
        perform: does one job, in a worker: `invkit.benchmark.jobs.perform`.
        failure: records a job whose workers died, from its kind and message: `invkit.benchmark.jobs.failure`.
    """

    cluster: Cluster
    perform: Perform
    failure: Callable[[BenchmarkJob, str, str], Finished]

    def __call__(self, jobs: Sequence[BenchmarkJob], interrupted: threading.Event) -> Generator[Finished, None, None]:
        """Do the jobs, and cancel them soon after ``interrupted`` is set; raises `InputError` if the cluster fails."""
        with silent_logging(), self.cluster() as client:
            yield from self.through(client, jobs, interrupted)

    def through(
        self, client: Client, jobs: Sequence[BenchmarkJob], interrupted: threading.Event
    ) -> Generator[Finished, None, None]:
        """Do jobs with the workers of a client, one job at a time each; other arguments as `__call__`."""
        waiting, ended = deque(jobs), SimpleQueue[str]()
        running: dict[str, tuple[Future, BenchmarkJob]] = {}
        run, warn_at = uuid.uuid4().hex[:8], time.monotonic() + WORKER_WAIT
        try:
            while (waiting or running) and not interrupted.is_set():
                workers = len(client.nthreads())
                if not workers and time.monotonic() > warn_at:
                    warn_at = float("inf")
                    warnings.warn("no worker has connected yet; the jobs wait for one", RuntimeWarning, stacklevel=2)
                while waiting and len(running) < max(1, workers):
                    job = waiting.popleft()
                    future = client.submit(self.perform, job, key=f"{job.id}-{run}", pure=False)
                    running[future.key] = future, job
                    future.add_done_callback(lambda future: ended.put(future.key))
                try:
                    future, job = running.pop(ended.get(timeout=CLUSTER_POLL_SECONDS))
                except Empty:
                    continue
                yield self.result_of(future, job)
        except OSError as error:  # the scheduler has ended
            raise lost_connection() from error
        finally:
            client.cancel([future for future, _ in running.values()], force=True)

    def result_of(self, future: Future, job: BenchmarkJob) -> Finished:
        """The result of a job; raises `InputError` if the cluster cannot be used."""
        from distributed import CancelledError, KilledWorker

        try:
            finished: Finished = future.result()
        except KilledWorker:
            died = f"{MAX_DEATHS} workers died during this job, one after the other; give the workers more memory"
            return self.failure(job, "WorkerDied", died)
        except (CancelledError, OSError) as error:
            raise lost_connection() from error
        except Exception as error:  # a job records its own errors; this one is of the worker, as an import that failed
            reason = f"{type(error).__name__}: {error}"
            raise InputError(f"the workers cannot do the job {job.id} ({reason}); {SAME_INSTALLATION}") from error
        return finished


def lost_connection() -> InputError:
    """The error for a scheduler that has ended."""
    return InputError("the connection to the Dask scheduler is lost; results are kept, run the same command again")


@contextmanager
def silent_logging() -> Iterator[None]:
    """Without the log messages of Dask; important events are errors or records of invkit."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)


@contextmanager
def local_workers(count: int, device: str) -> Iterator[Client]:
    """New processes on this machine, each with its share of the cores; on GPUs at most one process for each GPU.

    Raises:
        InputError: Dask is not installed, or no process can be started.
    """
    import_extra("distributed")
    from distributed import Client, Nanny, Scheduler, SpecCluster

    gpus = visible_gpus(device)
    count = min(count, len(gpus)) if gpus else count
    threads = threads_each(count)
    options = {"host": "127.0.0.1", "nthreads": 1, "memory_limit": 0, "dashboard": False}

    def worker(index: int) -> dict[str, Any]:
        own = {"CUDA_VISIBLE_DEVICES": gpus[index]} if gpus else {}
        environment = {**thread_variables(threads), **own}
        return {"cls": Nanny, "options": {**options, "silence_logs": logging.CRITICAL, "env": environment}}

    scheduler = {"host": "127.0.0.1", "port": 0, "dashboard": False, "allowed_failures": MAX_DEATHS - 1}
    with on_safe_path():
        try:
            cluster = SpecCluster(
                workers={index: worker(index) for index in range(count)},
                scheduler={"cls": Scheduler, "options": scheduler},
                silence_logs=logging.CRITICAL,
            )
        except (RuntimeError, OSError) as error:
            raise InputError(f"no worker process can be started ({error}); try fewer, or none") from error
        with cluster, Client(cluster) as client:
            yield with_prepared_workers(client, threads)


def visible_gpus(device: str) -> list[str]:
    """The GPUs for the jobs, as in CUDA_VISIBLE_DEVICES; none if the jobs run on the CPU or on one named GPU."""
    import torch

    if device not in ("auto", "cuda") or not torch.cuda.is_available():
        return []
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
    return [name.strip() for name in visible if name.strip()] or list(map(str, range(torch.cuda.device_count())))


def threads_each(count: int) -> int:
    """The threads of each of ``count`` processes: an equal share of the cores, at most OMP_NUM_THREADS."""
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    limit = os.environ.get("OMP_NUM_THREADS", "")
    share = max(1, cores // count)
    return min(share, int(limit)) if limit.isdigit() and int(limit) > 0 else share


@contextmanager
def existing_cluster(address: str) -> Iterator[Client]:
    """A cluster that runs already, by the address of its scheduler, as ``tcp://host:8786``.

    Raises:
        InputError: Dask is not installed, or there is no scheduler.
    """
    import_extra("distributed")
    from distributed import Client

    try:
        client = Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
    except (OSError, ValueError) as error:  # the timeouts of distributed are OSErrors
        raise InputError(
            f"there is no Dask scheduler at {address} ({error}); start one with 'dask scheduler', and workers with "
            "'dask worker ADDRESS'"
        ) from error
    with client:
        yield with_prepared_workers(client, None)


class SlurmOptions(Strict):
    """The resources to request from SLURM; each SLURM job is one worker."""

    queue: str | None = Field(default=None, description="partition; none: the default of SLURM")
    account: str | None = Field(default=None, description="account; none: the default of SLURM")
    gpus: int = Field(default=0, ge=0, description="GPUs of each worker")
    cores: int = Field(default=4, ge=1, description="cores, and threads of torch, of each worker")
    memory: str = Field(default="16GB", description="of each worker")
    walltime: str = Field(default="04:00:00", description="after this time SLURM ends a worker, and another is started")
    jobs: int = Field(default=1, ge=1, description="workers")


def slurm_options(text: str) -> SlurmOptions:
    """The options in a text; raises `InputError`.

    Example:
        >>> slurm_options("queue=gpu,gpus=1,jobs=4").jobs
        4
    """
    pairs = [part.partition("=") for part in text.split(",") if part.strip()]
    known = ", ".join(SlurmOptions.model_fields)
    if not all(equals for _, equals, _ in pairs):
        raise InputError(f"--slurm must be options as queue=gpu,gpus=1,jobs=4, got '{text}'; known are {known}")
    try:
        return SlurmOptions.model_validate({name.strip(): value.strip() for name, _, value in pairs})
    except ValidationError as error:
        wrong = error.errors()[0]
        what = f"{wrong['loc'][0]}={wrong['input']}"
        raise InputError(f"--slurm: {what} cannot be used ({wrong['msg']}); known are {known}") from error


@contextmanager
def slurm_workers(options: SlurmOptions, logs: Path) -> Iterator[Client]:
    """Workers from SLURM, requested from this machine; ``logs`` is the folder for their output.

    A worker that ends before the suite is replaced.

    Raises:
        InputError: Dask or dask-jobqueue is not installed.
    """
    import_extra("dask_jobqueue")
    from dask_jobqueue import SLURMCluster
    from distributed import Client

    variables = {**thread_variables(options.cores), **SAFE_PATH}
    with (
        SLURMCluster(
            queue=options.queue,
            account=options.account,
            cores=1,  # of Dask: jobs at a time
            processes=1,
            job_cpu=options.cores,
            memory=options.memory,
            walltime=options.walltime,
            job_extra_directives=[f"--gres=gpu:{options.gpus}"] if options.gpus else [],
            job_script_prologue=[f"export {k}={value}" for k, value in variables.items()],
            worker_extra_args=["--memory-limit", "0"],  # SLURM's own limit is enough
            log_directory=str(logs),
            job_name="invkit-bench",
            scheduler_options={"dashboard": False, "allowed_failures": MAX_DEATHS - 1},
        ) as cluster,
        Client(cluster) as client,
    ):
        cluster.adapt(minimum_jobs=options.jobs, maximum_jobs=options.jobs)  # unlike scale, it replaces ended workers
        yield with_prepared_workers(client, options.cores)


def import_extra(name: str) -> None:
    """Import a library of the extra "cluster"; raises `InputError` if it is not installed."""
    try:
        import_module(name)
    except ImportError as error:
        remedy = "pip install -e '.[cluster]' in the checkout of invkit"
        raise InputError(f"a cluster needs {name}, which is not installed here: {remedy}") from error


def with_prepared_workers(client: Client, threads: int | None) -> Client:
    """A client whose present and future workers can do the jobs; raises `InputError` if a worker cannot."""
    try:
        client.register_worker_callbacks(partial(prepare_dask_worker, threads, version("invkit")))
    except Exception as error:  # an error in the worker, or an import that failed there
        reason = f"{type(error).__name__}: {error}"
        raise InputError(f"the workers cannot do the jobs ({reason}); {SAME_INSTALLATION}") from error
    return client


def prepare_dask_worker(threads: int | None, expected: str) -> None:
    """At the start of a worker: check the version, ignore Ctrl-C, set the threads, and print apart.

    Ctrl-C in a terminal reaches every process that was started from it, but the command ends its workers itself.

    Args:
        threads: of torch; None keeps the present number, for workers that this program has not started.
        expected: the version of invkit in the command.

    Raises:
        RuntimeError: this worker has another version.
    """
    import torch

    if version("invkit") != expected:
        raise RuntimeError(f"a worker has invkit {version('invkit')}, the command has {expected}")
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    if threads is not None:
        print_apart()
        torch.set_num_threads(threads)
