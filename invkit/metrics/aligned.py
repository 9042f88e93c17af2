"""Metrics of Levin's protocol: the common shift of image and kernel is removed before the comparison.

Levin, Weiss, Durand, Freeman, "Understanding and evaluating blind deconvolution algorithms", CVPR 2009. One alignment
serves all metrics of a trial.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Literal
from weakref import WeakKeyDictionary

import numpy as np

from ..core.evaluation import Floats, ImageMetric, Sample, Trial
from ..core.parameters import NonNegative, NonNegativeInt, Positive, validated
from ..numerics.registration import Aligned, align, check_search
from ..numerics.similarity import psnr, ssd
from .plain import Luma, planes_of, ssim_of

__all__ = ["AlignedMetric", "AlignedPSNR", "AlignedSSIM", "ErrorRatio", "ShiftSearch"]


@dataclass(frozen=True)
class ShiftSearch:
    """How the shift between a result and the truth is searched; see `align`.

    Args:
        border: pixels cut from each side.
        max_shift: the largest shift tried, pixels, at most ``border``.
        step: the distance of the shifts tried, pixels.
        luma: "full" or "matlab", as in `planes_of`.

    Raises:
        InputError: the values contradict each other.
    """

    border: int
    max_shift: float
    step: float
    luma: Literal["full", "matlab"]

    def __post_init__(self) -> None:
        check_search(self.border, self.max_shift, self.step)

    def trial(self, trial: Trial) -> Aligned | None:
        """The restored image aligned with the truth, crops (C, h, w); None if the truth is unknown."""
        return self.aligned(trial, trial.image, trial.sample.truth)

    def reference(self, sample: Sample) -> Aligned | None:
        """The known-kernel result, aligned with the truth by its own shift; None if one of them is missing."""
        return self.aligned(sample, sample.references.get("known-kernel"), sample.truth)

    def aligned(self, owner: Trial | Sample, estimate: Floats | None, truth: Floats | None) -> Aligned | None:
        """The alignment of two images of a trial or a sample, computed once and kept while the owner exists.

        Args:
            owner: the trial or sample.
            estimate: (H, W) or (H, W, 3), or None.
            truth: likewise.
        """
        if estimate is None or truth is None:
            return None
        done = ALIGNMENT_CACHE.setdefault(owner, {})
        if self not in done:
            images = (planes_of(image, self.luma) for image in (estimate, truth))
            done[self] = align(*images, border=self.border, max_shift=self.max_shift, step=self.step)
        return done[self]


ALIGNMENT_CACHE: WeakKeyDictionary[Trial | Sample, dict[ShiftSearch, Aligned]] = WeakKeyDictionary()


class AlignedMetric(ImageMetric):
    """A figure of two crops that show the same scene: the restored image without its shift, and the truth.

    Args:
        border: pixels cut from each side, at least ``max_shift``.
        max_shift: largest shift tried in each direction, pixels; 0 compares pixel by pixel.
        step: distance of the shifts tried, pixels.
        luma: "full" compares the pixels as they are, over all channels, with one shift. "matlab" compares the luma of
            MATLAB's rgb2ycbcr, whose range is 16 to 235 of 255, also for grey images, which adds 1.32 dB to a PSNR.

    Raises:
        InputError: the border is less than ``max_shift``, or the step gives more than 2001 shifts along a side.
    """

    @validated
    def __init__(
        self, *, border: NonNegativeInt = 15, max_shift: NonNegative = 5.0, step: Positive = 0.25, luma: Luma = "full"
    ) -> None:
        self.search = ShiftSearch(border, max_shift, step, luma)

    def measure(self, trial: Trial) -> float | None:
        """The figure of the aligned crops, or None if the truth is unknown.

        Raises:
            InputError: an image contains NaN, the channels differ, or nothing is left inside the border.
        """
        crops = self.search.trial(trial)
        return None if crops is None else self.score(crops)

    @abstractmethod
    def score(self, crops: Aligned) -> float:
        """The figure of two crops (C, h, w)."""


class AlignedPSNR(AlignedMetric):
    """Peak signal-to-noise ratio in dB for a peak of 1, at the shift of least squared error (Levin et al. 2009).

    It is infinite if the crops are equal. The arguments are those of `AlignedMetric`.

    Example:
        >>> import numpy as np
        >>> from invkit.core.evaluation import Sample, Trial
        >>> truth = np.arange(100.0).reshape(10, 10) / 100
        >>> trial = Trial(Sample(truth, truth), np.roll(truth, 1, axis=0), None, 0.0, 0.0, 0)
        >>> AlignedPSNR(border=2, max_shift=2).measure(trial)
        inf
    """

    unit = "dB"
    better = "higher"

    def score(self, crops: Aligned) -> float:
        """PSNR of two crops (C, h, w), over all channels."""
        return psnr(crops.estimate, crops.truth)


class AlignedSSIM(AlignedMetric):
    """Structural similarity, at most 1, at the shift of least squared error (Levin et al. 2009; Wang et al. 2004).

    The Gaussian window has 11 pixels and a standard deviation of 1.5, for a range of 1. The result is the mean over the
    channels and over the pixels whose whole window lies in the image.

    Args:
        shrink: whether to shrink large images first to a shorter side of about 256 pixels, as the code of SSIM's
            authors does. Most published figures of large images are computed so.

    The other arguments are those of `AlignedMetric`.
    """

    unit = ""
    better = "higher"

    @validated
    def __init__(
        self,
        *,
        border: NonNegativeInt = 15,
        max_shift: NonNegative = 5.0,
        step: Positive = 0.25,
        luma: Luma = "full",
        shrink: bool = False,
    ) -> None:
        super().__init__(border=border, max_shift=max_shift, step=step, luma=luma)
        self.shrink = shrink

    def score(self, crops: Aligned) -> float:
        """SSIM of two crops (C, h, w); raises `InputError` if a side has less than 11 pixels."""
        return ssim_of(crops.estimate, crops.truth, self.shrink)


class ErrorRatio(ImageMetric):
    """The error of the restored image divided by the error of the known-kernel deconvolution (Levin et al. 2009).

    Both are aligned with the truth as in `AlignedMetric`, each by its own shift. Levin et al. divide sums of squared
    differences ("ssd"), and call a ratio of at most 2 or 3 a success. SelfDeblur's script divides the largest singular
    values of the differences ("norm"), which gives smaller ratios. The two must not be compared.

    Args:
        kind: "ssd", the sum of squared differences; or "norm", the matrix 2-norm of the difference. For colour images,
            "norm" is the root of the sum of the channels' squared norms.
        border: pixels cut from each side, at least ``max_shift``.
        max_shift: largest shift tried in each direction, pixels.
        step: distance of the shifts tried, pixels.
        luma: as for `AlignedMetric`, "full" pixels or "matlab" luma. It does not change the ratio of grey images.
    """

    unit = ""
    better = "lower"

    @validated
    def __init__(
        self,
        *,
        kind: Literal["ssd", "norm"] = "ssd",
        border: NonNegativeInt = 15,
        max_shift: NonNegative = 5.0,
        step: Positive = 0.25,
        luma: Luma = "full",
    ) -> None:
        self.error = ssd_of_crops if kind == "ssd" else norm_of_crops
        self.search = ShiftSearch(border, max_shift, step, luma)

    def measure(self, trial: Trial) -> float | None:
        """The ratio; None if the truth or ``references["known-kernel"]`` is missing, or the latter has no error.

        Raises:
            InputError: an image contains NaN, the channels differ, or nothing is left inside the border.
        """
        crops, reference = self.search.trial(trial), self.search.reference(trial.sample)
        divisor = 0.0 if reference is None else self.error(reference)
        return None if crops is None or divisor == 0 else self.error(crops) / divisor


def ssd_of_crops(crops: Aligned) -> float:
    """The sum of squared differences over pixels and channels."""
    return ssd(crops.estimate, crops.truth)


def norm_of_crops(crops: Aligned) -> float:
    """The largest singular value of the difference; over channels, the root of the sum of squares."""
    singular = np.linalg.norm(crops.estimate - crops.truth, 2, axis=(1, 2))
    return float(np.linalg.norm(singular))
