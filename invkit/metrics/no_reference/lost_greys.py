"""The greys that a restoration has turned into black or white."""

from __future__ import annotations

import torch
from torch import Tensor

from ...core.evaluation import NoReferenceMetric
from ...core.parameters import PositiveFraction, validated
from ...numerics.restoration_scores import lost_share

__all__ = ["LostGreys"]


class LostGreys(NoReferenceMetric):
    """The root of the share of the values that were neither dark nor bright and became black or white.

    The blurry image is a weighted mean of the sharp one, so a sharp image may be black or white where the blurry one is
    grey, but seldom on large areas. The rings of a wrong kernel are there everywhere, and the bounds of the restoration
    cut them off.

    Args:
        max_share: a larger share counts as this one: both are wrong.

    Example:
        >>> data = torch.full((1, 1, 8, 8), 0.5)
        >>> rings = data.clone()
        >>> rings[..., ::4] = 0
        >>> LostGreys(max_share=1.0)(data, torch.cat([data, rings]), torch.ones(2, 1, 1, 1))
        tensor([0.0000, 0.5000], dtype=torch.float64)
    """

    @validated
    def __init__(self, *, max_share: PositiveFraction = 0.05) -> None:
        super().__init__()
        self.max_share = max_share

    @torch.no_grad()
    def forward(self, data: Tensor, images: Tensor, kernels: Tensor) -> Tensor:
        """One number for each image.

        Args:
            data: (1, C, H, W) in [0, 1].
            images: (N, C, H, W) in [0, 1].
            kernels: (N, 1, h, w), not used.

        Returns:
            (N,), float64, from 0 to the root of ``max_share``.
        """
        return lost_share(data, images).clamp(max=self.max_share).sqrt()
