"""The parts of gpu.py, each in a process of its own: ``python gpu_parts.py REQUEST``, which is a JSON text.

The standard output has one result a line, as JSON with a ``key``. A line with the key of an earlier one continues it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import torch
from gpu import PartRequest
from gpu_solves import TINY_SETTINGS, batch_part, images_part
from processes import make_current
from subjects import PROBLEM_SIZES, Iteration, Plain, ProblemSize

from invkit.benchmark.measuring import machine_facts
from invkit.benchmark.speed import SpeedSetting, time_recipe
from invkit.core.errors import InvkitError
from invkit.core.runtime.process import print_apart
from invkit.pipeline.job import versions
from invkit.pipeline.options import choose_device
from invkit.solvers.graph_replay import GRAPHS, PLAIN_STEPS_BEFORE_GRAPH
from invkit.testing import emulated_graphs

ROOT = Path(__file__).parents[2]
GPU_TESTS = ("tests/unit/solvers/test_cuda_graphs.py", "tests/unit/networks/test_branches.py")
TINY_SIZE = ProblemSize(channels=4, side=64, kernel=5, matrix=16, megabytes=1)
PLAIN = "plain PyTorch"
MIDDLE = 1000  # the iteration at which the timing starts: `selfdeblur-released` then has the fidelity of its later 80 %
WARM_UP = (
    PLAIN_STEPS_BEFORE_GRAPH + 3
)  # steps; libraries choose algorithms in the first ones, then the graph is recorded

Emit = Callable[..., None]
"""Prints a result: its key, and its facts as keywords."""


@dataclass(frozen=True)
class IterationVersion:
    """A way to compute an iteration.

    Attributes:
        recipe: its name, or `PLAIN`.
        precision: "float32", "tf32" or "bfloat16".
        graph: whether a graph is replayed.
    """

    recipe: str
    precision: str
    graph: bool = False

    @property
    def title(self) -> str:
        """Its name in the results."""
        return ", ".join([self.recipe, self.precision, *(["graph"] if self.graph else [])])

    def stepper(self, size: ProblemSize, device: torch.device) -> Callable[[], object]:
        """A function that does one iteration."""
        if self.recipe == PLAIN:
            return Plain(size, device).solve.step
        precision = "bfloat16" if self.precision == "bfloat16" else "float32"
        iteration = Iteration(size, device, precision, "graph" if self.graph else "plain", self.recipe)
        iteration.state.iteration = MIDDLE
        return iteration.step


VERSIONS = [
    IterationVersion(PLAIN, "tf32"),
    *(IterationVersion("selfdeblur", precision, True) for precision in ("tf32", "bfloat16")),
    *(IterationVersion("selfdeblur", precision) for precision in ("tf32", "bfloat16")),
    *(IterationVersion("selfdeblur-released", precision, True) for precision in ("tf32", "bfloat16")),
    *(IterationVersion("selfdeblur-released", precision) for precision in ("tf32", "bfloat16")),
    IterationVersion(PLAIN, "float32"),
    *(IterationVersion(recipe, "float32", graph) for recipe in ("selfdeblur", "selfdeblur-released")
      for graph in (True, False)),
]  # fmt: skip
"""The most important first."""


@contextmanager
def rounding(precision: str) -> Iterator[None]:
    """Let convolutions of float32 round their factors to TF32 for "tf32", and not for "float32".

    The setting counts when a convolution is launched or recorded.
    """
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = precision != "float32"
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before


def wait_for(device: torch.device) -> None:
    """Wait until the device has done all work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def tests_part(request: PartRequest, device: torch.device, emit: Emit) -> None:
    """Run the tests that need a GPU; they are skipped without one."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "tests.xml"
        words = ["-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={file}", *GPU_TESTS]
        subprocess.run([sys.executable, *words], cwd=ROOT, stdout=sys.stderr, timeout=request.seconds, check=False)
        cases = list(ElementTree.parse(file).getroot().iter("testcase"))
    kinds = {"failed": ("failure", "error"), "skipped": ("skipped",)}
    found = {
        kind: [case for case in cases if any(case.find(tag) is not None for tag in tags)]
        for kind, tags in kinds.items()
    }
    failures = {
        str(case.get("name")): str(node.get("message"))[:1000]
        for case in found["failed"]
        for node in [*case.findall("failure"), *case.findall("error")]
    }
    counts = {kind: len(some) for kind, some in found.items()}
    emit("tests", files=list(GPU_TESTS), passed=len(cases) - sum(counts.values()), **counts, failures=failures)


def iteration_part(request: PartRequest, device: torch.device, emit: Emit) -> None:
    """Time the versions of an iteration, which run alternately; a version that fails costs itself alone."""
    with emulated_graphs(device.type) if request.tiny and device.type not in GRAPHS else nullcontext():
        time_versions(request, device, emit)


def time_versions(request: PartRequest, device: torch.device, emit: Emit) -> None:
    """See `iteration_part`; tiny iterations have emulated graphs on devices without them."""
    size = TINY_SIZE if request.tiny else PROBLEM_SIZES["paper"]
    steps, rounds = (1, 2) if request.tiny else (40, 9)
    deadline = time.monotonic() + request.seconds
    running: dict[IterationVersion, Callable[[], object]] = {}
    seconds: dict[IterationVersion, list[float]] = {}
    for version in VERSIONS:
        try:
            with rounding(version.precision):
                running[version] = version.stepper(size, device)
                seconds_of(running[version], WARM_UP, device)
        except (InvkitError, RuntimeError) as error:
            running.pop(version, None)
            emit(version.title, version=version.title, error=f"{type(error).__name__}: {error}"[:1000])
    for _ in range(rounds):
        for version, step in running.items():
            if time.monotonic() > deadline:
                return
            with rounding(version.precision):
                seconds.setdefault(version, []).append(seconds_of(step, steps, device))
            emit(version.title, **iteration_row(version, seconds), steps=steps)


def seconds_of(step: Callable[[], object], steps: int, device: torch.device) -> float:
    """The seconds of one of several iterations, between two waits for the device.

    Args:
        step: does an iteration.
        steps: their number.
        device: the device.
    """
    wait_for(device)
    started = time.perf_counter()
    for _ in range(steps):
        step()
    wait_for(device)
    return (time.perf_counter() - started) / steps


def iteration_row(version: IterationVersion, seconds: dict[IterationVersion, list[float]]) -> dict[str, Any]:
    """The figures of a version so far; the ratio is the median of those of the rounds, to plain PyTorch.

    bfloat16 is compared with TF32, because plain PyTorch has no mixed precision.
    """
    own = seconds[version]
    plain = seconds.get(IterationVersion(PLAIN, "float32" if version.precision == "float32" else "tf32"), [])
    ratios = [one / other for one, other in zip(own, plain, strict=False)]
    return {
        "version": version.title,
        "seconds": median(own),
        "ratio_to_plain": median(ratios) if ratios else None,
        "seconds_of_rounds": own,
    }


def command_part(request: PartRequest, device: torch.device, emit: Emit) -> None:
    """What ``invkit bench speed`` measures, which waits for the device after each iteration."""
    recipes = ("selfdeblur",) if request.tiny else ("selfdeblur", "selfdeblur-released", "fast")
    deadline = time.monotonic() + request.seconds
    for place, recipe in enumerate(recipes):
        seconds = (deadline - time.monotonic()) / (len(recipes) - place)
        if seconds <= 0:
            return
        size = {"side": 64, "kernel": 5} if request.tiny else {}
        small = TINY_SETTINGS if request.tiny else ()
        emit(
            recipe,
            **time_recipe(recipe, SpeedSetting(**size, seconds=seconds / 2, device=str(device), overrides=small)),
        )


PARTS = {
    "tests": tests_part,
    "iteration": iteration_part,
    "images": images_part,
    "batch": batch_part,
    "command": command_part,
}


def gpu_facts(device: torch.device) -> dict[str, Any]:
    """The machine and the versions, JSON-like."""
    facts = {**machine_facts(device), "versions": versions(), "cudnn": torch.backends.cudnn.version()}  # type: ignore[no-untyped-call]
    if device.type != "cuda":
        return facts
    about = torch.cuda.get_device_properties(device)
    return {
        **facts,
        "cuda": torch.version.cuda,
        "capability": list(torch.cuda.get_device_capability(device)),
        "gpu_gigabytes": round(about.total_memory / 1e9, 1),
        "gpu_processors": about.multi_processor_count,
    }


def main() -> None:
    results = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    print_apart()  # what libraries print

    def emit(key: str, **facts: Any) -> None:
        print(json.dumps({"key": key, **facts}), file=results, flush=True)

    request = PartRequest(**json.loads(sys.argv[1]))
    device = choose_device(request.device)
    make_current(device)
    emit("machine", **gpu_facts(device))
    PARTS[request.part](request, device, emit)


if __name__ == "__main__":
    main()
