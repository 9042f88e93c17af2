"""Images cropped to their data and extended beyond them; kernels in frames of another size."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from ..core.errors import InputError
from .geometry import Shape, Size, centre, margins, size_of

__all__ = [
    "Padding",
    "are_equal",
    "centroid",
    "crop_each",
    "crop_to_data",
    "cropped_together",
    "extend",
    "extend_adjoint",
    "extend_to",
    "heaviest_windows",
    "new_size",
    "resize_kernel_support",
    "visible_part",
    "visible_size",
]

Padding = Literal["circular", "replicate", "reflect"]
"""The image beyond its border: periodic, its edge pixels, or its mirror image about the edge pixels."""


def new_size(old: Shape, new: Shape) -> Size:
    """The (height, width) of a new shape; raises `InputError` if batch or channels differ from the old one."""
    if tuple(new[:2]) != tuple(old[:2]):
        raise InputError(f"a prior of {tuple(old)} can be resized in height and width only, not to {tuple(new)}")
    return new[2], new[3]


def crop_to_data(image: Tensor, kernel_size: Size, data_size: Size) -> Tensor:
    """Crop an image to the part under its data; an image of the same size as the data is returned as it is.

    Args:
        image: (..., H' + h - 1, W' + w - 1) of a valid convolution, or (..., H', W').
        kernel_size: (h, w).
        data_size: (H', W').

    Raises:
        InputError: the image has neither size.

    Example:
        >>> crop_to_data(torch.zeros(1, 3, 14, 15), (5, 5), (10, 11)).shape
        torch.Size([1, 3, 10, 11])
    """
    size = size_of(image)
    if size == tuple(data_size):
        return image
    (top, bottom), (left, right) = margins(kernel_size)
    if size != (data_size[0] + top + bottom, data_size[1] + left + right):
        raise InputError(
            f"an image of {size[0]}x{size[1]} pixels does not belong to data of {data_size[0]}x{data_size[1]} and a "
            f"kernel of {kernel_size[0]}x{kernel_size[1]}; give the kernel size of its restoration"
        )
    return image[..., top : size[0] - bottom, left : size[1] - right]


def visible_part(image: Tensor, data_size: Size, kernel_size: Size) -> Tensor:
    """The part of a restored image that corresponds to the data: all of it, but for a valid convolution.

    Args:
        image: (..., H, W).
        data_size: (H', W').
        kernel_size: (h, w).
    """
    shown = visible_size(size_of(image), data_size, kernel_size)
    return image if shown == size_of(image) else crop_to_data(image, kernel_size, data_size)


def visible_size(image_size: Size, data_size: Size, kernel_size: Size) -> Size:
    """The size of `visible_part`: the data's if the image has the size of a valid convolution, otherwise the image's.

    Args:
        image_size: (H, W).
        data_size: (H', W').
        kernel_size: (h, w).
    """
    (height, width), (rows, columns) = data_size, kernel_size
    return (height, width) if image_size == (height + rows - 1, width + columns - 1) else image_size


def extend(data: Tensor, kernel_size: Size, padding: Padding = "replicate") -> Tensor:
    """Extend data to the size of the image of a valid convolution; `crop_to_data` is the inverse. Differentiable.

    Args:
        data: (..., H', W').
        kernel_size: (h, w).
        padding: the image beyond the border of the data.

    Returns:
        (..., H' + h - 1, W' + w - 1).

    Raises:
        InputError: ``padding`` is "reflect" and a margin is not smaller than the data.
    """
    if padding == "replicate" and data.ndim == 4:  # the same result, ten times as fast for a photograph
        (top, bottom), (left, right) = margins(kernel_size)
        return F.pad(data, (left, right, top, bottom), mode="replicate")
    for dim, (before, after) in zip((-2, -1), margins(kernel_size), strict=True):
        data = data.index_select(dim, source_positions(data.shape[dim], before, after, padding, data.device))
    return data


def extend_to(data: Tensor, size: Size, padding: Padding = "replicate") -> Tensor:
    """Extend data to any larger size, as `extend` does for the kernel that makes up the difference.

    Args:
        data: (..., H', W').
        size: (H, W) of the result.
        padding: see `extend`.

    Raises:
        InputError: the data are larger than ``size``, or as for `extend`.
    """
    height, width = size_of(data)
    if height > size[0] or width > size[1]:
        raise InputError(f"data of {height}x{width} pixels cannot be extended to a smaller {size[0]}x{size[1]}")
    return extend(data, (size[0] - height + 1, size[1] - width + 1), padding)


def extend_adjoint(image: Tensor, kernel_size: Size, padding: Padding) -> Tensor:
    """The exact adjoint of `extend`; raises the same errors.

    Args:
        image: (..., H' + h - 1, W' + w - 1).
        kernel_size: (h, w).
        padding: see `extend`.

    Returns:
        (..., H', W').
    """
    for dim, (before, after) in zip((-2, -1), margins(kernel_size), strict=True):
        size = image.shape[dim] - before - after
        shape = list(image.shape)
        shape[dim] = size
        index = source_positions(size, before, after, padding, image.device)
        image = image.new_zeros(shape).index_add(dim, index, image)
    return image


def source_positions(size: int, before: int, after: int, padding: Padding, device: torch.device) -> Tensor:
    """For each position of an extended line the position that its value comes from, (before + size + after,).

    Args:
        size: length of the line.
        before: positions added before it.
        after: positions added after it.
        padding: see `extend`.
        device: device of the result.
    """
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
    """Pad a kernel with zeros or crop it about its centre, then normalise it; the blur stays the same.

    Args:
        kernel: (B, 1, h, w), non-negative.
        size: the new (h, w), pixels.

    Raises:
        InputError: a kernel is zero within the new size, or the size is not positive.
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
    """The centre of mass of each kernel, (..., h, w) -> (..., 2): (row, column) in pixels from the centre pixel.

    Example:
        >>> centroid(torch.tensor([[0.0, 0.0, 0.5, 0.0, 0.5]]))
        tensor([0., 1.])
    """
    offsets = [
        torch.arange(n, dtype=kernel.dtype, device=kernel.device) - c
        for n, c in zip(size_of(kernel), centre(size_of(kernel)), strict=True)
    ]
    rows, columns = kernel.sum(dim=-1), kernel.sum(dim=-2)
    moments = torch.stack([(rows * offsets[0]).sum(dim=-1), (columns * offsets[1]).sum(dim=-1)], dim=-1)
    return moments / kernel.sum(dim=(-2, -1)).unsqueeze(-1)


def are_equal(kernels: Tensor) -> bool:
    """Whether all kernels (N, 1, h, w) are the same."""
    return bool((kernels == kernels[:1]).all())


def cropped_together(image: Tensor, kernel: Tensor, image_size: Size, kernel_size: Size) -> tuple[Tensor, Tensor]:
    """Crop a kernel to the window with most of its mass, and the image by as much on the opposite sides.

    The cropped image and kernel still explain the same data. The window is that of `heaviest_windows`.

    Args:
        image: (B, C, H, W).
        kernel: (B, 1, h, w).
        image_size: size of the cropped image.
        kernel_size: size of the cropped kernel; if the kernel has it, nothing is cropped.
    """
    if size_of(kernel) == kernel_size:
        return image, kernel
    corners = heaviest_windows(kernel, kernel_size)
    rows, columns = (old - new for old, new in zip(size_of(kernel), kernel_size, strict=True))
    opposite = [(rows - row, columns - column) for row, column in corners]
    cropped = crop_each(kernel, corners, kernel_size)
    return crop_each(image, opposite, image_size), cropped / cropped.sum((-2, -1), keepdim=True)


def heaviest_windows(kernel: Tensor, size: Size) -> list[Size]:
    """The first pixel (row, column), for each kernel (B, 1, h, w), of the window of a size with most of its mass.

    Of the windows that hold at least 0.999 of the largest mass of any window, it is the nearest to the centre.
    """
    mass = F.avg_pool2d(kernel, size, stride=1, divisor_override=1)
    rows, columns = (torch.arange(n, device=mass.device) - (n - 1) / 2 for n in size_of(mass))
    distance = rows[:, None].square() + columns.square()
    enough = mass >= (1 - 1e-3) * mass.amax((-2, -1), keepdim=True)
    chosen = torch.where(enough, distance, torch.inf).flatten(1).argmin(1).tolist()
    return [divmod(index, mass.shape[-1]) for index in chosen]


def crop_each(value: Tensor, corners: list[Size], size: Size) -> Tensor:
    """Crop each item of a batch (B, C, H, W) to a size at its own corner.

    Args:
        value: (B, C, H, W).
        corners: (row, column) of each item's first pixel.
        size: of the windows.
    """
    cropped = [
        one[..., row : row + size[0], column : column + size[1]]
        for one, (row, column) in zip(value, corners, strict=True)
    ]
    return torch.stack(cropped)
