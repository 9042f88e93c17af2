"""An image of one colour."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import Tensor, nn

from ..core.interfaces import ImagePrior
from ..core.parameters import validated
from ..numerics.geometry import Shape
from .box import Initial, boxed, starting_image

__all__ = ["ConstantImage"]


class ConstantImage(ImagePrior):
    """One colour for the whole image: the airlight of a hazy scene, or the light of a veil.

    Args:
        shape: (B, C, H, W).
        start: (B, C, H', W') with H' <= H and W' <= W, what images may start from; needed unless
            ``initial="grey"``.
        initial: what the colour starts from: the mean of the start, or 0.5.
        fixed: whether it stays that; else it is an unknown.

    Raises:
        InputError: the start is needed and missing, or no image of such a shape.
    """

    @validated
    def __init__(
        self,
        shape: Shape,
        start: Tensor | None = None,
        *,
        initial: Initial = "data",
        fixed: Annotated[bool, Field(description="whether the colour stays what it starts from")] = False,
    ) -> None:
        super().__init__(shape)
        image = starting_image(start, shape, initial=initial, prior="constant")
        self.colour = nn.Parameter(image.mean((-2, -1), keepdim=True), requires_grad=not fixed)

    def forward(self) -> Tensor:
        """The image, (B, C, H, W), in [0, 1]."""
        return boxed(self.colour).expand(self.shape)
