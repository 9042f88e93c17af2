"""The root of the mean squared error."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from invkit.core.interfaces import Fidelity
from invkit.core.parameters import validated

__all__ = ["RootMSE"]


class RootMSE(Fidelity):
    """Root of the mean squared difference, ``|A(x, k) - y|_2`` up to the root of the number of values.

    The data term of Lee et al., "Blind image deblurring with noise-robust kernel estimation", ECCV 2024, in its
    released code. Beside other terms it counts as a squared one would whose weight grows as the fit gets better.
    """

    @validated
    def __init__(self) -> None:
        super().__init__()

    def forward(self, predicted: Tensor, data: Tensor) -> Tensor:
        """Two tensors (B, C, H, W) -> (B,), >= 0; the gradient is zero where they are equal."""
        norms: Tensor = torch.linalg.vector_norm(predicted - data, dim=(1, 2, 3))
        return norms / math.sqrt(data[0].numel())
