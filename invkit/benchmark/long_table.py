"""The statistics of a suite as tidy CSV or JSON: one line for each recipe, metric and part of a dataset."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from .columns import has_shares
from .notes import planned
from .published import ALL, PublishedRow, published_rows
from .records import MetricOf, Named, Record, Store
from .statistics import SHARES, share_at_most, summarise
from .tables import chosen_metrics, datasets_with, group_values

__all__ = ["HEADS", "as_csv", "long_lines"]

SHARE_HEADS = tuple(f"share_at_most_{limit:g}" for limit in SHARES)
DIGITS = 8  # significant ones, more than any figure has
HEADS = (
    *("dataset", "by", "group", "recipe", "kind", "metric", "unit", "better"),
    *("mean", "over_cases", "over_seeds", "median", "minimum", "maximum", *SHARE_HEADS),
    *("cases", "runs", "infinite", "planned", "failed", "missing", "source", "protocol"),
)
"""The columns. ``kind`` is measured or published; ``over_cases`` and ``over_seeds`` are halves of 95 % intervals."""


def as_csv(store: Store, *, metrics: Sequence[str] = (), by: str | None = None, published: bool = False) -> str:
    """All statistics; arguments and errors as `tables_of`."""
    text = io.StringIO()
    writer = csv.DictWriter(text, HEADS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(long_lines(store, metrics=metrics, by=by, published=published))
    return text.getvalue()


def long_lines(
    store: Store, *, metrics: Sequence[str] = (), by: str | None = None, published: bool = False
) -> Iterator[dict[str, Any]]:
    """The same, a line at a time, by `HEADS`, those that say nothing left out; arguments and errors as `tables_of`."""
    chosen = chosen_metrics(store, metrics)
    for dataset in datasets_with(store, by):
        yield from measured(store, dataset, chosen, by)
        for row in published_rows(dataset.name, chosen, by) if published else ():
            yield from beside(dataset, row, chosen, by)


def measured(store: Store, dataset: Named, metrics: Sequence[MetricOf], by: str | None) -> Iterator[dict[str, Any]]:
    """The lines of a dataset."""
    parts = [ALL, *(group_values(store, dataset.label, by) if by else ())]
    recipes = [recipe.label for recipe in store.recipes if planned(store, dataset.label, recipe.label)]
    for recipe in recipes:
        counts = {"planned": planned(store, dataset.label, recipe), "missing": store.missing(dataset.label, recipe)}
        for part in parts:
            records = [r for r in store.of(dataset.label, recipe) if part in (ALL, r.groups.get(by or ""))]
            for metric in metrics:
                place = placed(dataset, by, part, recipe, "measured", metric)
                yield place | figures(records, metric) | (counts if part == ALL else {})


def placed(dataset: Named, by: str | None, part: str, recipe: str, kind: str, metric: MetricOf) -> dict[str, Any]:
    """What a line is about."""
    about = {"dataset": dataset.label, "by": by if part != ALL else "", "group": part, "recipe": recipe, "kind": kind}
    return about | {"metric": metric.label, "unit": metric.unit, "better": metric.better}


def figures(records: Sequence[Record], metric: MetricOf) -> dict[str, Any]:
    """The statistics of a line."""
    shares = {
        head: share_at_most(records, metric.label, limit) if has_shares(metric) else None
        for head, limit in zip(SHARE_HEADS, SHARES, strict=True)
    }
    statistics = asdict(summarise(records, metric.label)) | shares
    rounded = {name: float(f"{v:.{DIGITS}g}") if isinstance(v, float) else v for name, v in statistics.items()}
    return rounded | {"failed": sum(record.failed for record in records)}


def beside(dataset: Named, row: PublishedRow, metrics: Sequence[MetricOf], by: str | None) -> Iterator[dict[str, Any]]:
    """The lines of a published row; its statistics are named as the columns are."""
    names = {f"share {limit:g}": head for limit, head in zip(SHARES, SHARE_HEADS, strict=True)}
    source = {"cases": row.source.cases, "source": row.source.text, "protocol": row.source.protocol}
    for metric in metrics:
        for part in dict.fromkeys(part for label, _, part in row.values if label == metric.label):
            values = {
                names.get(statistic, statistic): value
                for (label, statistic, of), value in row.values.items()
                if (label, of) == (metric.label, part)
            }
            yield placed(dataset, by, part, row.name, "published", metric) | values | source
