"""Total variation."""

from __future__ import annotations

from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from ..interfaces import Regularizer
from ..parameters import validated

__all__ = ["TotalVariation"]


class TotalVariation(Regularizer):
    """Total variation per pixel (Rudin, Osher, Fatemi 1992): the mean length of the image's gradient.

    With forward differences ``d_h, d_w`` (zero across the border) and smoothing ``e``, the mean over the pixels and
    channels of ``sqrt(d_h^2 + d_w^2 + e^2) - e`` (isotropic), or of the same of each difference alone, added
    (anisotropic): zero exactly on constant images, with gradient zero there, and convex.

    A mean, as the fidelities are, so that a weight does not depend on the image's size. For a paper that weights the
    sum over the image's N pixels against the sum of squares over the data's M values (SelfDeblur's Eq. 6), this
    weight is the paper's times N / M, which for a kernel much smaller than the image is the paper's.

    Args:
        isotropic: the length of the gradient, or the sum of its parts' magnitudes.
        smoothing: the difference in [0, 1] units below which the penalty turns quadratic; 0 for none, and then it is
            homogeneous, R(c x) = |c| R(x).
    """

    @validated
    def __init__(
        self,
        *,
        isotropic: Annotated[
            bool, Field(description="penalise the length of the gradient, else the sum of its parts' magnitudes")
        ] = True,
        smoothing: Annotated[
            float, Field(ge=0, le=1, description="difference ([0, 1] units) below which the penalty is quadratic")
        ] = 1e-3,
    ) -> None:
        super().__init__()
        self.isotropic = isotropic
        self.smoothing = smoothing

    def forward(self, value: Tensor) -> Tensor:
        """Value (B, C, H, W) -> (B,), >= 0."""
        rows = F.pad(value.diff(dim=-2), (0, 0, 0, 1)).square()
        columns = F.pad(value.diff(dim=-1), (0, 1)).square()
        if self.isotropic:
            return smooth_root(rows + columns, self.smoothing).mean((1, 2, 3))
        return (smooth_root(rows, self.smoothing) + smooth_root(columns, self.smoothing)).mean((1, 2, 3))


def smooth_root(squared: Tensor, smoothing: float) -> Tensor:
    """``sqrt(squared + smoothing^2) - smoothing``, without cancellation, and with gradient zero where it is zero."""
    positive = squared > 0
    safe = torch.where(positive, squared, 1.0)
    root = safe / ((safe + smoothing**2).sqrt() + smoothing)
    return torch.where(positive, root, 0.0)
