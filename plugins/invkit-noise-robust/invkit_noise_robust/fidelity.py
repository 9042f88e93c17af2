"""The root of the mean squared error."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from invkit.core.interfaces import Fidelity
from invkit.core.parameters import validated

__all__ = ["RootMSE"]


class RootMSE(Fidelity):
    """Root of the mean squared difference: ``|A(x, k) - y|_2`` over the root of the number of values.

    Lee et al., "Blind image deblurring with noise-robust kernel estimation", ECCV 2024, use this data term in their
    released code. It acts as a squared term whose weight grows as the fit improves.

    Example:
        >>> RootMSE()(torch.full((1, 1, 2, 2), 0.75), torch.full((1, 1, 2, 2), 0.5)).item()
        0.25
    """

    @validated
    def __init__(self) -> None:
        super().__init__()

    def forward(self, predicted: Tensor, data: Tensor) -> Tensor:
        """Compare two tensors (B, C, H, W): (B,), >= 0; the gradient of equal tensors is zero."""
        norms: Tensor = torch.linalg.vector_norm(predicted - data, dim=(1, 2, 3))
        return norms / math.sqrt(data[0].numel())
