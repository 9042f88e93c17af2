"""The page of measured figures, made from the committed results of the commands in benchmarks/."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tables import table

RESULTS = Path(__file__).parent.parent / "benchmarks" / "results"


def measured_page() -> str:
    """Each benchmark's figures beside its goal, with the command that makes them."""
    head = (
        "# Measured\n\nEach figure is printed by the command beside it and committed with the machine that made it in "
        "`benchmarks/results`. Two processor cores; other machines give other seconds.\n"
    )
    return "\n".join([head, levin_small(), speed(), noise()])


def read(name: str) -> Any:
    """One committed result."""
    return json.loads((RESULTS / name).read_text(encoding="utf-8"))


def levin_small() -> str:
    """The small recipe on four of Levin's images."""
    report = read("levin_small.json")
    rows = [
        [
            f"({r['image']}, {r['kernel']})",
            str(r["kernel_size"]),
            f"{r['psnr']:.2f}",
            f"{r['goal']}",
            f"{r['seconds']:.0f}",
        ]
        for r in report["results"]
    ]
    return (
        "## `selfdeblur-small` on Levin's images\n\n"
        "`INVKIT_DATA=... python benchmarks/levin_small.py`: PSNR of the output by Levin's protocol, seed 0. The "
        "recipe's rate was chosen on (2, 3) and (3, 1).\n\n"
        + table(["(image, kernel)", "kernel size given", "PSNR, dB", "goal, dB", "seconds"], rows)
        + f"\n{machine(report)}\n"
    )


def speed() -> str:
    """One iteration of the paper's network against plain PyTorch."""
    report = read("speed.json")
    rows = [
        [
            name,
            f"{r['median_seconds']:.2f}",
            f"{r['median_of_ratios']:.2f}",
            str(r["goal_ratio"] or ""),
            f"{r['peak_gigabytes']:.2f}",
        ]
        for name, r in report["results"].items()
    ]
    return (
        "## An iteration of `selfdeblur`\n\n"
        "`python benchmarks/speed.py`: 255x255 data, 27x27 kernel, 128 channels; the versions take turns in one run. "
        "Plain is the same mathematics written directly in PyTorch. The peak is the whole process's, of which the "
        "libraries take about half.\n\n"
        + table(["version", "seconds (median)", "ratio to plain (median)", "goal", "peak memory, GB"], rows)
        + f"\n{machine(report['machine'])}\n"
    )


def noise() -> str:
    """Noise estimation on photographs."""
    report = read("noise.json")
    states = list(report["zoran-weiss"]["within 15 %"])
    rows = [
        [
            method,
            *(report[method]["within 15 %"][state] for state in states),
            str(report[method]["seconds for a megapixel"]),
        ]
        for method in ("zoran-weiss", "patch-covariance")
    ]
    return (
        "## Noise level\n\n"
        "`INVKIT_DATA=... python benchmarks/noise.py`: share of figures within 15 % of the truth, noise of .002 to .1 "
        "added to photographs and to the same blurred. The six misses of the default are all at .002.\n\n"
        + table(["method", *states, "seconds a megapixel"], rows)
    )


def machine(facts: dict[str, Any]) -> str:
    """What the figures were made on."""
    return (
        f"Made with torch {facts['torch']}, {facts['threads']} threads, {facts['processor']}; "
        f"load average {facts['load_average'][0]}."
    )
