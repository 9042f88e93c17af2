"""What the measuring scripts share: their command line, the facts of a run, and the file of its results."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

__all__ = ["command_line", "print_rows", "run_facts", "write_results"]


LOAD_AT_START = os.getloadavg()


def command_line(description: str | None, output: Path | None = None) -> argparse.ArgumentParser:
    """A parser of the option ``--output``, to which a script adds its own options.

    Args:
        description: the script's docstring, printed as it is.
        output: the default file; none: without the option nothing is written.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=output, help="JSON file for the figures")
    return parser


def run_facts() -> dict[str, Any]:
    """The command, the machine, its load when the script began, and the versions, JSON-like.

    The import of invkit changes the environment. A script that times other processes calls this after them.
    """
    from invkit.benchmark.measuring import machine_facts
    from invkit.pipeline.job import versions

    # isort: split
    import torch

    return {
        "command": shlex.join(["python", *sys.argv]),
        "machine": {
            **machine_facts(),
            "processor": torch.backends.cpu.get_cpu_capability(),
            "load_average": [round(each, 2) for each in LOAD_AT_START],
        },
        "versions": versions(),
    }


def print_rows(tables: Mapping[str, Iterable[Mapping[str, Any]]]) -> None:
    """Print each row of each table as a line of names and values."""
    for rows in tables.values():
        for row in rows:
            print("  ".join(f"{name} {value}" for name, value in row.items()))


def write_results(output: Path | None, results: Mapping[str, Any]) -> None:
    """Write the results as JSON into a file, whose folder need not exist, and say where; nothing without a file."""
    if output is None:
        return
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    print(f"written to {output}")
