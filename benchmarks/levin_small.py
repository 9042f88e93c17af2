"""The recipe ``selfdeblur-small`` on four images of Levin et al. (CVPR 2009), seed 0: output PSNR and seconds.

    INVKIT_DATA=... python benchmarks/levin_small.py [--threads 2] [--output benchmarks/results/levin_small.json]

PSNR by Levin's protocol: 15 pixels cut from each border, shifts within 5 pixels in steps of a quarter, bilinear.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from pathlib import Path
from typing import Any

import torch

from invkit.assembly import assemble
from invkit.errors import InputError
from invkit.media.images import read_image
from invkit.metrics.aligned import aligned_psnr
from invkit.recipe import load_recipe

SEED = 0
CASES = {(1, 5): (11, 31.8), (2, 3): (13, 29.1), (3, 1): (17, 32.1), (1, 4): (27, 29.5)}
"""(image, kernel): the kernel size given, pixels, and the goal, dB. Settings were chosen on (2, 3) and (3, 1)."""


def levin() -> Path:
    folder = Path(os.environ.get("INVKIT_DATA", "")) / "levin"
    if not os.environ.get("INVKIT_DATA") or not folder.is_dir():
        raise InputError("set INVKIT_DATA to the folder that holds levin/blurry and levin/sharp")
    return folder


def grey(path: Path) -> torch.Tensor:
    """(1, 1, H, W) in [0, 1]."""
    return torch.as_tensor(read_image(path).pixels, dtype=torch.float32)[None, None]


def run(image: int, kernel: int, size: int, goal: float) -> dict[str, Any]:
    data = grey(levin() / "blurry" / f"im{image}_kernel{kernel}_img.png")
    truth = grey(levin() / "sharp" / f"im{image}.png")
    begun, cpu = time.perf_counter(), time.process_time()
    assembly = assemble(load_recipe("selfdeblur-small"), data, (size, size), seed=SEED)
    result = assembly.solver.solve(assembly.problem)
    return {
        "image": image,
        "kernel": kernel,
        "kernel_size": size,
        "psnr": round(float(aligned_psnr(result.image, truth)), 2),
        "goal": goal,
        "seconds": round(time.perf_counter() - begun, 1),
        "cpu_seconds": round(time.process_time() - cpu, 1),
        "iterations": result.iterations,
    }


def write(path: Path, rows: list[dict[str, Any]], threads: int) -> None:
    """What is known so far: an interrupted run keeps its finished images."""
    report = {
        "command": " ".join(["python", *sys.argv]),
        "seed": SEED,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "processor": torch.backends.cpu.get_cpu_capability(),
        "threads": threads,
        "load_average": [round(load, 2) for load in os.getloadavg()],
        "results": rows,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results" / "levin_small.json")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    rows: list[dict[str, Any]] = []
    for (image, kernel), (size, goal) in CASES.items():
        rows.append(run(image, kernel, size, goal))
        print(rows[-1], flush=True)
        write(arguments.output, rows, arguments.threads)


if __name__ == "__main__":
    main()
