"""All figures of a suite, as PNG and SVG files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ..core.errors import InputError
from .convergence import loss_figure, snapshot_figure
from .curves import case_figure, ratio_figure, time_figure
from .records import MetricOf, Named, Store
from .scenes import EVERYTHING, Choice, Samples, choose
from .strips import kernel_figure, strip_figure
from .style import save, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["KINDS", "Drawn", "draw"]

KINDS = ("ratios", "time", "cases", "losses", "snapshots", "kernels", "strips")
"""Cumulative error ratios; quality against seconds; case by case; losses; what snapshots show; kernels; pictures."""


@dataclass
class Drawn:
    """What came of drawing: the PNG files (an SVG file is beside each), and what could not be shown and why."""

    files: list[Path] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


def draw(
    store: Store,
    output: Path,
    *,
    kinds: Sequence[str] = KINDS,
    cases: Sequence[str] = (),
    metric: MetricOf | None = None,
    root: Path | None = None,
) -> Drawn:
    """Draw the figures of a suite.

    Args:
        store: of the suite.
        output: the folder of the files; it need not exist.
        kinds: some of `KINDS`.
        cases: those whose pictures are shown, or "all"; none for the first, the worst, the median and the best.
        metric: what quality is; None for the suite's first one.
        root: the folder of all data, for blurry and sharp pictures; None for the usual one.

    Raises:
        InputError: a kind or a case is not known, or the files cannot be written.
    """
    check(store, kinds, cases)
    quality = metric or next(iter(store.metrics), None)
    drawn = Drawn()
    try:
        output.mkdir(parents=True, exist_ok=True)
        with styled():
            for dataset in store.datasets:
                draw_dataset(store, dataset, output, kinds, cases, quality, root, drawn)
    except OSError as error:
        raise InputError(f"the figures cannot be written to {output}: {error}; choose another --output") from error
    return drawn


def check(store: Store, kinds: Sequence[str], cases: Sequence[str]) -> None:
    """Raise `InputError` for a kind or a case that there is not."""
    for kind in kinds:
        if kind not in KINDS:
            raise InputError(f"there is no figure '{kind}'; there are {', '.join(KINDS)}")
    known = {record.case for record in store.records}
    for case in cases:
        if case not in known and case != EVERYTHING:
            some = ", ".join(sorted(known)[:5])
            raise InputError(f"the suite has no result of a case '{case}'; its cases are {some}, ...")


def draw_dataset(
    store: Store,
    dataset: Named,
    output: Path,
    kinds: Sequence[str],
    cases: Sequence[str],
    quality: MetricOf | None,
    root: Path | None,
    drawn: Drawn,
) -> None:
    """The figures of one dataset, added to ``drawn``."""
    if not store.of(dataset.label):
        return
    samples = Samples(dataset, root)
    choices = choose(store, dataset.label, quality, cases)
    makers: dict[str, Callable[[], Iterable[tuple[str, Figure | None]]]] = {
        "ratios": lambda: ratio_figures(store, dataset),
        "time": lambda: named("time", time_figure(store, dataset, quality) if quality else None),
        "cases": lambda: named("cases", case_figure(store, dataset, quality) if quality else None),
        "losses": lambda: ((f"losses--{c.case}", loss_figure(store, dataset, c)) for c in choices),
        "snapshots": lambda: snapshot_figures(store, dataset, quality, choices),
        "kernels": lambda: named("kernels", kernel_figure(store, dataset, choices, samples)),
        "strips": lambda: ((f"strip--{c.case}", strip_figure(store, dataset, quality, c, samples)) for c in choices),
    }
    for kind in (kind for kind in KINDS if kind in kinds):
        figures = [(name, figure) for name, figure in makers[kind]() if figure is not None]
        for name, figure in figures:
            drawn.files.append(save(figure, output / f"{dataset.label}--{name}")[0])
        if not figures:
            drawn.remarks.append(f"no figure '{kind}' of {dataset.label}: {LACKS[kind]}")
    if samples.problem:
        drawn.remarks.append(samples.problem)


LACKS = {
    "ratios": "the suite measures no error-ratio",
    "time": "no result has that metric",
    "cases": "no result has that metric",
    "losses": "no result has losses",
    "snapshots": "no snapshots were kept",
    "kernels": "no result has a kernel",
    "strips": "no result has a picture",
}


def named(name: str, figure: Figure | None) -> Iterator[tuple[str, Figure | None]]:
    """One figure with its name."""
    yield name, figure


def ratio_figures(store: Store, dataset: Named) -> Iterator[tuple[str, Figure | None]]:
    """A figure for each error ratio of the suite."""
    for metric in store.metrics:
        if metric.name == "error-ratio":
            yield metric.label, ratio_figure(store, dataset, metric)


def snapshot_figures(
    store: Store, dataset: Named, quality: MetricOf | None, choices: Sequence[Choice]
) -> Iterator[tuple[str, Figure | None]]:
    """A figure for each case and recipe."""
    for choice in choices:
        for recipe in store.recipes:
            name = f"snapshots--{recipe.label}--{choice.case}"
            yield name, snapshot_figure(store, dataset, quality, recipe.label, choice)
