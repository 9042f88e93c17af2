"""Write the costs that ``invkit bench run --dry-run`` uses, from the committed results.

    python benchmarks/job_costs.py

The file is ``invkit/benchmark/job_costs.toml``. A test compares it with the results.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from pathlib import Path
from statistics import fmean
from typing import Any

import invkit
from invkit.benchmark.suite import load_suite
from invkit.core import registry

BENCHMARKS = Path(__file__).parent
RESULTS = BENCHMARKS / "results"
COSTS = Path(invkit.__file__).parent / "benchmark" / "job_costs.toml"
PIXELS = {"levin": 255 * 255, "lai": 700 * 1024}
# Later files replace earlier ones, which were measured on slower versions.
MEASURED = {
    "levin": ("table3",),
    "lai": ("table4", "table4_best", "table4_fast", "table4_five"),
}
TITAN_V = {
    "float32": 224 / 5000,
    "basis": "published: 224 s for 5000 iterations on a Titan V (Ren et al. 2020, Table 3)",
}
HEAD = """\
# What a job costs, for `invkit bench run --dry-run`; written by benchmarks/job_costs.py from benchmarks/results.
#
# [iteration.DEVICE]: an Adam iteration of SelfDeblur's networks: 128 channels, 65,025 pixels.
# [DATASET]: pixels of an image, and processor seconds of the recipes on it, means over the measured images.
"""


def iterations() -> dict[str, dict[str, Any]]:
    """For each kind of device, the seconds of an iteration in float32 and in bfloat16 if it was measured."""
    report = json.loads((RESULTS / "speed.json").read_text(encoding="utf-8"))
    cores, own = report["machine"]["cores"], report["results"]
    basis = f"measured on a processor with {cores} cores: benchmarks/results/speed.json"
    measured = {"float32": own["float32"]["median_seconds"], "bfloat16": own["bfloat16"]["median_seconds"]}
    return {"cpu": {**measured, "basis": basis}, "cuda": gpu_iteration() or TITAN_V}


def gpu_iteration() -> dict[str, Any] | None:
    """The iteration that benchmarks/speed/gpu.py measured on a GPU, if that is committed."""
    file = RESULTS / "gpu.json"
    if not file.exists():
        return None
    report = json.loads(file.read_text(encoding="utf-8"))
    results = report["parts"].get("iteration", {}).get("results", [])
    rows = {row["version"]: row["seconds"] for row in results if "seconds" in row}
    wanted = {"float32": "selfdeblur, tf32, graph", "bfloat16": "selfdeblur, bfloat16, graph"}
    found = {key: rows[name] for key, name in wanted.items() if name in rows}
    if "float32" not in found or report["machine"]["device"] == "cpu":
        return None
    return {**found, "basis": f"measured on {report['machine']['device']}: benchmarks/results/gpu.json"}


def job_seconds(dataset: str) -> dict[str, float]:
    """The mean processor seconds of each recipe on a dataset."""
    seconds: dict[str, float] = {}
    for name in MEASURED[dataset]:
        columns: dict[str, list[float]] = {}
        with (RESULTS / f"{name}.csv").open(encoding="utf-8", newline="") as lines:
            for row in csv.DictReader(lines):
                if row["status"] == "done":
                    columns.setdefault(row["recipe"], []).append(float(row["cpu-seconds"]))
        seconds |= {recipe_of(label): float(f"{fmean(each):.3g}") for label, each in columns.items()}
    return {recipe: seconds[recipe] for recipe in registry.names("recipes") if recipe in seconds}


def recipe_of(label: str) -> str:
    """The recipe of a label of the suites of tables 3 and 4, which is the same without settings."""
    specs = [spec for name in ("table3", "table4") for spec in load_suite(BENCHMARKS / f"{name}.toml").recipes]
    return next((spec.name for spec in specs if spec.label == label), label)


def costs_text() -> str:
    """The file."""
    parts = [HEAD]
    for device, facts in iterations().items():
        parts.append(table_text(f"iteration.{device}", facts))
    for dataset, pixels in PIXELS.items():
        parts.append(table_text(dataset, {"pixels": pixels}))
        parts.append(table_text(f"{dataset}.seconds", job_seconds(dataset)))
    return "\n".join(parts)


def table_text(name: str, facts: Mapping[str, Any]) -> str:
    """A table of TOML with numbers and texts."""
    return f"[{name}]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in facts.items())


if __name__ == "__main__":
    COSTS.write_text(costs_text(), encoding="utf-8")
    print(f"written to {COSTS}")
