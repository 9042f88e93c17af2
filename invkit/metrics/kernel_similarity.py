"""How like the true kernel the estimated one is."""

from __future__ import annotations

import numpy as np

from ..core.errors import InputError
from ..core.evaluation import Floats, Trial
from ..core.interfaces import Metric

__all__ = ["KernelSimilarity", "similarity"]


class KernelSimilarity(Metric):
    """Greatest normalised cross-correlation of estimated and true kernel, at most 1 (Hu, Yang, ECCV 2012).

    ``max_s sum_t k(t) l(t + s) / (|k| |l|)`` over all shifts s by whole pixels; kernels may be of two sizes.
    """

    unit = ""
    better = "higher"

    def measure(self, trial: Trial) -> float | None:
        """`similarity` of the trial's kernel to the sample's, or None where either has none."""
        if trial.kernel is None or trial.sample.kernel is None:
            return None
        return similarity(trial.kernel, trial.sample.kernel)


def similarity(estimate: Floats, truth: Floats) -> float:
    """The greatest normalised cross-correlation of two kernels over shifts by whole pixels.

    Args:
        estimate: (h, w).
        truth: (h', w'), what lies outside either being zero.

    Returns:
        At most 1, which is reached where one is the other, shifted and scaled; of kernels >= 0 it is above 0.

    Raises:
        InputError: other shapes, NaN or infinite values, or a kernel that is zero everywhere.
    """
    from scipy.signal import correlate

    first, second = normalised(estimate, "estimated"), normalised(truth, "true")
    return min(1.0, float(correlate(first, second, mode="full", method="fft").max()))


def normalised(kernel: Floats, name: str) -> Floats:
    """A kernel (h, w) divided by its norm; raises `InputError` where it is none."""
    array = np.asarray(kernel, dtype=np.float64)
    if array.ndim != 2 or array.size == 0:
        raise InputError(f"the {name} kernel must be (h, w); got {array.shape}")
    norm = float(np.linalg.norm(array))
    if not 0 < norm < float("inf"):
        raise InputError(f"the {name} kernel must have finite values that are not all zero; its norm is {norm}")
    return array / norm
