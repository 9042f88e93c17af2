"""The folder of a suite, read: the plan, and the results that belong to it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic.dataclasses import dataclass as checked_dataclass

from ..core.errors import InputError
from ..core.files import read_json
from .result_files import read_kernel_file, read_picture

__all__ = ["ALL", "RESULT_FILE", "SUITE_FILE", "DatasetResults", "MetricInfo", "Record", "SnapshotRecord", "SuiteItem",
           "SuiteResults", "natural", "read_results"]  # fmt: skip

RESULT_FILE, SUITE_FILE = "result.json", "suite.json"
ALL = ""  # the group of all cases of a dataset


@checked_dataclass(frozen=True)
class MetricInfo:
    """A metric of a suite.

    Attributes:
        label: its name in the results.
        name: of the component, as "aligned-psnr".
        params: the parameters that the suite sets.
        unit: "dB", "s", "MB" or an empty text.
        better: "higher", "lower", or an empty text if that is unknown.
    """

    label: str
    name: str
    params: Mapping[str, Any] = field(default_factory=dict)
    unit: str = ""
    better: str = ""

    @property
    def titled(self) -> str:
        """The label with the unit, unless the label already says it."""
        known = not self.unit or (self.unit == "s" and "seconds" in self.label)
        return self.label if known else f"{self.label}, {self.unit}"


@checked_dataclass(frozen=True)
class SuiteItem:
    """A dataset or a recipe of a suite: its label, its title, the component's name and parameters, its citation."""

    label: str
    title: str
    name: str
    params: Mapping[str, Any] = field(default_factory=dict)
    citation: str = ""

    @property
    def heading(self) -> str:
        """The title, with the label if the suite has set one: a suite may name a component several times."""
        return self.title if self.label in (self.name, self.title) else f"{self.title} ({self.label})"


@checked_dataclass(frozen=True)
class SnapshotRecord:
    """A state of a solve: its metrics, and the files of its image and kernel, None if they are missing."""

    iteration: int
    seconds: float | None
    metrics: Mapping[str, float]
    picture: Path | None
    kernel: Path | None


@checked_dataclass(frozen=True, eq=False)
class Record:
    """The result of a job.

    Attributes:
        folder: of its files.
        status: "done", "failed", or "skipped" if the recipe needs a kernel that is unknown for this case.
        metrics: the values that are numbers, by label.
        input_metrics: those of the blurry input; empty in results that were made before they were measured.
        seconds: of the restoration.
        history: losses, one every ``history_every`` iterations.
        error: type and message of the error of a failed job, or an empty text.
        made_by: versions and digest of the code, as one text; it differs where they differ.
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
    groups: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    input_metrics: Mapping[str, float] = field(default_factory=dict)
    seconds: float | None = None
    iterations: int | None = None
    history: tuple[float, ...] = ()
    history_every: int = 1
    snapshots: tuple[SnapshotRecord, ...] = ()
    error: str = ""
    made_by: str = ""
    machine: str = ""
    started: str = ""

    @property
    def done(self) -> bool:
        """Whether the job has a result."""
        return self.status == "done"

    @property
    def failed(self) -> bool:
        """Whether the job should have a result and has none."""
        return self.status not in ("done", "skipped")

    def picture(self) -> npt.NDArray[np.floating] | None:
        """The restored image, (H, W) or (H, W, 3) in [0, 1]; None if there is no readable file."""
        return read_picture(self.folder / "image.png")

    def kernel(self) -> npt.NDArray[np.float64] | None:
        """The estimated kernel, (h, w); None if there is no readable file."""
        return read_kernel_file(self.folder / "kernel.npy")


@dataclass(frozen=True, eq=False)
class SuiteResults:
    """The folder of a suite.

    Attributes:
        planned: the ids of all jobs of the plan, done or not; without a ``suite.json`` the ids of all results.
        records: of the plan, in its order.
        published: the published tables that belong to the suite, by their ids; None if the suite does not say.
        ignored: number of results outside the plan.
        unreadable: files of the plan that cannot be read; their jobs count as missing.
    """

    root: Path
    title: str
    datasets: tuple[SuiteItem, ...]
    recipes: tuple[SuiteItem, ...]
    metrics: tuple[MetricInfo, ...]
    planned: tuple[str, ...]
    records: tuple[Record, ...]
    published: tuple[str, ...] | None = None
    ignored: int = 0
    unreadable: tuple[Path, ...] = ()

    def on(self, dataset: SuiteItem) -> DatasetResults:
        """The results on one dataset."""
        return DatasetResults(self, dataset)

    def measured(self) -> list[DatasetResults]:
        """The results on each dataset that has any."""
        return [found for dataset in self.datasets if (found := self.on(dataset)).records]

    @cached_property
    def missing(self) -> Counter[tuple[str, str]]:
        """The number of planned jobs without a result, by the labels of dataset and recipe."""
        done = {record.id for record in self.records}
        pairs = [(dataset.label, recipe.label) for recipe in self.recipes for dataset in self.datasets]
        pairs.sort(key=lambda pair: len("".join(pair)), reverse=True)  # a label may begin with another label
        left = [job for job in self.planned if job not in done]
        return Counter(
            next((pair for pair in pairs if job.startswith(f"{pair[1]}--{pair[0]}--")), ("", "")) for job in left
        )

    def progress(self) -> str:
        """The state of the plan, as "30 of 32 jobs done, 2 failed"."""
        counts = {
            "failed": sum(record.failed for record in self.records),
            "skipped": sum(record.status == "skipped" for record in self.records),
            "unreadable": len(self.unreadable),
            "results of other plans ignored": self.ignored,
        }
        done = f"{sum(record.done for record in self.records)} of {len(self.planned)} jobs done"
        return ", ".join([done, *(f"{count} {kind}" for kind, count in counts.items() if count)])


@dataclass(frozen=True, eq=False)
class DatasetResults:
    """The results of a suite on one dataset."""

    suite: SuiteResults
    dataset: SuiteItem

    @cached_property
    def records(self) -> list[Record]:
        """All results, in the order of the plan."""
        return [record for record in self.suite.records if record.dataset == self.dataset.label]

    def of(self, recipe: str) -> list[Record]:
        """The results of a recipe, by its label."""
        return [record for record in self.records if record.recipe == recipe]

    def missing(self, recipe: str) -> int:
        """The number of planned jobs of a recipe without a result."""
        return self.suite.missing[self.dataset.label, recipe]

    def planned(self, recipe: str) -> int:
        """The number of planned jobs of a recipe."""
        return len(self.of(recipe)) + self.missing(recipe)

    @property
    def recipes(self) -> list[str]:
        """The labels of the recipes that have jobs here."""
        return [recipe.label for recipe in self.suite.recipes if self.planned(recipe.label)]

    @property
    def cases(self) -> list[str]:
        """The names of the cases that have a result."""
        return list(dict.fromkeys(record.case for record in self.records))

    def with_metric(self, metric: str) -> dict[str, list[Record]]:
        """The results of each recipe that has at least one value of a metric."""
        found = {recipe: self.of(recipe) for recipe in self.recipes}
        return {recipe: some for recipe, some in found.items() if any(metric in record.metrics for record in some)}

    def of_case(self, case: str) -> dict[str, Record]:
        """The result of each recipe for a case: of the first seed that is done, otherwise of the first seed."""
        found: dict[str, Record] = {}
        for recipe in self.recipes:
            records = [record for record in self.of(recipe) if record.case == case]
            done = sorted((record for record in records if record.done), key=lambda record: record.seed)
            found |= {recipe: (done or records)[0]} if records else {}
        return found

    def group_values(self, by: str) -> list[str]:
        """The values of a group of the cases, in natural order."""
        return sorted({record.groups[by] for record in self.records if by in record.groups}, key=natural)

    def progress(self) -> str:
        """The state of the jobs, as "8 of 9 jobs done, 1 failed"."""
        failed, planned = sum(record.failed for record in self.records), sum(map(self.planned, self.recipes))
        done = f"{sum(record.done for record in self.records)} of {planned} jobs done"
        return f"{done}, {failed} failed" if failed else done


def read_results(root: str | Path) -> SuiteResults:
    """Read the folder of a suite; results outside its plan are left out.

    Without a ``suite.json`` all results count. Of several results for one recipe, case and seed the newest counts.

    Raises:
        InputError: the folder is missing, holds no result, or its plan cannot be read.
    """
    root = Path(root)
    found = {file: read_record(file) for file in sorted(root.glob(f"jobs/*/{RESULT_FILE}"))}
    file = root / SUITE_FILE
    if not found and not file.exists():
        raise InputError(
            f"{root} holds no results (neither {SUITE_FILE} nor jobs/*/{RESULT_FILE}); give the folder that was the "
            "--output of 'invkit bench run'"
        )
    try:
        plan = read_json(file) if file.exists() else plan_of(found)
        return planned_results(root, plan, found)
    except (OSError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{file} is not a plan ({type(error).__name__}: {error}); run the suite again") from error


def planned_results(root: Path, plan: Mapping[str, Any], found: Mapping[Path, Record | None]) -> SuiteResults:
    """The results that belong to a plan.

    Args:
        root: the folder.
        plan: the content of suite.json.
        found: the record in each file, None if it cannot be read.
    """
    jobs = tuple(dict.fromkeys(plan["jobs"]))
    order = {job: place for place, job in enumerate(jobs)}
    records = [record for record in found.values() if record and record.id in order]
    return SuiteResults(
        root=root,
        title=str(plan.get("title") or ""),
        datasets=tuple(map(suite_item, plan["datasets"])),
        recipes=tuple(map(suite_item, plan["recipes"])),
        metrics=tuple(map(metric_info, plan["metrics"])),
        planned=jobs,
        records=tuple(sorted(records, key=lambda record: order[record.id])),
        published=None if plan.get("published") is None else tuple(plan["published"]),
        ignored=sum(record is not None and record.id not in order for record in found.values()),
        unreadable=tuple(file for file, record in found.items() if record is None and file.parent.name in order),
    )


def plan_of(found: Mapping[Path, Record | None]) -> dict[str, Any]:
    """A plan for a folder without one: all results, and of equal jobs the newest; arguments as `planned_results`."""
    newest: dict[tuple[str, str, str, int], Record] = {}
    for record in sorted((each for each in found.values() if each is not None), key=lambda each: each.started):
        newest[record.recipe, record.dataset, record.case, record.seed] = record
    records = sorted(newest.values(), key=lambda record: natural(record.id))
    return {
        "jobs": [*(record.id for record in records), *(f.parent.name for f, record in found.items() if record is None)],
        "datasets": dict.fromkeys(record.dataset for record in records),
        "recipes": dict.fromkeys(record.recipe for record in records),
        "metrics": [{"label": label} for label in dict.fromkeys(label for r in records for label in r.metrics)],
    }


def suite_item(entry: Any) -> SuiteItem:
    """A dataset or a recipe as it stands in suite.json: a table, or a label alone."""
    known = {"label": entry} if isinstance(entry, str) else without_nulls(entry)
    return SuiteItem(**{"title": known["label"], "name": known["label"], **known})


def metric_info(entry: Mapping[str, Any]) -> MetricInfo:
    """A metric as it stands in suite.json."""
    return MetricInfo(**{"name": entry["label"], **without_nulls(entry)})


def without_nulls(facts: Mapping[str, Any]) -> dict[str, Any]:
    """The entries that are not null."""
    return {key: value for key, value in facts.items() if value is not None}


def read_record(file: Path) -> Record | None:
    """The result of a job; None if the file holds no result of this version."""
    try:
        return record_of(read_json(file), file.parent)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def record_of(facts: Mapping[str, Any], folder: Path) -> Record:
    """A record from a result.json; raises ``KeyError`` and similar errors if that is not a result."""
    known = without_nulls(facts)
    error = known.get("error", {})
    read = {
        "folder": folder,
        "error": f"{error.get('type', 'error')}: {error.get('message', '')}" if error else "",
        "made_by": code_text(known),
        "machine": machine_text(known.get("machine", {})),
        "metrics": numbers_of(known.get("metrics", {})),
        "input_metrics": numbers_of(known.get("input_metrics", {})),
        "history": [np.nan if loss is None else loss for loss in known.get("history", ())],
        "snapshots": [snapshot_record(entry, folder) for entry in known.get("snapshots", ())],
    }
    return Record(**{**known, **read})


def numbers_of(metrics: Mapping[str, Any]) -> dict[str, float]:
    """The values that are numbers; infinity is a number, NaN is not."""
    return {label: float(value) for label, value in metrics.items() if value is not None and not np.isnan(value)}


def snapshot_record(entry: Mapping[str, Any], folder: Path) -> SnapshotRecord:
    """A snapshot as it stands in result.json, with those of its files that exist."""
    iteration = int(entry["iteration"])
    names = (f"snapshot-{iteration}.png", f"snapshot-{iteration}-kernel.npy")
    picture, kernel = (folder / name if (folder / name).exists() else None for name in names)
    return SnapshotRecord(iteration, entry.get("seconds"), numbers_of(entry.get("metrics") or {}), picture, kernel)


def machine_text(machine: Mapping[str, Any]) -> str:
    """Host, processor, device and threads as one text."""
    parts = [str(machine[key]) for key in ("host", "cpu", "device") if machine.get(key)]
    threads, cores = machine.get("threads"), machine.get("cores")
    return ", ".join([*parts, *([f"{threads} threads on {cores} cores"] if threads and cores else [])])


def code_text(facts: Mapping[str, Any]) -> str:
    """The digest of the code and the versions of a result as one text."""
    versions = [f"{name} {version}" for name, version in sorted((facts.get("versions") or {}).items())]
    return ", ".join([f"code {str(facts['code'])[:12]}", *versions] if facts.get("code") else versions)


def natural(text: str) -> tuple[tuple[int, int, str], ...]:
    """A sorting key by which "kernel2" comes before "kernel10", and numbers before letters.

    Example:
        >>> sorted(["kernel10", "kernel2"], key=natural)
        ['kernel2', 'kernel10']
    """
    parts = [part for part in re.split(r"(\d+)", text) if part]
    return tuple((0, len(n := part.lstrip("0")), n) if part.isdecimal() else (1, 0, part) for part in parts)
