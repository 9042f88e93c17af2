"""The figures for reading."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.table import Table

from .setting import TITLES

__all__ = ["as_table"]

ABOUT = (
    "Seconds, of an iteration of selfdeblur and of a run of fast, are medians; 'of plain' is the median of the ratios "
    "of each round. The floor is what convolutions, matrix products and Fourier transforms take at the rates below, or "
    "the traffic without which a stage cannot be done if that takes longer; stages have it each, a version their sum. "
    "What is small enough for a cache may be above it."
)
RATES = {"float32": (1e9, "GFLOP/s in float32"), "bfloat16": (1e9, "GFLOP/s in bfloat16"), "copy": (1e9, "GB/s copied")}


def as_table(figures: Mapping[str, Any]) -> Group:
    """Versions with their stages, and below them what they were measured by."""
    table = Table("", box=SIMPLE_HEAD, padding=(0, 1, 0, 0), title=title(figures), title_justify="left")
    for head in ("seconds", "of plain", "share of\nthe floor", "peak\nmemory"):
        table.add_column(head, justify="right", no_wrap=True)
    for name, version in figures["versions"].items():
        table.add_row(TITLES[name], *cells(version), style="bold")
        for stage, each in version["stages"].items():
            table.add_row(f"  {stage}", *cells(each))
        table.add_section()
    return Group(table, *remarks(figures))


def title(figures: Mapping[str, Any]) -> str:
    """What was measured."""
    size, machine = figures["size"], figures["machine"]
    where = machine.get("gpu") or f"{machine['device']} ({machine['processor']}), {counted(machine['threads'])}"
    side, kernel = size["side"], size["kernel"]
    return f"{side}x{side} data, {kernel}x{kernel} kernel, {size['channels']} channels; {where}"


def counted(threads: int) -> str:
    """So many threads."""
    return "1 thread" if threads == 1 else f"{threads} threads"


def cells(row: Mapping[str, Any]) -> list[str]:
    """The figures of a version or of a stage."""
    share, of_plain = row["share_of_floor"] or None, row.get("ratio_to_plain")  # no share where nothing was counted
    return [
        f"{row['seconds']:.3g}" if row["seconds"] < 100 else f"{row['seconds']:.0f}",
        "" if of_plain is None else f"{of_plain:.2f}",
        "" if share is None else f"{share:.0%}" if share >= 0.01 else f"{share:.1%}",
        f"{row['peak_bytes'] / 1e6:.0f} MB",
    ]


def remarks(figures: Mapping[str, Any]) -> list[str]:
    """How it was measured, and by what."""
    machine, asked = figures["machine"], figures["rounds_asked"]
    rounds = str(figures["rounds"]) if figures["rounds"] == asked else f"{figures['rounds']} of {asked}"
    rates = ", ".join(f"{figures['reached'][key] / unit:.3g} {what}" for key, (unit, what) in RATES.items())
    memory = "what torch has allocated" if "gpu" in machine else "what of the process is in memory, libraries included"
    missing = [f"Not measured: {TITLES[name]}; {why}." for name, why in figures["unavailable"].items()]
    loads = ", ".join(f"{each:g}" for each in machine["load_average"])
    return [
        f"{rounds} rounds in which the versions took turns. {ABOUT}",
        f"Reached in products of large matrices and in a copy: {rates}.",
        *missing,
        f"Memory is {memory}. torch {machine['torch']}, load average {loads}.",
    ]
