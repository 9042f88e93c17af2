"""An iteration of ``selfdeblur`` and a run of ``fast``, stage by stage, and their distance to the machine's limits.

    python benchmarks/speed/iteration.py [--size small] [--rounds 5] [--threads N] [--device cuda] [--output FILE]

The iteration is timed in plain PyTorch and in invkit's float32 and bfloat16, on a GPU also replayed from a graph.
The versions run alternately. Ctrl-C keeps the complete rounds.

| column | meaning |
|---|---|
| seconds | of a version without a look inside; of its stages from another iteration, with a wait for the GPU |
| of plain | median of the ratios of each round |
| share of the floor | minimum time that the work can take on this machine, divided by the seconds |
| peak memory | on a GPU the memory that torch has allocated, otherwise the resident memory, with the libraries |

The floor of a stage is the longer of two times. The first is the time of its convolutions and matrix products, counted
by torch, and of its Fourier transforms (5/2 n log2 n operations for n real numbers), at the rate of a product of two
large matrices on the same machine, in the same rounds and precision. The second is the time to read and write the data
of these operations, or the arguments and the result of a stage without them, at the rate of a large copy. Other
operations count for nothing. Data in a cache, and convolutions with fewer products than the definition has, can be
faster than the floor.

The peak of a stage is taken while the C library returns freed memory; the peak of a version includes the memory that
invkit keeps for the next iteration. Only Linux knows the peak of a stage on a processor.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import psutil
from processes import Measured, SpeedRequest, measure_versions
from subjects import INCLUDED, PROBLEM_SIZES, SAME_WORK, TITLES, WHOLE

if TYPE_CHECKING:
    from rich.console import Group

MACHINE, PLAIN = "machine", "plain"
RATES = {"float32": "GFLOP/s in float32", "bfloat16": "GFLOP/s in bfloat16", "copy": "GB/s copied"}
ABOUT = (
    "Seconds are medians; 'of plain' is the median of the ratios of each round. The floor is the time of convolutions, "
    "matrix products and Fourier transforms at the rates below, or of the necessary memory traffic if that is longer; "
    "the floor of a version is the sum over its stages. Data in a cache can be faster."
)


def figures_of(measured: Measured, request: SpeedRequest, rounds: int) -> dict[str, Any]:
    """All figures, JSON-like.

    Args:
        measured: at least one round.
        request: sizes and device.
        rounds: the requested number.

    Returns:
        ``machine``, ``size``, ``rounds``, ``rounds_asked``, ``reached`` (see `reached_rates`), ``unavailable``
        (versions that the device cannot run, and why) and ``versions``: of each the median seconds, the ratio to plain,
        floor and share of it, flops, bytes, peak bytes, its stages with the same, and the seconds of every round.
    """
    rates = reached_rates(measured)
    versions = {name: version_figures(name, measured, rates) for name in measured.surveys if name != MACHINE}
    for name, other in SAME_WORK.items():
        if name in versions and other in versions:
            versions[name] |= floor_and_share(versions[other]["floor_seconds"], versions[name]["seconds"])
    return {
        "machine": {**measured.machine, "load_average": [round(each, 2) for each in psutil.getloadavg()]},
        "size": asdict(request.size),
        "rounds": len(measured.rounds),
        "rounds_asked": rounds,
        "reached": rates,
        "unavailable": measured.unavailable,
        "versions": versions,
    }


def reached_rates(measured: Measured) -> dict[str, float]:
    """The median rates of the machine per second: flops in "float32" and "bfloat16", bytes in a "copy"."""
    rates = {}
    for stage, work in measured.surveys.get(MACHINE, {}).items():
        amount = work["bytes"] if stage == "copy" else sum(work["flops"].values())
        rates[stage] = amount / median(one[MACHINE][stage] for one in measured.rounds)
    return rates


def version_figures(name: str, measured: Measured, rates: Mapping[str, float]) -> dict[str, Any]:
    """The figures of a version."""
    rows, survey = [one[name] for one in measured.rounds], measured.surveys[name]
    timed = [stage for stage in survey if stage != WHOLE and all(stage in row for row in rows)]
    stages = {stage: stage_figures(survey[stage], median(row[stage] for row in rows), rates) for stage in timed}
    seconds, floor = [whole_seconds(row) for row in rows], None
    if rates:
        floor = sum(figures["floor_seconds"] for stage, figures in stages.items() if not stage.startswith(INCLUDED))
        floor = max(floor, floor_seconds(survey[WHOLE], rates)) if WHOLE in survey else floor
    ratio = None
    if PLAIN in measured.surveys and WHOLE in survey:
        ratio = median(whole_seconds(one[name]) / whole_seconds(one[PLAIN]) for one in measured.rounds)
    return {
        "seconds": median(seconds),
        "ratio_to_plain": ratio,
        **floor_and_share(floor, median(seconds)),
        "peak_bytes": measured.peaks[name],
        "stages": stages,
        "seconds_of_rounds": seconds,
    }


def stage_figures(work: Mapping[str, Any], seconds: float, rates: Mapping[str, float]) -> dict[str, Any]:
    """The figures of a stage."""
    return {
        "seconds": seconds,
        **floor_and_share(floor_seconds(work, rates) if rates else None, seconds),
        "flops": sum(work["flops"].values()),
        "bytes": work["bytes"],
        "peak_bytes": work["peak_bytes"],
    }


def floor_seconds(work: Mapping[str, Any], rates: Mapping[str, float]) -> float:
    """The minimum seconds of some work: of its arithmetic, or of its traffic if that takes longer."""
    arithmetic: float = sum(count / rates[precision] for precision, count in work["flops"].items())
    traffic: float = work["bytes"] / rates["copy"]
    return max(arithmetic, traffic)


def floor_and_share(floor: float | None, seconds: float) -> dict[str, float | None]:
    """A floor, and its share of the seconds; None without a floor."""
    return {"floor_seconds": floor, "share_of_floor": None if floor is None else floor / seconds}


def whole_seconds(row: Mapping[str, float]) -> float:
    """The seconds of the whole: as measured without a look inside, otherwise the sum of the stages."""
    parts = (seconds for stage, seconds in row.items() if not stage.startswith(INCLUDED))
    return row[WHOLE] if WHOLE in row else sum(parts)


def as_table(figures: Mapping[str, Any]) -> Group:
    """Versions with their stages, and below them remarks on the measurement."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Group
    from rich.table import Table

    size, machine = figures["size"], figures["machine"]
    threads = f"{machine['threads']} thread{'s' if machine['threads'] > 1 else ''}"
    where = machine.get("gpu") or f"{machine['device']} ({machine['processor']}), {threads}"
    title = "{side}x{side} data, {kernel}x{kernel} kernel, {channels} channels".format(**size)
    table = Table("", box=SIMPLE_HEAD, padding=(0, 1, 0, 0), title=f"{title}; {where}", title_justify="left")
    for head in ("seconds", "of plain", "share of\nthe floor", "peak\nmemory"):
        table.add_column(head, justify="right", no_wrap=True)
    for name, version in figures["versions"].items():
        table.add_row(TITLES[name], *figure_cells(version), style="bold")
        for stage, each in version["stages"].items():
            table.add_row(f"  {stage}", *figure_cells(each))
        table.add_section()
    return Group(table, *remarks(figures))


def figure_cells(row: Mapping[str, Any]) -> list[str]:
    """The figures of a version or of a stage."""
    share, of_plain = row["share_of_floor"] or None, row.get("ratio_to_plain")  # no share if nothing was counted
    return [
        f"{row['seconds']:.3g}" if row["seconds"] < 100 else f"{row['seconds']:.0f}",
        "" if of_plain is None else f"{of_plain:.2f}",
        "" if share is None else f"{share:.0%}" if share >= 0.01 else f"{share:.1%}",
        f"{row['peak_bytes'] / 1e6:.0f} MB",
    ]


def remarks(figures: Mapping[str, Any]) -> list[str]:
    """How the figures were measured."""
    machine, requested = figures["machine"], figures["rounds_asked"]
    rounds = str(figures["rounds"]) if figures["rounds"] == requested else f"{figures['rounds']} of {requested}"
    rates = ", ".join(f"{figures['reached'][key] / 1e9:.3g} {unit}" for key, unit in RATES.items())
    memory = "allocated by torch" if "gpu" in machine else "the resident memory of the process, with its libraries"
    loads = ", ".join(f"{each:g}" for each in machine["load_average"])
    return [
        f"{rounds} rounds in which the versions ran alternately. {ABOUT}",
        f"Reached in products of large matrices and in a copy: {rates}.",
        *(f"Not measured: {TITLES[name]}; {why}." for name, why in figures["unavailable"].items()),
        f"Memory is {memory}. torch {machine['torch']}, load average {loads}.",
    ]


def print_progress(rounds: int) -> Any:
    """A progress function that prints a line for each round."""

    def progress(what: str, done: int, left: float | None) -> None:
        if what == "done":
            print(f"round {done} of {rounds}, {left or 0:.0f} s left", file=sys.stderr)

    return progress


def main() -> None:
    from rich.console import Console

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=PROBLEM_SIZES, default="paper", help="128 channels, or 32 for a quick look")
    parser.add_argument("--rounds", type=int, default=5, help="runs of each version")
    parser.add_argument("--threads", type=int, help="threads of each process; default: the choice of torch")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--output", type=Path, help="write the figures to a JSON file too")
    options = parser.parse_args()
    request = SpeedRequest(PROBLEM_SIZES[options.size], options.device, options.threads)
    measured = measure_versions(request, options.rounds, print_progress(options.rounds), list(TITLES))
    figures = {"command": " ".join(["python", *sys.argv]), **figures_of(measured, request, options.rounds)}
    text = json.dumps(figures, indent=1) + "\n"
    if options.json:
        print(text, end="")
    else:
        Console().print(as_table(figures), highlight=False)
    if options.output is not None:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
