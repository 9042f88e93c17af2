"""Tables as Markdown, LaTeX, HTML, CSV, JSON-like rows, and for the terminal."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from importlib.resources import files
from itertools import product
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from .published import PublishedRow, published_rows
from .records import ALL, DatasetResults, MetricInfo, Record, SuiteResults
from .statistics import SUCCESS_RATIOS, has_shares, in_group, input_records, share_at_most, summarise
from .tables import INPUT, ResultTable, datasets_with_group, selected_metrics

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table

__all__ = ["STATISTICS_HEADS", "PageFormat", "as_csv", "as_job_lines", "as_page", "as_terminal",
           "statistics_lines"]  # fmt: skip

PageFormat: TypeAlias = Literal["md", "latex", "html"]
LATEX_SIGNS = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    **{"±": r"$\pm$", "≤": r"$\leq$", "∞": r"$\infty$", "†": r"$\dagger$", "‡": r"$\ddagger$", "§": r"\S{}"},
    **{"Δ": r"$\Delta$", "–": "--", "×": r"$\times$", "é": r"\'e"},  # noqa: RUF001  missing in the fonts of pdfTeX
}
SPREAD = " ± "
MIN_NAME_WIDTH = 16  # columns of the terminal for the names; longer names are broken
NARROW_NOTE = "Intervals are left out, as the terminal is narrow; --format md has them."
SHARE_HEADS = {f"share {limit:g}": f"share_at_most_{limit:g}" for limit in SUCCESS_RATIOS}
STATISTIC_DIGITS, JOB_DIGITS = 8, 6  # significant digits in the files, more than a metric has
STATISTICS_HEADS = (
    *("dataset", "by", "group", "recipe", "kind", "metric", "unit", "better"),
    *("mean", "over_cases", "over_seeds", "median", "minimum", "maximum", *SHARE_HEADS.values()),
    *("cases", "runs", "infinite", "planned", "failed", "missing", "source", "protocol"),
)
"""The columns of the statistics; ``kind`` is measured, input (the blurry one) or published, ``over_...`` are half
widths of 95 % intervals."""


def as_page(kind: PageFormat, title: str, tables: Sequence[ResultTable]) -> str:
    """Tables with their notes as Markdown of GitHub, as LaTeX for booktabs, or as one HTML page that can be sorted.

    Args:
        kind: the format.
        title: of the suite, or an empty text.
        tables: the tables.
    """
    from jinja2 import Environment

    signs = {"variable_start_string": "<<", "variable_end_string": ">>"} if kind == "latex" else {}  # {{ is LaTeX
    page = Environment(autoescape=kind == "html", trim_blocks=True, lstrip_blocks=True, **signs)  # type: ignore[arg-type]
    page.filters |= {"markdown": markdown_text, "latex": latex_text, "label": label_text}
    source = (files(__package__) / f"tables.{kind}.jinja").read_text(encoding="utf-8")
    return page.from_string(source).render(title=title, tables=tables).rstrip("\n") + "\n"


def markdown_text(text: str) -> str:
    """A text in which no character is a sign of Markdown."""
    return re.sub(r"([\\|*_<`])", r"\\\1", text)


def latex_text(text: str) -> str:
    """A text in which no character is a command of LaTeX, with LaTeX's own symbols."""
    return "".join(LATEX_SIGNS.get(sign, sign) for sign in text)


def label_text(text: str) -> str:
    r"""A text as a label for ``\ref`` of LaTeX: its words in small letters.

    Example:
        >>> label_text("My prior: Levin et al. 2009, PSNR")
        'my-prior-levin-et-al-2009-psnr'
    """
    return "-".join(re.findall("[a-z0-9]+", text.lower()))


def as_terminal(title: str, tables: Sequence[ResultTable], width: int = 120) -> Group:
    """Tables for `rich` to print; on a narrow terminal the intervals are left out, with a note.

    Args:
        title: of the suite, or an empty text.
        tables: the tables.
        width: columns of the terminal.
    """
    from rich.console import Group
    from rich.markup import escape

    heading = [f"[bold]{escape(title)}[/bold]\n"] if title else []
    return Group(*heading, *(terminal_table(table, width) for table in tables))


def terminal_table(table: ResultTable, width: int) -> Group:
    """One table with its notes."""
    from rich.console import Console, Group
    from rich.markup import escape

    grid, notes = terminal_grid(table, short=False), [f"{note.mark} {note.text}".strip() for note in table.notes]
    has_intervals = any(SPREAD in cell.text for row in table.rows for cell in row.cells)
    if has_intervals and Console(width=10 * width).measure(grid).maximum > width:
        grid = terminal_grid(table, short=True)
        notes = [note for note in notes if not note.startswith("±")] + [NARROW_NOTE]
    heading = f"[bold]{escape(table.title)}[/bold]  [dim]{escape(table.about)}[/dim]"
    return Group(heading, grid, *map(escape, notes), "")


def terminal_grid(table: ResultTable, *, short: bool) -> Table:
    """The cells of a table, without intervals if it has to be short; published rows are dim."""
    from rich.box import SIMPLE_HEAD
    from rich.markup import escape
    from rich.table import Table

    grid = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for place, head in enumerate(table.heads):
        how: Any = {"justify": "right", "no_wrap": True} if place else {"overflow": "fold", "min_width": MIN_NAME_WIDTH}
        broken = head.replace("-", "-\n").replace(", ", ",\n").replace(" ≤", "\n≤")
        grid.add_column(escape(broken), **how)
    for row in table.rows:
        texts = [cell.text.partition(SPREAD)[0] if short else cell.text for cell in row.cells]
        cells = [f"[bold green]{t}[/bold green]" if c.bold else t for t, c in zip(texts, row.cells, strict=True)]
        grid.add_row(escape(" ".join([row.name, *row.marks])), *cells, style="dim" if row.published else None)
    return grid


def as_csv(heads: Sequence[str], lines: Iterable[Mapping[str, object]]) -> str:
    """Lines as CSV."""
    text = io.StringIO()
    writer = csv.DictWriter(text, heads, lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return text.getvalue()


def as_job_lines(suite: SuiteResults, metrics: Sequence[str] = ()) -> str:
    """CSV with one line for each job: dataset, case, groups, recipe, seed, status, metrics, iterations and error.

    Args:
        suite: the results.
        metrics: labels; empty for all.

    Raises:
        InputError: the suite has no such metric.
    """
    labels = [metric.label for metric in selected_metrics(suite, metrics)]
    groups = dict.fromkeys(group for record in suite.records for group in record.groups)
    fields = ("dataset", "case", "recipe", "seed", "status", "iterations", "error")
    lines = [
        {field: getattr(record, field) for field in fields}
        | dict(record.groups)
        | {label: f"{record.metrics[label]:.{JOB_DIGITS}g}" for label in labels if label in record.metrics}
        for record in suite.records
    ]
    return as_csv([*fields[:2], *groups, *fields[2:5], *labels, *fields[5:]], lines)


def statistics_lines(
    suite: SuiteResults, *, metrics: Sequence[str] = (), by: str | None = None, published: bool = False
) -> Iterator[dict[str, Any]]:
    """All statistics, one line for each dataset, recipe, metric and group, with the keys `STATISTICS_HEADS`.

    Args:
        suite: the results.
        metrics: as for `invkit.benchmark.tables.tables_of`.
        by: as for `invkit.benchmark.tables.tables_of`.
        published: whether published results are included.

    Raises:
        InputError: the suite lacks a metric, or no dataset has the group.
    """
    chosen = selected_metrics(suite, metrics)
    for results in datasets_with_group(suite, by):
        yield from measured_lines(results, chosen, by)
        for row in published_rows(results.dataset.name, chosen, by, suite.published) if published else ():
            yield from published_lines(results, row, chosen, by)


def measured_lines(results: DatasetResults, metrics: Sequence[MetricInfo], by: str | None) -> Iterator[dict[str, Any]]:
    """The lines of the recipes and of the blurry input on a dataset; arguments as `published_lines`."""
    groups, inputs = (ALL, *(results.group_values(by) if by else ())), input_records(results)
    for recipe, group, metric in product(results.recipes, groups, metrics):
        counts = {"planned": results.planned(recipe), "missing": results.missing(recipe)} if group == ALL else {}
        about = line_keys(results, by, group, metric) | {"recipe": recipe, "kind": "measured"}
        yield about | measured_statistics(in_group(results.of(recipe), by, group), metric) | counts
    for group, metric in product(groups, metrics):
        records = [record for record in in_group(inputs, by, group) if metric.label in record.metrics]
        if records:
            about = line_keys(results, by, group, metric) | {"recipe": INPUT, "kind": "input"}
            yield about | measured_statistics(records, metric)


def line_keys(results: DatasetResults, by: str | None, group: str, metric: MetricInfo) -> dict[str, Any]:
    """The first columns of a line.

    Args:
        results: on the dataset.
        by: the group, or None.
        group: its value, or `ALL`.
        metric: the metric.
    """
    about = {"dataset": results.dataset.label, "by": by if group != ALL else "", "group": group}
    return about | {"metric": metric.label, "unit": metric.unit, "better": metric.better}


def measured_statistics(records: Sequence[Record], metric: MetricInfo) -> dict[str, Any]:
    """The statistics of a line."""
    shares = {
        head: share_at_most(records, metric.label, limit) if has_shares(metric) else None
        for head, limit in zip(SHARE_HEADS.values(), SUCCESS_RATIOS, strict=True)
    }
    values = asdict(summarise(records, metric.label)) | shares
    rounded = {k: float(f"{v:.{STATISTIC_DIGITS}g}") if isinstance(v, float) else v for k, v in values.items()}
    return rounded | {"failed": sum(record.failed for record in records)}


def published_lines(
    results: DatasetResults, row: PublishedRow, metrics: Sequence[MetricInfo], by: str | None
) -> Iterator[dict[str, Any]]:
    """The lines of a published row.

    Args:
        results: on the same dataset.
        row: the published results.
        metrics: the metrics.
        by: the group that splits the cases, or None.
    """
    source = {"cases": row.source.cases, "source": row.source.text, "protocol": row.source.protocol}
    for metric in metrics:
        for group in dict.fromkeys(group for label, _, group in row.values if label == metric.label):
            values = {
                SHARE_HEADS.get(statistic, statistic): value
                for (label, statistic, of), value in row.values.items()
                if (label, of) == (metric.label, group)
            }
            about = line_keys(results, by, group, metric) | {"recipe": row.name, "kind": "published"}
            yield about | values | source
