"""Where things lie: the one convention of kernel centring, and what follows from it.

The centre of an h x w kernel is pixel ``(h // 2, w // 2)``, odd or even. True convolution with a kernel k then reads
``y[n] = sum_m k[m] x[n + centre - m]``, so that a delta at the centre is the identity, and the image under a valid
convolution sticks out of its data by `margins`. Everything that crops, extends, pads or centres does it by these two.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from .errors import InputError

__all__ = [
    "Padding",
    "Size",
    "centre",
    "centroid",
    "crop_to_data",
    "extend",
    "extend_to",
    "fold",
    "margins",
    "resize_kernel_support",
    "size_of",
]

Size = tuple[int, int]
"""(height, width) in pixels."""

Padding = Literal["circular", "replicate", "reflect"]
"""What lies beyond an image's border: itself again, its edge pixels, or its mirror image about them."""


def size_of(tensor: Tensor) -> Size:
    """The (height, width) of a tensor (..., H, W)."""
    return int(tensor.shape[-2]), int(tensor.shape[-1])


def centre(size: Size) -> Size:
    """The centre pixel (row, column) of a kernel of ``size``, counted from 0."""
    return size[0] // 2, size[1] // 2


def margins(kernel_size: Size) -> tuple[Size, Size]:
    """Pixels of the image outside the data of a valid convolution: ((top, bottom), (left, right))."""
    (h, w), (row, column) = kernel_size, centre(kernel_size)
    return (h - 1 - row, row), (w - 1 - column, column)


def crop_to_data(image: Tensor, kernel_size: Size, data_size: Size) -> Tensor:
    """The part of an image that lies under its data; an image that is as large as the data comes back as it is.

    Args:
        image: (..., H' + h - 1, W' + w - 1) of a valid convolution, or (..., H', W').
        kernel_size: (h, w).
        data_size: (H', W').

    Raises:
        InputError: the image has neither size.
    """
    size = size_of(image)
    if size == tuple(data_size):
        return image
    (top, bottom), (left, right) = margins(kernel_size)
    if size != (data_size[0] + top + bottom, data_size[1] + left + right):
        raise InputError(
            f"an image of {size[0]}x{size[1]} pixels does not belong to data of {data_size[0]}x{data_size[1]} and a "
            f"kernel of {kernel_size[0]}x{kernel_size[1]}; give the kernel size it was restored with"
        )
    return image[..., top : size[0] - bottom, left : size[1] - right]


def extend(data: Tensor, kernel_size: Size, padding: Padding = "replicate") -> Tensor:
    """Data (..., H', W') -> (..., H' + h - 1, W' + w - 1), undone by `crop_to_data`; differentiable.

    Raises:
        InputError: ``padding`` is "reflect" and the margin is not smaller than the data.
    """
    for dim, (before, after) in zip((-2, -1), margins(kernel_size), strict=True):
        data = data.index_select(dim, sources(data.shape[dim], before, after, padding, data.device))
    return data


def extend_to(data: Tensor, size: Size, padding: Padding = "replicate") -> Tensor:
    """Data (..., H', W') -> (..., *size): the image of a valid convolution whose kernel makes up the difference.

    Raises:
        InputError: the data are larger than ``size``, or as `extend`.
    """
    height, width = size_of(data)
    if height > size[0] or width > size[1]:
        raise InputError(f"data of {height}x{width} pixels cannot be extended to a smaller {size[0]}x{size[1]}")
    return extend(data, (size[0] - height + 1, size[1] - width + 1), padding)


def fold(image: Tensor, kernel_size: Size, padding: Padding) -> Tensor:
    """The exact adjoint of `extend`: (..., H' + h - 1, W' + w - 1) -> (..., H', W'); raises as `extend`."""
    for dim, (before, after) in zip((-2, -1), margins(kernel_size), strict=True):
        size = image.shape[dim] - before - after
        shape = list(image.shape)
        shape[dim] = size
        index = sources(size, before, after, padding, image.device)
        image = image.new_zeros(shape).index_add(dim, index, image)
    return image


def sources(size: int, before: int, after: int, padding: Padding, device: torch.device) -> Tensor:
    """For each position from ``-before`` to ``size + after - 1``, the position in [0, size) its value comes from."""
    position = torch.arange(-before, size + after, device=device)
    if padding == "circular":
        return position % size
    if padding == "replicate":
        return position.clamp(0, size - 1)
    if max(before, after) >= size:
        raise InputError(
            f"padding 'reflect' needs an image larger than {max(before, after)} pixels for this kernel, got {size}; "
            "use 'replicate' or a smaller kernel"
        )
    inner = position.abs()
    return torch.minimum(inner, 2 * (size - 1) - inner)


def resize_kernel_support(kernel: Tensor, size: Size) -> Tensor:
    """Pad with zeros or crop a kernel about its centre, so that it blurs as before, and let it sum to one.

    Args:
        kernel: (B, 1, h, w), non-negative.
        size: the new (h, w), pixels.

    Raises:
        InputError: nothing of a kernel lies within the new size, or the size is not positive.
    """
    if min(size) < 1:
        raise InputError(f"a kernel size must be at least 1x1, got {size[0]}x{size[1]}")
    (h, w), (row, column), (new_row, new_column) = size_of(kernel), centre(size_of(kernel)), centre(size)
    top, left = new_row - row, new_column - column
    resized = F.pad(kernel, (left, size[1] - w - left, top, size[0] - h - top))
    total = resized.sum(dim=(-2, -1), keepdim=True)
    if not bool((total > 0).all()):
        raise InputError(
            f"cropped from {h}x{w} to {size[0]}x{size[1]} pixels about its centre, the kernel is empty; "
            "choose a larger size, or centre the kernel first"
        )
    return resized / total


def centroid(kernel: Tensor) -> Tensor:
    """Centre of mass of each kernel, (..., h, w) -> (..., 2): (row, column) in pixels from the centre pixel."""
    offsets = [
        torch.arange(n, dtype=kernel.dtype, device=kernel.device) - c
        for n, c in zip(size_of(kernel), centre(size_of(kernel)), strict=True)
    ]
    rows, columns = kernel.sum(dim=-1), kernel.sum(dim=-2)
    moments = torch.stack([(rows * offsets[0]).sum(dim=-1), (columns * offsets[1]).sum(dim=-1)], dim=-1)
    return moments / kernel.sum(dim=(-2, -1)).unsqueeze(-1)
