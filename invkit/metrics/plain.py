"""PSNR and SSIM as they are, without a search for a shift."""

from __future__ import annotations

from abc import abstractmethod
from typing import Annotated, TypeAlias

from pydantic import Field

from ..core.evaluation import Trial
from ..core.interfaces import Metric
from ..core.parameters import validated
from ..numerics.registration import Floats, inside, psnr, same_size, shrunk, ssim
from .aligned_scores import Shrink
from .search import Luma, planes_of

__all__ = ["PSNR", "SSIM", "PlainMetric"]

Cut: TypeAlias = Annotated[int, Field(ge=0, description="pixels cut from each side of both images")]


class PlainMetric(Metric):
    """A figure of the restored image and the truth, pixel against pixel.

    Images of two sizes are cropped about their centres to the common size, the odd pixel being cut at the bottom and
    the right.

    Args:
        border: pixels cut from each side of both.
        luma: "full" compares pixels as they are, over all channels; "matlab" the luma of MATLAB's rgb2ycbcr, whose
            range is 16 to 235 of 255, which adds 1.32 dB to a PSNR.
    """

    @validated
    def __init__(self, *, border: Cut = 0, luma: Luma = "full") -> None:
        self.border = border
        self.luma = luma

    def measure(self, trial: Trial) -> float | None:
        """The figure, or None where the truth is not known.

        Raises:
            InputError: NaN in an image, channels that differ, or images that the border leaves nothing of.
        """
        if trial.sample.truth is None:
            return None
        pictures = (planes_of(picture, self.luma) for picture in (trial.image, trial.sample.truth))
        return self.score(*(inside(picture, self.border) for picture in same_size(*pictures)))

    @abstractmethod
    def score(self, estimate: Floats, truth: Floats) -> float:
        """The figure of two images (C, h, w)."""


class PSNR(PlainMetric):
    """Peak signal-to-noise ratio in dB, for a peak of 1, pixel against pixel; infinite where the two are equal.

    Arguments as `PlainMetric`.
    """

    unit = "dB"
    better = "higher"

    def score(self, estimate: Floats, truth: Floats) -> float:
        """PSNR of two images (C, h, w), over all channels."""
        return psnr(estimate, truth)


class SSIM(PlainMetric):
    """Structural similarity, at most 1, pixel against pixel (Wang, Bovik, Sheikh, Simoncelli 2004).

    Args:
        border: see `PlainMetric`.
        luma: see `PlainMetric`.
        shrink: make large images smaller first, as `shrunk` does; figures published of large images mostly are so.
    """

    unit = ""
    better = "higher"

    @validated
    def __init__(self, *, border: Cut = 0, luma: Luma = "full", shrink: Shrink = False) -> None:
        super().__init__(border=border, luma=luma)
        self.shrink = shrink

    def score(self, estimate: Floats, truth: Floats) -> float:
        """SSIM of two images (C, h, w); raises `InputError` where they are less than 11 pixels wide or high."""
        return ssim(shrunk(estimate), shrunk(truth)) if self.shrink else ssim(estimate, truth)
