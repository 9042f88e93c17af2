"""The page of a benchmark: a folder that ``invkit bench run`` has written."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from ...benchmark.curves import cumulative_shares, has_ratio
from ...benchmark.records import (
    RESULT_FILE,
    DatasetResults,
    MetricInfo,
    Record,
    SuiteResults,
    natural,
    read_results,
)
from ...benchmark.result_files import read_kernel_file
from ...benchmark.scenes import DatasetSamples, cropped_to_shape
from ...benchmark.strips import loss_curve, metric_curve, metric_text, record_text
from ...benchmark.tables import ResultTable, tables_of
from ...core.errors import InputError
from ...core.files import read_json_table
from ...media.animation import evenly
from ...media.kernels import size_text
from . import page
from .cases import case_charts, case_kernels
from .charts import Chart, Series, ratio_chart
from .pictures import Picture, Track, picture_of, picture_of_file, untracked

__all__ = ["is_suite", "suite_page"]

JOB_FRAMES = 12  # snapshots of a job that the page shows; a benchmark has many jobs
UNIT_DECIMALS = {"dB": 2, "MB": 0}


def is_suite(folder: Path) -> bool:
    """Whether a folder holds a benchmark."""
    return (folder / "suite.json").is_file() or any(folder.glob("jobs/*/result.json"))


def suite_page(
    root: Path, *, data: Path | None = None, first_case: int = 0, first_look: int = 0, track: Track = untracked
) -> page.ReportPage:
    """The page of a benchmark, with its failed and missing jobs.

    Args:
        root: the folder.
        data: the folder of all data, for blurry and sharp images; None for the default folder.
        first_case: the place of the first case in the page.
        first_look: the look of the first method.
        track: shows the progress.

    Raises:
        InputError: the folder holds no results.
    """
    suite = read_results(root)
    if not suite.records:
        raise InputError(f"{root} holds a plan and no results yet; run the suite first")
    methods = suite_methods(suite, first_look)
    samples = {results.dataset.label: DatasetSamples(results.dataset, data) for results in suite.measured()}
    wanted = [(results, case) for results in suite.measured() for case in sorted(results.cases, key=natural)]
    cases = [suite_case(on, case, samples[on.dataset.label], methods) for on, case in track(wanted, "cases")]
    places = {(results.dataset.label, case): first_case + place for place, (results, case) in enumerate(wanted)}
    problems = (one.problem for one in samples.values() if one.problem)
    return page.ReportPage(
        title=suite.title or root.resolve().name,
        about="; ".join(f"{results.dataset.heading}: {results.progress()}" for results in suite.measured()),
        methods=list(methods.values()),
        cases=cases,
        overview=list(map(overview_table, tables_of(suite))),
        charts=list(ratio_charts(suite, methods)),
        records=[job_results(suite, places)],
        facts=[suite_timings(suite), suite_environment(suite)],
        remarks=[f"{problem[0].upper()}{problem[1:]}" for problem in problems],
    )


def suite_methods(suite: SuiteResults, first_look: int) -> dict[str, page.Method]:
    """The recipes of a suite by label, each with the resolved recipe of its first result."""
    methods = {}
    for look, recipe in enumerate(suite.recipes, start=first_look):
        record = next((record for record in suite.records if record.recipe == recipe.label and record.done), None)
        details = {} if record is None else read_json_table(record.folder / RESULT_FILE)
        methods[recipe.label] = page.method_of(recipe.label, look, details.get("recipe_document"))
    return methods


def suite_case(
    results: DatasetResults, case: str, samples: DatasetSamples, methods: Mapping[str, page.Method]
) -> page.CaseSection:
    """The section of a case.

    Args:
        results: on the dataset.
        case: its name.
        samples: of the dataset.
        methods: by the label of the recipe.
    """
    sample, suite = samples.of(case), results.suite
    metric = next(iter(suite.metrics), None)
    known = sample is not None and sample.truth is not None
    sharp = cropped_to_shape(np.asarray(sample.truth), sample.image.shape) if sample is not None and known else None
    found = [job_result(record, methods[label], metric) for label, record in results.of_case(case).items()]
    kernel = None if sample is None or sample.kernel is None else np.asarray(sample.kernel, dtype=np.float64)
    return page.CaseSection(
        name=case if len(suite.datasets) == 1 else f"{results.dataset.label}: {case}",
        size="" if sample is None else size_text(sample.image.shape[1], sample.image.shape[0]),
        before=None if sample is None else picture_of(sample.image),
        truth=None if sharp is None else picture_of(sharp),
        results=found,
        kernels=case_kernels(found, kernel),
        charts=case_charts(found, ("", "") if metric is None else (metric.label, metric.titled)),
    )


def job_result(record: Record, method: page.Method, metric: MetricInfo | None) -> page.MethodResult:
    """The result of a job; of a failed one the error.

    Args:
        record: the job.
        method: its recipe.
        metric: the first metric of the suite.
    """
    file = record.folder / "image.png"
    kept = record.done and file.is_file()
    seconds = f"{record.seconds:.1f} s" if record.done and record.seconds else ""
    losses = zip(*loss_curve(record), strict=True)
    taken = [(one, one.picture) for one in record.snapshots if one.picture is not None]
    frames = [
        page.SnapshotFrame(
            f"iteration {one.iteration}",
            metric_text(one.metrics, metric),
            picture_of_file(picture, "small"),
            None if one.kernel is None else kernel_thumbnail(one.kernel),
        )
        for one, picture in evenly(taken, JOB_FRAMES)
    ]
    return page.MethodResult(
        method=method,
        about=", ".join(filter(None, [record_text(record, metric), seconds])),
        picture=picture_of_file(file) if kept else None,
        remarks=(record.error,) if record.error else () if kept else ("its image was not kept",),
        kernel=record.kernel(),
        losses=[(float(iteration), loss) for iteration, loss in losses],
        quality=metric_curve(record, metric) if record.snapshots else (),
        frames=frames,
    )


def kernel_thumbnail(path: Path) -> Picture | None:
    """The picture of a kernel file, its maximum white."""
    kernel = read_kernel_file(path)
    return None if kernel is None else picture_of(kernel / (float(kernel.max()) or 1.0), "exact")


def overview_table(table: ResultTable) -> page.PageTable:
    """A table of `invkit bench table`, with numbers to sort by."""
    heads = tuple(page.ColumnHead(head, numeric=place > 0) for place, head in enumerate(table.heads))
    rows = tuple(
        (
            page.PageCell(" ".join([row.name, *row.marks])),
            *(page.PageCell(cell.text, leading_number(cell.text), bold=cell.bold) for cell in row.cells),
        )
        for row in table.rows
    )
    notes = tuple(f"{note.mark} {note.text}".strip() for note in table.notes)
    return page.PageTable(table.title, heads, rows, table.about, notes)


def leading_number(text: str) -> float | None:
    """The number at the start of a cell, or None.

    >>> leading_number("33.07 ± 0.41"), leading_number("88%"), leading_number("none")
    (33.07, 88.0, None)
    """
    try:
        return float(text.partition(" ")[0].removesuffix("%").replace("∞", "inf"))
    except ValueError:
        return None


def ratio_charts(suite: SuiteResults, methods: Mapping[str, page.Method]) -> Iterator[Chart]:
    """The cumulative error ratios on each dataset; a failed run counts as a run with an infinite ratio."""
    for metric in (metric for metric in suite.metrics if metric.name == "error-ratio"):
        for results in suite.measured():
            where = f", {results.dataset.title}" if len(suite.datasets) > 1 else ""
            lines = []
            for label, records in results.with_metric(metric.label).items():
                ratios = [r.metrics.get(metric.label, math.inf) for r in records if has_ratio(r, metric)]
                if any(map(math.isfinite, ratios)):
                    lines.append(Series(label, methods[label].look, list(zip(*cumulative_shares(ratios), strict=True))))
            chart = ratio_chart(f"Cumulative {metric.label}{where}", metric.label, lines)
            yield from [] if chart is None else [chart]


def job_results(suite: SuiteResults, places: Mapping[tuple[str, str], int]) -> page.PageTable:
    """A row for each job; ``places`` are those of the cases, by dataset and case."""
    several_datasets, several_seeds = len(suite.datasets) > 1, len({record.seed for record in suite.records}) > 1
    metrics = {metric.titled: UNIT_DECIMALS.get(metric.unit, 3) for metric in suite.metrics}
    columns = {"dataset": None, "case": None, "recipe": None, "seed": 0, **metrics, "iterations": 0, "status": None}
    rows = [
        [
            r.dataset if several_datasets else None,
            page.PageCell(r.case, case=places[r.dataset, r.case]),
            r.recipe,
            r.seed if several_seeds else None,
            *(r.metrics.get(metric.label) for metric in suite.metrics),
            r.iterations,
            r.error.partition(":")[0] or r.status,
        ]
        for r in suite.records
    ]
    return page.page_table("Every job", columns, rows)._replace(filtered=len(rows) > 1)


def suite_timings(suite: SuiteResults) -> page.PageTable:
    """The seconds of each recipe over its jobs."""
    columns = {"recipe": None, "runs": 0, "median, s": 2, "minimum, s": 2, "maximum, s": 2, "total, s": 2}
    rows = []
    for recipe in suite.recipes:
        records = [record for record in suite.records if record.recipe == recipe.label and record.done]
        seconds = [record.seconds for record in records if record.seconds is not None]
        if seconds:
            values = (float(np.median(seconds)), min(seconds), max(seconds), sum(seconds))
            rows.append([recipe.label, len(seconds), *values])
    return page.page_table("Timings", columns, rows)


def suite_environment(suite: SuiteResults) -> page.PageTable:
    """Versions and machines of the results, and the sources of the data."""
    started = [record.started for record in suite.records if record.started]
    rows = [
        *(("made by", text) for text in dict.fromkeys(record.made_by for record in suite.records)),
        *(("machine", text) for text in dict.fromkeys(record.machine for record in suite.records)),
        ("seeds", ", ".join(map(str, sorted({record.seed for record in suite.records})))),
        ("first job started", min(started, default="")),
        ("last job started", max(started, default="")),
        *((f"data of {dataset.title}", dataset.citation) for dataset in suite.datasets),
    ]
    return page.facts_table("Environment", rows)
