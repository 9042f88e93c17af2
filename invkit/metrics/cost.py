"""The cost of a result in time and memory."""

from __future__ import annotations

from ..core.evaluation import Metric, Trial

__all__ = ["CPUSeconds", "PeakMemory", "Seconds"]

BYTES_PER_MEGABYTE = 1e6


class Seconds(Metric):
    """Wall-clock seconds from the blurry array in memory to the restored array."""

    unit = "s"
    better = "lower"

    def measure(self, trial: Trial) -> float:
        """``trial.seconds``."""
        return float(trial.seconds)


class CPUSeconds(Metric):
    """Processor seconds of all cores from the blurry array in memory to the restored array."""

    unit = "s"
    better = "lower"

    def measure(self, trial: Trial) -> float:
        """``trial.cpu_seconds``."""
        return float(trial.cpu_seconds)


class PeakMemory(Metric):
    """The largest growth of the process, in MB of a million bytes; on a GPU, the largest allocation."""

    unit = "MB"
    better = "lower"

    def measure(self, trial: Trial) -> float:
        """``trial.peak_memory`` in MB."""
        return trial.peak_memory / BYTES_PER_MEGABYTE
