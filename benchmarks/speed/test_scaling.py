"""Seconds over the sizes of photograph and kernel: iterations of solvers, building blocks, recipes stage by stage.

    pytest benchmarks/speed/test_scaling.py [--quick] [-k "irls or alignment"] [--benchmark-json FILE]

It needs pytest-benchmark (the extra ``bench``). No time is asserted, only that the results are finite. The test suite
does not collect it. ``benchmarks/speed/scaling.py`` runs it, condenses the results and draws them.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from functools import cache
from statistics import median
from typing import Any

import pytest
from scenes import scene
from workloads import WORKLOADS, Call, cases

from invkit.core.runtime.process import keep_large_blocks

SECONDS, MIN_ROUNDS, MAX_ROUNDS = 1.0, 3, 20  # time for the rounds of a case, and limits of their number
LONG_CALL = 4.0  # seconds; a longer call has one round only
LARGE_SIDE = 512  # pixels; a recipe has one round for larger photographs


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """The cases; a case that is left out is a skipped test with the reason."""
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
    """One case; the seconds of its stages, if there are any, go into ``extra_info``."""
    workload = WORKLOADS[what]
    recorded, call = recording(workload.make(scene(side, kernel)))
    if workload.part == "recipe":
        warm(what)
        rounds = 1 if side > LARGE_SIDE else MIN_ROUNDS
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
    """A list, and the call that appends its result to that list."""
    given: list[Mapping[str, float]] = []
    return given, lambda: given.append(call())


def rounds_for(call: Callable[[], None]) -> int:
    """The number of rounds that fit into the time, estimated by a first call, which does not count.

    After that call the process keeps its memory, as after the first step of every solve.
    """
    begun = time.perf_counter()
    call()
    seconds = time.perf_counter() - begun
    keep_large_blocks()
    return 1 if seconds > LONG_CALL else max(MIN_ROUNDS, min(MAX_ROUNDS, int(SECONDS / seconds)))


@cache
def warm(recipe: str) -> None:
    """Run a recipe once at the smallest size, as the first run of a process does additional work."""
    WORKLOADS[recipe].make(scene(64, 11))()
