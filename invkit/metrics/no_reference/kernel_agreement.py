"""How many others have found the same kernel."""

from __future__ import annotations

import math
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from ...core.interfaces import NoReferenceMetric
from ...core.parameters import validated

__all__ = ["KernelAgreement", "similarities"]


class KernelAgreement(NoReferenceMetric):
    """Minus the mean similarity of a kernel to the share of all kernels that are most like it, itself included.

    Methods of several families fail in different ways, and succeed in one: kernels that were found twice are seldom
    wrong. Similarity is the greatest normalised cross-correlation over shifts by whole pixels (Hu & Yang, ECCV 2012).

    Args:
        share: of the kernels, that each is compared with.
    """

    @validated
    def __init__(
        self,
        *,
        share: Annotated[float, Field(gt=0, le=1, description="of the kernels, that each is compared with")] = 0.5,
    ) -> None:
        super().__init__()
        self.share = share

    @torch.no_grad()
    def forward(self, data: Tensor, images: Tensor, kernels: Tensor) -> Tensor:
        """Of each kernel among all."""
        count = math.ceil(self.share * len(kernels))
        return -similarities(kernels).topk(count, dim=1).values.mean(dim=1)


def similarities(kernels: Tensor) -> Tensor:
    """The similarity of each of (N, 1, h, w) to each, (N, N), in (0, 1], float64."""
    size = [2 * side - 1 for side in kernels.shape[-2:]]
    unit = kernels[:, 0].double() / kernels[:, 0].double().norm(dim=(-2, -1), keepdim=True)
    spectra = torch.fft.rfft2(unit, s=size)
    rows = [torch.fft.irfft2(spectra * one.conj(), s=size).amax(dim=(-2, -1)) for one in spectra]
    return torch.stack(rows).clamp(max=1.0)
