"""The forward operator of super-resolution."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from ..core.errors import InputError
from ..core.interfaces import LinearOperator
from ..core.parameters import validated
from ..numerics.geometry import Shape, size_of
from .convolution import Convolution

__all__ = ["Downsampling"]


class Downsampling(LinearOperator):
    """Blur by a kernel, then every ``factor``-th pixel: ``y = (k * x) down``.

    The image is ``factor`` times as high and wide as the data. Pixel i of the data is pixel
    ``factor * i + (factor - 1) // 2`` of the blurred image. With a box kernel of factor x factor pixels it is the mean
    of the pixels that it covers. deepinv's ``Downsampling`` takes pixel ``factor * i``.

    Args:
        factor: image pixels per data pixel, along each side.
        padding: how the image continues beyond its border.

    Example:
        >>> Downsampling(factor=2)(torch.rand(1, 3, 32, 32), torch.full((1, 1, 2, 2), 0.25)).shape
        torch.Size([1, 3, 16, 16])
    """

    @validated
    def __init__(
        self,
        *,
        factor: Annotated[int, Field(gt=1)] = 2,
        padding: Literal["circular", "replicate", "reflect"] = "reflect",
    ) -> None:
        super().__init__()
        self.factor = factor
        self.blur = Convolution(padding=padding)
        self._phase = (factor - 1) // 2

    def forward(self, image: Tensor, kernel: Tensor) -> Tensor:
        """Image (B, C, H, W) and kernel (B or 1, 1, h, w) -> (B, C, H / factor, W / factor); differentiable in both.

        Raises:
            InputError: a side of the image is no multiple of the factor; as `Convolution.forward`.
        """
        if any(side % self.factor for side in image.shape[-2:]):
            raise InputError(
                f"an image of {image.shape[-2]}x{image.shape[-1]} pixels cannot be downsampled by {self.factor}; crop "
                "both sides to a multiple"
            )
        blurred: Tensor = self.blur(image, kernel)
        return blurred[..., self._phase :: self.factor, self._phase :: self.factor]

    def adjoint(self, data: Tensor, kernel: Tensor) -> Tensor:
        """Data (B, C, H', W') -> (B, C, factor * H', factor * W') with ``<A x, y> = <x, A^T y>``."""
        height, width = size_of(data)
        upsampled = data.new_zeros(*data.shape[:2], self.factor * height, self.factor * width)
        upsampled[..., self._phase :: self.factor, self._phase :: self.factor] = data
        return self.blur.adjoint(upsampled, kernel)

    def image_shape(self, data_shape: Shape, kernel_shape: Shape) -> Shape:
        """(B, C, factor * H', factor * W')."""
        batch, channels, height, width = data_shape
        return batch, channels, self.factor * height, self.factor * width

    @torch.no_grad()
    def initial_image(self, data: Tensor, kernel: Tensor) -> Tensor:
        """The data enlarged by bicubic interpolation, in [0, 1]."""
        larger = F.interpolate(data, scale_factor=self.factor, mode="bicubic", align_corners=False)
        return larger.clamp(0, 1)

    def extra_repr(self) -> str:
        """The text that ``print`` shows."""
        return f"factor={self.factor}"
