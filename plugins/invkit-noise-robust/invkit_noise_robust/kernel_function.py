"""The kernel as a function of the data and of a sharp image, for an assumed noise level."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from invkit.numerics.fourier import extend_periodically, grid_size, to_grid
from invkit.numerics.geometry import Size, centre, size_of

__all__ = ["estimated_kernels"]

MIN_KERNEL_SUM = 1e-8  # added to the sum that a kernel is divided by, as in the released code


def estimated_kernels(
    data: Tensor, images: Tensor, noise_levels: Sequence[float], kernel_size: Size
) -> tuple[Tensor, Tensor]:
    """Compute ``k = |F^-1(conj(X) Y / (|X|^2 + P s^2))|``, cropped to the kernel's size and scaled to sum one.

    This is the kernel estimation function of Lee et al., "Blind image deblurring with noise-robust kernel estimation",
    ECCV 2024: a Wiener filter that deconvolves the data by an image. X and Y are the transforms of grey images of P
    pixels, and P s^2 is the power of white noise of standard deviation s at every frequency. The released code adds
    5^2, 15^2 and 25^2 for images of 256x256 pixels; these are values of s of 5, 15 and 25 out of 256 grey levels.

    Args:
        data: (B, C, H, W) in [0, 1]; they are extended beyond their border, so that they are smoothly periodic.
        images: (B, N, C, H + h - 1, W + w - 1) in [0, 1], one for each noise level.
        noise_levels: N values of s, > 0, in [0, 1] units.
        kernel_size: (h, w).

    Returns:
        Kernels (N, B, 1, h, w), >= 0 and summing to one, and the norm of each before it was cropped, (N, B). Both are
        differentiable in the images.
    """
    size = grid_size(size_of(data), kernel_size)
    blurred = torch.fft.rfft2(extend_periodically(data.mean(1, keepdim=True), kernel_size, size))
    sharp = torch.fft.rfft2(to_grid(images.mean(2), size))
    levels = torch.stack([data.new_full((), level) for level in noise_levels])
    noise = size[0] * size[1] * levels.square()[:, None, None]
    whole = torch.fft.irfft2(sharp.conj() * blurred / (sharp.abs().square() + noise), size).abs()
    kernels = cropped_kernel(whole, kernel_size)
    kernels = kernels / (kernels.sum((-2, -1), keepdim=True) + MIN_KERNEL_SUM)
    norms: Tensor = torch.linalg.vector_norm(whole, dim=(-2, -1))
    return kernels.transpose(0, 1)[:, :, None], norms.T


def cropped_kernel(whole: Tensor, kernel_size: Size) -> Tensor:
    """Crop the kernel from a periodic grid whose origin is its centre pixel, (..., H, W) -> (..., h, w)."""
    row, column = centre(kernel_size)
    return torch.roll(whole, (row, column), (-2, -1))[..., : kernel_size[0], : kernel_size[1]]
