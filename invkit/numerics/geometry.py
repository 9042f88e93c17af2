"""Where things lie: the one convention of kernel centring, and what follows from it.

The centre of an h x w kernel is pixel ``(h // 2, w // 2)``, odd or even. True convolution with a kernel k then reads
``y[n] = sum_m k[m] x[n + centre - m]``, so that a delta at the centre is the identity, and the image under a valid
convolution sticks out of its data by `margins`. Everything that crops, extends, pads or centres does it by these two.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from ..core.errors import InputError

__all__ = [
    "Padding",
    "Pivot",
    "Shape",
    "Size",
    "centre",
    "centroid",
    "crop_to_data",
    "downscale",
    "extend",
    "extend_adjoint",
    "extend_to",
    "margins",
    "new_size",
    "resample",
    "resample_kernel",
    "resize_kernel_support",
    "shape_of",
    "size_of",
    "visible_part",
    "visible_size",
]

Size = tuple[int, int]
"""(height, width) in pixels."""

Shape = tuple[int, int, int, int]
"""(B, C, H, W): batch, channels, height, width."""

Padding = Literal["circular", "replicate", "reflect"]
"""What lies beyond an image's border: itself again, its edge pixels, or its mirror image about them."""

Pivot = Literal["middle", "centre"]
"""What stays where it is when the scale changes: the middle of the frame, or the pixel that `centre` names."""


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


def visible_part(image: Tensor, data_size: Size, kernel_size: Size) -> Tensor:
    """The part of a restored image that data of that size show, by its convolution: a valid one reaches further."""
    shown = visible_size(size_of(image), data_size, kernel_size)
    return image if shown == size_of(image) else crop_to_data(image, kernel_size, data_size)


def visible_size(image_size: Size, data_size: Size, kernel_size: Size) -> Size:
    """The size of that part: the data's where the image reaches beyond them by the kernel, else the image's."""
    (height, width), (rows, columns) = data_size, kernel_size
    return (height, width) if image_size == (height + rows - 1, width + columns - 1) else image_size


def extend(data: Tensor, kernel_size: Size, padding: Padding = "replicate") -> Tensor:
    """Data (..., H', W') -> (..., H' + h - 1, W' + w - 1), undone by `crop_to_data`; differentiable.

    Raises:
        InputError: ``padding`` is "reflect" and the margin is not smaller than the data.
    """
    if padding == "replicate" and data.ndim == 4:  # the same, ten times as quick for a photograph
        (top, bottom), (left, right) = margins(kernel_size)
        return F.pad(data, (left, right, top, bottom), mode="replicate")
    for dim, (before, after) in zip((-2, -1), margins(kernel_size), strict=True):
        data = data.index_select(dim, source_positions(data.shape[dim], before, after, padding, data.device))
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


def extend_adjoint(image: Tensor, kernel_size: Size, padding: Padding) -> Tensor:
    """The exact adjoint of `extend`: (..., H' + h - 1, W' + w - 1) -> (..., H', W'); raises as `extend`."""
    for dim, (before, after) in zip((-2, -1), margins(kernel_size), strict=True):
        size = image.shape[dim] - before - after
        shape = list(image.shape)
        shape[dim] = size
        index = source_positions(size, before, after, padding, image.device)
        image = image.new_zeros(shape).index_add(dim, index, image)
    return image


def source_positions(size: int, before: int, after: int, padding: Padding, device: torch.device) -> Tensor:
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


@torch.no_grad()
def resample(image: Tensor, size: Size, scale: float, about: Pivot = "middle") -> Tensor:
    """Enlarge or shrink an image about a point that stays, and crop it or extend it by its edge pixels to a size.

    About the middle, pixel ``i`` of n goes to ``(m - 1) / 2 + scale * (i - (n - 1) / 2)`` of m, whatever the sizes, so
    that two steps of a pyramid do what one step of the product of their scales does. Bilinear; averaged under a
    triangle two new pixels wide where the scale is below one, so that nothing aliases. No value leaves the range of
    the old ones. Under a valid convolution with a kernel of odd size the middle of the image is that of its data;
    under one of even size it lies half a pixel up and left of it.

    Args:
        image: (B, C, H, W).
        size: the new (H, W), pixels.
        scale: new pixels per old pixel, along both sides.
        about: what stays: the middle of the frame, as for images, or the centre pixel, for what lies as a kernel does.

    Returns:
        (B, C, *size), in the precision and on the device of the image; no gradient passes.

    Raises:
        InputError: the size or the scale is not positive.
    """
    check_grid(size, scale)
    for dim in (-2, -1) if scale < 1 else (-1, -2):  # along the columns, which is slower, where there are fewer rows
        image = resample_along(image, dim, size[dim], scale, about)
    return image


def downscale(data: Tensor, scale: float) -> Tensor:
    """Data for a coarser level of a pyramid: (B, C, H, W) -> (B, C, round(H * scale), round(W * scale)), at least 1x1.

    It is `resample`, so antialiased, about the middle and by exactly ``scale``, however the size is rounded.

    Raises:
        InputError: the scale is not above 0 and at most 1.
    """
    if not 0 < scale <= 1:
        raise InputError(f"data are shrunk by a scale above 0 and at most 1, got {scale}; to enlarge, use resample")
    height, width = size_of(data)
    return resample(data, (max(1, round(height * scale)), max(1, round(width * scale))), scale)


def resample_along(image: Tensor, dim: int, size: int, scale: float, about: Pivot) -> Tensor:
    """`resample` along one dimension, -2 or -1, as a weighted sum of a few selections of rows."""
    old = image.shape[dim]
    if (old, scale) == (size, 1):
        return image
    from_, to = ((old - 1) / 2, (size - 1) / 2) if about == "middle" else (old // 2, size // 2)
    position = from_ + (torch.arange(size, dtype=torch.float64) - to) / scale
    radius = max(1.0, 1 / scale)
    taps = (position - radius).floor() + 1 + torch.arange(math.ceil(2 * radius), dtype=torch.float64)[:, None]
    weights = (1 - (taps - position).abs() / radius).clamp(min=0)
    weights = (weights / weights.sum(0)).to(image)
    indices = taps.long().clamp(0, old - 1).to(image.device)
    if dim == -2:
        return weighted_rows(image, indices, weights)
    # selecting columns where they lie is several times slower
    return weighted_rows(image.transpose(-2, -1).contiguous(), indices, weights).transpose(-2, -1).contiguous()


def weighted_rows(image: Tensor, indices: Tensor, weights: Tensor) -> Tensor:
    """Rows ``sum_t weights[t, i] image[indices[t, i]]``: (..., H, W), (T, n), (T, n) -> (..., n, W)."""
    total = image.new_zeros(*image.shape[:-2], indices.shape[1], image.shape[-1])
    for index, weight in zip(indices, weights, strict=True):
        total.addcmul_(image.index_select(-2, index), weight[:, None])
    return total


@torch.no_grad()
def resample_kernel(kernel: Tensor, size: Size, scale: float) -> Tensor:
    """Enlarge or shrink kernels about their centre pixels, and crop them or pad them with zeros to a size.

    Enlarged, a kernel is interpolated between its pixels. Shrunk, each pixel's mass is shared out between the new
    pixels that it falls among, in proportion to their nearness: none is lost, the centroid moves as the scale says,
    and a delta at the centre stays one.

    Args:
        kernel: (B, 1, h, w), non-negative.
        size: the new (h, w), pixels.
        scale: new pixels per old pixel, along both sides.

    Returns:
        (B, 1, *size), non-negative, each summing to one; a delta at the centre where nothing lies within the size.

    Raises:
        InputError: the size or the scale is not positive.
    """
    check_grid(size, scale)
    rows, columns = (
        sharing_weights(old, new, scale).to(kernel) for old, new in zip(size_of(kernel), size, strict=True)
    )
    resampled = rows @ kernel @ columns.T
    total = resampled.sum(dim=(-2, -1), keepdim=True)
    delta = torch.zeros_like(resampled)
    delta[..., centre(size)[0], centre(size)[1]] = 1
    return torch.where(total > 0, resampled / total, delta)


def sharing_weights(old: int, new: int, scale: float) -> Tensor:
    """The part of each old pixel in each new one, their centres together, (new, old): triangles at least 2 wide."""
    position = scale * (torch.arange(old, dtype=torch.float64) - old // 2)
    distance = (torch.arange(new, dtype=torch.float64)[:, None] - new // 2 - position).abs()
    return (1 - distance / max(1.0, scale)).clamp(min=0)


def check_grid(size: Size, scale: float) -> None:
    """Raise `InputError` for a size or a scale that is not positive."""
    if min(size) < 1:
        raise InputError(f"a size must be at least 1x1 pixels, got {size[0]}x{size[1]}")
    if not 0 < scale < math.inf:
        raise InputError(f"a scale must be above 0 and finite, got {scale}")


def new_size(old: Shape, new: Shape) -> Size:
    """The (height, width) of a shape that differs from another in nothing else; raises `InputError` if it does."""
    if tuple(new[:2]) != tuple(old[:2]):
        raise InputError(f"a prior of {tuple(old)} can be resized in height and width only, not to {tuple(new)}")
    return new[2], new[3]
