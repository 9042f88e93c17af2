"""Jobs done by the workers of a Dask cluster: processes of this machine, an existing cluster, or SLURM's.

Workers read the data themselves, from the same folder as here, and send results back: this process alone writes them,
so that workers need no folder of results, and nothing of a worker that died is ever kept. A worker is given one job at
a time, so that its death costs that job one attempt and no other anything. The scheduler gives a lost job to another
worker; when three have died of it, it counts as failed (of an existing cluster its own setting holds).
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
import uuid
import warnings
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from types import ModuleType
from typing import TYPE_CHECKING, Any

from pydantic import Field, ValidationError

from ..core.errors import InputError
from ..core.nested import Strict
from ..core.runtime.environment import thread_variables
from .jobs import Finished, failure, perform
from .plan import Job
from .runner import Execute

if TYPE_CHECKING:
    from distributed import Client, Future

__all__ = ["SlurmOptions", "on_cluster", "on_slurm", "on_workers", "slurm_options"]

DEATHS = 3  # of workers, after which a job counts as failed
POLL = 0.2  # seconds between two looks for Ctrl-C and for new workers
CONNECT = 20.0  # seconds to find a scheduler
PATIENCE = 15.0  # seconds without a worker before that is told
REMEDY = 'pip install "invkit[cluster]"'


class SlurmOptions(Strict):
    """What to ask SLURM for; each of its jobs is one worker."""

    queue: str | None = Field(default=None, description="partition; none: SLURM's own default")
    account: str | None = Field(default=None, description="account; none: SLURM's own default")
    gpus: int = Field(default=0, ge=0, description="GPUs of each worker")
    cores: int = Field(default=4, ge=1, description="cores, and threads of torch, of each worker")
    memory: str = Field(default="16GB", description="of each worker")
    walltime: str = Field(default="04:00:00", description="after which SLURM ends a worker, and another is asked for")
    jobs: int = Field(default=1, ge=1, description="workers")


def slurm_options(text: str) -> SlurmOptions:
    """The options of ``queue=gpu,gpus=1,memory=32GB,walltime=08:00:00,jobs=4``; raises `InputError`."""
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


def on_workers(count: int, device: str) -> Execute:
    """Processes of this machine, each with one job at a time and its share of the cores.

    Args:
        count: of processes; where jobs run on GPUs, at most one for each.
        device: of the suite.

    Raises:
        InputError: Dask is not installed.
    """
    imported("distributed")
    gpus = visible_gpus(device)
    return partial(execute, partial(local_cluster, min(count, len(gpus)) if gpus else count, gpus))


def on_cluster(address: str) -> Execute:
    """The workers of an existing cluster, by the address of its scheduler, as ``tcp://host:8786``.

    Raises:
        InputError: Dask is not installed.
    """
    imported("distributed")
    return partial(execute, partial(existing_cluster, address))


def on_slurm(options: SlurmOptions, logs: Path) -> Execute:
    """Jobs of SLURM, asked for from here; those that end before the suite are replaced by new ones.

    Args:
        options: what to ask for.
        logs: folder for what the workers write.

    Raises:
        InputError: Dask or dask-jobqueue is not installed.
    """
    imported("dask_jobqueue")
    return partial(execute, partial(slurm_cluster, options, logs))


def imported(name: str) -> ModuleType:
    """A library of the extra "cluster"; raises `InputError` where it is not installed."""
    from importlib import import_module

    try:
        return import_module(name)
    except ImportError as error:
        raise InputError(f"running on a cluster needs {name}, which is not installed here: {REMEDY}") from error


def visible_gpus(device: str) -> list[str]:
    """The GPUs to spread jobs over, as CUDA_VISIBLE_DEVICES names them; none where they run elsewhere or on one."""
    import torch

    if device not in ("auto", "cuda") or not torch.cuda.is_available():
        return []
    named = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
    return [name.strip() for name in named if name.strip()] or [str(i) for i in range(torch.cuda.device_count())]


def threads_each(count: int) -> int:
    """The threads of torch for each of ``count`` processes: cores are shared out, and OMP_NUM_THREADS is the most."""
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    most = os.environ.get("OMP_NUM_THREADS", "")
    share = max(1, cores // count)
    return min(share, int(most)) if most.isdigit() and int(most) > 0 else share


@contextmanager
def local_cluster(count: int, gpus: Sequence[str]) -> Iterator[Client]:
    """A client of ``count`` new processes, whose environment is set before they start."""
    from distributed import Client, Nanny, Scheduler, SpecCluster

    threads = threads_each(count)
    options = {"host": "127.0.0.1", "nthreads": 1, "memory_limit": 0, "dashboard": False}

    def worker(index: int) -> dict[str, Any]:
        own = {"CUDA_VISIBLE_DEVICES": gpus[index]} if gpus else {}
        environment = {**thread_variables(threads), **own}
        return {"cls": Nanny, "options": {**options, "silence_logs": logging.CRITICAL, "env": environment}}

    scheduler = {"host": "127.0.0.1", "port": 0, "dashboard": False, "allowed_failures": DEATHS - 1}
    with (
        SpecCluster(
            workers={index: worker(index) for index in range(count)},
            scheduler={"cls": Scheduler, "options": scheduler},
            silence_logs=logging.CRITICAL,
        ) as cluster,
        Client(cluster) as client,
    ):
        yield steadied(client, threads)


@contextmanager
def existing_cluster(address: str) -> Iterator[Client]:
    """A client of a cluster that others have started; raises `InputError` where it is not there."""
    from distributed import Client

    try:
        client = Client(address, timeout=CONNECT, set_as_default=False)
    except (OSError, ValueError) as error:  # distributed's timeouts are OSErrors
        raise InputError(
            f"there is no Dask scheduler at {address} ({error}); start one with 'dask scheduler', and workers with "
            "'dask worker ADDRESS'"
        ) from error
    with client:
        yield steadied(client, None)


@contextmanager
def slurm_cluster(options: SlurmOptions, logs: Path) -> Iterator[Client]:
    """A client of workers that SLURM starts."""
    from distributed import Client

    jobqueue = imported("dask_jobqueue")
    variables = [f"export {name}={value}" for name, value in thread_variables(options.cores).items()]
    with (
        jobqueue.SLURMCluster(
            queue=options.queue,
            account=options.account,
            cores=1,  # of Dask: jobs at a time
            processes=1,
            job_cpu=options.cores,
            memory=options.memory,
            walltime=options.walltime,
            job_extra_directives=[f"--gres=gpu:{options.gpus}"] if options.gpus else [],
            job_script_prologue=variables,
            worker_extra_args=["--memory-limit", "0"],  # SLURM's own holds
            log_directory=str(logs),
            job_name="invkit-bench",
            scheduler_options={"dashboard": False, "allowed_failures": DEATHS - 1},
        ) as cluster,
        Client(cluster) as client,
    ):
        cluster.adapt(minimum_jobs=options.jobs, maximum_jobs=options.jobs)  # unlike scale, it replaces those that end
        yield steadied(client, options.cores)


def steadied(client: Client, threads: int | None) -> Client:
    """A client whose workers, later ones too, are fit for the jobs; raises `InputError` where one is not."""
    from .dask_worker import Steady

    try:
        client.register_plugin(Steady(threads))
    except Exception as error:  # what the worker raised, or could not import
        raise InputError(
            f"the workers cannot do the jobs ({type(error).__name__}: {error}); they need the same invkit, and the "
            "same plugins, as are installed here"
        ) from error
    return client


def execute(cluster: Any, jobs: Sequence[Job], asked: threading.Event) -> Generator[Finished, None, None]:
    """Do jobs on a cluster, which is started for them and ended after them; see `invkit.benchmark.runner.Execute`."""
    with quietly(), cluster() as client:
        yield from through(client, jobs, asked)


@contextmanager
def quietly() -> Iterator[None]:
    """Without Dask's own messages on the standard error: what matters of them is an error or a record here."""
    import distributed  # noqa: F401 - makes its loggers

    names = [name for name in logging.root.manager.loggerDict if name.partition(".")[0] == "distributed"]
    levels = {name: logging.getLogger(name).level for name in names}
    for name in levels:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)


def through(client: Client, jobs: Sequence[Job], asked: threading.Event) -> Generator[Finished, None, None]:
    """Do jobs by the workers of a client, one at a time each; those begun when ``asked`` is set are given up."""
    waiting, ended = deque(jobs), SimpleQueue[str]()
    running: dict[str, tuple[Future, Job]] = {}
    run, patience = uuid.uuid4().hex[:8], time.monotonic() + PATIENCE
    try:
        while (waiting or running) and not asked.is_set():
            workers = workers_of(client)
            if not workers and time.monotonic() > patience:
                patience = float("inf")
                warnings.warn("no worker is there yet; jobs wait for the first one", RuntimeWarning, stacklevel=2)
            while waiting and len(running) < max(1, workers):
                job = waiting.popleft()
                future = client.submit(perform, job, key=f"{job.id}-{run}", pure=False)
                running[future.key] = future, job
                future.add_done_callback(lambda future: ended.put(future.key))
            try:
                future, job = running.pop(ended.get(timeout=POLL))
            except Empty:
                continue
            yield outcome_of(future, job)
    finally:
        client.cancel([future for future, _ in running.values()], force=True)


def workers_of(client: Client) -> int:
    """How many workers there are now; raises `InputError` when the scheduler is gone."""
    try:
        return len(client.nthreads())
    except OSError as error:
        raise lost() from error


def outcome_of(future: Future, job: Job) -> Finished:
    """What came of a job; raises `InputError` when the cluster is of no use."""
    from distributed import CancelledError, KilledWorker

    try:
        finished: Finished = future.result()
    except KilledWorker:
        return failure(job, "WorkerDied", f"{DEATHS} workers died of it, one after the other; was there enough memory?")
    except (CancelledError, OSError) as error:
        raise lost() from error
    except Exception as error:
        raise InputError(
            f"the job {job.id} cannot be done by the workers ({type(error).__name__}: {error}); they need the same "
            "invkit, and the same plugins, as are installed here"
        ) from error
    return finished


def lost() -> InputError:
    """The error that says that the scheduler is gone."""
    return InputError("the connection to the Dask scheduler is lost; what was done is kept: the same command goes on")
