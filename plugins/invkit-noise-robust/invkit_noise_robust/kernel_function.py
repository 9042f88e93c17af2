"""The kernel as a function of the data and of a sharp image, for an assumed level of noise."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from invkit.numerics.fourier import extend_periodically, grid_size, to_grid
from invkit.numerics.geometry import Size, centre, size_of

__all__ = ["estimated_kernels"]

SMALLEST = 1e-8  # of the sum that a kernel is divided by, as in the released code


def estimated_kernels(
    data: Tensor, images: Tensor, noise_levels: Sequence[float], kernel_size: Size
) -> tuple[Tensor, Tensor]:
    """``k = |F^-1(conj(X) Y / (|X|^2 + P s^2))|``, cut to the kernel's size and scaled to sum one.

    Lee et al., "Blind image deblurring with noise-robust kernel estimation", ECCV 2024, the kernel estimation function:
    a Wiener filter that deconvolves the data by the image. X and Y are the transforms of grey images of P pixels, and
    P s^2 is the power, at every frequency, of white noise of standard deviation s. The released code adds 5^2, 15^2 and
    25^2 for pictures of 256x256 pixels, which are the s of 5, 15 and 25 of 256 grey levels.

    Args:
        data: (B, C, H, W) in [0, 1], continued beyond their border so that they wrap round smoothly.
        images: (B, N, C, H + h - 1, W + w - 1) in [0, 1], one for each noise level.
        noise_levels: s, N of them, > 0, in [0, 1] units.
        kernel_size: (h, w).

    Returns:
        Kernels (N, B, 1, h, w), >= 0 and summing to one, and the norm of each before it was cut, (N, B). Both
        differentiable in the images.
    """
    size = grid_size(size_of(data), kernel_size)
    blurred = torch.fft.rfft2(extend_periodically(data.mean(1, keepdim=True), kernel_size, size))
    sharp = torch.fft.rfft2(to_grid(images.mean(2), size))
    levels = torch.stack([data.new_full((), level) for level in noise_levels])
    noise = size[0] * size[1] * levels.square()[:, None, None]
    whole = torch.fft.irfft2(sharp.conj() * blurred / (sharp.abs().square() + noise), size).abs()
    kernels = cut(whole, kernel_size)
    kernels = kernels / (kernels.sum((-2, -1), keepdim=True) + SMALLEST)
    norms: Tensor = torch.linalg.vector_norm(whole, dim=(-2, -1))
    return kernels.transpose(0, 1)[:, :, None], norms.T


def cut(whole: Tensor, kernel_size: Size) -> Tensor:
    """The kernel out of a periodic grid whose origin is its centre pixel, (..., H, W) -> (..., h, w)."""
    row, column = centre(kernel_size)
    return torch.roll(whole, (row, column), (-2, -1))[..., : kernel_size[0], : kernel_size[1]]
