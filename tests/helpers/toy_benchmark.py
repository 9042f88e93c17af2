"""A dataset and metrics small enough to try the benchmark's machinery on, with accidents on demand.

Accidents are asked for in the environment, so that they do not change a job's id: TOY_<ACCIDENT>=CASE. Those that
happen once leave a mark in the folder TOY_MARKS.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
from narrow import known
from scipy.signal import convolve2d

from invkit.core.evaluation import Case, Dataset, ImageMetric, Metric, Sample, Trial
from invkit.core.parameters import PositiveInt, validated

SIZE, KERNEL = 40, 5


class Toy(Dataset):
    """Random squares, each blurred by a kernel of its own.

    Args:
        number: number of cases.
        known: whether the kernels are known.
    """

    title: ClassVar[str] = "Toys"
    citation: ClassVar[str] = "nobody"
    licence: ClassVar[str] = "none"
    homepage: ClassVar[str] = ""

    @validated
    def __init__(self, root: Path | None, *, number: PositiveInt = 4, known: bool = True) -> None:
        super().__init__(root)
        self.number, self.known = number, known

    def cases(self) -> Sequence[Case]:
        file = () if self.root is None else (self.root / "toy.txt",)
        return [Case(f"case{i}", (KERNEL, KERNEL), {"parity": str(i % 2)}, file) for i in range(self.number)]

    def sample(self, case: Case) -> Sample:
        happen(case.name)
        index = int(case.name.removeprefix("case"))
        numbers = np.random.default_rng(index)
        truth = np.kron(numbers.uniform(0.1, 0.9, (SIZE // 8, SIZE // 8)), np.ones((8, 8)))
        kernel = numbers.uniform(0, 1, (KERNEL, KERNEL))
        kernel /= kernel.sum()
        image = convolve2d(truth, kernel, mode="same", boundary="symm") + numbers.normal(0, 0.005, truth.shape)
        return Sample(np.clip(image, 0, 1), truth, kernel if self.known else None)


class MeanSquare(ImageMetric):
    """Mean squared error.

    Args:
        factor: factor of the error.
    """

    unit = ""
    better = "lower"

    @validated
    def __init__(self, *, factor: float = 1.0) -> None:
        self.factor = factor

    def measure(self, trial: Trial) -> float | None:
        return self.factor * float(np.mean((trial.image - known(trial.sample.truth)) ** 2))


class Broken(Metric):
    """Fails."""

    unit = ""
    better = "lower"

    def __init__(self) -> None:
        pass

    def measure(self, trial: Trial) -> float | None:
        raise ZeroDivisionError("nothing to divide by")


def happen(case: str) -> None:
    """The accidents that the environment asks for."""
    if os.environ.get("TOY_DIES") == case:  # whenever it is tried
        os.kill(os.getpid(), signal.SIGKILL)
    if os.environ.get("TOY_DIES_ONCE") == case and first_time(case):
        os.kill(os.getpid(), signal.SIGKILL)
    if os.environ.get("TOY_FAILS") == case:
        raise ValueError("a toy has broken")
    if os.environ.get("TOY_INTERRUPTED") == case:
        os.kill(os.getpid(), signal.SIGINT)
    if os.environ.get("TOY_INTERRUPTED_TWICE") == case:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
    if os.environ.get("TOY_PRINTS") == case:
        print("a job prints", flush=True)
    if os.environ.get("TOY_SLEEPS") == case:
        first_time(case)
        time.sleep(60)


def first_time(case: str) -> bool:
    """Whether it has not happened before, in any process."""
    try:
        (Path(os.environ["TOY_MARKS"]) / case).touch(exist_ok=False)
    except FileExistsError:
        return False
    return True
