"""Fourier transforms on periodic grids: optical transfer functions, fast sizes, smooth periodic extension."""

from __future__ import annotations

from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from .geometry import Sides, Size, margin_before, window_of

__all__ = [
    "extend_periodically",
    "fast_length",
    "fast_size",
    "grid_sides",
    "grid_size",
    "inverse_transform",
    "irfft2_rows",
    "otf",
    "rfft2_padded",
    "to_grid",
    "to_image",
    "transform",
]


@lru_cache(maxsize=256)
def fast_size(size: Size) -> Size:
    """The next size with a fast FFT: each side is four times a number with small prime factors only.

    A transform of 281 pixels along a side takes several times as long as one of 288; 225 twice as long as 240.

    Example:
        >>> fast_size((281, 225))
        (288, 240)
    """
    return 4 * fast_length(-(-size[0] // 4)), 4 * fast_length(-(-size[1] // 4))


def fast_length(side: int) -> int:
    """The next length of a side with small prime factors only."""
    from scipy.fft import next_fast_len

    length: int = next_fast_len(side, real=True)
    return length


def transform(image: Tensor, size: Sides) -> Tensor:
    """The spectrum of an image on a grid, over the last dimensions; zeros continue a smaller image.

    Args:
        image: (B, C, H, W), or a stack (B, D, H, W).
        size: of the grid, (H, W) or (D, H, W).

    Returns:
        (B, C, H, W // 2 + 1) or (B, D, H, W // 2 + 1), complex.
    """
    spectrum: Tensor = torch.fft.rfftn(image, s=size, dim=tuple(range(-len(size), 0)))
    return spectrum


def inverse_transform(spectrum: Tensor, size: Sides) -> Tensor:
    """The image on a grid whose spectrum is given: the inverse of `transform`."""
    image: Tensor = torch.fft.irfftn(spectrum, s=size, dim=tuple(range(-len(size), 0)))
    return image


def otf(kernel: Tensor, size: Sides) -> Tensor:
    """The optical transfer function of a kernel with its centre pixel as the origin.

    Args:
        kernel: (B, 1, h, w), or (B, d, h, w) of a stack.
        size: (H, W) of the grid, or (D, H, W); at least that of the kernel.

    Returns:
        (B, 1, H, W // 2 + 1) or (B, D, H, W // 2 + 1), complex. Times `transform` of an image, it is the spectrum of
        the periodic blur.

    Example:
        >>> delta = torch.zeros(1, 1, 3, 3)
        >>> delta[..., 1, 1] = 1
        >>> otf(delta, (4, 4)).real.unique()
        tensor([1.])
    """
    w = kernel.shape[-1]
    spectrum: Tensor = torch.fft.rfft(torch.roll(F.pad(kernel, (0, size[-1] - w)), -(w // 2), -1))
    for dim in range(-2, -len(size) - 1, -1):  # all other lines are zero until then
        taps = kernel.shape[dim]
        grid = F.pad(spectrum, (0, 0) * (-dim - 1) + (0, size[dim] - taps))
        spectrum = torch.fft.fft(torch.roll(grid, -(taps // 2), dim), dim=dim)
    return spectrum


def rfft2_padded(image: Tensor, size: Size) -> Tensor:
    """``rfft2(image, size)``, in half the time if the image (..., h, w) is much smaller than the grid (H, W)."""
    spectrum: Tensor = torch.fft.fft(torch.fft.rfft(image, size[1]), size[0], dim=-2)
    return spectrum


def irfft2_rows(spectrum: Tensor, rows: Tensor | slice, size: Size) -> Tensor:
    """Some rows of ``irfft2(spectrum, size)``, in half the time if they are few.

    Args:
        spectrum: (..., H, W // 2 + 1).
        rows: an index of the rows.
        size: (H, W).
    """
    found: Tensor = torch.fft.irfft(torch.fft.ifft(spectrum, dim=-2)[..., rows, :], size[1])
    return found


def grid_size(data_size: Size, kernel_size: Size) -> Size:
    """A size with a fast FFT, large enough for the image of a valid convolution, (H + h - 1, W + w - 1)."""
    return fast_size((data_size[0] + kernel_size[0] - 1, data_size[1] + kernel_size[1] - 1))


def grid_sides(data: Sides, kernel: Sides) -> Sides:
    """`grid_size` of pictures; for stacks, whose planes are few, the next fast sides, not of multiples of four.

    Args:
        data: sides of the data.
        kernel: sides of the kernel, as many.
    """
    if len(data) == 2:
        return grid_size((data[0], data[1]), (kernel[0], kernel[1]))
    return tuple(fast_length(side + taps - 1) for side, taps in zip(data, kernel, strict=True))


def extend_periodically(data: Tensor, kernel_size: Sides, size: Sides) -> Tensor:
    """Extend data (B, C, H, W) to a periodic grid (B, C, *size) without a jump between opposite sides.

    The data keep their place in the image of a valid convolution. A raised cosine blends the edge pixels of opposite
    sides in the extension. A deconvolution with a periodic model then has less ringing.

    Args:
        data: (B, C, H, W), or a stack (B, D, H, W).
        kernel_size: (h, w) of the kernel, or (d, h, w).
        size: of the grid, at least (H, W), or (D, H, W).
    """
    dims = tuple(range(-len(size), 0))
    for dim in dims:
        data = join_sides(data, size[dim] - data.shape[dim], dim)
    return torch.roll(data, tuple(map(margin_before, kernel_size)), dims)


def join_sides(data: Tensor, missing: int, dim: int) -> Tensor:
    """Append lines that lead smoothly from the last line of a dimension to the first.

    Args:
        data: (B, C, H, W).
        missing: the number of lines, or of planes.
        dim: -3, -2 or -1.
    """
    if missing == 0:
        return data
    last, first = data.narrow(dim, data.shape[dim] - 1, 1), data.narrow(dim, 0, 1)
    position = torch.arange(1, missing + 1, device=data.device, dtype=data.dtype) / (missing + 1)
    share = 0.5 - 0.5 * torch.cos(torch.pi * position)
    share = share.view(-1, *[1] * (-dim - 1))
    return torch.cat([data, (1 - share) * last + share * first], dim)


def to_grid(image: Tensor, size: Sides) -> Tensor:
    """An image (B, C, H, W) in the top left corner of a larger grid, with its sides joined smoothly: (B, C, *size)."""
    return extend_periodically(image, (1,) * len(size), size)


def to_image(grid: Tensor, size: Sides) -> Tensor:
    """The image in the top left corner of a grid: the inverse of `to_grid`."""
    return window_of(grid, (0,) * len(size), size)
