"""PSNR and SSIM of images compared pixel by pixel, without a search for a shift."""

from __future__ import annotations

from abc import abstractmethod
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from ..core.errors import InputError
from ..core.evaluation import Floats, ImageMetric, Trial
from ..core.parameters import NonNegativeInt, validated
from ..media.colour import to_luma_chroma
from ..numerics.registration import crop_border, crop_to_common_size
from ..numerics.similarity import downsample_for_ssim, psnr, ssim

__all__ = ["Luma", "PlainMetric", "PlainPSNR", "PlainSSIM", "planes_of"]

Luma: TypeAlias = Literal["full", "matlab"]


class PlainMetric(ImageMetric):
    """A figure of the restored image and the truth, compared pixel by pixel.

    Images of two sizes are cropped about their centres to the common size. An odd pixel is cut at the bottom or right.

    Args:
        border: pixels cut from each side of both images.
        luma: "full" compares the pixels as they are, over all channels. "matlab" compares the luma of MATLAB's
            rgb2ycbcr, whose range is 16 to 235 of 255, also for grey images, which adds 1.32 dB to a PSNR.
    """

    @validated
    def __init__(self, *, border: NonNegativeInt = 0, luma: Luma = "full") -> None:
        self.border = border
        self.luma = luma

    def measure(self, trial: Trial) -> float | None:
        """The figure, or None if the truth is unknown.

        Raises:
            InputError: an image contains NaN, the channels differ, or nothing is left inside the border.
        """
        if trial.sample.truth is None:
            return None
        images = (planes_of(image, self.luma) for image in (trial.image, trial.sample.truth))
        return self.score(*(crop_border(image, self.border) for image in crop_to_common_size(*images)))

    @abstractmethod
    def score(self, estimate: npt.NDArray[np.float64], truth: npt.NDArray[np.float64]) -> float:
        """The figure of two images (C, h, w)."""


class PlainPSNR(PlainMetric):
    """Peak signal-to-noise ratio in dB for a peak of 1, pixel by pixel. It is infinite if the images are equal.

    The arguments are those of `PlainMetric`.

    Example:
        >>> import numpy as np
        >>> from invkit.core.evaluation import Sample, Trial
        >>> grey = np.full((4, 4), 0.5)
        >>> trial = Trial(Sample(grey, truth=grey), grey + 0.1, None, 0.0, 0.0, 0)
        >>> round(PlainPSNR().measure(trial), 6)
        20.0
    """

    unit = "dB"
    better = "higher"

    def score(self, estimate: npt.NDArray[np.float64], truth: npt.NDArray[np.float64]) -> float:
        """PSNR of two images (C, h, w), over all channels."""
        return psnr(estimate, truth)


class PlainSSIM(PlainMetric):
    """Structural similarity, at most 1, pixel by pixel (Wang, Bovik, Sheikh, Simoncelli 2004).

    Args:
        shrink: whether to shrink large images first to a shorter side of about 256 pixels, as the code of SSIM's
            authors does. Most published figures of large images are computed so.

    The other arguments are those of `PlainMetric`.
    """

    unit = ""
    better = "higher"

    @validated
    def __init__(self, *, border: NonNegativeInt = 0, luma: Luma = "full", shrink: bool = False) -> None:
        super().__init__(border=border, luma=luma)
        self.shrink = shrink

    def score(self, estimate: npt.NDArray[np.float64], truth: npt.NDArray[np.float64]) -> float:
        """SSIM of two images (C, h, w); raises `InputError` if a side has less than 11 pixels."""
        return ssim_of(estimate, truth, self.shrink)


def ssim_of(estimate: npt.NDArray[np.float64], truth: npt.NDArray[np.float64], shrink: bool) -> float:
    """SSIM of two images (C, h, w).

    Args:
        estimate: the estimate.
        truth: the truth.
        shrink: shrink large images first.
    """
    return ssim(*map(downsample_for_ssim, (estimate, truth))) if shrink else ssim(estimate, truth)


def planes_of(image: Floats, luma: Literal["full", "matlab"] = "full") -> npt.NDArray[np.float64]:
    """An image as planes (C, H, W), float64.

    Args:
        image: (H, W) or (H, W, 3) in [0, 1], as in a `Sample`.
        luma: "full" keeps the pixels and channels. "matlab" gives one channel, ``(16 + 219 Y) / 255``, as MATLAB's
            rgb2ycbcr does for floating-point images. Y is the luma, or the grey image itself.

    Raises:
        InputError: the image has another shape.

    Example:
        >>> import numpy as np
        >>> planes_of(np.zeros((5, 6, 3))).shape, planes_of(np.zeros((5, 6, 3)), "matlab").shape
        ((3, 5, 6), (1, 5, 6))
    """
    array = np.asarray(image, dtype=np.float64)
    if array.ndim == 2:
        array = array[..., None]
    if array.ndim != 3 or array.shape[-1] not in (1, 3):
        raise InputError(f"an image must be (H, W) or (H, W, 3), but its shape is {np.shape(image)}; convert it first")
    if luma == "matlab":
        array = (16 + 219 * (to_luma_chroma(array)[0] if array.shape[-1] == 3 else array)) / 255
    return np.moveaxis(array, -1, 0)
