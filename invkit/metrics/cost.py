"""What a result has cost."""

from __future__ import annotations

from ..core.evaluation import Trial
from ..core.interfaces import Metric

__all__ = ["CPUSeconds", "PeakMemory", "Seconds"]

MEGABYTE = 1e6


class Seconds(Metric):
    """Seconds of the clock, from the blurry array in memory to the restored array."""

    unit = "s"
    better = "lower"

    def measure(self, trial: Trial) -> float:
        """``trial.seconds``."""
        return float(trial.seconds)


class CPUSeconds(Metric):
    """Seconds of all processor cores together, from the blurry array in memory to the restored array."""

    unit = "s"
    better = "lower"

    def measure(self, trial: Trial) -> float:
        """``trial.cpu_seconds``."""
        return float(trial.cpu_seconds)


class PeakMemory(Metric):
    """Memory that the process has grown by at most, in MB of a million bytes; on a GPU, the most allocated there."""

    unit = "MB"
    better = "lower"

    def measure(self, trial: Trial) -> float:
        """``trial.peak_memory`` in MB."""
        return trial.peak_memory / MEGABYTE
