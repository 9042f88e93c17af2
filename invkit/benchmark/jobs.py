"""One job: restore, measure, and record the result, or the error."""

from __future__ import annotations

import hashlib
import threading
import time
import traceback
import warnings
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timezone
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..core.evaluation import Dataset, ImageMetric, Metric, Sample, Trial
from ..core.result import Result
from ..media.colour import from_luma_chroma, to_luma_chroma
from ..media.images import encode_npy, encode_png, quantised
from ..media.kernels import kernel_picture
from ..numerics.framing import visible_part
from ..numerics.geometry import size_of
from ..pipeline.job import Job as Restoration
from ..pipeline.job import prepare, versions
from .measuring import Meter, SnapshotKeeper, SolverSnapshot, machine_facts
from .plan import BenchmarkJob
from .scenes import cropped_to_shape
from .store import INTERRUPTED, Finished, code_digest
from .suite import DatasetSpec, MetricSpec

__all__ = ["failure", "perform"]

MAX_HISTORY = 1000  # losses that are kept
MAX_TRACEBACK = 20_000  # characters of a traceback, from its end
WARM_UP_SIDE = 96  # pixels, sides of the picture on which a recipe is tried before the clock runs
PICTURE_BITS = 8  # of the images that are kept; metrics are measured on the arrays in memory

_alone = threading.Lock()  # time, work and memory belong to the process, hence one job at a time
_warm: set[tuple[str, str]] = set()


class MetricError(Exception):
    """A metric failed; the message names it."""


class NoKernelError(Exception):
    """The recipe needs the true kernel, and the kernel of the case is unknown."""


def perform(job: BenchmarkJob, interrupted: threading.Event | None = None) -> Finished:
    """Do a job and record the result; any error except Ctrl-C becomes a part of the record.

    Args:
        job: the job.
        interrupted: set by Ctrl-C; a job whose computation has not started is then not started.
    """
    with _alone:
        started, record = time.perf_counter(), blank_record(job)
        files: dict[str, bytes] = {}
        try:
            outcome, files = attempt(job, interrupted or threading.Event())
        except NoKernelError as error:
            outcome = {"status": "skipped", "error": {"type": "Skipped", "message": str(error), "traceback": ""}}
        except (Exception, SystemExit) as error:
            outcome = {"status": "failed", "error": error_facts(error)}
        digests = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
        return Finished({**record, **outcome, "files": digests}, files, time.perf_counter() - started)


def failure(job: BenchmarkJob, kind: str, message: str) -> Finished:
    """The record of a job that could not record its own error.

    Args:
        job: the job.
        kind: type of the error.
        message: of the error.
    """
    error = {"type": kind, "message": message, "traceback": ""}
    return Finished({**blank_record(job), "status": "failed", "error": error, "files": {}})


def error_facts(error: BaseException) -> dict[str, str]:
    """An error as plain data; the type is that of the error inside a metric."""
    cause = error.__cause__ if isinstance(error, MetricError) and error.__cause__ else error
    trace = "".join(traceback.format_exception(error))[-MAX_TRACEBACK:]
    return {"type": type(cause).__name__, "message": str(error), "traceback": trace}


def blank_record(job: BenchmarkJob) -> dict[str, Any]:
    """A record with the facts that do not depend on the outcome of a job."""
    nothing = ("sigma", "seconds", "cpu_seconds", "peak_memory", "iterations", "stopped", "error")
    return {
        "id": job.id,
        "status": "done",
        "recipe": job.label,
        "recipe_document": job.recipe.model_dump(mode="json"),
        "dataset": job.dataset.label,
        "case": job.case.name,
        "groups": dict(job.case.groups),
        "seed": job.seed,
        "kernel_size": job.case.kernel_size,
        **dict.fromkeys(nothing),
        "metrics": {},
        "input_metrics": {},
        "history": [],
        "history_every": 1,
        "snapshots": [],
        "versions": {**versions(), **job.versions},
        "code": code_digest(),
        "machine": machine_facts(),
        "started": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }


def attempt(job: BenchmarkJob, interrupted: threading.Event) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Restore and measure; returns facts for the record, and the files. Raises any error of a component."""
    sample = dataset_of(job.dataset.model_dump_json(), job.root).sample(job.case)
    if job.recipe.is_nonblind and sample.kernel is None:
        raise NoKernelError(f"the recipe {job.label} needs the true kernel, and that of {job.case.name} is unknown")
    warm_up(job, sample)
    if interrupted.is_set():
        return INTERRUPTED, {}
    meter = Meter()
    keeper = SnapshotKeeper(job.suite.snapshots, meter)
    with meter:
        restoration = prepared(job, sample)
        result = restoration.run(time_limit=job.suite.time_limit, observers=[keeper])
    if result.stopped == INTERRUPTED["stopped"]:
        return INTERRUPTED, {}
    trial = Trial(
        sample=sample,
        image=np.asarray(result.image),
        kernel=None if job.recipe.kernel_prior is None else np.asarray(result.kernel, dtype=np.float64),
        seconds=meter.seconds,
        cpu_seconds=meter.cpu_seconds,
        peak_memory=meter.peak(restoration.device),
    )
    picture = restoration.image.data
    states = {iteration: trial_at(taken, trial, picture) for iteration, taken in keeper.kept.items()}
    snapshots = [
        {"iteration": iteration, "seconds": state.seconds, "metrics": metrics_of(job, state, trial.image.shape)}
        for iteration, state in states.items()
    ]
    measured = {"metrics": metrics_of(job, trial), "snapshots": snapshots, **outcome_facts(restoration, result)}
    measured["input_metrics"] = input_metrics(job, sample)
    measured |= {name: getattr(trial, name) for name in ("seconds", "cpu_seconds", "peak_memory")}
    measured["kernel_size"] = None if trial.kernel is None else list(trial.kernel.shape)
    return measured, job_files(job, {"": trial, **{f"snapshot-{n}": state for n, state in states.items()}})


def prepared(job: BenchmarkJob, sample: Sample) -> Restoration:
    """The restoration of a sample, completely checked; raises as `invkit.pipeline.job.prepare`."""
    return prepare(
        sample.image,
        recipe=job.recipe,
        kernel=sample.kernel if job.recipe.is_nonblind else None,
        kernel_size=None if job.recipe.is_nonblind else job.case.kernel_size,
        color=job.suite.color,
        seed=job.seed,
        device=job.suite.device,
    )


def warm_up(job: BenchmarkJob, sample: Sample) -> None:
    """Run a recipe once on a part of the picture, the first time that a process uses it.

    Imports, plans of transforms and the start of a GPU would otherwise count in the seconds of the first job alone. An
    error is left to the job itself.
    """
    if (job.label, job.suite.device) in _warm:
        return
    _warm.add((job.label, job.suite.device))
    kernel_size = job.case.kernel_size or (0, 0) if sample.kernel is None else sample.kernel.shape
    side = max(WARM_UP_SIDE, 3 * max(kernel_size))
    with suppress(Exception), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        prepared(job, replace(sample, image=cropped_to_shape(sample.image, (side, side)))).run(time_limit=0.01)


@lru_cache(maxsize=4)
def dataset_of(document: str, root: Path | None) -> Dataset:
    """The dataset in a JSON text of the suite, built once for many jobs."""
    dataset: Dataset = DatasetSpec.model_validate_json(document).build(root)
    return dataset


@lru_cache(maxsize=64)
def metric_of(document: str) -> Metric:
    """The metric in a JSON text of the suite, built once for many jobs."""
    metric: Metric = MetricSpec.model_validate_json(document).build()
    return metric


def metrics_of(job: BenchmarkJob, trial: Trial, shape: tuple[int, ...] | None = None) -> dict[str, float | None]:
    """The metrics of a trial by label.

    Args:
        job: the job.
        trial: the result, or a snapshot.
        shape: of the result; a snapshot at a coarse scale has another one, and no values.

    Raises:
        MetricError: a metric failed.
    """
    values: dict[str, float | None] = dict.fromkeys(spec.label for spec in job.suite.metrics)
    specs = job.suite.metrics if shape in (None, trial.image.shape) else []
    return values | {spec.label: figure_of(spec, trial, "") for spec in specs}


def input_metrics(job: BenchmarkJob, sample: Sample) -> dict[str, float | None]:
    """The metrics of the blurry input by label, as if a recipe had returned it; only those that are an `ImageMetric`.

    Args:
        job: the job.
        sample: its images.

    Raises:
        MetricError: a metric failed.
    """
    trial = Trial(sample, sample.image, None, 0.0, 0.0, 0)
    specs = [spec for spec in job.suite.metrics if isinstance(metric_of(spec.model_dump_json()), ImageMetric)]
    return {spec.label: figure_of(spec, trial, " on the blurry input") for spec in specs}


def figure_of(spec: MetricSpec, trial: Trial, where: str) -> float | None:
    """One metric of a trial; raises `MetricError`.

    Args:
        spec: the metric.
        trial: the trial.
        where: the end of the message of an error.
    """
    try:
        value = metric_of(spec.model_dump_json()).measure(trial)
    except (Exception, SystemExit) as error:
        raise MetricError(f"the metric {spec.label} failed{where}: {error}") from error
    return None if value is None else float(value)


def outcome_facts(restoration: Restoration, result: Result) -> dict[str, Any]:
    """The facts of a finished restoration for the record."""
    every = max(1, -(-len(result.history) // MAX_HISTORY))
    return {
        "recipe_document": restoration.assembly.recipe,
        "sigma": result.details.get("noise_sigma"),
        "iterations": result.iterations,
        "stopped": result.stopped,
        "history": list(result.history[::every]),
        "history_every": every,
        "machine": machine_facts(restoration.device),
    }


def trial_at(taken: SolverSnapshot, trial: Trial, picture: Tensor) -> Trial:
    """A snapshot on the grid of the picture, as the result is.

    Args:
        taken: the snapshot.
        trial: the result.
        picture: the data, (1, C, H, W), whose colours are kept if only its luma is restored.
    """
    plane = visible_part(taken.image, taken.data_size, size_of(taken.kernel))
    if plane.shape[1] == 1 and picture.shape[1] == 3 and plane.shape[-2:] == picture.shape[-2:]:
        plane = from_luma_chroma(plane, to_luma_chroma(picture)[1])
    layered = plane[0].clamp(0, 1).to(torch.float32).movedim(0, -1).numpy()
    kernel = np.asarray(taken.kernel[0, 0] / taken.kernel[0, 0].sum(), dtype=np.float64)
    return replace(
        trial,
        image=layered[..., 0] if layered.shape[-1] == 1 else layered,
        kernel=None if trial.kernel is None else kernel,
        seconds=taken.seconds,
        cpu_seconds=taken.cpu_seconds,
    )


def job_files(job: BenchmarkJob, trials: Mapping[str, Trial]) -> dict[str, bytes]:
    """The contents of the files of a job by name; the result has the name "", a snapshot "snapshot-ITERATION"."""
    files = {}
    for name, trial in trials.items():
        if job.keeps_images:
            files[f"{name or 'image'}.png"] = encode_png(quantised(trial.image, PICTURE_BITS))
        if trial.kernel is not None:
            files[f"{name}-kernel.npy".removeprefix("-")] = encode_npy(trial.kernel)
        if trial.kernel is not None and not name:
            files["kernel.png"] = encode_png(kernel_picture(trial.kernel))
    return files
