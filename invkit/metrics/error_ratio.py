"""The error ratio: how much worse than knowing the kernel."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from ..core.evaluation import Trial
from ..core.interfaces import Metric
from ..core.parameters import validated
from ..numerics.registration import Aligned, ssd
from .search import Border, Luma, MaxShift, Search, Step

__all__ = ["ErrorRatio"]


class ErrorRatio(Metric):
    """Error of the restored image over that of the deconvolution with the known kernel (Levin et al. 2009).

    Both are compared with the truth as `AlignedMetric` does, each by a shift of its own. Levin et al. divide sums of
    squared differences ("ssd"), and call a ratio of at most 2 or 3 a success; SelfDeblur's script divides the
    differences' largest singular values ("norm"), which gives smaller ratios: the two must not be compared.

    Args:
        kind: "ssd", the sum of squared differences, or "norm", the matrix 2-norm of the difference (of colour images,
            the root of the sum of the channels' squared norms).
        border: see `AlignedMetric`.
        max_shift: see `AlignedMetric`.
        step: see `AlignedMetric`.
        luma: see `AlignedMetric`; for grey images the ratio is the same.
    """

    unit = ""
    better = "lower"

    @validated
    def __init__(
        self,
        *,
        kind: Annotated[
            Literal["ssd", "norm"],
            Field(description="ssd: sums of squared differences, Levin's; norm: matrix 2-norms, SelfDeblur's script's"),
        ] = "ssd",
        border: Border = 15,
        max_shift: MaxShift = 5.0,
        step: Step = 0.25,
        luma: Luma = "full",
    ) -> None:
        self.error = ssd_of if kind == "ssd" else norm_of
        self.search = Search(border, max_shift, step, luma)

    def measure(self, trial: Trial) -> float | None:
        """The ratio, or None where the truth or ``references["known-kernel"]`` lacks, or that is without error.

        Raises:
            InputError: NaN in an image, channels that differ, or images that the border leaves nothing of.
        """
        crops, reference = self.search.trial(trial), self.search.reference(trial.sample)
        least = 0.0 if reference is None else self.error(reference)
        return None if crops is None or least == 0 else self.error(crops) / least


def ssd_of(crops: Aligned) -> float:
    """The sum of squared differences over pixels and channels."""
    return ssd(crops.estimate, crops.truth)


def norm_of(crops: Aligned) -> float:
    """The largest singular value of the difference; over channels, the root of the sum of squares."""
    singular = np.linalg.norm(crops.estimate - crops.truth, 2, axis=(1, 2))
    return float(np.linalg.norm(singular))
