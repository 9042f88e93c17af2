"""Seconds of an iteration of a recipe on this machine; the complete speed benchmarks are in ``benchmarks/speed``."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import numpy as np
import torch

from ..core.problem import Problem
from ..core.solver import Observer, State
from ..datasets.samples import sample_path
from ..media.images import read_image
from ..pipeline.job import prepare, versions
from ..recipes.model import load_recipe
from .measuring import Meter, machine_facts

__all__ = ["SpeedSetting", "time_recipe"]


@dataclass(frozen=True)
class SpeedSetting:
    """The problem on which a recipe is timed.

    Attributes:
        side: of the blurry image, pixels; it is the bundled photograph, continued by mirror images.
        kernel: side of the kernel, pixels, odd.
        seconds: after this time the run is stopped.
        device: as for `invkit.deblur`.
        threads: of torch; None keeps the present number.
        overrides: settings of the recipe.
    """

    side: int = 255
    kernel: int = 27
    seconds: float = 30.0
    device: str = "auto"
    threads: int | None = None
    overrides: Sequence[str] = field(default_factory=tuple)


class StageClock(Observer):
    """Measures each iteration of one stage, with a wait for the device at its end."""

    def __init__(self, title: str, device: torch.device) -> None:
        self.title, self.device = title, device
        self.seconds: list[float] = []
        self._since = time.perf_counter()

    def started(self, problem: Problem, state: State, iterations: int) -> None:
        """Start the clock after the preparation of the stage."""
        self._since = time.perf_counter()

    def stepped(self, problem: Problem, state: State) -> None:
        """Note the seconds of an iteration."""
        getattr(torch, self.device.type).synchronize()
        now = time.perf_counter()
        self.seconds.append(now - self._since)
        self._since = now


def time_recipe(recipe: str, setting: SpeedSetting) -> dict[str, Any]:
    """Run a recipe and measure each iteration of each stage.

    All candidates of a recipe run in this process, hence one after the other.

    Returns:
        JSON-like: the recipe, the setting, the machine and the versions; how the run ``stopped``; the ``seconds`` and
        ``peak_bytes`` of the whole run; and for each stage the iterations, and the median and minimum of their seconds.

    Raises:
        InvkitError: the recipe, a setting or the device cannot be used.
    """
    if setting.threads is not None:
        torch.set_num_threads(setting.threads)
    method, side = load_recipe(recipe), setting.side
    picture = read_image(sample_path("coffee")).pixels.astype(np.float32).mean(axis=-1)
    data = np.pad(picture, [(0, max(0, side - length)) for length in picture.shape], mode="symmetric")[:side, :side]
    box = np.full((setting.kernel, setting.kernel), setting.kernel**-2.0)
    known: dict[str, Any] = {"kernel": box} if method.is_nonblind else {"kernel_size": (setting.kernel,) * 2}
    job = prepare(data, recipe=method, overrides=setting.overrides, device=setting.device, **known)
    clocks: list[StageClock] = []

    def clock(title: str) -> StageClock:
        clocks.append(StageClock(title, job.device))
        return clocks[-1]

    with Meter() as meter:  # any observer keeps the candidates in this process
        result = job.run(time_limit=setting.seconds, observers=[Observer()], progress=clock)
    return {
        "recipe": recipe,
        "setting": {**vars(setting), "overrides": list(setting.overrides)},
        "machine": machine_facts(job.device),
        "versions": versions(),
        "stopped": result.stopped,
        "seconds": meter.seconds,
        "peak_bytes": meter.peak(job.device),
        "stages": [
            {"stage": each.title, "iterations": len(each.seconds), "median_seconds": median(each.seconds)}
            | {"minimum_seconds": min(each.seconds)}
            for each in clocks
            if each.seconds
        ],
    }
