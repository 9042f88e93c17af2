"""Seconds per iteration of the recipe ``selfdeblur`` against the same mathematics written plainly in PyTorch.

    python benchmarks/speed/against_plain.py [--rounds 15] [--threads 2] [--output benchmarks/results/speed.json]

What ``invkit bench speed`` measures of it, without stages, beside the goals: the plain version, invkit in float32 and
invkit in bfloat16 take turns, an iteration each, in processes of their own. Data of 255x255 pixels, a kernel of 27x27,
128 channels. The first iterations are not counted. Peak memory is the process's, libraries included.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Any

import psutil

from invkit.benchmark.speed.setting import SIZES, WHOLE, Setting
from invkit.benchmark.speed.turns import Measured, take_turns

BENCHMARKS = Path(__file__).parent.parent
VERSIONS = ("plain", "float32", "bfloat16")
GOALS = {"float32": 0.6, "bfloat16": 0.35}


def measure(rounds: int, threads: int) -> Measured:
    def tell(what: str, done: int, left: float | None) -> None:
        if what == "done":
            print(f"round {done} of {rounds}", file=sys.stderr)

    return take_turns(Setting(SIZES["paper"], "cpu", threads), rounds, tell, VERSIONS)


def summary(seconds: Mapping[str, list[float]], version: str, peak: int) -> dict[str, Any]:
    own, plain = seconds[version], seconds["plain"]
    return {
        "median_seconds": round(median(own), 4),
        "least_seconds": round(min(own), 4),
        "ratio_of_medians": round(median(own) / median(plain), 3),
        "median_of_ratios": round(median(a / b for a, b in zip(own, plain, strict=True)), 3),
        "ratio_of_least": round(min(own) / min(plain), 3),
        "goal_ratio": GOALS.get(version),
        "peak_gigabytes": round(peak / 1e9, 3),
        "seconds": [round(value, 4) for value in own],
    }


def table(results: dict[str, dict[str, Any]]) -> str:
    lines = [f"{'':10}{'median s':>10}{'least s':>10}{'ratio':>8}{'of least':>10}{'goal':>7}{'peak GB':>9}"]
    for version, row in results.items():
        goal = "" if row["goal_ratio"] is None else f"{row['goal_ratio']:.2f}"
        lines.append(
            f"{version:10}{row['median_seconds']:10.3f}{row['least_seconds']:10.3f}{row['ratio_of_medians']:8.3f}"
            f"{row['ratio_of_least']:10.3f}{goal:>7}{row['peak_gigabytes']:9.2f}"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15, help="iterations of each version that count")
    parser.add_argument("--threads", type=int, default=2, help="threads of each process")
    parser.add_argument("--output", type=Path, default=BENCHMARKS / "results" / "speed.json")
    arguments = parser.parse_args()
    measured = measure(arguments.rounds, arguments.threads)
    seconds = {version: [one[version][WHOLE] for one in measured.rounds] for version in VERSIONS}
    results = {version: summary(seconds, version, measured.peaks[version]) for version in VERSIONS}
    print(table(results))
    machine = {**measured.machine, "load_average": [round(load, 2) for load in psutil.getloadavg()]}
    report = {"command": " ".join(["python", *sys.argv]), "machine": machine, "results": results}
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(f"written to {arguments.output}")


if __name__ == "__main__":
    main()
