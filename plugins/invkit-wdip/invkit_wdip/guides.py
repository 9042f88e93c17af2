"""The guides of the networks: an auxiliary kernel of free pixels, and the data deconvolved by it."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from invkit.numerics.fourier import extend_periodically, grid_size, otf, to_image
from invkit.numerics.geometry import Shape, Size, margins, size_of

__all__ = ["best_shifts", "gaussian", "normalised", "sharpened", "shifted_image", "shifted_kernel"]

MIN_MASS = 1e-3  # of a kernel, that a shift must leave in the frame


def normalised(free: Tensor) -> Tensor:
    """Scale the magnitudes of free numbers (B, 1, h, w) to kernels, >= 0, each summing to one."""
    magnitudes = free.abs()
    return magnitudes / magnitudes.sum((-2, -1), keepdim=True)


def gaussian(shape: Shape, width: float, like: Tensor) -> Tensor:
    """Return Gaussian kernels about the middle.

    Args:
        shape: (B, 1, h, w).
        width: standard deviation as a share of the side less one.
        like: a tensor of the device and precision wanted.
    """
    height, length = (profile(side, width, like) for side in shape[-2:])
    return normalised((height[:, None] * length).expand(shape))


def profile(side: int, width: float, like: Tensor) -> Tensor:
    """Return a Gaussian along one side, (side,).

    Args:
        side: number of pixels.
        width: standard deviation as a share of the side less one.
        like: a tensor of the device and precision wanted.
    """
    offsets = torch.arange(side, dtype=like.dtype, device=like.device) - (side - 1) / 2
    return torch.exp(-(offsets / (width * max(1, side - 1))).square() / 2)


def sharpened(data: Tensor, kernel: Tensor, noise_to_signal: float) -> Tensor:
    """Deconvolve the data by a Wiener filter: ``conj(K) Y / (|K|^2 + noise_to_signal)``.

    Args:
        data: (B, C, H, W); they are extended beyond their border, so that they are smoothly periodic.
        kernel: (B, 1, h, w).
        noise_to_signal: ratio of the power spectra, > 0, the same at every frequency.

    Returns:
        (B, C, H + h - 1, W + w - 1), in [0, 1]; differentiable in the kernel.
    """
    (height, width), (h, w) = size_of(data), size_of(kernel)
    size = grid_size((height, width), (h, w))
    blur = otf(kernel, size)
    spectrum = (
        torch.fft.rfft2(extend_periodically(data, (h, w), size)) * blur.conj() / (blur.abs().square() + noise_to_signal)
    )
    return to_image(torch.fft.irfft2(spectrum, size), (height + h - 1, width + w - 1)).clamp(0, 1)


@torch.no_grad()
def best_shifts(auxiliary: Tensor, kernel: Tensor) -> Tensor:
    """Find the shift of each auxiliary kernel, by at most half a side, that brings it closest to its kernel.

    Blind deconvolution determines image and kernel up to a shift, so the two kernels may be at different positions.

    Args:
        auxiliary: (B, 1, h, w), >= 0; pixels that leave the frame are lost, and the rest is scaled to sum one.
        kernel: (B, 1, h, w).

    Returns:
        (B, 2), rows and columns for `shifted_kernel`, on the kernels' device and without a synchronisation.
    """
    frames = framed(auxiliary).transpose(0, 1)
    mass, squares = (windowed(values, torch.ones_like(kernel)) for values in (frames, frames.square()))
    distances = squares / mass.square() - 2 * windowed(frames, kernel) / mass
    distances = distances.masked_fill(mass < MIN_MASS, torch.inf)
    rows, columns = reach(auxiliary)
    best, across = distances.flatten(1).argmin(1), 2 * columns + 1
    return torch.stack([rows - best // across, columns - best % across], dim=1)


def windowed(frames: Tensor, kernel: Tensor) -> Tensor:
    """Correlate each frame, (1, B, ...), with its kernel, (B, 1, h, w): (B, ...)."""
    return F.conv2d(frames, kernel, groups=len(kernel))[0]


def reach(kernel: Tensor) -> tuple[int, int]:
    """Return the largest shift of a kernel, in rows and columns."""
    height, width = size_of(kernel)
    return height // 2, width // 2


def framed(kernel: Tensor) -> Tensor:
    """Pad a kernel with zeros by its largest shift."""
    rows, columns = reach(kernel)
    return F.pad(kernel, (columns, columns, rows, rows))


def shifted_kernel(kernel: Tensor, shifts: Tensor) -> Tensor:
    """Shift kernels (B, 1, h, w) by their (rows, columns), (B, 2), within the frame, and scale them to sum one."""
    return normalised(windows(framed(kernel), reach(kernel), -shifts, size_of(kernel)))


def shifted_image(image: Tensor, shifts: Tensor, kernel: Tensor, data: Tensor) -> Tensor:
    """Crop images to the data after a shift opposite to their kernels', so that their blur does not change.

    Args:
        image: (B, C, H + h - 1, W + w - 1).
        shifts: (B, 2), rows and columns of the kernels' shifts.
        kernel: (B, 1, h, w).
        data: (B, C, H, W).

    Returns:
        (B, C, H, W).
    """
    (top, _), (left, _) = margins(size_of(kernel))
    return windows(image, (top, left), shifts, size_of(data))


def windows(images: Tensor, corner: Size, shifts: Tensor, size: Size) -> Tensor:
    """Crop a window from each image at a corner that its own (rows, columns) shift; images are periodic.

    Args:
        images: (B, C, H, W).
        corner: row and column of the upper left pixel, before the shift.
        shifts: (B, 2), integers.
        size: (h, w) of the windows.

    Returns:
        (B, C, h, w).
    """
    rows, columns = (
        (torch.arange(first, first + count, device=images.device) + shift[:, None]) % side
        for first, count, shift, side in zip(corner, size, shifts.T, size_of(images), strict=True)
    )
    # a slice would need the shifts on the host, and wait for the device
    chosen = zip(images, rows, columns, strict=True)
    return torch.stack([image.index_select(1, down).index_select(2, across) for image, down, across in chosen])
