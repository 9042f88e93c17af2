"""The operator of denoising."""

from __future__ import annotations

from torch import Tensor

from ..core.interfaces import ForwardOperator
from ..numerics.geometry import Shape, Size

__all__ = ["Identity"]


class Identity(ForwardOperator):
    """``y = x`` whatever the kernel: the data are the image itself, as in denoising."""

    def __init__(self) -> None:  # torch's own takes **kwargs, which would let a misspelt parameter pass
        super().__init__()

    def forward(self, image: Tensor, kernel: Tensor) -> Tensor:
        """The image, (B, C, H, W)."""
        return image

    def adjoint(self, data: Tensor, kernel: Tensor) -> Tensor:
        """The data, (B, C, H, W)."""
        return data

    def image_shape(self, data_shape: Shape, kernel_shape: Shape) -> Shape:
        """The shape of the data."""
        return data_shape

    def parameter_shape(self, data_shape: Shape, kernel_size: Size) -> Shape:
        """(B, 1, 1, 1): there is none, and a kernel of one pixel is one."""
        return data_shape[0], 1, 1, 1

    def initial_image(self, data: Tensor, kernel: Tensor) -> Tensor:
        """The data, (B, C, H, W)."""
        return data
