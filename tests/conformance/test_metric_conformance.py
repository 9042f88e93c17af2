"""The check of metrics passes every metric of invkit and catches those that break the rules."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import pytest
import torch

from invkit.core.errors import InputError
from invkit.core.evaluation import Metric, Trial
from invkit.metrics.aligned import AlignedPSNR, AlignedSSIM, ErrorRatio
from invkit.metrics.cost import CPUSeconds, PeakMemory, Seconds
from invkit.metrics.kernel_similarity import KernelSimilarity
from invkit.metrics.plain import PlainPSNR, PlainSSIM
from invkit.testing.evaluation import check_metric


@pytest.mark.parametrize(
    ("component", "params"),
    [
        (AlignedPSNR, {"luma": "matlab"}),
        (AlignedPSNR, {"max_shift": 10}),
        (AlignedSSIM, {"shrink": True}),
        (ErrorRatio, {}),
        (ErrorRatio, {"kind": "norm"}),
        (KernelSimilarity, {}),
        (PlainPSNR, {"border": 5}),
        (PlainSSIM, {"shrink": True, "luma": "matlab"}),
        (Seconds, {}),
        (CPUSeconds, {}),
        (PeakMemory, {}),
    ],
)
def test_invkits_metrics_conform(component: type[Any], params: dict[str, Any]) -> None:
    check_metric(component, params)


class Contrast(Metric):
    """Standard deviation of the restored image."""

    unit = ""
    better: ClassVar[Any] = "lower"

    def measure(self, trial: Trial) -> float | None:
        return float(trial.image.std())


def test_a_metric_without_truth_passes() -> None:
    check_metric(Contrast)


class Upside(Contrast):
    """Calls more noise better."""

    better = "higher"


class Undecided(Contrast):
    """Does not know which way is better."""

    better = "both"


class Unitless(Contrast):
    """Has None for a unit."""

    unit = None  # type: ignore[assignment]


class Whole(Contrast):
    """Gives whole numbers."""

    def measure(self, trial: Trial) -> float | None:
        return 3


class Nowhere(Contrast):
    """Gives NaN."""

    def measure(self, trial: Trial) -> float | None:
        return float("nan")


class Silent(Contrast):
    """Gives nothing ever."""

    def measure(self, trial: Trial) -> float | None:
        return None


class Drawing(Contrast):
    """Draws from the global generator."""

    def measure(self, trial: Trial) -> float | None:
        return float(torch.rand(()))


class Forgetful(Contrast):
    """Counts its calls."""

    calls = 0

    def measure(self, trial: Trial) -> float | None:
        self.calls += 1
        return float(self.calls)


class Clipping(Contrast):
    """Writes into the image."""

    def measure(self, trial: Trial) -> float | None:
        np.round(trial.image, out=trial.image)
        return 1.0


class Assuming(Contrast):
    """Takes the truth for granted."""

    def measure(self, trial: Trial) -> float | None:
        return float(abs(trial.image - trial.sample.truth).max())  # type: ignore[operator]


class Undescribed(Contrast):
    """Has a parameter that its docstring does not describe."""

    def __init__(self, *, width: int = 3) -> None:
        pass


class Mute(Contrast):
    """Refuses without a reason."""

    def __init__(self) -> None:
        raise InputError("no")


class Wanting(Contrast):
    """Lacks its weights.

    Args:
        weights: a file.
    """

    def __init__(self, *, weights: str = "none.pth") -> None:
        raise InputError(f"the weights {weights} are not there; put them there")


@pytest.mark.parametrize(
    ("component", "error", "said"),
    [
        (Upside, AssertionError, "better 'higher', but gives"),
        (Undecided, AssertionError, "'higher' or 'lower'"),
        (Unitless, AssertionError, "unit is None"),
        (Whole, AssertionError, "gives 3; a float"),
        (Nowhere, AssertionError, "gives NaN"),
        (Silent, AssertionError, "a trial that has everything"),
        (Drawing, AssertionError, "global random state"),
        (Forgetful, AssertionError, "two calls"),
        (Clipping, AssertionError, "changes the pictures"),
        (Assuming, TypeError, "None"),
        (Undescribed, AssertionError, "does not describe width"),
        (Mute, AssertionError, "does not say why"),
    ],
)
def test_a_faulty_metric_is_caught(component: Any, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        check_metric(component)


def test_a_metric_whose_weights_are_not_here_conforms_when_it_says_so() -> None:
    check_metric(Wanting)
