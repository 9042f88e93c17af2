"""The mean logarithm of a restoration's gradients."""

from __future__ import annotations

import torch
from torch import Tensor

from ...core.evaluation import NoReferenceMetric
from ...core.parameters import NonNegativeInt, Positive, validated

__all__ = ["LogGradient"]


class LogGradient(NoReferenceMetric):
    """Mean of ``log(|grad x| + floor)``: minus the log-likelihood of gradients under a very heavy-tailed prior.

    A wrong kernel causes ringing, which fills flat regions. The logarithm emphasises small gradients and is nearly
    independent of the steepness of edges. All restorations must assume the same noise level, because a stronger
    regularizer flattens more. For several channels, |grad x| is the root of their mean square.

    Args:
        floor: added to the gradients, in [0, 1] units.
        border: pixels left out on each side, at most a quarter of the image.
    """

    @validated
    def __init__(self, *, floor: Positive = 1e-3, border: NonNegativeInt = 8) -> None:
        super().__init__()
        self.floor, self.border = floor, border

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
        if min(images.shape[-2:]) < 2:
            return images.new_zeros(len(images), dtype=torch.float64)
        inner = inner_part(images, self.border).double()
        down, right = inner[..., 1:, :-1] - inner[..., :-1, :-1], inner[..., :-1, 1:] - inner[..., :-1, :-1]
        lengths = (down.square() + right.square()).mean(dim=1).sqrt()
        return (lengths + self.floor).log().mean(dim=(-2, -1))


def inner_part(images: Tensor, border: int) -> Tensor:
    """Images (N, C, H, W) without a border, or without a quarter on each side if they are small."""
    rows, columns = (min(border, side // 4) for side in images.shape[-2:])
    return images[..., rows : images.shape[-2] - rows, columns : images.shape[-1] - columns]
