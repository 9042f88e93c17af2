"""What guides the networks: a kernel of free pixels, and the data sharpened by it."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from invkit.numerics.fourier import extend_periodically, grid_size, otf, to_image
from invkit.numerics.geometry import Shape, Size, margins, size_of

__all__ = ["best_moves", "gaussian", "moved_image", "moved_kernel", "normalised", "sharpened"]

LEAST = 1e-3  # of a kernel's mass that a move must leave in the frame


def normalised(free: Tensor) -> Tensor:
    """Free numbers (B, 1, h, w) -> the kernel of their magnitudes, >= 0, each summing to one."""
    magnitudes = free.abs()
    return magnitudes / magnitudes.sum((-2, -1), keepdim=True)


def gaussian(shape: Shape, width: float, like: Tensor) -> Tensor:
    """Gaussian kernels (B, 1, h, w) about the middle, of standard deviation ``width`` times the side less one."""
    height, length = (profile(side, width, like) for side in shape[-2:])
    return normalised((height[:, None] * length).expand(shape))


def profile(side: int, width: float, like: Tensor) -> Tensor:
    """A Gaussian along one side, (side,)."""
    offsets = torch.arange(side, dtype=like.dtype, device=like.device) - (side - 1) / 2
    return torch.exp(-(offsets / (width * max(1, side - 1))).square() / 2)


def sharpened(data: Tensor, kernel: Tensor, noise_to_signal: float) -> Tensor:
    """The data deconvolved by a Wiener filter: ``conj(K) Y / (|K|^2 + noise_to_signal)``.

    Args:
        data: (B, C, H, W), continued beyond their border so that they wrap round smoothly.
        kernel: (B, 1, h, w).
        noise_to_signal: the same at every frequency, > 0.

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
def best_moves(auxiliary: Tensor, kernel: Tensor) -> Tensor:
    """The move, by up to half a side, of each auxiliary kernel that brings it nearest to its kernel.

    Blind deconvolution finds image and kernel up to a shift, and two kernels may be found at two places.

    Args:
        auxiliary: (B, 1, h, w), >= 0; what a move pushes out of the frame is lost, and the rest scaled to sum one.
        kernel: (B, 1, h, w).

    Returns:
        (B, 2), for each of the batch the rows and columns by which `moved_kernel` moves it; on the kernels' device,
        which nobody waits for.
    """
    frames = framed(auxiliary).transpose(0, 1)
    mass, squares = (windowed(values, torch.ones_like(kernel)) for values in (frames, frames.square()))
    distances = squares / mass.square() - 2 * windowed(frames, kernel) / mass
    distances = distances.masked_fill(mass < LEAST, torch.inf)
    rows, columns = reach(auxiliary)
    best, across = distances.flatten(1).argmin(1), 2 * columns + 1
    return torch.stack([rows - best // across, columns - best % across], dim=1)


def windowed(frames: Tensor, kernel: Tensor) -> Tensor:
    """The sums of each frame, (1, B, ...), under each place of its kernel, (B, 1, h, w) -> (B, ...)."""
    return F.conv2d(frames, kernel, groups=len(kernel))[0]


def reach(kernel: Tensor) -> tuple[int, int]:
    """How far a kernel is moved at most, in rows and columns."""
    height, width = size_of(kernel)
    return height // 2, width // 2


def framed(kernel: Tensor) -> Tensor:
    """A kernel with zeros round it, as far as it is moved."""
    rows, columns = reach(kernel)
    return F.pad(kernel, (columns, columns, rows, rows))


def moved_kernel(kernel: Tensor, moves: Tensor) -> Tensor:
    """Kernels (B, 1, h, w), each moved by its (rows, columns) within its frame and scaled to sum one."""
    return normalised(windows(framed(kernel), reach(kernel), -moves, size_of(kernel)))


def moved_image(image: Tensor, moves: Tensor, kernel: Tensor, data: Tensor) -> Tensor:
    """What lies under the data of images moved against their kernels, whose blur then stays what it was.

    Args:
        image: (B, C, H + h - 1, W + w - 1).
        moves: (B, 2), of the kernels, as `moved_kernel` takes them.
        kernel: (B, 1, h, w).
        data: (B, C, H, W).

    Returns:
        (B, C, H, W).
    """
    (top, _), (left, _) = margins(size_of(kernel))
    return windows(image, (top, left), moves, size_of(data))


def windows(images: Tensor, corner: Size, moves: Tensor, size: Size) -> Tensor:
    """Of each image the window of a size at a corner moved by its own (rows, columns), round the border.

    Args:
        images: (B, C, H, W).
        corner: row and column of the upper left pixel, before the move.
        moves: (B, 2), integers.
        size: of the window.

    Returns:
        (B, C, *size).
    """
    rows, columns = (
        (torch.arange(first, first + count, device=images.device) + move[:, None]) % side
        for first, count, move, side in zip(corner, size, moves.T, size_of(images), strict=True)
    )
    # a slice would be quicker to write, and wait for the moves
    chosen = zip(images, rows, columns, strict=True)
    return torch.stack([image.index_select(1, down).index_select(2, across) for image, down, across in chosen])
