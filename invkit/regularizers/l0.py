"""L0 penalties: the number of edges, and the number of pixels that are not black."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor

from ..core.interfaces import Proximable
from ..core.parameters import Fraction, validated
from ..numerics.finite_differences import GRADIENT
from .shrinkage import blockwise, mean_penalty, truncated_shrinkage, truncated_square, values_per_image

__all__ = ["L0Gradient", "L0Intensity"]


class SoftenedCount(Proximable, ABC):
    """The mean of ``min(t^2 / smoothing^2, 1)`` over lengths t; without smoothing, the number of nonzero lengths.

    The proximal map is exact. With ``s = step / (C H W)``, it divides lengths up to ``sqrt(smoothing^2 + 2 s)`` by
    ``1 + 2 s / smoothing^2`` (without smoothing it sets them to zero), and keeps the others.
    """

    smoothing: float

    @abstractmethod
    def joint(self) -> tuple[int, ...]:
        """The dimensions of the coefficients (K, B, C, H, W) that form one length."""

    def penalty(self, coefficients: Tensor) -> Tensor:
        """Coefficients (K, B, C, H, W) -> (B,), >= 0."""
        return mean_penalty(truncated_square(coefficients, self.joint(), self.smoothing), coefficients)

    def prox(self, coefficients: Tensor, step: float) -> Tensor:
        """Coefficients (K, B, C, H, W), step > 0 -> the same shape; exact, see `SoftenedCount`."""
        shrinkage = truncated_shrinkage(self.joint(), self.smoothing, step / values_per_image(coefficients))
        return blockwise(shrinkage, coefficients)


class L0Gradient(SoftenedCount):
    """Number of pixels with a gradient (Xu, Lu, Xu, Jia, SIGGRAPH Asia 2011), softened as in Xu, Zheng, Jia, CVPR 2013.

    With t the length of the forward differences (zero across the border), this is the sum over the pixels of
    ``min(t^2 / smoothing^2, 1)`` (the unnatural L0 of 2013), divided by the number C H W of the image's values. With
    ``smoothing = 0`` it counts the nonzero lengths. Set the smoothing to zero for methods with proximal maps, as in the
    papers. Gradient methods need it above zero, because a count has no slope.

    The fidelity is a mean over the same C H W values. The weight is therefore the lambda of a paper that adds
    ``lambda * count`` to a sum of squares. With joint channels, a pixel counts once and R is at most 1 / C. With
    separate differences, R is at most 2.

    Args:
        isotropic: whether one decision holds for both differences of a pixel, or one for each.
        joint_channels: whether one decision holds for all channels of a pixel, or one for each.
        smoothing: length, in [0, 1] units, below which the penalty is quadratic and above which an edge counts fully; 0
            for a count.

    Example:
        >>> import torch
        >>> step = torch.tensor([0.0, 0.0, 1.0, 1.0]).expand(1, 1, 4, 4)  # 4 of 16 pixels have an edge
        >>> L0Gradient()(step)
        tensor([0.2500])
    """

    filters = GRADIENT

    @validated
    def __init__(self, *, isotropic: bool = True, joint_channels: bool = True, smoothing: Fraction = 1e-2) -> None:
        super().__init__()
        self.isotropic = isotropic
        self.joint_channels = joint_channels
        self.smoothing = smoothing

    def joint(self) -> tuple[int, ...]:
        """The dimensions of the coefficients that form one length."""
        return (0,) * self.isotropic + (2,) * self.joint_channels


class L0Intensity(SoftenedCount):
    """Number of pixels that are not zero (Pan, Hu, Su, Yang, CVPR 2014, who add it to the L0 gradient for text).

    With t the value of a pixel, or the length of its colour, this is the sum over the pixels of
    ``min(t^2 / smoothing^2, 1)``, divided by the number C H W of the image's values. With ``smoothing = 0`` it counts
    the pixels that are not zero. The fidelity is a mean over the same values. The weight is therefore the factor of a
    paper that adds the count to a sum of squares. With joint channels R is at most 1 / C.

    Args:
        joint_channels: whether one decision holds for all channels of a pixel, or one for each.
        smoothing: value, in [0, 1] units, below which the penalty is quadratic and above which a pixel counts fully; 0
            for a count.
    """

    @validated
    def __init__(self, *, joint_channels: bool = True, smoothing: Fraction = 1e-2) -> None:
        super().__init__()
        self.joint_channels = joint_channels
        self.smoothing = smoothing

    def joint(self) -> tuple[int, ...]:
        """The dimensions of the coefficients that form one length."""
        return (2,) * self.joint_channels
