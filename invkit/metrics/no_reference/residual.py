"""The residual of a restoration: the data that image and kernel do not explain."""

from __future__ import annotations

import torch
from torch import Tensor

from ...core.evaluation import NoReferenceMetric
from ...core.parameters import PositiveFraction, validated
from ...numerics.restoration_scores import noise_levels, residual_in_noise

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
        return residual_in_noise(data, images, kernels, noise_levels(data), self.saturation)
