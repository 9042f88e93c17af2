"""A mask that is an image."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field
from torch import Tensor

from ..core.interfaces import ImagePrior, MaskPrior
from ..core.parameters import validated
from ..numerics.geometry import Shape

__all__ = ["ImageMask"]


class ImageMask(MaskPrior):
    """Any image prior as the prior of a mask: ``m = prior()``, as the mask network of Double-DIP.

    Args:
        shape: (B, 1, H, W).
        prior: gives the mask, of that shape, in [0, 1]; what it starts from is the mask given, if one is,
            or what the data tell of it.
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

    @classmethod
    def nested_arguments(cls, slot: str, given: Mapping[str, object]) -> Mapping[str, object]:
        """What is given, and to start from the mask, or else what the data tell of it."""
        start = given.get("start")
        return {**given, "start": given.get("guess") if start is None else start}

    def forward(self) -> Tensor:
        """The mask, (B, 1, H, W), in [0, 1]."""
        mask: Tensor = self.prior()
        return mask
