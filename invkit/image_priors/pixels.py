"""The image as free pixels."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field
from torch import Tensor, nn

from ..core.interfaces import Assignable, ImagePrior, Resizable
from ..core.parameters import validated
from ..numerics.geometry import Shape, new_size, resample, shape_of
from .box import Initial, boxed, starting_image

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Pixels"]

MARGIN = 1e-3  # of a starting image's values from 0 and 1 under the sigmoid, which reaches neither


class Pixels(ImagePrior, Assignable, Resizable):
    """Free pixels in [0, 1]: every image can be reached, none is preferred; regularizers do that.

    ``parametrization="clamp"`` clamps free numbers. A pixel outside the box keeps the gradients that bring it back (a
    plain clamp has none there), so that descent is projected descent. ``"sigmoid"`` is smooth, and slow near 0 and 1.

    Args:
        shape: (B, C, H, W).
        start: (B, C, H', W') with H' <= H and W' <= W, the data; extended by its edge pixels about the centre where
            it is smaller, as under a valid convolution. Needed for ``initial="data"``.
        parametrization: how free numbers become pixels.
        initial: what the pixels start from: the data, or 0.5 everywhere.

    Raises:
        InputError: ``initial="data"`` and ``start`` is missing, not finite, larger than the image or of another
            batch or number of channels.
    """

    @validated
    def __init__(
        self,
        shape: Shape,
        start: Tensor | None = None,
        *,
        parametrization: Annotated[
            Literal["clamp", "sigmoid"], Field(description="how free numbers become pixels in [0, 1]")
        ] = "clamp",
        initial: Initial = "data",
    ) -> None:
        super().__init__(shape)
        self.parametrization = parametrization
        self.free = nn.Parameter(self.freed(starting_image(start, shape, initial=initial, prior="pixels")))

    def forward(self) -> Tensor:
        """The image, (B, C, H, W), in [0, 1]."""
        return self.free.sigmoid() if self.parametrization == "sigmoid" else boxed(self.free)

    def assigned(self, value: Tensor) -> Self:
        """Pixels of an image (B, C, H, W) of any size, clamped to [0, 1], under the sigmoid to [0.001, 0.999]."""
        free = nn.Parameter(self.freed(value.detach().clamp(0, 1)), self.free.requires_grad)
        pixels = copy.deepcopy(self, {id(self.free): free})  # in the copy, in place of a copy of the old numbers
        pixels.shape = shape_of(value)
        return pixels

    def resized(self, shape: Shape, scale: float) -> Self:
        """The image resampled about its middle; raises `InputError` for another batch or number of channels."""
        return self.assigned(resample(self().detach(), new_size(self.shape, shape), scale))

    def freed(self, image: Tensor) -> Tensor:
        """The free numbers of an image in [0, 1]."""
        return image if self.parametrization == "clamp" else image.logit(MARGIN)
