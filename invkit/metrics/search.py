"""What the metrics of a trial share: its pictures in one layout, and one alignment for all of them."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Annotated, Literal, TypeAlias
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt
from pydantic import Field

from ..core.errors import InputError
from ..core.evaluation import Floats, Sample, Trial
from ..core.interfaces import Metric
from ..core.parameters import validated
from ..media.colour import to_luma_chroma
from ..numerics.registration import Aligned, align, check_search

__all__ = ["AlignedMetric", "Border", "Luma", "MaxShift", "Search", "Step", "planes_of"]

Luma: TypeAlias = Annotated[
    Literal["full", "matlab"],
    Field(
        description="full: pixels as they are, over all channels; matlab: the luma that MATLAB's rgb2ycbcr gives, of "
        "range 16 to 235 of 255, for grey images too, which adds 1.32 dB"
    ),
]
Border: TypeAlias = Annotated[int, Field(ge=0, description="pixels cut from each side; at least max_shift")]
MaxShift: TypeAlias = Annotated[
    float, Field(ge=0, allow_inf_nan=False, description="farthest shift tried in each direction, pixels")
]
Step: TypeAlias = Annotated[float, Field(gt=0, allow_inf_nan=False, description="between two shifts tried, pixels")]


@dataclass(frozen=True)
class Search:
    """How a result is laid on the truth; see `align`.

    Args:
        border: pixels cut from each side.
        max_shift: the farthest shift tried, pixels, at most ``border``.
        step: between two shifts tried, pixels.
        luma: "full" or "matlab", as `planes_of`.

    Raises:
        InputError: they cannot be used together.
    """

    border: int
    max_shift: float
    step: float
    luma: Literal["full", "matlab"]

    def __post_init__(self) -> None:
        check_search(self.border, self.max_shift, self.step)

    def trial(self, trial: Trial) -> Aligned | None:
        """The restored image on the truth, (C, h, w); None where the truth is not known."""
        return self.shared(trial, trial.image, trial.sample.truth)

    def reference(self, sample: Sample) -> Aligned | None:
        """The deconvolution with the known kernel on the truth, by a shift of its own; None where either lacks."""
        return self.shared(sample, sample.references.get("known-kernel"), sample.truth)

    def shared(self, owner: Trial | Sample, estimate: Floats | None, truth: Floats | None) -> Aligned | None:
        """The alignment of what belongs to a trial or a sample: done once for all metrics, kept while that lives."""
        if estimate is None or truth is None:
            return None
        done = ALIGNMENTS.setdefault(owner, {})
        if self not in done:
            pictures = (planes_of(picture, self.luma) for picture in (estimate, truth))
            done[self] = align(*pictures, border=self.border, max_shift=self.max_shift, step=self.step)
        return done[self]


ALIGNMENTS: WeakKeyDictionary[Trial | Sample, dict[Search, Aligned]] = WeakKeyDictionary()
"""What `Search` has found, by what it belongs to and how it was searched."""


class AlignedMetric(Metric):
    """A figure of two crops that show the same place: of the restored image, its shift taken out, and of the truth.

    Args:
        border: pixels cut from each side, at least ``max_shift``.
        max_shift: the farthest shift tried in each direction, pixels.
        step: between two shifts tried, pixels.
        luma: "full" compares pixels as they are, over all channels, with one shift; "matlab" compares the luma of
            MATLAB's rgb2ycbcr, whose range is 16 to 235 of 255, which adds 1.32 dB to a PSNR.

    Raises:
        InputError: the border is less than ``max_shift``, or the step makes more than 2001 shifts along a side.
    """

    @validated
    def __init__(
        self, *, border: Border = 15, max_shift: MaxShift = 5.0, step: Step = 0.25, luma: Luma = "full"
    ) -> None:
        self.search = Search(border, max_shift, step, luma)

    def measure(self, trial: Trial) -> float | None:
        """The figure of the aligned crops, or None where the truth is not known.

        Raises:
            InputError: NaN in an image, channels that differ, or images that the border leaves nothing of.
        """
        crops = self.search.trial(trial)
        return None if crops is None else self.score(crops)

    @abstractmethod
    def score(self, crops: Aligned) -> float:
        """The figure of two crops (C, h, w)."""


def planes_of(picture: Floats, luma: Literal["full", "matlab"] = "full") -> npt.NDArray[np.float64]:
    """A picture (H, W) or (H, W, 3) in [0, 1] as (C, H, W), float64.

    Args:
        picture: as a `Sample` holds it.
        luma: "full" keeps pixels and channels; "matlab" gives one channel, ``(16 + 219 Y) / 255`` of the luma Y (of a
            grey picture, of itself), as MATLAB's rgb2ycbcr does for floating-point images.

    Raises:
        InputError: another shape.
    """
    array = np.asarray(picture, dtype=np.float64)
    if array.ndim == 2:
        array = array[..., None]
    if array.ndim != 3 or array.shape[-1] not in (1, 3):
        raise InputError(f"a picture must be (H, W) or (H, W, 3); got {np.shape(picture)}")
    if luma == "matlab":
        array = (16 + 219 * (to_luma_chroma(array)[0] if array.shape[-1] == 3 else array)) / 255
    return np.moveaxis(array, -1, 0)
