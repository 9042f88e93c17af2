"""Sizes, shapes, centres and margins of images and kernels.

One convention holds everywhere. The centre of an h x w kernel is pixel ``(h // 2, w // 2)``, for odd and even sizes.
True convolution with a kernel k is ``y[n] = sum_m k[m] x[n + centre - m]``. A delta at the centre is therefore the
identity, and the image of a valid convolution extends beyond its data by `margins`.
"""

from __future__ import annotations

from torch import Tensor

__all__ = [
    "Shape",
    "Sides",
    "Size",
    "centre",
    "margin_before",
    "margins",
    "shape_of",
    "sides_of",
    "size_of",
    "window_of",
]

Size = tuple[int, int]
"""(height, width) in pixels."""

Sides = tuple[int, ...]
"""A `Size`, or (planes, height, width) of a stack."""

Shape = tuple[int, int, int, int]
"""(B, C, H, W): batch, channels, height, width."""


def size_of(tensor: Tensor) -> Size:
    """The (height, width) of a tensor (..., H, W)."""
    return int(tensor.shape[-2]), int(tensor.shape[-1])


def sides_of(tensor: Tensor, axes: int) -> Sides:
    """The sizes of the last ``axes`` dimensions of a tensor."""
    return tuple(map(int, tensor.shape[-axes:]))


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


def window_of(tensor: Tensor, corner: Sides, sides: Sides) -> Tensor:
    """Return a part of the last dimensions of a tensor, as a view.

    Args:
        tensor: any.
        corner: first index along each of these dimensions.
        sides: sizes along them.

    Example:
        >>> import torch
        >>> window_of(torch.arange(12).view(3, 4), (1, 2), (2, 1)).tolist()
        [[6], [10]]
    """
    for dim, (first, side) in enumerate(zip(corner, sides, strict=True), start=-len(corner)):
        tensor = tensor.narrow(dim, first, side)
    return tensor


def margin_before(taps: int) -> int:
    """Pixels of the image before the data of a valid convolution along one side, for a kernel of ``taps`` pixels."""
    return taps - 1 - taps // 2
