"""The residual of a restoration: the data that image and kernel do not explain."""

from __future__ import annotations

import torch
from torch import Tensor

from ...core.evaluation import NoReferenceMetric
from ...core.parameters import PositiveFraction, validated
from ...numerics.fourier import fast_size, otf
from ...numerics.geometry import margins, size_of
from ...numerics.noise import PATCH_SIDE, ROUNDING_SIGMA, estimate_sigma

__all__ = ["Residual"]


class Residual(NoReferenceMetric):
    """``log(rms(k * x - y) / sigma)``, at least 0: the residual in units of the noise.

    A residual of the size of the noise says nothing against a kernel. A larger one cannot be explained by noise. It is
    measured where no pixel beyond the image is needed, on the same pixels for all kernels.

    Args:
        saturation: data of this value or more do not count, since their true intensity may have been higher.

    Example:
        >>> data = torch.rand(1, 1, 32, 32, generator=torch.Generator().manual_seed(0))
        >>> delta = torch.ones(1, 1, 1, 1)
        >>> Residual()(data, torch.cat([data, 0.5 * data]), torch.cat([delta, delta])) > 0
        tensor([False,  True])
    """

    @validated
    def __init__(self, *, saturation: PositiveFraction = 0.98) -> None:
        super().__init__()
        self.saturation = saturation

    @torch.no_grad()
    def forward(self, data: Tensor, images: Tensor, kernels: Tensor) -> Tensor:
        """One number for each restoration.

        Args:
            data: (1, C, H, W) in [0, 1].
            images: (N, C, H, W) in [0, 1].
            kernels: (N, 1, h, w).

        Returns:
            (N,), float64, >= 0; zeros if the kernels are larger than the data, or all data are saturated.
        """
        pairs = zip(margins(size_of(kernels)), size_of(data), strict=True)
        rows, columns = (slice(before, max(side - after, before)) for (before, after), side in pairs)
        counted = (data[..., rows, columns] < self.saturation).double()
        if counted.sum() == 0:
            return images.new_zeros(len(images), dtype=torch.float64)
        grid = fast_size(size_of(data))
        found = []
        for image, kernel in zip(images[:, None], kernels[:, None], strict=True):
            blurred = torch.fft.irfft2(torch.fft.rfft2(image, grid) * otf(kernel, grid), grid)
            error = (blurred[..., rows, columns] - data[..., rows, columns]).double()
            found.append(((error.square() * counted).sum() / counted.sum()).sqrt())
        return (torch.stack(found) / noise_of(data)).clamp(min=1).log()


def noise_of(data: Tensor) -> float:
    """The estimated standard deviation of the noise of (1, C, H, W), at least that of rounding."""
    is_large = min(size_of(data)) >= PATCH_SIDE
    return max(estimate_sigma(data), ROUNDING_SIGMA) if is_large else ROUNDING_SIGMA
