"""Seconds per iteration of the recipe ``selfdeblur``, beside the same mathematics written directly in PyTorch.

    python benchmarks/speed/against_plain.py [--rounds 15] [--threads 2] [--output benchmarks/results/speed.json]

These are the versions plain, float32 and bfloat16 of iteration.py, without stages, beside the goals. They run
alternately, one iteration each, in processes of their own: data of 255x255 pixels, a kernel of 27x27, 128 channels.
The first iterations are not counted. Peak memory is that of the process, with its libraries.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Any

from iteration import print_progress
from processes import SpeedRequest, measure_versions
from subjects import PROBLEM_SIZES, WHOLE

sys.path.insert(0, str(Path(__file__).parent.parent))
from results_file import command_line, run_facts, write_results

RESULTS = Path(__file__).parent.parent / "results" / "speed.json"
VERSIONS = ("plain", "float32", "bfloat16")
GOALS = {"float32": 0.6, "bfloat16": 0.35}


def summary(seconds: Mapping[str, list[float]], version: str, peak: int) -> dict[str, Any]:
    own, plain = seconds[version], seconds["plain"]
    return {
        "median_seconds": round(median(own), 4),
        "minimum_seconds": round(min(own), 4),
        "ratio_of_medians": round(median(own) / median(plain), 3),
        "median_of_ratios": round(median(a / b for a, b in zip(own, plain, strict=True)), 3),
        "ratio_of_minima": round(min(own) / min(plain), 3),
        "goal_ratio": GOALS.get(version),
        "peak_gigabytes": round(peak / 1e9, 3),
        "seconds": [round(value, 4) for value in own],
    }


def table(results: dict[str, dict[str, Any]]) -> str:
    lines = [f"{'':10}{'median s':>10}{'minimum s':>11}{'ratio':>8}{'of minima':>11}{'goal':>7}{'peak GB':>9}"]
    for version, row in results.items():
        goal = "" if row["goal_ratio"] is None else f"{row['goal_ratio']:.2f}"
        lines.append(
            f"{version:10}{row['median_seconds']:10.3f}{row['minimum_seconds']:11.3f}{row['ratio_of_medians']:8.3f}"
            f"{row['ratio_of_minima']:11.3f}{goal:>7}{row['peak_gigabytes']:9.2f}"
        )
    return "\n".join(lines)


def main() -> None:
    parser = command_line(__doc__, RESULTS)
    parser.add_argument("--rounds", type=int, default=15, help="iterations of each version")
    parser.add_argument("--threads", type=int, default=2, help="threads of each process")
    options = parser.parse_args()
    request = SpeedRequest(PROBLEM_SIZES["paper"], "cpu", options.threads)
    measured = measure_versions(request, options.rounds, print_progress(options.rounds), VERSIONS)
    seconds = {version: [one[version][WHOLE] for one in measured.rounds] for version in VERSIONS}
    results = {version: summary(seconds, version, measured.peaks[version]) for version in VERSIONS}
    print(table(results))
    facts = run_facts()
    machine = {**facts["machine"], **measured.machine}
    write_results(options.output, {**facts, "machine": machine, "results": results})


if __name__ == "__main__":
    main()
