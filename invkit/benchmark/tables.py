"""Tables of a suite: one a dataset, or one a dataset and metric where the cases are split into groups."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..core.errors import InputError
from .columns import Column, Figure, Interval, by_group, same, side_by_side, titled
from .notes import Note, general_notes, planned, recipe_notes, source_note
from .published import PublishedRow, published_rows
from .records import MetricOf, Named, Record, Store, natural

__all__ = ["Cell", "Row", "Table", "chosen_metrics", "group_values", "tables_of"]


@dataclass(frozen=True)
class Cell:
    """A figure as text, as "33.07 ± 0.41"."""

    text: str
    bold: bool = False


@dataclass(frozen=True)
class Row:
    """A recipe, or a method that was published: its name, the marks of its notes, its figures."""

    name: str
    marks: tuple[str, ...]
    cells: tuple[Cell, ...]
    published: bool = False


@dataclass(frozen=True)
class Table:
    """A table to be written in some format.

    Attributes:
        title: the dataset's, with the metric where that has a table of its own.
        about: what it is of: how much is done, and with which seeds.
        heads: of the columns, the first being that of the names.
        rows: measured ones first.
        notes: what must be said below.
    """

    title: str
    about: str
    heads: tuple[str, ...]
    rows: tuple[Row, ...]
    notes: tuple[Note, ...]


def tables_of(
    store: Store,
    *,
    metrics: Sequence[str] = (),
    by: str | None = None,
    published: bool = False,
    interval: Interval = "cases",
) -> list[Table]:
    """The tables of a suite.

    Args:
        store: of the suite.
        metrics: labels of those to show, in this order; none for all.
        by: the group by whose values the cases are split into columns, as "category".
        published: whether what others have published is shown beside.
        interval: what the confidence intervals are over.

    Raises:
        InputError: the suite has no such metric, or no dataset such a group.
    """
    chosen = chosen_metrics(store, metrics)
    datasets = datasets_with(store, by)
    return [
        table_of(store, dataset, columns, published_rows(dataset.name, chosen, by) if published else [], interval)
        for dataset in datasets
        for columns in layouts(store, dataset.label, chosen, by)
    ]


def chosen_metrics(store: Store, labels: Sequence[str]) -> list[MetricOf]:
    """The metrics of those labels, or names; all of the suite without any.

    Raises:
        InputError: the suite has none of a label.
    """
    known = {metric.name: metric for metric in store.metrics} | {metric.label: metric for metric in store.metrics}
    unknown = [label for label in labels if label not in known]
    if unknown:
        there = ", ".join(metric.label for metric in store.metrics)
        raise InputError(f"the suite has no metric '{unknown[0]}'; it has {there or 'none'}")
    return [known[label] for label in labels] or list(store.metrics)


def datasets_with(store: Store, by: str | None) -> list[Named]:
    """The datasets that have any result, and the group; raises `InputError` where none has the group."""
    datasets = [dataset for dataset in store.datasets if store.of(dataset.label)]
    if by is None:
        return datasets
    grouped = [dataset for dataset in datasets if group_values(store, dataset.label, by)]
    if not grouped:
        known = sorted({name for record in store.records for name in record.groups})
        raise InputError(f"no case belongs to a group named '{by}'; the groups are {', '.join(known) or 'none'}")
    return grouped


def group_values(store: Store, dataset: str, by: str) -> list[str]:
    """The values of a group in a dataset, in natural order; none where the dataset is not grouped so."""
    return sorted({record.groups[by] for record in store.of(dataset) if by in record.groups}, key=natural)


def layouts(store: Store, dataset: str, metrics: Sequence[MetricOf], by: str | None) -> list[list[Column]]:
    """The columns of each table of a dataset."""
    if by is None:
        return [side_by_side(metrics)] if metrics else []
    return [by_group(metric, by, group_values(store, dataset, by)) for metric in metrics]


def table_of(
    store: Store, dataset: Named, columns: Sequence[Column], published: Sequence[PublishedRow], interval: Interval
) -> Table:
    """One table."""
    recipes = [recipe.label for recipe in store.recipes if planned(store, dataset.label, recipe.label)]
    measured = [[c.figure(store.of(dataset.label, recipe), interval) for c in columns] for recipe in recipes]
    beside = [(row, figures) for row in published if known(figures := published_figures(row, columns))]
    notes = recipe_notes(store, dataset.label, recipes, metrics_of(columns))
    eligible = [not any(recipe in note.recipes for note in notes if note.incomplete) for recipe in recipes]
    lines = written(columns, measured, [figures for _, figures in beside], eligible)
    sources = dict.fromkeys(row.source for row, _ in beside)
    marks = {source: str(place) for place, source in enumerate(sources, start=1)}
    records = store.of(dataset.label)
    halves = any(figure.half is not None for line in measured for figure in line)
    bold = any(cell.bold for line in lines for cell in line)
    rows = [
        *(Row(recipe, marks_of(notes, recipe), line) for recipe, line in zip(recipes, lines, strict=False)),
        *(
            Row(row.name, (marks[row.source],), line, published=True)
            for (row, _), line in zip(beside, lines[len(recipes) :], strict=True)
        ),
    ]
    return Table(
        title=dataset.heading + (f": {titled(columns[0].metric)}, by {columns[0].by}" if columns[0].by else ""),
        about=about(store, dataset.label),
        heads=("recipe", *(column.head for column in columns)),
        rows=tuple(rows),
        notes=(
            *notes,
            *general_notes(records, interval=interval, halves=halves, bold=bold),
            *(source_note(mark, source, count_cases(records)) for source, mark in marks.items()),
        ),
    )


def published_figures(row: PublishedRow, columns: Sequence[Column]) -> list[Figure]:
    """What a published row has for each column."""
    return [Figure(row.values.get((column.metric.label, column.statistic, column.group))) for column in columns]


def known(figures: Sequence[Figure]) -> bool:
    """Whether there is any figure."""
    return any(figure.value is not None for figure in figures)


def metrics_of(columns: Sequence[Column]) -> list[MetricOf]:
    """The metrics of some columns, each once."""
    return list({column.metric.label: column.metric for column in columns}.values())


def written(
    columns: Sequence[Column],
    measured: Sequence[Sequence[Figure]],
    published: Sequence[Sequence[Figure]],
    eligible: Sequence[bool],
) -> list[tuple[Cell, ...]]:
    """The cells of all rows, the best of the eligible in bold; published rows come last and never are."""
    lines: list[list[Cell]] = [[] for _ in (*measured, *published)]
    for place, column in enumerate(columns):
        texts = column.texts([line[place] for line in (*measured, *published)])
        mine = [text for text, whole in zip(texts, eligible, strict=False) if whole]
        best = column.best(mine)
        for row, (line, text) in enumerate(zip(lines, texts, strict=True)):
            line.append(Cell(text, best is not None and row < len(eligible) and eligible[row] and same(text, best)))
    return [tuple(line) for line in lines]


def marks_of(notes: Sequence[Note], recipe: str) -> tuple[str, ...]:
    """The marks of the notes about a recipe."""
    return tuple(note.mark for note in notes if recipe in note.recipes)


def count_cases(records: Sequence[Record]) -> int:
    """How many different cases there are."""
    return len({record.case for record in records})


def about(store: Store, dataset: str) -> str:
    """How much of a dataset's jobs is done, and what they are."""
    records = store.of(dataset)
    jobs = sum(planned(store, dataset, recipe.label) for recipe in store.recipes)
    seeds = sorted({record.seed for record in records})
    done = sum(record.done for record in records)
    return (
        f"{done} of {jobs} jobs done; {count_cases(records)} cases; "
        f"seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}"
    )
