"""What a suite has left in its folder: the plan, and the results that belong to it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..core.errors import InputError

__all__ = ["MetricOf", "Named", "Record", "Snapshot", "Store", "natural", "read_store"]

RESULT = "result.json"


@dataclass(frozen=True)
class MetricOf:
    """A metric of a suite.

    Attributes:
        label: what results call it.
        name: of the component, as "aligned-psnr".
        params: what the suite set of it.
        unit: "dB", "s", "MB" or an empty text.
        better: "higher", "lower", or an empty text where nobody has said.
    """

    label: str
    name: str
    params: Mapping[str, Any] = field(default_factory=dict)
    unit: str = ""
    better: str = ""


@dataclass(frozen=True)
class Named:
    """A dataset or a recipe of a suite: its label, its title, the component's name and parameters, its citation."""

    label: str
    title: str
    name: str
    params: Mapping[str, Any] = field(default_factory=dict)
    citation: str = ""

    @property
    def heading(self) -> str:
        """The title, with the label where the suite has given one: it may name a component several times."""
        return self.title if self.label in (self.name, self.title) else f"{self.title} ({self.label})"


@dataclass(frozen=True)
class Snapshot:
    """What a solve had come to; ``picture`` is None where its file is gone."""

    iteration: int
    seconds: float | None
    metrics: Mapping[str, float]
    picture: Path | None
    kernel: Path | None


@dataclass(frozen=True, eq=False)
class Record:
    """The result of a job.

    Attributes:
        folder: where its files are.
        status: "done", "failed", or "skipped" where the recipe needs what nobody knows of the case.
        metrics: the figures that could be measured; what was null is not among them.
        history: losses, one every ``history_every`` iterations.
        error: the type and the message of what made it fail, or an empty text.
        made_by: the versions and the code's digest, as one text, which differs where they do.
        machine: host, processor and device, as one text.
        started: ISO time, or an empty text.
    """

    id: str
    folder: Path
    status: str
    recipe: str
    dataset: str
    case: str
    seed: int
    groups: Mapping[str, str]
    metrics: Mapping[str, float]
    seconds: float | None
    iterations: int | None
    history: tuple[float, ...]
    history_every: int
    snapshots: tuple[Snapshot, ...]
    error: str
    made_by: str
    machine: str
    started: str

    @property
    def done(self) -> bool:
        """Whether it has a result."""
        return self.status == "done"

    @property
    def failed(self) -> bool:
        """Whether it should have one."""
        return self.status not in ("done", "skipped")

    def picture(self) -> npt.NDArray[np.floating] | None:
        """The restored image, (H, W) or (H, W, 3) in [0, 1]; None where it is not there or cannot be read."""
        return read_picture(self.folder / "image.png")

    def kernel(self) -> npt.NDArray[np.float64] | None:
        """The estimated kernel, (h, w); None where it is not there or cannot be read."""
        return read_kernel_file(self.folder / "kernel.npy")


@dataclass(frozen=True, eq=False)
class Store:
    """A suite's folder.

    Attributes:
        planned: the ids of all jobs of the plan, done or not; without a ``suite.json`` those that were found.
        records: of the plan, in its order.
        ignored: results that are not of the plan.
        unreadable: files of the plan that are no results; their jobs count as missing.
    """

    root: Path
    title: str
    datasets: tuple[Named, ...]
    recipes: tuple[Named, ...]
    metrics: tuple[MetricOf, ...]
    planned: tuple[str, ...]
    records: tuple[Record, ...]
    ignored: int = 0
    unreadable: tuple[Path, ...] = ()

    def of(self, dataset: str, recipe: str | None = None) -> list[Record]:
        """The records of a dataset, of one recipe or of all."""
        return [r for r in self.records if r.dataset == dataset and recipe in (None, r.recipe)]

    def missing(self, dataset: str, recipe: str) -> int:
        """How many jobs of the plan have no result yet."""
        present = {record.id for record in self.records}
        return sum(self.whose(job) == (dataset, recipe) for job in self.planned if job not in present)

    def whose(self, job: str) -> tuple[str, str] | None:
        """The labels of dataset and recipe in a job's id; None where it bears none of the suite's."""
        pairs = [(dataset.label, recipe.label) for recipe in self.recipes for dataset in self.datasets]
        fitting = [(d, r) for d, r in pairs if job.startswith(f"{r}--{d}--")]
        return max(fitting, key=lambda pair: len(pair[1]) + len(pair[0]), default=None)

    def progress(self) -> str:
        """How much of the plan is done, in words."""
        words = [f"{sum(record.done for record in self.records)} of {len(self.planned)} jobs done"]
        others = {
            "failed": sum(record.failed for record in self.records),
            "skipped": sum(record.status == "skipped" for record in self.records),
            "unreadable": len(self.unreadable),
            "results of other plans ignored": self.ignored,
        }
        return ", ".join([*words, *(f"{count} {what}" for what, count in others.items() if count)])


def read_store(root: str | Path) -> Store:
    """Read a suite's folder; results that are not of its plan are left out.

    Without a ``suite.json`` all results count; of several of one recipe, case and seed the newest.

    Raises:
        InputError: there is no such folder, no result in it, or its plan cannot be read.
    """
    root = Path(root)
    files = sorted(root.glob(f"jobs/*/{RESULT}"))
    plan = read_plan(root)
    if plan is None and not files:
        raise InputError(
            f"{root} holds no results (neither suite.json nor jobs/*/{RESULT}); give the folder that was the "
            "--output of 'invkit bench run'"
        )
    found = {file: read_record(file) for file in files}
    try:
        return planned_store(root, plan, found) if plan is not None else free_store(root, found)
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{root / 'suite.json'} is no plan of a suite ({type(error).__name__}: {error}); run the suite again"
        ) from error


def read_plan(root: Path) -> Any:
    """The suite.json of a folder, None where there is none; raises `InputError` where it is broken."""
    file = root / "suite.json"
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise InputError(f"{file} cannot be read: {error}; run the suite again") from error


def planned_store(root: Path, plan: Mapping[str, Any], found: Mapping[Path, Record | None]) -> Store:
    """The store of a plan and what was found of it."""
    jobs = tuple(dict.fromkeys(plan["jobs"]))
    order = {job: place for place, job in enumerate(jobs)}
    records = [record for record in found.values() if record and record.id in order]
    return Store(
        root=root,
        title=str(plan.get("title") or ""),
        datasets=tuple(named(entry) for entry in plan["datasets"]),
        recipes=tuple(named(entry) for entry in plan["recipes"]),
        metrics=tuple(metric_of(entry) for entry in plan["metrics"]),
        planned=jobs,
        records=tuple(sorted(records, key=lambda record: order[record.id])),
        ignored=sum(record is not None and record.id not in order for record in found.values()),
        unreadable=tuple(file for file, record in found.items() if record is None and file.parent.name in order),
    )


def free_store(root: Path, found: Mapping[Path, Record | None]) -> Store:
    """The store of results without a plan: what they say of themselves."""
    newest: dict[tuple[str, str, str, int], Record] = {}
    for record in sorted(filter(None, found.values()), key=lambda record: record.started):
        newest[record.recipe, record.dataset, record.case, record.seed] = record
    records = sorted(newest.values(), key=lambda record: natural(record.id))
    labels = dict.fromkeys(label for record in records for label in record.metrics)
    return Store(
        root=root,
        title="",
        datasets=plain(record.dataset for record in records),
        recipes=plain(record.recipe for record in records),
        metrics=tuple(MetricOf(label, label) for label in labels),
        planned=tuple(record.id for record in records),
        records=tuple(records),
        ignored=sum(record is not None for record in found.values()) - len(records),
        unreadable=tuple(file for file, record in found.items() if record is None),
    )


def plain(labels: Iterable[str]) -> tuple[Named, ...]:
    """Datasets or recipes of which only the labels are known."""
    return tuple(Named(label, label, label) for label in dict.fromkeys(labels))


def named(entry: Any) -> Named:
    """A dataset or a recipe as suite.json has it, a table or a label alone."""
    table: Mapping[str, Any] = {"label": entry} if isinstance(entry, str) else entry
    label = str(table["label"])
    return Named(
        label,
        str(table.get("title") or label),
        str(table.get("name") or label),
        table.get("params") or {},
        str(table.get("citation") or ""),
    )


def metric_of(entry: Mapping[str, Any]) -> MetricOf:
    """A metric as suite.json has it."""
    label = str(entry["label"])
    return MetricOf(
        label,
        str(entry.get("name") or label),
        entry.get("params") or {},
        str(entry.get("unit") or ""),
        str(entry.get("better") or ""),
    )


def read_record(file: Path) -> Record | None:
    """A job's result; None where the file is not one, as when it is of another version."""
    try:
        return record_of(json.loads(file.read_text(encoding="utf-8")), file.parent)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def record_of(facts: Mapping[str, Any], folder: Path) -> Record:
    """A record from a result.json; raises ``KeyError`` and its like where that is no result."""
    error = facts.get("error") or {}
    machine = facts.get("machine") or {}
    return Record(
        id=str(facts["id"]),
        folder=folder,
        status=str(facts["status"]),
        recipe=str(facts["recipe"]),
        dataset=str(facts["dataset"]),
        case=str(facts["case"]),
        seed=int(facts["seed"]),
        groups={str(name): str(value) for name, value in (facts.get("groups") or {}).items()},
        metrics=figures(facts.get("metrics")),
        seconds=facts.get("seconds"),
        iterations=facts.get("iterations"),
        history=tuple(np.nan if loss is None else float(loss) for loss in facts.get("history") or ()),
        history_every=int(facts.get("history_every") or 1),
        snapshots=tuple(snapshot_of(entry, folder) for entry in facts.get("snapshots") or ()),
        error=f"{error.get('type', 'error')}: {error.get('message', '')}" if error else "",
        made_by=made_by(facts),
        machine=told_of(machine),
        started=str(facts.get("started") or ""),
    )


def figures(metrics: Mapping[str, Any] | None) -> dict[str, float]:
    """The figures that are numbers; NaN is none, infinity is."""
    values = {label: float(value) for label, value in (metrics or {}).items() if value is not None}
    return {label: value for label, value in values.items() if not np.isnan(value)}


def snapshot_of(entry: Mapping[str, Any], folder: Path) -> Snapshot:
    """A snapshot as result.json has it, with the files that are there."""
    iteration = int(entry["iteration"])
    picture, kernel = folder / f"snapshot-{iteration}.png", folder / f"snapshot-{iteration}-kernel.npy"
    return Snapshot(
        iteration,
        entry.get("seconds"),
        figures(entry.get("metrics")),
        picture if picture.exists() else None,
        kernel if kernel.exists() else None,
    )


def told_of(machine: Mapping[str, Any]) -> str:
    """Host, processor, device and threads as one text."""
    parts = [str(machine[key]) for key in ("host", "cpu", "device") if machine.get(key)]
    threads, cores = machine.get("threads"), machine.get("cores")
    return ", ".join([*parts, *([f"{threads} threads on {cores} cores"] if threads and cores else [])])


def made_by(facts: Mapping[str, Any]) -> str:
    """The versions and the code of a result as one text."""
    versions = facts.get("versions") or {}
    words = [f"{name} {version}" for name, version in sorted(versions.items())]
    return ", ".join([f"code {str(facts['code'])[:12]}", *words] if facts.get("code") else words)


def read_picture(path: Path) -> npt.NDArray[np.floating] | None:
    """A picture file, (H, W) or (H, W, 3) in [0, 1]; None where it cannot be read."""
    from ..media.images import read_image

    try:
        return read_image(path).pixels
    except (InputError, OSError):
        return None


def read_kernel_file(path: Path) -> npt.NDArray[np.float64] | None:
    """A kernel file, (h, w); None where it cannot be read."""
    try:
        values = np.asarray(np.load(path, allow_pickle=False), dtype=np.float64)
    except (OSError, ValueError, EOFError):
        return None
    return values.reshape(values.shape[-2:]) if values.ndim >= 2 and values.size else None


def natural(text: str) -> tuple[tuple[int, int, str], ...]:
    """A key that sorts "kernel2" before "kernel10", and numbers before words."""
    parts = [part for part in re.split(r"(\d+)", text) if part]
    return tuple((0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts)
