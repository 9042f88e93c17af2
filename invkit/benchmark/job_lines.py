"""The jobs of a suite as a CSV file: one line for each, to look at single cases and to compute with."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence

from .records import Record, Store
from .tables import chosen_metrics

__all__ = ["as_job_lines"]

DIGITS = 6  # significant ones


def as_job_lines(store: Store, *, metrics: Sequence[str] = ()) -> str:
    """Dataset, case, its groups, recipe, seed, status, figures, iterations and error of every job that was found.

    Args:
        store: the suite's folder.
        metrics: labels; none for all.

    Raises:
        InputError: there is no such metric.
    """
    labels = [metric.label for metric in chosen_metrics(store, metrics)]
    groups = list(dict.fromkeys(group for record in store.records for group in record.groups))
    heads = ["dataset", "case", *groups, "recipe", "seed", "status", *labels, "iterations", "error"]
    text = io.StringIO()
    writer = csv.DictWriter(text, heads, lineterminator="\n")
    writer.writeheader()
    writer.writerows(line(record, labels) for record in store.records)
    return text.getvalue()


def line(record: Record, labels: Sequence[str]) -> Mapping[str, object]:
    """The line of a job."""
    about = {"dataset": record.dataset, "case": record.case, "recipe": record.recipe, "seed": record.seed}
    figures = {label: f"{record.metrics[label]:.{DIGITS}g}" for label in labels if label in record.metrics}
    how = {"status": record.status, "iterations": record.iterations, "error": record.error}
    return {**about, **record.groups, **figures, **how}
