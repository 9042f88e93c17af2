"""Total variation of a stack of planes, in three dimensions."""

from __future__ import annotations

from torch import Tensor

from ..core.interfaces import Reweightable
from ..core.parameters import NonNegative, Positive, validated
from ..numerics.finite_differences import stack_gradient
from .shrinkage import mean_penalty, squared_length
from .tv import length_weights, shortened, smooth_root

__all__ = ["StackTotalVariation"]

JOINT = (0,)  # the three differences form one length


class StackTotalVariation(Reweightable):
    """Total variation per voxel: the mean length of the gradient of a stack (B, D, H, W) in three dimensions.

    Dey et al., "Richardson-Lucy Algorithm with Total Variation Regularization for 3D Confocal Microscope
    Deconvolution", Microscopy Research and Technique 2006. With forward differences (zero across the border) and
    smoothing ``e``, this is the mean over voxels of ``sqrt((a d_z)^2 + d_y^2 + d_x^2 + e^2) - e``. The proximal map
    shortens gradients, as that of ``tv``.

    Args:
        plane_distance: distance of two planes, in pixels of a plane; ``a`` is its inverse. Planes of a microscope are
            often 2 to 4 pixels apart.
        smoothing: length, in [0, 1] units, below which the penalty is quadratic; 0 for none.

    Example:
        >>> import torch
        >>> step = torch.tensor([0.0, 1.0]).view(1, 2, 1, 1).expand(1, 2, 3, 3)  # 9 of 18 voxels have a gradient of 1
        >>> StackTotalVariation(smoothing=1e-6)(step).round(decimals=3)
        tensor([0.5000])
    """

    @validated
    def __init__(self, *, plane_distance: Positive = 1.0, smoothing: NonNegative = 1e-3) -> None:
        super().__init__()
        self.plane_distance = plane_distance
        self.smoothing = smoothing
        self.filters = stack_gradient(1 / plane_distance)

    def penalty(self, coefficients: Tensor) -> Tensor:
        """Differences (3, B, D, H, W) -> (B,), >= 0."""
        return mean_penalty(smooth_root(squared_length(coefficients, JOINT), self.smoothing), coefficients)

    def prox(self, coefficients: Tensor, step: float) -> Tensor:
        """Differences (3, B, D, H, W), step > 0 -> the same shape; without gradients."""
        return shortened(coefficients, JOINT, self.smoothing, step)

    def weights(self, coefficients: Tensor) -> Tensor:
        """``1 / sqrt(length^2 + smoothing^2)`` over D H W; (3, B, D, H, W), > 0."""
        return length_weights(coefficients, JOINT, self.smoothing)
