"""Figures that others have reached, with their source, for comparison."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from .records import MetricOf

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["ALL", "PublishedRow", "Source", "published_rows", "published_tables"]

ALL = ""  # the part of a dataset that is all of it


@dataclass(frozen=True)
class Source:
    """Where published figures are from, how they were measured, and on how many cases."""

    text: str
    protocol: str
    cases: int


@dataclass(frozen=True)
class PublishedRow:
    """The figures of a method, by the metric's label, the statistic ("mean") and the part (`ALL`, "people")."""

    name: str
    source: Source
    values: Mapping[tuple[str, str, str], float]


@cache
def published_tables() -> tuple[Mapping[str, Any], ...]:
    """The tables of published.toml, as they stand there."""
    text = (files(__package__) / "published.toml").read_text(encoding="utf-8")
    return tuple(tomllib.loads(text)["tables"])


def published_rows(dataset: str, metrics: Sequence[MetricOf], by: str | None = None) -> list[PublishedRow]:
    """What has been published on a dataset and may stand beside one of the metrics.

    Args:
        dataset: the component's name, as "levin".
        metrics: the columns; a figure stands beside a metric of the same convention only.
        by: the group by which the dataset is split, as "category"; None for figures of the whole alone.
    """
    tables = [table for table in published_tables() if table["dataset"] == dataset]
    return [row for table in tables for row in rows_of(table, metrics, by)]


def rows_of(table: Mapping[str, Any], metrics: Sequence[MetricOf], by: str | None) -> list[PublishedRow]:
    """The rows of one table that have a figure to show."""
    source = Source(table["source"], table["protocol"], table["cases"])
    found: dict[str, dict[tuple[str, str, str], float]] = {}
    for entry in table["rows"]:
        part = entry["where"].get(by) if "where" in entry else ALL
        if part is not None:
            found.setdefault(entry["name"], {}).update(figures_of(entry, table["metrics"], metrics, part))
    return [PublishedRow(name, source, values) for name, values in found.items() if values]


def figures_of(
    entry: Mapping[str, Any], conventions: Mapping[str, Any], metrics: Sequence[MetricOf], part: str
) -> dict[tuple[str, str, str], float]:
    """The figures of one entry, for each metric that measures the same."""
    return {
        (metric.label, convention.get("statistic", "mean"), part): float(entry[key])
        for key, convention in conventions.items()
        for metric in metrics
        if key in entry and same_convention(metric, convention)
    }


def same_convention(metric: MetricOf, convention: Mapping[str, Any]) -> bool:
    """Whether a metric, with its parameters, measures what was published."""
    only, never = convention.get("only", {}), convention.get("never", {})
    return (
        metric.name == convention["name"]
        and all(metric.params.get(key) == value for key, value in only.items())
        and all(metric.params.get(key) != value for key, value in never.items())
    )
