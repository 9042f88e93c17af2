"""Number of edges."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import Tensor

from ..core.interfaces import Proximable
from ..core.parameters import validated
from ..numerics.finite_differences import GRADIENT
from .shrinkage import blockwise, mean_penalty, truncated_shrinkage, truncated_square, values_of

__all__ = ["L0Gradient"]


class L0Gradient(Proximable):
    """How many pixels have a gradient (Xu, Lu, Xu, Jia, SIGGRAPH Asia 2011), softened as by Xu, Zheng, Jia, CVPR 2013.

    With forward differences (zero across the border) of length t, the sum over the pixels of
    ``min(t^2 / smoothing^2, 1)`` (the unnatural L0 of 2013), divided by the number C H W of the image's
    values: with ``smoothing = 0`` the number of lengths that are not zero. For methods that solve by proximal maps,
    as the papers do, set ``smoothing`` to zero; methods that descend need it above zero, as a count has no slope.

    The fidelity is a mean over the same C H W values, so the weight is the lambda of a paper that adds
    ``lambda * count`` to a sum of squares, whatever is decided jointly: where a colour image's channels are, a pixel
    counts once, and R is at most 1 / C; where each difference is alone, R is at most 2.

    The proximal map is exact: lengths up to ``sqrt(smoothing^2 + 2 s)`` are shrunk by ``1 + 2 s / smoothing^2`` (to
    zero without smoothing), others kept, with ``s = step / (C H W)``.

    Args:
        isotropic: one decision for both differences of a pixel, or one for each.
        joint_channels: one decision for all channels, or one for each.
        smoothing: length in [0, 1] units from which an edge counts in full; 0 for a count of all.
    """

    filters = GRADIENT

    @validated
    def __init__(
        self,
        *,
        isotropic: Annotated[
            bool, Field(description="decide by the gradient's length, else for each difference by itself")
        ] = True,
        joint_channels: Annotated[
            bool, Field(description="decide for all channels of a pixel at once, else for each by itself")
        ] = True,
        smoothing: Annotated[
            float,
            Field(ge=0, le=1, description="length ([0, 1] units) below which the penalty is quadratic; 0: a count"),
        ] = 1e-2,
    ) -> None:
        super().__init__()
        self.isotropic = isotropic
        self.joint_channels = joint_channels
        self.smoothing = smoothing

    def penalty(self, coefficients: Tensor) -> Tensor:
        """Differences (2, B, C, H, W) -> (B,), >= 0."""
        return mean_penalty(truncated_square(coefficients, self.joint(), self.smoothing), coefficients)

    def prox(self, coefficients: Tensor, step: float) -> Tensor:
        """Differences (2, B, C, H, W), step > 0 -> the same shape; see the class."""
        shrinkage = truncated_shrinkage(self.joint(), self.smoothing, step / values_of(coefficients))
        return blockwise(shrinkage, coefficients)

    def joint(self) -> tuple[int, ...]:
        """The dimensions of the coefficients over which one length is taken."""
        return (0,) * self.isotropic + (2,) * self.joint_channels
