"""A mask that is an image."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import Tensor

from ..interfaces import ImagePrior, MaskPrior
from ..parameters import Shape, validated

__all__ = ["ImageMask"]


class ImageMask(MaskPrior):
    """Any image prior as the prior of a mask: ``m = prior()``, as the mask network of Double-DIP.

    Args:
        shape: (B, 1, H, W).
        prior: gives the mask, of that shape, in [0, 1]; what it starts from is the mask given, if one is.
    """

    @validated
    def __init__(
        self,
        shape: Shape,
        *,
        prior: Annotated[
            ImagePrior,
            Field(description="gives the mask", examples=[{"name": "pixels", "params": {"initial": "grey"}}]),
        ],
    ) -> None:
        super().__init__(shape)
        self.prior = prior

    def forward(self) -> Tensor:
        """The mask, (B, 1, H, W), in [0, 1]."""
        mask: Tensor = self.prior()
        return mask
