"""From seconds to figures: medians, ratios, and the floor below which this machine cannot go."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from statistics import median
from typing import Any

import psutil

from .setting import ASIDE, SAME_WORK, WHOLE, Setting
from .turns import Measured

__all__ = ["figures_of", "floor", "reached"]

MACHINE, PLAIN = "machine", "plain"


def figures_of(measured: Measured, setting: Setting, rounds: int) -> dict[str, Any]:
    """All figures, for JSON.

    Args:
        measured: at least one round.
        setting: where and how large.
        rounds: that were asked for.

    Returns:
        ``machine``, ``size``, ``rounds``, ``rounds_asked``, ``reached`` (see `reached`), ``unavailable`` (versions
        that the device does not have, and why) and ``versions``: of each median seconds, ratio to plain (the median of
        the ratios of each round), floor and share of it, flops, bytes, peak bytes, its stages with the same, and the
        seconds of every round.
    """
    rates = reached(measured)
    versions = {name: version_of(name, measured, rates) for name in measured.surveys if name != MACHINE}
    for name, other in SAME_WORK.items():
        if name in versions and other in versions:
            versions[name] |= floor_and_share(versions[other]["floor_seconds"], versions[name]["seconds"])
    return {
        "machine": {**measured.machine, **load()},
        "size": asdict(setting.size),
        "rounds": len(measured.rounds),
        "rounds_asked": rounds,
        "reached": rates,
        "unavailable": measured.unavailable,
        "versions": versions,
    }


def reached(measured: Measured) -> dict[str, float]:
    """What the machine does a second, by the medians: flops in "float32" and "bfloat16", bytes in a "copy"."""
    rates = {}
    for stage, work in measured.surveys.get(MACHINE, {}).items():
        amount = work["bytes"] if stage == "copy" else sum(work["flops"].values())
        rates[stage] = amount / median(one[MACHINE][stage] for one in measured.rounds)
    return rates


def version_of(name: str, measured: Measured, rates: Mapping[str, float]) -> dict[str, Any]:
    """The figures of a version."""
    rows, survey = [one[name] for one in measured.rounds], measured.surveys[name]
    timed = [stage for stage in survey if stage != WHOLE and all(stage in row for row in rows)]
    stages = {stage: stage_of(survey[stage], median(row[stage] for row in rows), rates) for stage in timed}
    seconds = [whole(row) for row in rows]
    return {
        "seconds": median(seconds),
        "ratio_to_plain": ratio(name, measured),
        **floor_and_share(least_of(stages, survey, rates), median(seconds)),
        "peak_bytes": measured.peaks[name],
        "stages": stages,
        "seconds_of_rounds": seconds,
    }


def least_of(
    stages: Mapping[str, Mapping[str, Any]], survey: Mapping[str, Mapping[str, Any]], rates: Mapping[str, float]
) -> float | None:
    """The floor of a version: the sum of its stages', which come one after the other, or that of the whole."""
    if not rates:
        return None
    parts: float = sum(figures["floor_seconds"] for stage, figures in stages.items() if not stage.startswith(ASIDE))
    return max(parts, floor(survey[WHOLE], rates)) if WHOLE in survey else parts


def stage_of(work: Mapping[str, Any], seconds: float, rates: Mapping[str, float]) -> dict[str, Any]:
    """The figures of a stage."""
    return {
        "seconds": seconds,
        **floor_and_share(floor(work, rates) if rates else None, seconds),
        "flops": sum(work["flops"].values()),
        "bytes": work["bytes"],
        "peak_bytes": work["peak_bytes"],
    }


def floor(work: Mapping[str, Any], rates: Mapping[str, float]) -> float:
    """Seconds that some work takes at least: its arithmetic, or its traffic if that takes longer.

    Args:
        work: "flops" by precision, and "bytes".
        rates: of `reached`.
    """
    arithmetic: float = sum(count / rates[precision] for precision, count in work["flops"].items())
    traffic: float = work["bytes"] / rates["copy"]
    return max(arithmetic, traffic)


def floor_and_share(least: float | None, seconds: float) -> dict[str, float | None]:
    """A floor and the share of the seconds that it is; None where there is none."""
    return {"floor_seconds": least, "share_of_floor": None if least is None else least / seconds}


def whole(row: Mapping[str, float]) -> float:
    """Seconds of all of it: as measured without looking in between, else the sum of the stages."""
    parts = (seconds for stage, seconds in row.items() if not stage.startswith(ASIDE))
    return row[WHOLE] if WHOLE in row else sum(parts)


def ratio(name: str, measured: Measured) -> float | None:
    """The median of the ratios to plain, round by round; None of another computation."""
    if PLAIN not in measured.surveys or WHOLE not in measured.surveys[name]:
        return None
    return median(whole(one[name]) / whole(one[PLAIN]) for one in measured.rounds)


def load() -> dict[str, list[float]]:
    """What the machine does in all, of the last 1, 5 and 15 minutes."""
    return {"load_average": [round(each, 2) for each in psutil.getloadavg()]}
