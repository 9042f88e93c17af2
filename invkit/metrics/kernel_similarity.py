"""The similarity of the estimated kernel to the true kernel."""

from __future__ import annotations

import numpy as np

from ..core.errors import InputError
from ..core.evaluation import Floats, Metric, Trial

__all__ = ["KernelSimilarity", "kernel_similarity"]


class KernelSimilarity(Metric):
    """Maximum normalised cross-correlation of estimated and true kernel, at most 1 (Hu, Yang, ECCV 2012).

    ``max_s sum_t k(t) l(t + s) / (|k| |l|)`` over all shifts s by whole pixels. The two sizes may differ.
    """

    unit = ""
    better = "higher"

    def measure(self, trial: Trial) -> float | None:
        """The `kernel_similarity` of the trial's and the sample's kernel; None if one of them is missing."""
        if trial.kernel is None or trial.sample.kernel is None:
            return None
        return kernel_similarity(trial.kernel, trial.sample.kernel)


def kernel_similarity(estimate: Floats, truth: Floats) -> float:
    """The maximum normalised cross-correlation of two kernels over shifts by whole pixels.

    Args:
        estimate: (h, w).
        truth: (h', w'). Both kernels are zero outside their arrays.

    Returns:
        At most 1. It is 1 if one kernel is the other, shifted and scaled. For kernels >= 0 it is positive.

    Raises:
        InputError: a kernel has another shape, contains NaN or infinite values, or is zero everywhere.

    Example:
        >>> import numpy as np
        >>> round(kernel_similarity(np.eye(3), np.pad(np.eye(3), 1)), 6)
        1.0
    """
    from scipy.signal import correlate

    first, second = unit_norm_kernel(estimate, "estimated"), unit_norm_kernel(truth, "true")
    return min(1.0, float(correlate(first, second, mode="full", method="fft").max()))


def unit_norm_kernel(kernel: Floats, name: str) -> Floats:
    """A kernel (h, w) divided by its norm; raises `InputError` if this is impossible."""
    array = np.asarray(kernel, dtype=np.float64)
    if array.ndim != 2 or array.size == 0:
        raise InputError(f"the {name} kernel must be (h, w), but its shape is {array.shape}; give one plane")
    norm = float(np.linalg.norm(array))
    if not 0 < norm < float("inf"):
        raise InputError(f"the {name} kernel must have finite values that are not all zero; its norm is {norm}")
    return array / norm
