"""What must be said below a table: what failed, what is not done yet, what does not compare."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from .columns import Interval
from .published import Source
from .records import MetricOf, Record, Store
from .statistics import summarise

__all__ = ["FAILED", "MISSING", "Note", "general_notes", "planned", "recipe_notes", "source_note"]

FAILED, MISSING, INFINITE, SKIPPED, GAPS = "†", "‡", "§", "¶", "*"
INTERVALS = {
    "cases": "±: half of the 95 % confidence interval of the mean over cases (Student's t); of one case, over seeds.",
    "seeds": "±: half of the 95 % confidence interval of the mean over seeds (Student's t), for these very cases.",
}
BEST = "Bold: the best of its column as printed, among recipes that have all figures."


class Note(NamedTuple):
    """A remark: its mark, its text, and the recipes it is about; a mark of "" is about the whole table."""

    mark: str
    text: str
    recipes: tuple[str, ...] = ()

    @property
    def incomplete(self) -> bool:
        """Whether its recipes lack figures, so that their means are of fewer cases and cannot be the best."""
        return self.mark in (FAILED, MISSING, SKIPPED, GAPS)


def planned(store: Store, dataset: str, recipe: str) -> int:
    """How many jobs the plan has of a recipe on a dataset."""
    return len(store.of(dataset, recipe)) + store.missing(dataset, recipe)


def recipe_notes(store: Store, dataset: str, recipes: Sequence[str], metrics: Sequence[MetricOf]) -> list[Note]:
    """Remarks on single recipes."""
    records = {recipe: store.of(dataset, recipe) for recipe in recipes}
    jobs = {recipe: planned(store, dataset, recipe) for recipe in recipes}
    failed = {recipe: failures(some, jobs[recipe]) for recipe, some in records.items()}
    skipped = {
        recipe: counted_of(sum(r.status == "skipped" for r in some), jobs[recipe]) for recipe, some in records.items()
    }
    missing = {recipe: counted_of(store.missing(dataset, recipe), jobs[recipe]) for recipe in recipes}
    notes = [
        note(FAILED, "failed jobs, left out of the means; in shares they count as misses", failed),
        note(MISSING, "not done yet, so the figures are of the others", missing),
        note(SKIPPED, "skipped, as the recipe needs what nobody knows of the case", skipped),
        note(INFINITE, "infinite figures, left out of the means", infinities(records, metrics)),
        note(GAPS, "without a figure where other recipes have one", gaps(records, metrics)),
    ]
    return [each for each in notes if each.recipes]


def note(mark: str, what: str, about: dict[str, str]) -> Note:
    """A note on those recipes of which there is something to say."""
    said = {recipe: text for recipe, text in about.items() if text}
    return Note(mark, f"{what}: {'; '.join(f'{recipe} {text}' for recipe, text in said.items())}.", tuple(said))


def failures(records: Sequence[Record], jobs: int) -> str:
    """How many jobs failed and by what, as "2 of 32 (DivergedError 2)"; empty for none."""
    kinds = Counter(record.error.partition(":")[0] or "no reason" for record in records if record.failed)
    reasons = ", ".join(f"{kind} {count}" for kind, count in kinds.most_common())
    return f"{counted_of(sum(kinds.values()), jobs)} ({reasons})" if kinds else ""


def counted_of(count: int, jobs: int) -> str:
    """A number of jobs, as "4 of 32"; empty for none."""
    return f"{count} of {jobs}" if count else ""


def infinities(records: Mapping[str, Sequence[Record]], metrics: Sequence[MetricOf]) -> dict[str, str]:
    """For each recipe, of which metrics some cases are infinite, as "psnr 1 of 32"; empty for none."""
    summaries = {recipe: {m.label: summarise(some, m.label) for m in metrics} for recipe, some in records.items()}
    return {
        recipe: ", ".join(f"{label} {s.infinite} of {s.cases}" for label, s in each.items() if s.infinite)
        for recipe, each in summaries.items()
    }


def gaps(records: Mapping[str, Sequence[Record]], metrics: Sequence[MetricOf]) -> dict[str, str]:
    """For each recipe, of which metrics there is no figure of a finished case that another recipe has one of."""
    measured = {
        metric.label: {record.case for some in records.values() for record in some if metric.label in record.metrics}
        for metric in metrics
    }
    lacking = {
        recipe: {
            label: len({r.case for r in some if r.done and r.case in cases and label not in r.metrics})
            for label, cases in measured.items()
        }
        for recipe, some in records.items()
    }
    return {recipe: ", ".join(f"{m} {n} cases" for m, n in each.items() if n) for recipe, each in lacking.items()}


def general_notes(records: Sequence[Record], *, interval: Interval, halves: bool, bold: bool) -> list[Note]:
    """Remarks on a whole table.

    Args:
        records: all that are in it.
        interval: what the confidence intervals are over.
        halves: whether there is any.
        bold: whether any figure is bold.
    """
    notes = [INTERVALS[interval]] if halves and interval != "none" else []
    notes += [BEST] if bold else []
    code = Counter(record.made_by for record in records)
    machines = Counter(record.machine for record in records)
    notes += [f"Made by several versions of the code: {counted(code)}."] if len(code) > 1 else []
    notes += [f"Made with {only}." for only in code if only and len(code) == 1]
    notes += (
        [f"Made on several machines, whose seconds do not compare: {counted(machines)}."] if len(machines) > 1 else []
    )
    notes += [f"Made on {only}." for only in machines if only and len(machines) == 1]
    return [Note("", text) for text in notes]


def counted(kinds: Counter[str]) -> str:
    """What differs with the number of jobs of each; of many parts in common, only those that are not."""
    common = set.intersection(*(set(kind.split(", ")) for kind in kinds))
    parts = {kind: ", ".join(part for part in kind.split(", ") if part not in common) for kind in kinds}
    return "; ".join(f"{parts[kind] or 'unknown'} ({count} jobs)" for kind, count in kinds.most_common())


def source_note(mark: str, source: Source, cases: int) -> Note:
    """Where published figures are from; says so when they are of other cases than the table's."""
    other = "" if cases == source.cases else f" Of {source.cases} cases, where this table has {cases}."
    return Note(mark, f"published, not measured in this suite: {source.text}. Protocol: {source.protocol}.{other}")
