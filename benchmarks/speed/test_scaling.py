"""Seconds over the sizes of photograph and kernel: iterations of solvers, building blocks, recipes stage by stage.

    pytest benchmarks/speed/test_scaling.py [--quick] [-k "irls or alignment"] [--benchmark-json FILE]

Needs pytest-benchmark (the extra ``bench``). No time is asserted, only that what was timed gave finite figures; the
test suite does not collect it. ``benchmarks/speed/scaling.py`` runs it and condenses and draws what it finds.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from functools import cache
from statistics import median
from typing import Any

import pytest
from workloads import WORKLOADS, Call, cases

from invkit.benchmark.speed.scenes import scene
from invkit.core.runtime.memory import keep_large_blocks

SECONDS, FEWEST, MOST = 1.0, 3, 20  # for the rounds of a case, and how many they are
LONG = 4.0  # seconds of a call of which there is one round only
LARGE = 512  # pixels along the side, above which there is one round of a recipe


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """The cases, those left out as skipped tests with the reason."""
    chosen = [
        pytest.param(
            case.what,
            case.side,
            case.kernel,
            id=f"{case.what.replace(', ', '-')}-{case.side}px-k{case.kernel}",
            marks=[pytest.mark.skip(reason=case.because)] if case.because else [],
        )
        for case in cases(metafunc.config.getoption("quick"))
    ]
    metafunc.parametrize(("what", "side", "kernel"), chosen)


def test_seconds(benchmark: Any, what: str, side: int, kernel: int) -> None:
    """One case; seconds of stages, if it has any, go into ``extra_info``."""
    workload = WORKLOADS[what]
    recorded, call = recording(workload.make(scene(side, kernel)))
    if workload.part == "recipe":
        warm(what)
        rounds = 1 if side > LARGE else FEWEST
    else:
        rounds = rounds_for(call)
    benchmark.group = f"{workload.part}: {what}"
    recorded.clear()
    benchmark.pedantic(call, rounds=rounds)
    assert recorded
    assert all(math.isfinite(figure) for figures in recorded for figure in figures.values())
    if workload.part == "recipe":
        benchmark.extra_info["stages"] = {name: median(run[name] for run in recorded) for name in recorded[0]}


def recording(call: Call) -> tuple[list[Mapping[str, float]], Callable[[], None]]:
    """The call, and the list into which it puts what it gives."""
    given: list[Mapping[str, float]] = []
    return given, lambda: given.append(call())


def rounds_for(call: Callable[[], None]) -> int:
    """How many rounds there is time for, by a first call, which does not count.

    After it the process keeps its memory, as it does after the first step of every solve.
    """
    begun = time.perf_counter()
    call()
    seconds = time.perf_counter() - begun
    keep_large_blocks()
    return 1 if seconds > LONG else max(FEWEST, min(MOST, int(SECONDS / seconds)))


@cache
def warm(recipe: str) -> None:
    """Run a recipe once at the smallest size, for what only the first run of a process does."""
    WORKLOADS[recipe].make(scene(64, 11))()
