"""Sizes, shapes, centres and margins of images and kernels.

One convention holds everywhere. The centre of an h x w kernel is pixel ``(h // 2, w // 2)``, for odd and even sizes.
True convolution with a kernel k is ``y[n] = sum_m k[m] x[n + centre - m]``. A delta at the centre is therefore the
identity, and the image of a valid convolution extends beyond its data by `margins`.
"""

from __future__ import annotations

from torch import Tensor

__all__ = ["Shape", "Size", "centre", "margins", "shape_of", "size_of"]

Size = tuple[int, int]
"""(height, width) in pixels."""

Shape = tuple[int, int, int, int]
"""(B, C, H, W): batch, channels, height, width."""


def size_of(tensor: Tensor) -> Size:
    """The (height, width) of a tensor (..., H, W)."""
    return int(tensor.shape[-2]), int(tensor.shape[-1])


def shape_of(tensor: Tensor) -> Shape:
    """The (batch, channels, height, width) of a tensor (B, C, H, W)."""
    batch, channels, height, width = tensor.shape
    return batch, channels, height, width


def centre(size: Size) -> Size:
    """The centre pixel (row, column) of a kernel of ``size``, counted from 0."""
    return size[0] // 2, size[1] // 2


def margins(kernel_size: Size) -> tuple[Size, Size]:
    """Pixels of the image beyond the data of a valid convolution: ((top, bottom), (left, right)).

    Example:
        >>> margins((5, 4))
        ((2, 2), (1, 2))
    """
    (h, w), (row, column) = kernel_size, centre(kernel_size)
    return (h - 1 - row, row), (w - 1 - column, column)
