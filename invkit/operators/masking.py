"""Operators whose unknown is a mask: inpainting, and the mixture of two layers."""

from __future__ import annotations

import torch
from torch import Tensor

from ..interfaces import ForwardOperator, MaskPrior
from ..parameters import Shape

__all__ = ["Inpainting", "Mixture"]


class Inpainting(ForwardOperator):
    """Some pixels are missing: ``y = m x``, the mask m being one where the image was seen.

    What the data hold where the mask is zero should be zero; nothing explains anything else there.
    """

    unknown = MaskPrior

    def __init__(self) -> None:
        super().__init__()

    def forward(self, image: Tensor, kernel: Tensor) -> Tensor:
        """Image (B, C, H, W) and mask (B or 1, 1, H, W) -> (B, C, H, W)."""
        return kernel * image

    def adjoint(self, data: Tensor, kernel: Tensor) -> Tensor:
        """As `forward`."""
        return kernel * data

    def image_shape(self, data_shape: Shape, kernel_shape: Shape) -> Shape:
        """That of the data."""
        return data_shape

    def unknown_shape(self, data_shape: Shape, kernel_size: tuple[int, int]) -> Shape:
        """(B, 1, H, W)."""
        return data_shape[0], 1, *data_shape[2:]

    @torch.no_grad()
    def first_image(self, data: Tensor, kernel: Tensor) -> Tensor:
        """What was seen, and the mean of each channel of it elsewhere; (B, C, H, W)."""
        seen = kernel.sum((-2, -1), keepdim=True).clamp(min=1)
        mean = (kernel * data).sum((-2, -1), keepdim=True) / seen
        return torch.lerp(mean, data, kernel).clamp(0, 1)


class Mixture(ForwardOperator):
    """Two layers and how they mix in each pixel: ``y = m x_1 + (1 - m) x_2``, the mask m being in [0, 1].

    Gandelsman, Shocher, Irani, '"Double-DIP": Unsupervised Image Decomposition via Coupled Deep-Image-Priors', CVPR
    2019, Eq. 1: segmentation, dehazing (the second layer is the airlight, m the transmission), transparent layers.

    Data are (B, C, H, W); the layers lie along the image's batch, first all first ones: (2 B, C, H, W).
    """

    unknown = MaskPrior

    def __init__(self) -> None:
        super().__init__()

    def forward(self, image: Tensor, kernel: Tensor) -> Tensor:
        """Layers (2 B, C, H, W) and mask (B or 1, 1, H, W) -> (B, C, H, W)."""
        first, second = image.chunk(2)
        return torch.lerp(second, first, kernel.to(image.dtype))

    def adjoint(self, data: Tensor, kernel: Tensor) -> Tensor:
        """(B, C, H, W) -> (2 B, C, H, W)."""
        return torch.cat([kernel * data, (1 - kernel) * data])

    def image_shape(self, data_shape: Shape, kernel_shape: Shape) -> Shape:
        """(2 B, C, H, W)."""
        return 2 * data_shape[0], *data_shape[1:]

    def unknown_shape(self, data_shape: Shape, kernel_size: tuple[int, int]) -> Shape:
        """(B, 1, H, W)."""
        return data_shape[0], 1, *data_shape[2:]

    @torch.no_grad()
    def first_image(self, data: Tensor, kernel: Tensor) -> Tensor:
        """Both layers the data, (2 B, C, H, W)."""
        return torch.cat([data, data])
