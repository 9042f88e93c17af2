"""Blur by Fourier transforms on a grid that continues on its other side, which solvers share."""

from __future__ import annotations

from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from .geometry import Size, centre, margins, size_of

__all__ = [
    "extend_periodically",
    "fast_size",
    "grid_size",
    "irfft2_rows",
    "otf",
    "rfft2_padded",
    "to_grid",
    "to_image",
]


@lru_cache(maxsize=256)
def fast_size(size: Size) -> Size:
    """The next size with a fast FFT, four times a number without large prime factors along each side.

    A transform of 281 pixels along the side takes several times as long as one of 288, of 225 twice as long as of 240.
    """
    from scipy.fft import next_fast_len

    height, width = (4 * next_fast_len(-(-side // 4), real=True) for side in size)
    return height, width


def otf(kernel: Tensor, size: Size) -> Tensor:
    """The transfer function of a kernel whose centre pixel is the origin.

    Args:
        kernel: (B, 1, h, w).
        size: (H, W) of the grid, at least the kernel's.

    Returns:
        (B, 1, H, W // 2 + 1), complex: multiplied with ``rfft2`` of an image, its blur round the borders.
    """
    (h, w), (row, column) = size_of(kernel), centre(size_of(kernel))
    lines = torch.fft.rfft(torch.roll(F.pad(kernel, (0, size[1] - w)), -column, -1))  # the others are zero
    grid = torch.roll(F.pad(lines, (0, 0, 0, size[0] - h)), -row, -2)
    spectrum: Tensor = torch.fft.fft(grid, dim=-2)
    return spectrum


def rfft2_padded(image: Tensor, size: Size) -> Tensor:
    """``rfft2(image, size)``, in half the time where the image is much smaller than the grid."""
    spectrum: Tensor = torch.fft.fft(torch.fft.rfft(image, size[1]), size[0], dim=-2)
    return spectrum


def irfft2_rows(spectrum: Tensor, rows: Tensor | slice, size: Size) -> Tensor:
    """Some rows of ``irfft2(spectrum, size)``, in half the time where they are few."""
    found: Tensor = torch.fft.irfft(torch.fft.ifft(spectrum, dim=-2)[..., rows, :], size[1])
    return found


def grid_size(data_size: Size, kernel_size: Size) -> Size:
    """A grid with a fast FFT that holds the image of a valid convolution, (H + h - 1, W + w - 1) or a little more."""
    return fast_size((data_size[0] + kernel_size[0] - 1, data_size[1] + kernel_size[1] - 1))


def extend_periodically(data: Tensor, kernel_size: Size, size: Size) -> Tensor:
    """Data (B, C, H, W) -> (B, C, *size), continued beyond the border so that the two sides meet smoothly.

    The data lie where they lie in the image of a valid convolution with a kernel of that size; what is made up
    between one side and the other blends from edge pixels to edge pixels, by a raised cosine. A deconvolution that
    takes the image for periodic rings less so.
    """
    (top, _), (left, _) = margins(kernel_size)
    data = join_sides(data, size[0] - data.shape[-2], -2)
    data = join_sides(data, size[1] - data.shape[-1], -1)
    return torch.roll(data, (top, left), (-2, -1))


def join_sides(data: Tensor, missing: int, dim: int) -> Tensor:
    """Append ``missing`` lines that lead from the last line of a dimension to the first."""
    if missing == 0:
        return data
    last, first = data.narrow(dim, data.shape[dim] - 1, 1), data.narrow(dim, 0, 1)
    position = torch.arange(1, missing + 1, device=data.device, dtype=data.dtype) / (missing + 1)
    share = 0.5 - 0.5 * torch.cos(torch.pi * position)
    share = share.view(-1, 1) if dim == -2 else share
    return torch.cat([data, (1 - share) * last + share * first], dim)


def to_grid(image: Tensor, size: Size) -> Tensor:
    """An image (B, C, H, W) in the corner of a larger grid, its sides joined smoothly, (B, C, *size)."""
    return extend_periodically(image, (1, 1), size)


def to_image(grid: Tensor, size: Size) -> Tensor:
    """The image in the corner of a grid: the inverse of `to_grid`."""
    return grid[..., : size[0], : size[1]]
