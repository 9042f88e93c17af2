"""Total variation of a stack of planes, in three dimensions."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from ..core.interfaces import Regularizer
from ..core.parameters import Positive, validated
from .tv import smooth_root

__all__ = ["StackTotalVariation"]


class StackTotalVariation(Regularizer):
    """Total variation per voxel: the mean length of the gradient of a stack (B, D, H, W) in three dimensions.

    Dey et al., "Richardson-Lucy Algorithm with Total Variation Regularization for 3D Confocal Microscope
    Deconvolution", Microscopy Research and Technique 2006. With forward differences (zero across the border) and
    smoothing ``e``, this is the mean over voxels of ``sqrt((a d_z)^2 + d_y^2 + d_x^2 + e^2) - e``.

    Args:
        plane_distance: distance of two planes, in pixels of a plane; ``a`` is its inverse. Planes of a microscope are
            often 2 to 4 pixels apart.
        smoothing: length, in [0, 1] units, below which the penalty is quadratic.

    Example:
        >>> import torch
        >>> step = torch.tensor([0.0, 1.0]).view(1, 2, 1, 1).expand(1, 2, 3, 3)  # 9 of 18 voxels have a gradient of 1
        >>> StackTotalVariation(smoothing=1e-6)(step).round(decimals=3)
        tensor([0.5000])
    """

    @validated
    def __init__(self, *, plane_distance: Positive = 1.0, smoothing: Positive = 1e-3) -> None:
        super().__init__()
        self.plane_distance = plane_distance
        self.smoothing = smoothing

    def forward(self, value: Tensor) -> Tensor:
        """Stack (B, D, H, W) -> (B,), >= 0."""
        across = F.pad(value.diff(dim=1), (0, 0, 0, 0, 0, 1)) / self.plane_distance
        down, along = F.pad(value.diff(dim=2), (0, 0, 0, 1)), F.pad(value.diff(dim=3), (0, 1))
        squared = across.square() + down.square() + along.square()
        return smooth_root(squared, self.smoothing).mean((1, 2, 3))
