"""Priors of operator parameters other than blur kernels: masks, coil maps and scan geometries.

The second prior of a problem is the prior of the operator's parameter. Each kind of parameter is a class. An operator
names the class that it needs, and every prior that derives from this class can be used. A plugin with another kind of
parameter derives its own class from `invkit.core.interfaces.OperatorParameterPrior`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .interfaces import OperatorParameterPrior

__all__ = ["CoilMapPrior", "MaskPrior", "MeasuredPixels", "ScanPrior"]


class MaskPrior(OperatorParameterPrior):
    """How a mask is parametrised: (B, 1, H, W), of the size of the data, in [0, 1]."""

    rule = "in [0, 1]"
    examples = ((1, 1, 40, 36), (2, 1, 33, 41))

    @staticmethod
    def allowed(value: Tensor) -> Tensor:
        """Clip a value (B, 1, H, W) to [0, 1]."""
        return value.clamp(0, 1)


class MeasuredPixels:
    """The ability of an operator whose mask says which pixels were measured: it is 0 or 1."""


class CoilMapPrior(OperatorParameterPrior):
    """How the sensitivities of N receive coils are parametrised: (B, 2 N, H, W), real parts first, then imaginary.

    In every pixel the squares sum to one over the coils: a factor that all coils share is part of the image.
    """

    rule = "of squares that sum to one over the coils"
    examples = ((1, 8, 24, 20), (2, 4, 17, 24))

    @staticmethod
    def allowed(value: Tensor) -> Tensor:
        """Scale a value (B, 2 N, H, W) in each pixel; pixels where all coils are zero get equal, real coils.

        Example:
            >>> CoilMapPrior.allowed(torch.tensor([3.0, 0.0, 4.0, 0.0]).view(1, 4, 1, 1)).flatten().tolist()
            [0.6000000238418579, 0.0, 0.800000011920929, 0.0]
        """
        norm = value.square().sum(1, keepdim=True).sqrt()
        coils = value.shape[1] // 2
        equal = torch.zeros_like(value)
        equal[:, :coils] = coils**-0.5
        return torch.where(norm > 0, value / norm.where(norm > 0, 1), equal)


class ScanPrior(OperatorParameterPrior):
    """How the geometry of a tomographic scan is parametrised: (B, 1, 2, A) for A projections, finite.

    The first row holds, for each projection, the distance in pixels of the rotation axis to the right of the detector's
    centre. The second row holds the deviation in degrees of its angle from the nominal one.
    """

    rule = "finite"
    examples = ((1, 1, 2, 12), (2, 1, 2, 7))

    @staticmethod
    def allowed(value: Tensor) -> Tensor:
        """Return the value: any finite geometry is allowed."""
        return value
