"""The image as its wavelet coefficients."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Annotated

from pydantic import Field
from torch import Tensor, nn

from ..core.interfaces import Assignable, ImagePrior, Resizable
from ..core.parameters import validated
from ..numerics.geometry import Shape, new_size, resample, shape_of, size_of
from ..numerics.wavelets import Levels, Wavelet, compose, decompose, level_of
from .box import Initial, boxed, starting_image

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["WaveletImage"]


class WaveletImage(ImagePrior, Assignable, Resizable):
    """Free coefficients of an orthonormal wavelet transform: ``x = clamp(W^T S c)``, which reaches every image.

    None is preferred, as with the prior "pixels"; what makes an image of few coefficients is the regularizer
    "wavelet-l1". But descent goes another way, and S says which: coefficients of level j are counted in units of
    ``boost^(j - 1)``. Adam changes all c about as fast, and so coarse scales before fine ones, as they should where
    a blur has left little but noise of the fine: those of natural images grow about twofold from level to level. With
    ``boost = 1`` it is noise that comes first. Outside [0, 1] pixels keep the gradients that bring them back.

    W is `invkit.numerics.wavelets.decompose` (Mallat 1989, Daubechies 1988), periodic, for every size.

    Args:
        shape: (B, C, H, W).
        start: (B, C, H', W') with H' <= H and W' <= W, the data; extended by its edge pixels about the centre where
            it is smaller, as under a valid convolution. Needed for ``initial="data"``.
        wavelet: "db1" (Haar) to "db4".
        levels: times the size is halved.
        boost: ratio of the units of one level's coefficients to those of the next finer.
        initial: what the image starts from: the data, or 0.5 everywhere.

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
        wavelet: Wavelet = "db2",
        levels: Levels = 4,
        boost: Annotated[
            float, Field(ge=1, le=16, description="unit of a level's coefficients over the finer's")
        ] = 4.0,
        initial: Initial = "data",
    ) -> None:
        super().__init__(shape)
        self.wavelet: Wavelet = wavelet
        self.levels, self.boost = levels, boost
        self.coefficients = nn.Parameter(self.freed(starting_image(start, shape, initial=initial, prior="wavelet")))

    def forward(self) -> Tensor:
        """The image, (B, C, H, W), in [0, 1]."""
        return boxed(compose(self.coefficients * self.units(self.coefficients), self.wavelet, self.levels))

    def assigned(self, value: Tensor) -> Self:
        """The coefficients of an image (B, C, H, W) of any size, clamped to [0, 1]."""
        coefficients = nn.Parameter(self.freed(value.detach().clamp(0, 1)), self.coefficients.requires_grad)
        image = copy.deepcopy(self, {id(self.coefficients): coefficients})  # in place of a copy of the old numbers
        image.shape = shape_of(value)
        return image

    def resized(self, shape: Shape, scale: float) -> Self:
        """The image resampled about its middle; raises `InputError` for another batch or number of channels."""
        return self.assigned(resample(self().detach(), new_size(self.shape, shape), scale))

    def freed(self, image: Tensor) -> Tensor:
        """The free coefficients of an image in [0, 1]."""
        return decompose(image, self.wavelet, self.levels) / self.units(image)

    def units(self, like: Tensor) -> Tensor:
        """S: the unit of each coefficient, (H, W)."""
        finer = (level_of(size_of(like), self.levels, like.device) - 1).clamp(min=0)
        return (self.boost**finer).to(like)
