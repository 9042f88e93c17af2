"""Tables of a suite: one for each dataset, or one for each dataset and metric if the cases are split into groups."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ..core.errors import InputError
from .published import PublishedRow, published_rows
from .records import ALL, DatasetResults, MetricInfo, Record, SuiteResults
from .statistics import Column, Interval, Statistic, columns_side_by_side, input_records, same_printed, summarise

__all__ = [
    "INPUT",
    "Note",
    "ResultCell",
    "ResultRow",
    "ResultTable",
    "datasets_with_group",
    "selected_metrics",
    "tables_of",
]

INPUT = "blurry input"  # a row below the recipes
FAILED, MISSING, INFINITE, SKIPPED, GAPS = "†", "‡", "§", "¶", "*"
INTERVAL_NOTES = {
    "cases": "±: half of the 95 % confidence interval of the mean over cases (Student's t); of one case, over seeds.",
    "seeds": "±: half of the 95 % confidence interval of the mean over seeds (Student's t), for these very cases.",
}
BEST_NOTE = "Bold: the best of its column as printed, among recipes that have all figures."


class Note(NamedTuple):
    """A remark: its mark, its text, and its recipes; a remark on the whole table has the mark ""."""

    mark: str
    text: str
    recipes: tuple[str, ...] = ()

    @property
    def incomplete(self) -> bool:
        """Whether its recipes lack results, so that their means are over fewer cases and cannot be the best."""
        return self.mark in (FAILED, MISSING, SKIPPED, GAPS)


@dataclass(frozen=True)
class ResultCell:
    """A statistic as text, as "33.07 ± 0.41"."""

    text: str
    bold: bool = False


@dataclass(frozen=True)
class ResultRow:
    """A recipe, the blurry input, or a published method: its name, the marks of its notes, its cells."""

    name: str
    marks: tuple[str, ...]
    cells: tuple[ResultCell, ...]
    published: bool = False


@dataclass(frozen=True)
class ResultTable:
    """A table for output in some format.

    Attributes:
        title: the title of the dataset, with the metric if the table shows only one.
        about: the state of the jobs, the number of cases, and the seeds.
        heads: of the columns; the first column holds the names.
        rows: measured rows first, the last of them that of the blurry input.
        notes: the remarks below the table.
    """

    title: str
    about: str
    heads: tuple[str, ...]
    rows: tuple[ResultRow, ...]
    notes: tuple[Note, ...]


def tables_of(
    suite: SuiteResults,
    *,
    metrics: Sequence[str] = (),
    by: str | None = None,
    published: bool = False,
    interval: Interval = "cases",
) -> list[ResultTable]:
    """The tables of a suite.

    Args:
        suite: the results.
        metrics: labels of the metrics to show, in this order; empty for all.
        by: the group whose values become the columns, as "category".
        published: whether published results are shown too.
        interval: whether the confidence intervals are over "cases", over "seeds", or left out ("none").

    Raises:
        InputError: the suite lacks a metric, or no dataset has the group.
    """
    chosen, tables = selected_metrics(suite, metrics), []
    for results in datasets_with_group(suite, by):
        layouts = [columns_side_by_side(chosen)] if chosen and by is None else []
        if by is not None:
            groups = {value: value for value in results.group_values(by)} | {"all": ALL}
            layouts = [[Column(h, metric, by=by, group=g) for h, g in groups.items()] for metric in chosen]
        rows = published_rows(results.dataset.name, chosen, by, suite.published) if published else []
        tables += [table_of(results, columns, rows, interval) for columns in layouts]
    return tables


def selected_metrics(suite: SuiteResults, labels: Sequence[str]) -> list[MetricInfo]:
    """The metrics of the suite with those labels or names; all metrics if there are no labels.

    Raises:
        InputError: the suite has no such metric.
    """
    known = {metric.name: metric for metric in suite.metrics} | {metric.label: metric for metric in suite.metrics}
    unknown = [label for label in labels if label not in known]
    if unknown:
        there = ", ".join(metric.label for metric in suite.metrics)
        raise InputError(f"the suite has no metric '{unknown[0]}'; its metrics are {there or 'none'}")
    return [known[label] for label in labels] or list(suite.metrics)


def datasets_with_group(suite: SuiteResults, by: str | None) -> list[DatasetResults]:
    """The datasets that have results and the group; raises `InputError` if no dataset has the group."""
    measured = suite.measured()
    if by is None:
        return measured
    grouped = [results for results in measured if results.group_values(by)]
    if not grouped:
        known = sorted({name for record in suite.records for name in record.groups})
        raise InputError(f"no case belongs to a group named '{by}'; the groups are {', '.join(known) or 'none'}")
    return grouped


def table_of(
    results: DatasetResults, columns: Sequence[Column], published: Sequence[PublishedRow], interval: Interval
) -> ResultTable:
    """One table.

    Args:
        results: on the dataset.
        columns: the columns.
        published: published results on the dataset.
        interval: as for `tables_of`.
    """
    recipes, metric, sources = results.recipes, columns[0].metric, list[Note]()
    every = [[column.value(results.of(recipe), interval) for recipe in recipes] for column in columns]
    filled = [
        (column, values)
        for column, values in zip(columns, every, strict=True)
        if any(value.value is not None for value in values)
        or any(row.values.get(column.key) is not None for row in published)
    ]
    empty = [column.head for column in columns if column not in [one for one, _ in filled]]
    filled = filled or [(columns[0], every[0])]
    columns = [column for column, _ in filled]
    measured = [list(line) for line in zip(*(values for _, values in filled), strict=True)]
    inputs = [[column.value(some, interval) for column in columns] for some in [input_records(results)] if some]
    inputs = [values for values in inputs if any(each.value is not None for each in values)]
    keys = [column.key for column in columns]
    beside = [
        (row, [Statistic(row.values.get(key)) for key in keys]) for row in published if set(keys) & set(row.values)
    ]
    notes = recipe_notes(results, list({column.metric.label: column.metric for column in columns}.values()))
    eligible = [not any(recipe in note.recipes for note in notes if note.incomplete) for recipe in recipes]
    lines = printed_cells(columns, [*measured, *inputs, *(values for _, values in beside)], eligible)
    marks = {source: str(i) for i, source in enumerate(dict.fromkeys(row.source for row, _ in beside), start=1)}
    named = [(recipe, tuple(note.mark for note in notes if recipe in note.recipes), False) for recipe in recipes]
    named += [(INPUT, (), False) for _ in inputs]
    named += [(row.name, (marks[row.source],), True) for row, _ in beside]
    general = code_and_machines(results.records)
    if empty:
        general = [f"Left out, without figures: {', '.join(empty)}.", *general]
    if any(cell.bold for line in lines for cell in line):
        general = [BEST_NOTE, *general]
    if interval != "none" and any(value.half is not None for line in measured for value in line):
        general = [INTERVAL_NOTES[interval], *general]
    for source, mark in marks.items():
        other = f" Of {source.cases} cases, where this table has {len(results.cases)}."
        text = f"published, not measured in this suite: {source.text}. Protocol: {source.protocol}."
        sources.append(Note(mark, text + ("" if len(results.cases) == source.cases else other)))
    return ResultTable(
        title=results.dataset.heading + (f": {metric.titled}, by {columns[0].by}" if columns[0].by else ""),
        about=about_jobs(results),
        heads=("recipe", *(column.head for column in columns)),
        rows=tuple(ResultRow(name, own, line, is_p) for (name, own, is_p), line in zip(named, lines, strict=True)),
        notes=(*notes, *(Note("", text) for text in general), *sources),
    )


def printed_cells(
    columns: Sequence[Column], lines: Sequence[Sequence[Statistic]], eligible: Sequence[bool]
) -> list[tuple[ResultCell, ...]]:
    """The cells of all rows, the best of each column in bold.

    Args:
        columns: the columns.
        lines: of each row, a statistic for each column.
        eligible: of the first rows, whether they can be the best; further rows cannot.
    """
    rows: list[list[ResultCell]] = [[] for _ in lines]
    for place, column in enumerate(columns):
        texts = column.texts([line[place] for line in lines])
        can_be_best = [*eligible, *[False] * (len(lines) - len(eligible))]
        best = column.best([text for text, can in zip(texts, can_be_best, strict=True) if can])
        for row, text, can in zip(rows, texts, can_be_best, strict=True):
            row.append(ResultCell(text, can and best is not None and same_printed(text, best)))
    return [tuple(row) for row in rows]


def about_jobs(results: DatasetResults) -> str:
    """The state of the jobs of a dataset, the number of cases, and the seeds."""
    seeds = sorted({record.seed for record in results.records})
    done, planned = sum(record.done for record in results.records), sum(map(results.planned, results.recipes))
    listed = f"seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}"
    return f"{done} of {planned} jobs done; {len(results.cases)} cases; {listed}"


def recipe_notes(results: DatasetResults, metrics: Sequence[MetricInfo]) -> list[Note]:
    """Remarks on single recipes."""
    records = {recipe: results.of(recipe) for recipe in results.recipes}
    skipped = {recipe: sum(record.status == "skipped" for record in some) for recipe, some in records.items()}
    missing = {recipe: results.missing(recipe) for recipe in records}

    def share(counts: Mapping[str, int]) -> dict[str, str]:
        return {recipe: f"{n} of {results.planned(recipe)}" for recipe, n in counts.items() if n}

    kinds = {recipe: Counter(r.error.partition(":")[0] or "no reason" for r in some if r.failed)
             for recipe, some in records.items()}  # fmt: skip
    failed = {
        recipe: f"{text} ({', '.join(f'{kind} {count}' for kind, count in kinds[recipe].most_common())})"
        for recipe, text in share({recipe: own.total() for recipe, own in kinds.items()}).items()
    }
    remarks = {
        FAILED: ("failed jobs, left out of the means; in shares they count as misses", failed),
        MISSING: ("not done yet, so the figures are of the other jobs", share(missing)),
        SKIPPED: ("skipped, as the recipe needs a kernel that is unknown for the case", share(skipped)),
        INFINITE: ("infinite figures, left out of the means", infinite_counts(records, metrics)),
        GAPS: ("without a figure where other recipes have one", gap_counts(records, metrics)),
    }
    return [
        Note(mark, f"{what}: {'; '.join(f'{recipe} {text}' for recipe, text in about.items())}.", tuple(about))
        for mark, (what, about) in remarks.items()
        if about
    ]


def infinite_counts(records: Mapping[str, Sequence[Record]], metrics: Sequence[MetricInfo]) -> dict[str, str]:
    """The recipes with infinite cases, as "psnr 1 of 32"."""
    texts = {}
    for recipe, some in records.items():
        summaries = {metric.label: summarise(some, metric.label) for metric in metrics}
        texts[recipe] = ", ".join(f"{label} {s.infinite} of {s.cases}" for label, s in summaries.items() if s.infinite)
    return {recipe: text for recipe, text in texts.items() if text}


def gap_counts(records: Mapping[str, Sequence[Record]], metrics: Sequence[MetricInfo]) -> dict[str, str]:
    """The recipes that lack a metric on a finished case for which another recipe has it, as "psnr 2 cases"."""
    measured = {
        metric.label: {record.case for some in records.values() for record in some if metric.label in record.metrics}
        for metric in metrics
    }
    texts = {}
    for recipe, some in records.items():
        gaps = {m: len({r.case for r in some if r.done and r.case in measured[m] and m not in r.metrics})
                for m in measured}  # fmt: skip
        texts[recipe] = ", ".join(f"{label} {count} cases" for label, count in gaps.items() if count)
    return {recipe: text for recipe, text in texts.items() if text}


def code_and_machines(records: Sequence[Record]) -> list[str]:
    """The versions of the code and the machines that made the results."""
    several = {
        "Made by several versions of the code": Counter(record.made_by for record in records),
        "Made on several machines, whose seconds do not compare": Counter(record.machine for record in records),
    }
    notes = []
    for (text, kinds), one in zip(several.items(), ("Made with", "Made on"), strict=True):
        if len(kinds) > 1:
            notes.append(f"{text}: {differing_parts(kinds)}.")
        notes += [f"{one} {only}." for only in kinds if only and len(kinds) == 1]
    return notes


def differing_parts(kinds: Counter[str]) -> str:
    """The parts of texts in which they differ, with the number of jobs of each text."""
    common = set.intersection(*(set(kind.split(", ")) for kind in kinds))
    parts = {kind: ", ".join(part for part in kind.split(", ") if part not in common) for kind in kinds}
    return "; ".join(f"{parts[kind] or 'unknown'} ({count} jobs)" for kind, count in kinds.most_common())
