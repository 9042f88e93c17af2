"""A kernel prior: forward() gives the kernel, and the solver optimises the parameters of the prior."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from invkit.core.interfaces import KernelPrior
from invkit.core.parameters import Positive, validated
from invkit.numerics.geometry import Shape, centre


class StraightMotion(KernelPrior):
    """A straight motion of unknown length and direction.

    Args:
        shape: (B, 1, h, w), the kernel's shape; from the problem.
        length: length of the initial motion, pixels.
    """

    grid: Tensor

    @validated
    def __init__(self, shape: Shape, *, length: Positive = 5.0) -> None:
        super().__init__(shape)
        row, column = centre((shape[2], shape[3]))
        offsets = torch.meshgrid(torch.arange(shape[2]) - row, torch.arange(shape[3]) - column, indexing="ij")
        self.register_buffer("grid", torch.stack(offsets, dim=-1).float())
        self.reach = nn.Parameter(torch.full((shape[0], 1, 1, 2), length / 8**0.5))  # from the middle to an end

    def forward(self) -> Tensor:
        """The kernel, (B, 1, h, w): a Gaussian of each pixel's distance from the path."""
        square = self.reach.square().sum(-1, keepdim=True).clamp(min=1e-6)
        along = (self.grid * self.reach).sum(-1, keepdim=True) / square
        distance = (self.grid - along.clamp(-1, 1) * self.reach).square().sum(-1)
        return self.allowed(torch.exp(-distance)[:, None])  # >= 0, with sum one
