"""Several blurry frames of one scene."""

from __future__ import annotations

import torch
from torch import Tensor

from ..core.errors import InputError
from ..core.interfaces import ForwardOperator
from ..numerics.geometry import Shape, size_of
from .convolution import check_fit, checked
from .spectral import blurred, spread

__all__ = ["Frames"]


class Frames(ForwardOperator):
    """One scene seen N times: each frame is its valid convolution with a kernel of its own, ``y_n = k_n * x``.

    Multi-frame (multi-channel) blind deconvolution: what one frame has lost another still shows (Sroubek & Milanfar,
    "Robust Multichannel Blind Deconvolution via Fast Alternating Minimization", IEEE TIP 2012, Eq. 1). The frames are
    the data's batch, and a displacement between them is one of their kernels.

    Data are (N, C, H', W'), kernels (N, 1, h, w), the image is (1, C, H' + h - 1, W' + w - 1).
    """

    example = (3, 2, 9, 8)

    def __init__(self) -> None:
        super().__init__()

    def forward(self, image: Tensor, kernel: Tensor) -> Tensor:
        """Image (1, C, H, W) and kernels (N, 1, h, w) -> frames (N, C, H - h + 1, W - w + 1).

        Raises:
            InputError: shapes that are not these, or the image is smaller than the kernels.
        """
        image, kernel = checked_one(image, kernel)
        check_fit(size_of(image), size_of(kernel))
        with torch.autocast(image.device.type, enabled=False):
            return blurred(image, kernel)

    def adjoint(self, data: Tensor, kernel: Tensor) -> Tensor:
        """Frames (N, C, H', W') -> (1, C, H' + h - 1, W' + w - 1), summed over the frames."""
        data, kernel = checked(data, kernel)
        with torch.autocast(data.device.type, enabled=False):
            return spread(data, kernel).sum(0, keepdim=True)

    def image_shape(self, data_shape: Shape, kernel_shape: Shape) -> Shape:
        """(1, C, H' + h - 1, W' + w - 1)."""
        _, channels, height, width = data_shape
        return 1, channels, height + kernel_shape[2] - 1, width + kernel_shape[3] - 1

    def initial_image(self, data: Tensor, kernel: Tensor) -> Tensor:
        """The first frame, (1, C, H', W'): a mean of frames that are displaced would show edges several times."""
        return data[:1]


def checked_one(image: Tensor, kernel: Tensor) -> tuple[Tensor, Tensor]:
    """One image and its kernels in one precision that has an FFT; raises `InputError` for several images."""
    if image.ndim == 4 and image.shape[0] != 1:
        raise InputError(f"there is one image behind all kernels; got a batch of {image.shape[0]}")
    same, kernel = checked(image.expand(kernel.shape[0], -1, -1, -1) if image.ndim == 4 else image, kernel)
    return same[:1], kernel
