"""Number of pixels that are not black."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import Tensor

from ..core.interfaces import Proximable
from ..core.parameters import validated
from .shrinkage import blockwise, mean_penalty, truncated_shrinkage, truncated_square, values_of

__all__ = ["L0Intensity"]


class L0Intensity(Proximable):
    """How many pixels are not zero (Pan, Hu, Su, Yang, CVPR 2014, who add it to the L0 gradient for text).

    With t the pixel's value, or the length of its colour, the sum over the pixels of ``min(t^2 / smoothing^2, 1)``,
    divided by the number C H W of the image's values; with ``smoothing = 0`` the number of pixels that are not zero.
    The fidelity is a mean over the same values, so the weight is the factor of a paper that adds the count to a sum
    of squares; a colour image of which a pixel counts once has R of 1 / C at most.

    The proximal map is exact: lengths up to ``sqrt(smoothing^2 + 2 s)`` are shrunk by ``1 + 2 s / smoothing^2`` (to
    zero without smoothing), others kept, with ``s = step / (C H W)``.

    Args:
        joint_channels: one decision for all channels, or one for each.
        smoothing: value in [0, 1] units from which a pixel counts in full; 0 for a count of all.
    """

    @validated
    def __init__(
        self,
        *,
        joint_channels: Annotated[
            bool, Field(description="decide for all channels of a pixel at once, else for each by itself")
        ] = True,
        smoothing: Annotated[
            float,
            Field(ge=0, le=1, description="value ([0, 1] units) below which the penalty is quadratic; 0: a count"),
        ] = 1e-2,
    ) -> None:
        super().__init__()
        self.joint_channels = joint_channels
        self.smoothing = smoothing

    def penalty(self, coefficients: Tensor) -> Tensor:
        """Pixels (1, B, C, H, W) -> (B,), >= 0."""
        return mean_penalty(truncated_square(coefficients, self.joint(), self.smoothing), coefficients)

    def prox(self, coefficients: Tensor, step: float) -> Tensor:
        """Pixels (1, B, C, H, W), step > 0 -> the same shape; see the class."""
        shrinkage = truncated_shrinkage(self.joint(), self.smoothing, step / values_of(coefficients))
        return blockwise(shrinkage, coefficients)

    def joint(self) -> tuple[int, ...]:
        """The dimensions of the coefficients over which one length is taken."""
        return (2,) * self.joint_channels
