"""Valid convolutions by Fourier transforms; of one image with several kernels by one transform of the image."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ..numerics.fourier import fast_size, otf
from ..numerics.geometry import Size, margins, size_of

__all__ = ["blurred", "spread"]


def blurred(image: Tensor, kernels: Tensor) -> Tensor:
    """Image (1 or N, C, H, W) and kernels (N, 1, h, w) -> (N, C, H - h + 1, W - w + 1); differentiable in both."""
    (height, width), ((top, bottom), (left, right)) = size_of(image), margins(size_of(kernels))
    size = fast_size((height, width))
    spectrum = torch.fft.rfft2(padded(image, size, (0, 0))) * otf(kernels, size)
    whole: Tensor = torch.fft.irfft2(spectrum, size)
    return whole[..., top : height - bottom, left : width - right]


def spread(data: Tensor, kernels: Tensor) -> Tensor:
    """The adjoint of `blurred` for N images: data (N, C, H', W') -> (N, C, H' + h - 1, W' + w - 1)."""
    (top, bottom), (left, right) = margins(size_of(kernels))
    height, width = data.shape[-2] + top + bottom, data.shape[-1] + left + right
    size = fast_size((height, width))
    spectrum = torch.fft.rfft2(padded(data, size, (top, left))) * otf(kernels, size).conj()
    whole: Tensor = torch.fft.irfft2(spectrum, size)
    return whole[..., :height, :width]


def padded(image: Tensor, size: Size, corner: Size) -> Tensor:
    """An image on a larger grid of zeros, its first pixel at a corner."""
    (height, width), (top, left) = size_of(image), corner
    return F.pad(image, (left, size[1] - left - width, top, size[0] - top - height))
