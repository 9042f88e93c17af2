"""The strongest gradients."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from ....core.interfaces import EdgeSelection
from ....core.parameters import NonNegative, validated
from ....numerics.geometry import Size, crop_to_data, size_of
from .filters import differences, noise_level
from .selection import Most, PerKernel, Relax, Selection, Share, embedded

__all__ = ["Gradients"]


class Gradients(EdgeSelection):
    """The strongest gradients of the latent image, the others set to zero, as Pan et al. (2014) select them.

    Weak gradients are mostly noise and ringing, and say little about a kernel. Which are strong is told by
    `invkit.solvers.map.edge_selection.selection.Selection`, by ``share`` or by ``per_kernel``. They are selected within the
    data's frame only: beyond it, the image is made up.

    Args:
        share: of the data's pixels, those kept at a scale's first iteration.
        per_kernel: if given, the rule by the kernel's size takes the place of ``share``; Pan et al. take 20.
        relax: by which the threshold is divided at every iteration.
        most: pixels that ``share`` is at most; None for no limit.
        above_noise: what a gradient must reach in any case, times the standard deviation of the data's noise; 0 for
            no such limit. Gradients of noise tell nothing of a kernel.
    """

    @validated
    def __init__(
        self,
        *,
        share: Share = 0.1,
        per_kernel: PerKernel = None,
        relax: Relax = 1.1,
        most: Most = None,
        above_noise: Annotated[
            NonNegative, Field(description="a gradient must reach this times the standard deviation of the noise")
        ] = 0.0,
    ) -> None:
        super().__init__()
        self.above_noise = above_noise
        self.selection = Selection(share, per_kernel, relax, most)

    @torch.no_grad()
    def forward(self, image: Tensor, data: Tensor, kernel_size: Size, iteration: int) -> tuple[Tensor, Tensor]:
        """The gradients, rows' then columns', S = 2 C, of the image selected, of the data all."""
        gradients = differences(crop_to_data(image, kernel_size, size_of(data)))
        least = self.above_noise * noise_level(data) if self.above_noise > 0 else None
        selected = self.selection.of(gradients, kernel_size, iteration, least)
        return embedded(selected, kernel_size), differences(data)
