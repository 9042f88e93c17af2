"""The mean log gradient of a restoration."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from ...core.interfaces import NoReferenceMetric
from ...core.parameters import Positive, validated

__all__ = ["LogGradient"]


class LogGradient(NoReferenceMetric):
    """Mean of ``log(|grad x| + floor)``, minus the log-likelihood of gradients with the heaviest of tails.

    A wrong kernel leaves ringing, which fills what should be flat; the logarithm counts small gradients, and hardly
    minds whether an edge is steep. Under one noise level for all restorations: a stronger regularizer flattens more.
    Over several channels, |grad x| is the root of their mean square.

    Args:
        floor: added to the gradients, in [0, 1] units.
        border: left out on every side, pixels, but at most a quarter of the image.
    """

    @validated
    def __init__(
        self,
        *,
        floor: Annotated[Positive, Field(description="added to the gradients, in [0, 1] units")] = 1e-3,
        border: Annotated[int, Field(ge=0, description="left out on every side, pixels")] = 8,
    ) -> None:
        super().__init__()
        self.floor, self.border = floor, border

    @torch.no_grad()
    def forward(self, data: Tensor, images: Tensor, kernels: Tensor) -> Tensor:
        """Of each image by itself."""
        if min(images.shape[-2:]) < 2:
            return images.new_zeros(len(images), dtype=torch.float64)
        inner = inside(images, self.border).double()
        down, right = inner[..., 1:, :-1] - inner[..., :-1, :-1], inner[..., :-1, 1:] - inner[..., :-1, :-1]
        lengths = (down.square() + right.square()).mean(dim=1).sqrt()
        return (lengths + self.floor).log().mean(dim=(-2, -1))


def inside(images: Tensor, border: int) -> Tensor:
    """The images without a border, or without a quarter on each side of small ones."""
    rows, columns = (min(border, side // 4) for side in images.shape[-2:])
    return images[..., rows : images.shape[-2] - rows, columns : images.shape[-1] - columns]
