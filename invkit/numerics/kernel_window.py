"""The window of a kernel that holds most of its mass, and the image that belongs to it."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .geometry import Size, size_of

__all__ = ["crop_each", "cropped_together", "heaviest_windows"]


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
