"""Squared differences of a stack of planes, in three dimensions."""

from __future__ import annotations

from torch import Tensor

from ..core.interfaces import Reweightable
from ..core.parameters import Positive, validated
from ..numerics.finite_differences import stack_gradient
from .shrinkage import mean_penalty, values_per_image

__all__ = ["StackGradientL2"]


class StackGradientL2(Reweightable):
    """Mean of the squared gradient of a stack (B, D, H, W) in three dimensions: Tikhonov smoothness.

    With forward differences (zero across the border), this is the mean over voxels of ``(a d_z)^2 + d_y^2 + d_x^2``.
    The penalty is quadratic, so a deconvolution with it is one linear solve, as by ``wiener``. ``gradient-l2`` has no
    difference between planes. It leaves changes in depth free, of which the kernel of a microscope shows little.

    Args:
        plane_distance: distance of two planes, in pixels of a plane; ``a`` is its inverse. Planes of a microscope are
            often 2 to 4 pixels apart.

    Example:
        >>> import torch
        >>> step = torch.tensor([0.0, 2.0]).view(1, 2, 1, 1).expand(1, 2, 3, 3)  # 9 of 18 voxels have a gradient of 2
        >>> StackGradientL2()(step)
        tensor([2.])
    """

    @validated
    def __init__(self, *, plane_distance: Positive = 1.0) -> None:
        super().__init__()
        self.plane_distance = plane_distance
        self.filters = stack_gradient(1 / plane_distance)

    def penalty(self, coefficients: Tensor) -> Tensor:
        """Differences (3, B, D, H, W) -> (B,), >= 0."""
        return mean_penalty(coefficients.square(), coefficients)

    def prox(self, coefficients: Tensor, step: float) -> Tensor:
        """Differences (3, B, D, H, W), step > 0 -> the same shape, divided by ``1 + 2 step / (D H W)``."""
        return coefficients / (1 + 2 * step / values_per_image(coefficients))

    def weights(self, coefficients: Tensor) -> Tensor:
        """Two over D H W, for all differences (3, B, D, H, W)."""
        return coefficients.new_full(coefficients.shape, 2 / values_per_image(coefficients))
