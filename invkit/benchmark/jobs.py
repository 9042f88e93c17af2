"""One job: restore, measure, and put down what came of it, also where that was an error."""

from __future__ import annotations

import hashlib
import platform
import threading
import time
import traceback
import warnings
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import psutil
import torch
from torch import Tensor

from ..core.evaluation import Floats, Sample, Trial
from ..core.interfaces import Dataset, Metric
from ..core.result import Result
from ..media.colour import from_luma_chroma, to_luma_chroma
from ..media.encoding import encode_npy, encode_png, quantised
from ..media.kernels import kernel_picture
from ..numerics.geometry import size_of, visible_part
from ..pipeline.job import Job as Restoration
from ..pipeline.job import prepare, versions
from .digests import code_digest
from .measuring import Meter, SnapshotsAt, Taken
from .plan import Job, build_dataset, build_metric
from .suite import DatasetSpec, MetricSpec

__all__ = ["Finished", "failure", "perform"]

POINTS = 1000  # of the history that is kept
TRACE = 20_000  # characters of a traceback, from its end
PIECE = 96  # pixels, the sides of what a recipe is tried on before the clock runs
STOPPED = {"stopped": "interrupted"}
BITS = 8  # of the pictures that are kept; figures are measured on what is in memory

_alone = threading.Lock()  # time, work and memory are the process's: one job at a time
_warm: set[tuple[str, str]] = set()


@dataclass(frozen=True, eq=False)
class Finished:
    """What came of a job.

    Attributes:
        record: what result.json holds.
        files: contents by name.
        wall: seconds that all of it took, measuring and encoding included.
    """

    record: Mapping[str, Any]
    files: Mapping[str, bytes] = field(default_factory=dict)
    wall: float = 0.0

    @property
    def interrupted(self) -> bool:
        """Whether it was stopped by Ctrl-C, so that it counts as not begun."""
        return bool(self.record["stopped"] == STOPPED["stopped"])


class MetricError(Exception):
    """A metric that failed; the message names it."""


class NoKernelError(Exception):
    """A recipe that needs the true kernel of a case of which nobody knows it."""


def perform(job: Job, asked: threading.Event | None = None) -> Finished:
    """Do a job; an error of any kind, but Ctrl-C, is put down.

    Args:
        job: the job.
        asked: set by Ctrl-C; a job that has not begun to compute then does not.
    """
    with _alone:
        begun, facts = time.perf_counter(), opening(job)
        files: dict[str, bytes] = {}
        try:
            outcome, files = attempt(job, asked or threading.Event())
        except NoKernelError as error:
            outcome = {"status": "skipped", "error": {"type": "Skipped", "message": str(error), "traceback": ""}}
        except (Exception, SystemExit) as error:
            outcome = failed(error)
        record = {**facts, **outcome, "files": {name: sha256(content) for name, content in files.items()}}
        return Finished(record, files, time.perf_counter() - begun)


def failure(job: Job, kind: str, message: str) -> Finished:
    """What is put down of a job that could not say so itself."""
    error = {"type": kind, "message": message, "traceback": ""}
    return Finished({**opening(job), "status": "failed", "error": error, "files": {}})


def failed(error: BaseException) -> dict[str, Any]:
    """An error in a record; one that a metric has raised goes by the metric's name."""
    told = error.__cause__ if isinstance(error, MetricError) and error.__cause__ else error
    trace = "".join(traceback.format_exception(error))[-TRACE:]
    return {"status": "failed", "error": {"type": type(told).__name__, "message": str(error), "traceback": trace}}


def opening(job: Job) -> dict[str, Any]:
    """What a record says whatever comes of the job."""
    return {
        "id": job.id,
        "status": "done",
        "recipe": job.label,
        "recipe_document": job.recipe.model_dump(mode="json"),
        "dataset": job.dataset.label,
        "case": job.case.name,
        "groups": dict(job.case.groups),
        "seed": job.seed,
        "sigma": None,
        "kernel_size": job.case.kernel_size,
        "metrics": {},
        "seconds": None,
        "cpu_seconds": None,
        "peak_memory": None,
        "iterations": None,
        "stopped": None,
        "history": [],
        "history_every": 1,
        "snapshots": [],
        "error": None,
        "versions": {**versions(), **job.versions},
        "code": code_digest(),
        "machine": machine(),
        "started": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }


def attempt(job: Job, asked: threading.Event) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Restore and measure; gives what the record says and the files. Raises whatever a component raises."""
    sample = dataset_of(job.dataset.model_dump_json(), job.root).sample(job.case)
    if job.recipe.is_nonblind and sample.kernel is None:
        raise NoKernelError(f"the recipe {job.label} needs the true kernel, and nobody knows that of {job.case.name}")
    warm_up(job, sample)
    if asked.is_set():
        return STOPPED, {}
    watcher = SnapshotsAt(job.snapshots)
    with Meter() as meter:
        restoration = prepared(job, sample)
        result = restoration.run(time_limit=job.time_limit, observers=[watcher])
    if result.stopped == STOPPED["stopped"]:
        return STOPPED, {}
    trial = Trial(
        sample=sample,
        image=np.asarray(result.image),
        kernel=kernel_of(job, result.kernel),
        seconds=meter.seconds,
        cpu_seconds=meter.cpu_seconds,
        peak_memory=meter.peak(restoration.device),
    )
    taken = {one.iteration: snapshot(job, one, restoration, trial, meter) for one in watcher.taken}
    outcome = outcome_of(restoration, result, trial)
    outcome["metrics"] = measured(job, trial)
    outcome["snapshots"] = [told_snapshot(job, iteration, each) for iteration, each in taken.items()]
    return outcome, files_of(job, trial, taken)


def prepared(job: Job, sample: Sample) -> Restoration:
    """The restoration of a sample, with everything checked; raises as `invkit.pipeline.api.prepare`."""
    return prepare(
        sample.image,
        recipe=job.recipe,
        kernel=sample.kernel if job.recipe.is_nonblind else None,
        kernel_size=None if job.recipe.is_nonblind else job.case.kernel_size,
        color=job.color,
        seed=job.seed,
        device=job.device,
    )


def warm_up(job: Job, sample: Sample) -> None:
    """Run a recipe once on a piece of the picture, the first time that a process meets it.

    Imports, plans of transforms and the start of a GPU would else count in the seconds of the first job alone. An
    error is left to the job itself.
    """
    if (job.label, job.device) in _warm:
        return
    _warm.add((job.label, job.device))
    kernel_size = job.case.kernel_size or (0, 0) if sample.kernel is None else sample.kernel.shape
    with suppress(Exception), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        prepared(job, replace(sample, image=middle(sample.image, max(PIECE, 3 * max(kernel_size))))).run(
            time_limit=0.01
        )


def middle(image: Floats, side: int) -> Floats:
    """The middle of a picture, (side, side) or all there is."""
    top, left = (max(0, (length - side) // 2) for length in image.shape[:2])
    return image[top : top + side, left : left + side]


@lru_cache(maxsize=4)
def dataset_of(document: str, root: Path | None) -> Dataset:
    """The dataset of a suite's JSON, built once for many jobs."""
    return build_dataset(DatasetSpec.model_validate_json(document), root)


@lru_cache(maxsize=64)
def metric_of(document: str) -> Metric:
    """The metric of a suite's JSON, built once for many jobs."""
    return build_metric(MetricSpec.model_validate_json(document))


def kernel_of(job: Job, kernel: Any) -> npt.NDArray[np.float64] | None:
    """The kernel as an array (h, w), summing to one; None of a recipe that has none."""
    return None if job.recipe.kernel_prior is None else np.asarray(kernel, dtype=np.float64)


def measured(job: Job, trial: Trial) -> dict[str, float | None]:
    """The figures of a trial by label; raises `MetricError`."""
    figures: dict[str, float | None] = {}
    for spec in job.metrics:
        try:
            figure = metric_of(spec.model_dump_json()).measure(trial)
        except (Exception, SystemExit) as error:
            raise MetricError(f"the metric {spec.label} failed: {error}") from error
        figures[spec.label] = None if figure is None else float(figure)
    return figures


def outcome_of(restoration: Restoration, result: Result, trial: Trial) -> dict[str, Any]:
    """What the record says of a restoration."""
    every = max(1, -(-len(result.history) // POINTS))
    device = restoration.device
    return {
        "recipe_document": restoration.assembly.recipe,
        "sigma": result.details.get("noise_sigma"),
        "kernel_size": None if trial.kernel is None else list(trial.kernel.shape),
        "seconds": trial.seconds,
        "cpu_seconds": trial.cpu_seconds,
        "peak_memory": trial.peak_memory,
        "iterations": result.iterations,
        "stopped": result.stopped,
        "history": list(result.history[::every]),
        "history_every": every,
        "machine": {**machine(), "device": device_name(device)},
    }


@dataclass(frozen=True, eq=False)
class Snapshot:
    """A snapshot as the sample's picture is: what was made of it until then, and its figures."""

    trial: Trial
    metrics: Mapping[str, float | None]


def snapshot(job: Job, taken: Taken, restoration: Restoration, trial: Trial, meter: Meter) -> Snapshot:
    """A snapshot and its figures; none of one at a coarse scale, whose picture is of another size."""
    then = replace(
        trial,
        image=whole_picture(taken, restoration.measured.data),
        kernel=kernel_of(job, taken.kernel[0, 0] / taken.kernel[0, 0].sum()),
        seconds=taken.at - meter.begun,
        cpu_seconds=taken.cpu_at - meter.cpu_begun,
    )
    full = then.image.shape == trial.image.shape
    return Snapshot(then, measured(job, then) if full else {spec.label: None for spec in job.metrics})


def whole_picture(taken: Taken, picture: Tensor) -> Floats:
    """The image of a snapshot with what was kept aside put back: (H, W) or (H, W, 3) in [0, 1]."""
    plane = visible_part(taken.image, taken.data_size, size_of(taken.kernel))
    if plane.shape[1] == 1 and picture.shape[1] == 3 and plane.shape[-2:] == picture.shape[-2:]:
        plane = from_luma_chroma(plane, to_luma_chroma(picture)[1])
    layered = plane[0].clamp(0, 1).float().movedim(0, -1).numpy()
    return layered[..., 0] if layered.shape[-1] == 1 else layered


def told_snapshot(job: Job, iteration: int, taken: Snapshot) -> dict[str, Any]:
    """What the record says of a snapshot."""
    return {"iteration": iteration, "seconds": taken.trial.seconds, "metrics": dict(taken.metrics)}


def files_of(job: Job, trial: Trial, snapshots: Mapping[int, Snapshot]) -> dict[str, bytes]:
    """The contents of the files of a job, by name."""
    files = {"image.png": encode_png(quantised(trial.image, BITS))} if job.pictures else {}
    if trial.kernel is not None:
        files["kernel.npy"] = encode_npy(trial.kernel)
        files["kernel.png"] = encode_png(kernel_picture(trial.kernel))
    for iteration, one in snapshots.items():
        if job.pictures:
            files[f"snapshot-{iteration}.png"] = encode_png(quantised(one.trial.image, BITS))
        if one.trial.kernel is not None:
            files[f"snapshot-{iteration}-kernel.npy"] = encode_npy(one.trial.kernel)
    return files


def sha256(content: bytes) -> str:
    """The SHA-256 in hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def machine() -> dict[str, Any]:
    """What a job runs on."""
    return {
        "host": platform.node(),
        "cpu": cpu_name(),
        "cores": psutil.cpu_count(logical=True),
        "threads": torch.get_num_threads(),
        "device": "cpu",
    }


@lru_cache(maxsize=1)
def cpu_name() -> str:
    """The processor's name, as far as the system tells it."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def device_name(device: torch.device) -> str:
    """The kind of a device, and of a GPU its name."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
