"""The normalised sparsity of a restoration's gradients."""

from __future__ import annotations

import torch
from torch import Tensor

from ...core.evaluation import NoReferenceMetric
from ...core.parameters import validated
from ...numerics.restoration_scores import gradient_sparsity

__all__ = ["NormalizedSparsity"]


class NormalizedSparsity(NoReferenceMetric):
    """``log(mean |grad x| / rms |grad x|)``: the L1 norm of the gradients over their L2 norm (Krishnan et al. 2011).

    Blur lowers the L2 norm of the gradients and hardly the L1 norm, while noise and rings raise the L1 norm more. So
    the ratio is least for a sharp image without rings. A change of contrast leaves it as it is, unlike `LogGradient`,
    which is also low for an image that is still blurry. |grad x| is the sum of the lengths of both differences; for
    several channels, a length is the root of the mean square.

    Example:
        >>> edge = torch.zeros(1, 1, 9, 9)
        >>> edge[..., 4:] = 1
        >>> ramp = torch.linspace(0, 1, 9).expand(1, 1, 9, 9)
        >>> NormalizedSparsity()(edge, torch.cat([edge, ramp]), torch.ones(2, 1, 1, 1)).round(decimals=2)
        tensor([-1.0400,  0.0000], dtype=torch.float64)
    """

    @validated
    def __init__(self) -> None:
        super().__init__()

    @torch.no_grad()
    def forward(self, data: Tensor, images: Tensor, kernels: Tensor) -> Tensor:
        """One number for each image.

        Args:
            data: (1, C, H, W), not used.
            images: (N, C, H, W) in [0, 1].
            kernels: (N, 1, h, w), not used.

        Returns:
            (N,), float64; zeros if the images have less than 2 pixels along a side.
        """
        return gradient_sparsity(images)
