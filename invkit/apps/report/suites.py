"""The page of a benchmark: the folder that ``invkit bench run`` leaves."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ...benchmark.columns import titled
from ...benchmark.convergence import losses_of
from ...benchmark.curves import counts, cumulative, progress_of
from ...benchmark.records import MetricOf, Named, Record, Store, natural, read_kernel_file, read_store
from ...benchmark.scenes import Samples, of_case
from ...benchmark.strips import figure_of, middle
from ...benchmark.tables import Table as Summary
from ...benchmark.tables import tables_of
from ...core.errors import InputError
from .charts import Chart, Series, chart, cumulative_chart, evenly
from .kernels import kernel_row
from .page import Case, Cell, Evolution, Frame, Head, Method, Page, Shown, Table, cell, listed, method_of
from .pictures import Picture, Track, from_array, from_file, untracked

__all__ = ["is_suite", "suite_page"]

TRUE = "true"
MOST_FRAMES = 12  # of a result: a benchmark has many
DIGITS = {"dB": 2, "MB": 0}


def is_suite(folder: Path) -> bool:
    """Whether a folder holds a benchmark."""
    return (folder / "suite.json").is_file() or any(folder.glob("jobs/*/result.json"))


def suite_page(
    root: Path, *, data: Path | None = None, first_case: int = 0, first_look: int = 0, track: Track = untracked
) -> Page:
    """The page of a benchmark's folder; failed and missing jobs are said to be so.

    Args:
        root: the folder.
        data: the folder of all data, for blurry and sharp pictures; None for the usual one.
        first_case: the place of the first case in the page.
        first_look: the look of the first method.
        track: watches the reading of the data.

    Raises:
        InputError: it holds no results.
    """
    store = read_store(root)
    if not store.records:
        raise InputError(f"{root} holds a plan and no results yet; run the suite first")
    methods = methods_of(store, first_look)
    samples = {dataset.label: Samples(dataset, data) for dataset in store.datasets}
    wanted = [(dataset, case) for dataset in store.datasets for case in cases_of(store, dataset)]
    cases = tuple(case_of(store, d, case, samples[d.label], methods) for d, case in track(wanted, "cases"))
    place = {(dataset.label, case): first_case + i for i, (dataset, case) in enumerate(wanted)}
    return Page(
        title=store.title or root.resolve().name,
        about="; ".join(f"{d.heading}: {progress_of(store, d.label)}" for d in store.datasets if store.of(d.label)),
        methods=tuple(methods.values()),
        cases=cases,
        overview=tuple(map(summary_table, tables_of(store))),
        charts=tuple(ratio_charts(store, methods)),
        records=(results_table(store, place),),
        facts=(timings(store), environment(store)),
        remarks=tuple(f"{one.problem[0].upper()}{one.problem[1:]}" for one in samples.values() if one.problem),
    )


def methods_of(store: Store, first_look: int) -> dict[str, Method]:
    """The recipes of a suite by label, each with the resolved document of its first result."""
    found = {}
    for i, recipe in enumerate(store.recipes):
        record = next((r for r in store.records if r.recipe == recipe.label and r.done), None)
        method = method_of(recipe.label, first_look + i, None if record is None else document_of(record))
        found[recipe.label] = method
    return found


def document_of(record: Record) -> Any:
    """The resolved recipe of a job; None where it cannot be read."""
    try:
        return json.loads((record.folder / "result.json").read_text(encoding="utf-8")).get("recipe_document")
    except (OSError, ValueError, AttributeError):
        return None


def cases_of(store: Store, dataset: Named) -> list[str]:
    """The cases of a dataset that have a result, in natural order."""
    return sorted({record.case for record in store.of(dataset.label)}, key=natural)


def case_of(store: Store, dataset: Named, case: str, samples: Samples, methods: Mapping[str, Method]) -> Case:
    """A case and its results."""
    sample, records = samples.of(case), of_case(store, dataset.label, case)
    quality = next(iter(store.metrics), None)
    before = None if sample is None else sample.image
    sharp = None if sample is None or sample.truth is None else middle(sample.truth, sample.image.shape)
    truth = {} if sample is None or sample.kernel is None else {TRUE: np.asarray(sample.kernel, dtype=np.float64)}
    kernels = {label: found for label, r in records.items() if (found := r.kernel()) is not None}
    row = kernel_row(truth | kernels)
    return Case(
        name=case if len(store.datasets) == 1 else f"{dataset.label}: {case}",
        before=None if before is None else from_array(before),
        truth=None if sharp is None else from_array(sharp),
        results=tuple(shown(record, quality, methods[label].look) for label, record in records.items()),
        kernels=() if row is None else (row,),
        charts=tuple(charts_of(records, store.metrics, methods)),
        evolutions=tuple(filter(None, (evolution(record, quality) for record in records.values()))),
        size="" if before is None else f"{before.shape[1]} × {before.shape[0]}",  # noqa: RUF001
    )


def shown(record: Record, quality: MetricOf | None, look: int) -> Shown:
    """A result beside others; of a failed one its error."""
    picture = record.folder / "image.png"
    words = [figure_of(record, quality), *([f"{record.seconds:.1f} s"] if record.done and record.seconds else [])]
    there = record.done and picture.is_file()
    remarks = (record.error,) if record.error else () if there else ("its picture was not kept",)
    return Shown(record.recipe, look, ", ".join(filter(None, words)), from_file(picture) if there else None, remarks)


def charts_of(
    records: Mapping[str, Record], metrics: Sequence[MetricOf], methods: Mapping[str, Method]
) -> Iterator[Chart]:
    """Quality at the snapshots, of all recipes together, and the losses, each alone: those of two do not compare."""
    quality = next(iter(metrics), None)
    if quality is not None:
        lines = [Series(label, methods[label].look, progress(r, quality)) for label, r in records.items()]
        found = chart(
            f"{quality.label} on the way", "iteration", titled(quality), [s for s in lines if len(s.points) > 1]
        )
        yield from [found] if found is not None else []
    for label, record in records.items():
        iterations, losses = losses_of(record)
        points = list(zip(iterations.tolist(), losses, strict=True))
        found = chart(
            f"Loss of {label}", "iteration", "loss", [Series(label, methods[label].look, points)], log=True, keyed=False
        )
        yield from [found] if found is not None else []


def progress(record: Record, quality: MetricOf) -> list[tuple[float, float]]:
    """Iterations and quality of the snapshots, and of the result."""
    points = [(float(s.iteration), s.metrics[quality.label]) for s in record.snapshots if quality.label in s.metrics]
    if points and record.iterations and record.iterations > points[-1][0] and quality.label in record.metrics:
        points.append((float(record.iterations), record.metrics[quality.label]))
    return points


def evolution(record: Record, quality: MetricOf | None) -> Evolution | None:
    """The snapshots of a result; None without any."""
    frames = [
        Frame(
            f"iteration {one.iteration}", told(one.metrics, quality), from_file(one.picture, "small"), small(one.kernel)
        )
        for one in evenly([each for each in record.snapshots if each.picture is not None], MOST_FRAMES)
        if one.picture is not None
    ]
    return Evolution(record.recipe, tuple(frames)) if frames else None


def told(metrics: Mapping[str, float], quality: MetricOf | None) -> str:
    """The quality of a snapshot in words."""
    known = quality is not None and quality.label in metrics
    return f"{metrics[quality.label]:.2f} {quality.unit}".strip() if known and quality is not None else ""


def small(path: Path | None) -> Picture | None:
    """A kernel's file as a picture, its maximum white."""
    kernel = None if path is None else read_kernel_file(path)
    if kernel is None:
        return None
    return from_array(as_unit(kernel), "exact")


def as_unit(kernel: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """A kernel whose maximum is one."""
    return np.asarray(kernel / (float(kernel.max()) or 1.0))


def summary_table(table: Summary) -> Table:
    """A table of `invkit bench table`, with numbers to sort by."""
    heads = tuple(Head(head, numeric=place > 0) for place, head in enumerate(table.heads))
    rows = tuple(
        (Cell(" ".join([row.name, *row.marks])), *(Cell(c.text, sortable(c.text), bold=c.bold) for c in row.cells))
        for row in table.rows
    )
    notes = tuple(f"{note.mark} {note.text}".strip() for note in table.notes)
    return Table(table.title, heads, rows, table.about, notes)


def sortable(text: str) -> float | None:
    """The number that a cell begins with, None where it begins with none."""
    try:
        return float(text.partition(" ")[0].removesuffix("%").replace("∞", "inf"))
    except ValueError:
        return None


def ratio_charts(store: Store, methods: Mapping[str, Method]) -> Iterator[Chart]:
    """The cumulative error ratios of each dataset; a failed run counts as one of an infinite ratio."""
    for metric in (metric for metric in store.metrics if metric.name == "error-ratio"):
        for dataset in store.datasets:
            title = f"{metric.label}, {dataset.title}" if len(store.datasets) > 1 else f"Cumulative {metric.label}"
            found = cumulative_chart(title, metric.label, list(ratio_lines(store, dataset, metric, methods)))
            yield from [found] if found is not None else []


def ratio_lines(store: Store, dataset: Named, metric: MetricOf, methods: Mapping[str, Method]) -> Iterator[Series]:
    """A line for each recipe that has any ratio."""
    for recipe in store.recipes:
        records = store.of(dataset.label, recipe.label)
        ratios = [r.metrics.get(metric.label, math.inf) for r in records if counts(r, metric)]
        if any(math.isfinite(ratio) for ratio in ratios):
            yield Series(recipe.label, methods[recipe.label].look, list(zip(*cumulative(ratios), strict=True)))


def results_table(store: Store, place: Mapping[tuple[str, str], int]) -> Table:
    """A line for each job."""
    several = len({r.seed for r in store.records}) > 1, len(store.datasets) > 1
    metrics = [metric for metric in store.metrics if any(metric.label in r.metrics for r in store.records)]
    heads = (
        *([Head("dataset")] if several[1] else []),
        *(Head("case"), Head("recipe")),
        *([Head("seed", True)] if several[0] else []),
        *(Head(titled(metric), True) for metric in metrics),
        *(Head("iterations", True), Head("status")),
    )
    rows = tuple(
        (
            *([cell(r.dataset)] if several[1] else []),
            *(Cell(r.case, case=place[r.dataset, r.case]), cell(r.recipe)),
            *([cell(r.seed)] if several[0] else []),
            *(cell(r.metrics.get(m.label), DIGITS.get(m.unit, 3)) for m in metrics),
            *(cell(r.iterations), cell(r.error.partition(":")[0] or r.status)),
        )
        for r in store.records
    )
    return Table("Every job", heads, rows, filtered=True)


def timings(store: Store) -> Table:
    """Seconds of each recipe over its runs."""
    heads = (Head("recipe"), *(Head(text, True) for text in ("runs", "median, s", "least, s", "most, s", "all, s")))
    rows = []
    for recipe in store.recipes:
        seconds = [r.seconds for r in store.records if r.recipe == recipe.label and r.done and r.seconds is not None]
        if seconds:
            figures = (float(np.median(seconds)), min(seconds), max(seconds), sum(seconds))
            rows.append((cell(recipe.label), cell(len(seconds)), *(cell(figure, 2) for figure in figures)))
    return Table("Timings", heads, tuple(rows))


def environment(store: Store) -> Table:
    """Versions and machines of the results, and where the data are from."""
    return listed(
        "Environment",
        [
            *(("made by", words) for words in dict.fromkeys(r.made_by for r in store.records)),
            *(("machine", words) for words in dict.fromkeys(r.machine for r in store.records)),
            ("seeds", ", ".join(map(str, sorted({r.seed for r in store.records})))),
            ("first begun", min((r.started for r in store.records if r.started), default="")),
            ("last begun", max((r.started for r in store.records if r.started), default="")),
            *((f"data of {dataset.title}", dataset.citation) for dataset in store.datasets),
        ],
    )
