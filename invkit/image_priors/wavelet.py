"""The image as its wavelet coefficients."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Annotated

from pydantic import Field
from torch import Tensor, nn

from ..core.interfaces import Assignable, ImagePrior, Resizable
from ..core.parameters import validated
from ..numerics.framing import new_size
from ..numerics.geometry import Shape, shape_of, size_of
from ..numerics.resampling import resample
from ..numerics.wavelets import Levels, Wavelet, compose, decompose, level_of
from .pixels import Initial, boxed, starting_image

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["WaveletImage"]


class WaveletImage(ImagePrior, Assignable, Resizable):
    """Free coefficients of an orthonormal wavelet transform: ``x = clamp(W^T S c)`` can give every image.

    Like the prior "pixels" it prefers no image; the regularizer "wavelet-l1" prefers images of few coefficients. The
    prior changes the path of descent. S scales coefficients of level j by ``boost^(j - 1)``, and Adam changes all c
    at about the same rate, so coarse scales change before fine ones. This order suits blurry data, whose fine scales
    are mostly noise: coefficients of natural images grow about twofold from level to level. With ``boost = 1`` the
    noise would appear first. The clamp keeps the gradients that lead back into [0, 1].

    W is `invkit.numerics.wavelets.decompose` (Mallat 1989, Daubechies 1988), periodic, for every size.

    Args:
        shape: (B, C, H, W).
        start: the data, (B, C, H', W') with H' <= H and W' <= W; needed for ``initial="data"``. If they are smaller
            than the image, as under a valid convolution, their edge pixels continue them on all sides.
        wavelet: Daubechies wavelet with 1 to 4 vanishing moments, "db1" (Haar) to "db4".
        levels: how many times the size is halved.
        boost: scale of a level's coefficients relative to the next finer level's.
        initial: the starting image: the data, or 0.5 everywhere.

    Raises:
        InputError: ``initial="data"`` and ``start`` is missing, not finite, larger than the image, or has another
            batch or number of channels.

    Example:
        >>> bool((WaveletImage((1, 1, 8, 8), initial="grey", levels=2)() - 0.5).abs().max() < 1e-6)
        True
    """

    @validated
    def __init__(
        self,
        shape: Shape,
        start: Tensor | None = None,
        *,
        wavelet: Wavelet = "db2",
        levels: Levels = 4,
        boost: Annotated[float, Field(ge=1, le=16)] = 4.0,
        initial: Initial = "data",
    ) -> None:
        super().__init__(shape)
        self.wavelet: Wavelet = wavelet
        self.levels, self.boost = levels, boost
        self.coefficients = nn.Parameter(self.freed(starting_image(start, shape, initial=initial, prior="wavelet")))

    def forward(self) -> Tensor:
        """Give the image, (B, C, H, W), in [0, 1]."""
        return boxed(compose(self.coefficients * self.units(self.coefficients), self.wavelet, self.levels))

    def assigned(self, value: Tensor) -> Self:
        """Return the coefficients of an image (B, C, H, W) of any size, clamped to [0, 1]."""
        coefficients = nn.Parameter(self.freed(value.detach().clamp(0, 1)), self.coefficients.requires_grad)
        image = copy.deepcopy(self, {id(self.coefficients): coefficients})  # the copy takes these numbers
        image.shape = shape_of(value)
        return image

    def resized(self, shape: Shape, scale: float) -> Self:
        """Return the image resampled about its centre; raises `InputError` for another batch or number of channels."""
        return self.assigned(resample(self().detach(), new_size(self.shape, shape), scale))

    def freed(self, image: Tensor) -> Tensor:
        """Return the free coefficients of an image in [0, 1]."""
        return decompose(image, self.wavelet, self.levels) / self.units(image)

    def units(self, like: Tensor) -> Tensor:
        """Return S, the scale of each coefficient, (H, W), in the precision of a tensor (B, C, H, W)."""
        finer = (level_of(size_of(like), self.levels, like.device) - 1).clamp(min=0)
        return (self.boost**finer).to(like)
