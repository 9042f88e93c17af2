"""Edges predicted by a shock filter."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from ....core.interfaces import EdgeSelection
from ....core.parameters import Positive, PositiveInt, validated
from ....numerics.geometry import Size, crop_to_data, size_of
from .filters import bilateral, differences, shock
from .selection import PerKernel, Relax, Selection, Share, embedded

__all__ = ["Shock"]

SMALLEST = 1e-6  # of sigma_range, whose square must not vanish


class Shock(EdgeSelection):
    """Edges made sharp by a shock filter after a bilateral one (Cho & Lee 2009, section 4: prediction).

    The bilateral filter takes noise and small detail away, the shock filter turns the slopes of blurred edges into
    steps, and of the result the strongest gradients are kept, as `Gradients` does, within the data's frame only.
    Both filters weaken as the image grows sharp, by ``decay`` at every iteration.

    The defaults of both filters are the paper's; its selection is ``per_kernel=2``. How the shock filter takes the
    gradient's length it does not say: here from the nearer of two neighbours, which makes no rings.

    Args:
        sigma_space: of the bilateral filter, pixels; its support is 5 x 5.
        sigma_range: of the bilateral filter, at a scale's first iteration, in [0, 1] units.
        shock_iterations: of the shock filter.
        step: of the shock filter, at a scale's first iteration.
        decay: by which ``sigma_range`` and ``step`` are multiplied at every iteration.
        share: of the data's pixels, those kept at a scale's first iteration.
        per_kernel: if given, the rule by the kernel's size takes the place of ``share``.
        relax: by which the threshold is divided at every iteration.
    """

    @validated
    def __init__(
        self,
        *,
        sigma_space: Annotated[Positive, Field(description="bilateral filter's reach, pixels")] = 2.0,
        sigma_range: Annotated[
            Positive, Field(description="bilateral filter's reach in intensity at a scale's start, [0, 1] units")
        ] = 0.5,
        shock_iterations: Annotated[PositiveInt, Field(description="steps of the shock filter")] = 1,
        step: Annotated[float, Field(gt=0, le=1, description="length of the shock filter's steps")] = 1.0,
        decay: Annotated[
            float, Field(gt=0, le=1, description="sigma_range and step are multiplied by this at every iteration")
        ] = 0.9,
        share: Share = 0.1,
        per_kernel: PerKernel = None,
        relax: Relax = 1.1,
    ) -> None:
        super().__init__()
        self.sigma_space, self.sigma_range = sigma_space, sigma_range
        self.shock_iterations, self.step, self.decay = shock_iterations, step, decay
        self.selection = Selection(share, per_kernel, relax)

    @torch.no_grad()
    def forward(self, image: Tensor, data: Tensor, kernel_size: Size, iteration: int) -> tuple[Tensor, Tensor]:
        """The gradients, rows' then columns', S = 2 C, of the sharpened image selected, of the data all."""
        weaker = self.decay**iteration
        smooth = bilateral(image, self.sigma_space, max(weaker * self.sigma_range, SMALLEST))
        sharp = shock(smooth, self.shock_iterations, weaker * self.step)
        gradients = differences(crop_to_data(sharp, kernel_size, size_of(data)))
        return embedded(self.selection.of(gradients, kernel_size, iteration), kernel_size), differences(data)
