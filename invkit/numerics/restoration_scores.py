"""Two numbers that tell a good restoration from a bad one without the truth."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .fourier import fast_size, otf
from .geometry import margins, size_of
from .noise import PATCH_SIDE, ROUNDING_SIGMA, estimate_sigma

__all__ = ["gradient_sparsity", "noise_levels", "residual_in_noise"]

MIN_GRADIENT = 1e-6  # root mean square, in [0, 1] units, of a flat image


def gradient_sparsity(images: Tensor) -> Tensor:
    """``log(mean |grad x| / rms |grad x|)``; |grad x| is the sum of the lengths of both differences.

    Args:
        images: (N, C, H, W).

    Returns:
        (N,), float64; zeros if the images have less than 2 pixels along a side.
    """
    if min(images.shape[-2:]) < 2:
        return images.new_zeros(len(images), dtype=torch.float64)
    images = images.double()
    down, along = images[..., 1:, :-1] - images[..., :-1, :-1], images[..., :-1, 1:] - images[..., :-1, :-1]
    lengths = down.square().mean(1).sqrt() + along.square().mean(1).sqrt()
    mean, root = lengths.mean((-2, -1)), lengths.square().mean((-2, -1)).sqrt()
    return (mean.clamp(min=MIN_GRADIENT) / root.clamp(min=MIN_GRADIENT)).log()


def residual_in_noise(
    data: Tensor, images: Tensor, kernels: Tensor, sigmas: Sequence[float], saturation: float
) -> Tensor:
    """``log(rms(k * x - y) / sigma)``, at least 0, where no pixel beyond the image is needed.

    Args:
        data: (1, C, H, W) or (N, C, H, W) in [0, 1].
        images: (N, C, H, W), in the frame of the data.
        kernels: (N, 1, h, w).
        sigmas: `noise_levels` of the data.
        saturation: data of this value or more do not count.

    Returns:
        (N,), float64; zeros if the kernels are larger than the data, or all data are saturated.
    """
    pairs = zip(margins(size_of(kernels)), size_of(data), strict=True)
    rows, columns = (slice(before, max(side - after, before)) for (before, after), side in pairs)
    grid = fast_size(size_of(data))
    found = []
    for number, (image, kernel) in enumerate(zip(images[:, None], kernels[:, None], strict=True)):
        own = number if len(data) > 1 else 0
        seen = data[own : own + 1, :, rows, columns]
        counted = (seen < saturation).double()
        blurred = torch.fft.irfft2(torch.fft.rfft2(image, grid) * otf(kernel, grid), grid)
        error = (blurred[..., rows, columns] - seen).double().square()
        excess = ((error * counted).sum() / counted.sum()).sqrt() / sigmas[own] if counted.sum() > 0 else counted.sum()
        found.append(excess.clamp(min=1).log())
    return torch.stack(found)


def noise_levels(data: Tensor) -> list[float]:
    """The estimated standard deviations of the noise of (N, C, H, W), at least that of rounding."""
    is_large = min(size_of(data)) >= PATCH_SIDE
    return [max(estimate_sigma(one), ROUNDING_SIGMA) if is_large else ROUNDING_SIGMA for one in data[:, None]]
