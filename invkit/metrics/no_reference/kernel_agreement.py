"""The agreement of a kernel with the kernels of other restorations."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ...core.evaluation import NoReferenceMetric
from ...core.parameters import PositiveFraction, validated

__all__ = ["KernelAgreement", "pairwise_similarities"]


class KernelAgreement(NoReferenceMetric):
    """Minus the mean similarity of a kernel to the most similar kernels, itself included.

    Methods of different families fail in different ways, but they succeed in the same way. Therefore a kernel that
    several methods have found is seldom wrong. The similarity is the maximum normalised cross-correlation over shifts
    by whole pixels (Hu & Yang, ECCV 2012).

    Args:
        share: fraction of all kernels that enters the mean.
    """

    @validated
    def __init__(self, *, share: PositiveFraction = 0.5) -> None:
        super().__init__()
        self.share = share

    @torch.no_grad()
    def forward(self, data: Tensor, images: Tensor, kernels: Tensor) -> Tensor:
        """One number for each kernel.

        Args:
            data: (1, C, H, W), not used.
            images: (N, C, H, W), not used.
            kernels: (N, 1, h, w).

        Returns:
            (N,) in [-1, 0), float64.
        """
        count = math.ceil(self.share * len(kernels))
        return -pairwise_similarities(kernels).topk(count, dim=1).values.mean(dim=1)


def pairwise_similarities(kernels: Tensor) -> Tensor:
    """The similarity of each pair of kernels: (N, 1, h, w), >= 0 -> (N, N) in (0, 1], float64.

    Example:
        >>> kernels = torch.eye(3).expand(2, 1, 3, 3)
        >>> pairwise_similarities(torch.stack([kernels[0], kernels[1].flip(-1)])).round(decimals=3)
        tensor([[1.0000, 0.3330],
                [0.3330, 1.0000]], dtype=torch.float64)
    """
    size = [2 * side - 1 for side in kernels.shape[-2:]]
    unit = kernels[:, 0].double() / kernels[:, 0].double().norm(dim=(-2, -1), keepdim=True)
    spectra = torch.fft.rfft2(unit, s=size)
    rows = [torch.fft.irfft2(spectra * one.conj(), s=size).amax(dim=(-2, -1)) for one in spectra]
    return torch.stack(rows).clamp(max=1.0)
