"""PSNR and SSIM by Levin's protocol."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from pydantic import Field

from ..core.parameters import validated
from ..numerics.registration import Aligned, psnr, shrunk, ssim
from .search import AlignedMetric, Border, Luma, MaxShift, Step

__all__ = ["AlignedPSNR", "AlignedSSIM", "Shrink"]

Shrink: TypeAlias = Annotated[
    bool,
    Field(description="shrink large images first to a shorter side of about 256 pixels, as SSIM's authors' code does"),
]


class AlignedPSNR(AlignedMetric):
    """Peak signal-to-noise ratio in dB, for a peak of 1, at the shift of least squared error (Levin et al. 2009).

    Infinite where the two are equal. Arguments as `AlignedMetric`.
    """

    unit = "dB"
    better = "higher"

    def score(self, crops: Aligned) -> float:
        """PSNR of two crops (C, h, w), over all channels."""
        return psnr(crops.estimate, crops.truth)


class AlignedSSIM(AlignedMetric):
    """Structural similarity, at most 1, at the shift of least squared error (Levin et al. 2009; Wang et al. 2004).

    Gaussian window of 11 pixels, std 1.5, for a range of 1; the mean over channels and pixels whose window is inside.
    Arguments as `AlignedMetric`, and one more.

    Args:
        border: see `AlignedMetric`.
        max_shift: see `AlignedMetric`.
        step: see `AlignedMetric`.
        luma: see `AlignedMetric`.
        shrink: make large images smaller first, as `shrunk` does; figures published of large images mostly are so.
    """

    unit = ""
    better = "higher"

    @validated
    def __init__(
        self,
        *,
        border: Border = 15,
        max_shift: MaxShift = 5.0,
        step: Step = 0.25,
        luma: Luma = "full",
        shrink: Shrink = False,
    ) -> None:
        super().__init__(border=border, max_shift=max_shift, step=step, luma=luma)
        self.shrink = shrink

    def score(self, crops: Aligned) -> float:
        """SSIM of two crops (C, h, w); raises `InputError` where they are less than 11 pixels wide or high."""
        two = (crops.estimate, crops.truth)
        return ssim(*map(shrunk, two)) if self.shrink else ssim(*two)
