"""Published results, with their sources, for comparison."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from ..core.files import parse_toml
from .records import ALL, MetricInfo

__all__ = ["PublishedRow", "PublishedSource", "published_rows", "published_tables"]


@dataclass(frozen=True)
class PublishedSource:
    """The source of published results, their protocol, and the number of cases."""

    id: str
    text: str
    protocol: str
    cases: int


@dataclass(frozen=True)
class PublishedRow:
    """The results of a method, by the metric's label, the statistic ("mean") and the group (`ALL`, "people")."""

    name: str
    source: PublishedSource
    values: Mapping[tuple[str, str, str], float]


@cache
def published_tables() -> tuple[Mapping[str, Any], ...]:
    """The tables of published.toml."""
    text = (files(__package__) / "published.toml").read_text(encoding="utf-8")
    return tuple(parse_toml(text, "published.toml")["tables"])


def published_rows(
    dataset: str, metrics: Sequence[MetricInfo], by: str | None = None, only: Sequence[str] | None = None
) -> list[PublishedRow]:
    """The published results on a dataset that are comparable with at least one of the metrics.

    Args:
        dataset: the component's name, as "levin".
        metrics: the columns; a result is comparable only with a metric of the same convention.
        by: the group that splits the dataset, as "category"; None for results on the whole dataset.
        only: the ids of the tables that belong to the suite; None for all tables.
    """
    rows = []
    for table in published_tables():
        source = PublishedSource(table["id"], table["source"], table["protocol"], table["cases"])
        values: dict[str, dict[tuple[str, str, str], float]] = {}
        belongs = table["dataset"] == dataset and (only is None or table["id"] in only)
        for entry in table["rows"] if belongs else ():
            group = entry["where"].get(by) if "where" in entry else ALL
            if group is not None:
                own = values.setdefault(entry["name"], {})
                own |= {
                    (metric.label, convention.get("statistic", "mean"), group): float(entry[key])
                    for key, convention in table["metrics"].items()
                    for metric in metrics
                    if key in entry and same_convention(metric, convention)
                }
        rows += [PublishedRow(name, source, own) for name, own in values.items() if own]
    return rows


def same_convention(metric: MetricInfo, convention: Mapping[str, Any]) -> bool:
    """Whether a metric, with its parameters, measures the published quantity."""
    only, never = convention.get("only", {}), convention.get("never", {})
    return (
        metric.name == convention["name"]
        and all(metric.params.get(key) == value for key, value in only.items())
        and all(metric.params.get(key) != value for key, value in never.items())
    )
