"""Seconds per iteration of the recipe ``selfdeblur`` against the same mathematics written plainly in PyTorch.

    python benchmarks/speed/against_plain.py [--rounds 15] [--threads 2] [--output benchmarks/results/speed.json]

Three processes take turns, one iteration each, so that whatever else the machine does falls on all alike: the plain
version (plain_selfdeblur.py beside this file), invkit in float32 and invkit in bfloat16. Data of 255x255 pixels, a
kernel of 27x27, 128 channels. The first iterations are not counted. Peak memory is the process's, libraries included.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

BENCHMARKS = Path(__file__).parent.parent
SIZE, KERNEL, SIGMA, TV_PER_SIGMA = 255, 27, 1.1e-3, 9e-4
WARM_UP = 3
VERSIONS = ("plain", "float32", "bfloat16")
GOALS = {"float32": 0.6, "bfloat16": 0.35}


def measurement() -> Any:
    import torch

    generator = torch.Generator().manual_seed(0)
    return torch.rand(1, 1, SIZE, SIZE, generator=generator)


def plain_step() -> Callable[[], float]:
    from plain_selfdeblur import PlainSelfDeblur

    return PlainSelfDeblur(measurement(), (KERNEL, KERNEL), tv=TV_PER_SIGMA * SIGMA).step


def invkit_step(precision: str) -> Callable[[], float]:
    from invkit.assembly import assemble
    from invkit.recipe import load_recipe

    recipe = load_recipe("selfdeblur").with_overrides([f"solver.params.precision={precision}"])
    assembly = assemble(recipe, measurement(), (KERNEL, KERNEL), sigma=SIGMA)
    solver, problem = assembly.solver, assembly.problem
    state = solver.start(problem)

    def step() -> float:
        solver.step(problem, state)
        state.iteration += 1
        return state.loss

    return step


def work(version: str, threads: int) -> None:
    """A worker: one iteration for every line it is sent, answered by its seconds; peak memory at the end."""
    import torch

    torch.set_num_threads(threads)
    step = plain_step() if version == "plain" else invkit_step(version)
    for line in sys.stdin:
        if line.strip() != "step":
            break
        begun = time.perf_counter()
        loss = step()
        print(json.dumps({"seconds": time.perf_counter() - begun, "loss": loss}), flush=True)
    print(json.dumps({"peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}), flush=True)


class Worker:
    """The other end of `work`."""

    def __init__(self, version: str, threads: int) -> None:
        command = [sys.executable, __file__, "--worker", version, "--threads", str(threads)]
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )

    def ask(self, word: str) -> dict[str, float]:
        """Send a word; the answer."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(word + "\n")
        self.process.stdin.flush()
        answer: dict[str, float] = json.loads(self.process.stdout.readline())
        return answer


def measure(rounds: int, threads: int) -> dict[str, dict[str, Any]]:
    workers = {version: Worker(version, threads) for version in VERSIONS}
    seconds: dict[str, list[float]] = {version: [] for version in VERSIONS}
    for turn in range(WARM_UP + rounds):
        for version, worker in workers.items():
            taken = worker.ask("step")["seconds"]
            if turn >= WARM_UP:
                seconds[version].append(taken)
    return {version: summary(seconds, version, worker.ask("stop")) for version, worker in workers.items()}


def summary(seconds: dict[str, list[float]], version: str, last: dict[str, float]) -> dict[str, Any]:
    own, plain = seconds[version], seconds["plain"]
    return {
        "median_seconds": round(median(own), 4),
        "least_seconds": round(min(own), 4),
        "ratio_of_medians": round(median(own) / median(plain), 3),
        "median_of_ratios": round(median(a / b for a, b in zip(own, plain, strict=True)), 3),
        "ratio_of_least": round(min(own) / min(plain), 3),
        "goal_ratio": GOALS.get(version),
        "peak_gigabytes": round(last["peak_bytes"] / 1e9, 3),
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


def machine(threads: int) -> dict[str, Any]:
    import torch

    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "processor": torch.backends.cpu.get_cpu_capability(),
        "cores": os.cpu_count(),
        "threads": threads,
        "load_average": [round(load, 2) for load in os.getloadavg()],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15, help="iterations of each version that count")
    parser.add_argument("--threads", type=int, default=2, help="threads of each process")
    parser.add_argument("--output", type=Path, default=BENCHMARKS / "results" / "speed.json")
    parser.add_argument("--worker", choices=VERSIONS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        work(arguments.worker, arguments.threads)
        return
    results = measure(arguments.rounds, arguments.threads)
    print(table(results))
    report = {"command": " ".join(["python", *sys.argv]), "machine": machine(arguments.threads), "results": results}
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(f"written to {arguments.output}")


if __name__ == "__main__":
    main()
