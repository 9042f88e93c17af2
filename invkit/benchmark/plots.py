"""All figures of a suite, as PNG and SVG files."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ..core.errors import InputError
from .curves import case_figure, ratio_figure, time_figure
from .records import DatasetResults, MetricInfo, SuiteResults
from .scenes import ALL_CASES, Choice, DatasetSamples, choose
from .strips import kernel_figure, loss_figure, snapshot_figure, strip_figure
from .style import save_figure, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["PLOT_KINDS", "Drawn", "draw"]


@dataclass
class Drawn:
    """The PNG files (an SVG file is beside each), and remarks on figures that could not be drawn."""

    files: list[Path] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class PlotData:
    """The data of all figures of one dataset: its results, the metric of quality, and the cases that are shown."""

    results: DatasetResults
    metric: MetricInfo | None
    choices: Sequence[Choice]
    samples: DatasetSamples


PLOT_KINDS = {
    "ratios": "an error-ratio",
    "time": "a metric and seconds",
    "cases": "a metric",
    "losses": "losses",
    "snapshots": "snapshots",
    "kernels": "a kernel",
    "strips": "a picture",
}
"""Each kind of figure, with what a result needs for it."""


def reason_without(kind: str, data: PlotData) -> str:
    """Why no figure of a kind can be drawn; a metric may be measured and yet have no value."""
    measured, metric = data.results.suite.metrics, data.metric
    ratios = [each.label for each in measured if each.name == "error-ratio"]
    if kind == "ratios" and ratios:
        return f"no result has a value of {' or '.join(ratios)}, which needs a deconvolution with the true kernel"
    if kind == "ratios" or (kind in ("time", "cases") and metric is None):
        return f"the suite measures no {'error-ratio' if kind == 'ratios' else 'metric'}"
    if kind in ("time", "cases") and metric is not None:
        return f"no result has a value of {metric.label}{' and its seconds' if kind == 'time' else ''}"
    return f"no result has {PLOT_KINDS[kind]}"


def figures_of(kind: str, data: PlotData) -> Iterator[tuple[str, Figure | None]]:
    """The figures of a kind by name; None stands for a figure that cannot be drawn."""
    results, metric, choices, samples = data.results, data.metric, data.choices, data.samples
    if kind == "ratios":
        ratios = [each for each in results.suite.metrics if each.name == "error-ratio"]
        yield from ((ratio.label, ratio_figure(results, ratio)) for ratio in ratios)
    elif kind in ("time", "cases") and metric is not None:
        yield kind, time_figure(results, metric) if kind == "time" else case_figure(results, metric)
    elif kind == "kernels":
        yield kind, kernel_figure(results, choices, samples)
    for choice in choices:
        if kind == "losses":
            yield f"losses--{choice.case}", loss_figure(results, choice)
        elif kind == "strips":
            yield f"strip--{choice.case}", strip_figure(results, metric, choice, samples)
        elif kind == "snapshots":
            for recipe, record in results.of_case(choice.case).items():
                yield f"snapshots--{recipe}--{choice.case}", snapshot_figure(record, results, metric)


def draw(
    suite: SuiteResults,
    output: Path,
    *,
    kinds: Collection[str] = tuple(PLOT_KINDS),
    cases: Sequence[str] = (),
    metric: MetricInfo | None = None,
    root: Path | None = None,
) -> Drawn:
    """Draw the figures of a suite.

    Args:
        suite: the results.
        output: the folder of the files; it need not exist.
        kinds: some of `PLOT_KINDS`.
        cases: cases whose pictures are shown, or "all"; empty for the first, the worst, the median and the best.
        metric: the metric of quality; None for the first metric of the suite.
        root: the folder of all data, for blurry and sharp pictures; None for the default folder.

    Raises:
        InputError: a kind or a case is unknown, or the files cannot be written.
    """
    check_names(suite, kinds, cases)
    quality, drawn = metric or next(iter(suite.metrics), None), Drawn()
    try:
        output.mkdir(parents=True, exist_ok=True)
        with styled():
            for results in suite.measured():
                samples = DatasetSamples(results.dataset, root)
                data = PlotData(results, quality, choose(results, quality, cases), samples)
                for kind in (kind for kind in PLOT_KINDS if kind in kinds):
                    figures = [(name, figure) for name, figure in figures_of(kind, data) if figure is not None]
                    label = results.dataset.label
                    drawn.files += [save_figure(figure, output / f"{label}--{name}") for name, figure in figures]
                    drawn.remarks += [] if figures else [f"no figure '{kind}' of {label}: {reason_without(kind, data)}"]
                drawn.remarks += [samples.problem] if samples.problem else []
    except OSError as error:
        raise InputError(f"the figures cannot be written to {output}: {error}; choose another --output") from error
    return drawn


def check_names(suite: SuiteResults, kinds: Collection[str], cases: Sequence[str]) -> None:
    """Raise `InputError` for an unknown kind or case; arguments as `draw`."""
    unknown = [kind for kind in kinds if kind not in PLOT_KINDS]
    if unknown:
        raise InputError(f"there is no figure '{unknown[0]}'; there are {', '.join(PLOT_KINDS)}")
    known = {record.case for record in suite.records}
    missing = [case for case in cases if case not in known and case != ALL_CASES]
    if missing:
        some = ", ".join(sorted(known)[:5])
        raise InputError(f"the suite has no result of a case '{missing[0]}'; its cases are {some}, ...")
