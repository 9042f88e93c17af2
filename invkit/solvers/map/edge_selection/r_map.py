"""Edges selected by their usefulness."""

from __future__ import annotations

import math
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from ....core.interfaces import EdgeSelection
from ....core.parameters import NonNegative, Positive, PositiveInt, validated
from ....numerics.geometry import Size, crop_to_data, size_of
from .filters import box_sum, differences, gaussian, shock
from .selection import Relax, directions, embedded, magnitude, per_direction

__all__ = ["RMap", "usefulness"]


class RMap(EdgeSelection):
    """Sharpened edges of objects larger than the kernel (Xu & Jia 2010, section 3.1).

    An edge of something smaller than the kernel misleads: its blurred sides cancel. Such edges have a small

        ``r = |sum grad B| / (sum |grad B| + offset)``,  the sums over a window of the kernel's size,

    where B is the data. Where ``r`` is above a threshold, the gradients of the latent image, smoothed by a Gaussian
    and sharpened by a shock filter, are kept if they in turn are above another.

    Both thresholds are the largest that leave so many pixels of each of four directions: the first at least
    ``useful * sqrt(H W h w)`` (of the data's directions), the second ``per_kernel * sqrt(h w)``; both are divided by
    ``relax`` at every iteration. They are found anew from the image as it stands, where the paper keeps those of a
    scale's first iteration. What is kept lies within the data's frame, where alone ``r`` is known.

    The paper writes the offset, 0.5, without units; it is taken for intensities in [0, 1], where it calms windows
    whose gradients sum to less than about that, and would do nothing in [0, 255].

    Args:
        offset: in the denominator of r, in [0, 1] units.
        useful: how many pixels r lets through.
        per_kernel: how many of them are kept.
        sigma: of the Gaussian, pixels; 0 for none.
        shock_iterations: of the shock filter.
        step: of the shock filter.
        relax: by which the thresholds are divided at every iteration.
    """

    @validated
    def __init__(
        self,
        *,
        offset: Annotated[Positive, Field(description="summed gradient ([0, 1] units) below which r is small")] = 0.5,
        useful: Annotated[
            Positive,
            Field(description="pixels of each direction that r lets through, per root of data pixels x kernel pixels"),
        ] = 0.5,
        per_kernel: Annotated[
            Positive, Field(description="pixels kept of each of four directions, per pixel of the kernel's side")
        ] = 2.0,
        sigma: Annotated[NonNegative, Field(le=100, description="Gaussian before the shock filter, pixels")] = 0.5,
        shock_iterations: Annotated[PositiveInt, Field(description="steps of the shock filter")] = 1,
        step: Annotated[float, Field(gt=0, le=1, description="length of the shock filter's steps")] = 1.0,
        relax: Relax = 1.1,
    ) -> None:
        super().__init__()
        self.offset, self.useful, self.per_kernel, self.relax = offset, useful, per_kernel, relax
        self.sigma, self.shock_iterations, self.step = sigma, shock_iterations, step

    @torch.no_grad()
    def forward(self, image: Tensor, data: Tensor, kernel_size: Size, iteration: int) -> tuple[Tensor, Tensor]:
        """The gradients, rows' then columns', S = 2 C, of the sharpened image selected, of the data all."""
        blurred = differences(data)
        mask = self.mask(blurred, kernel_size, iteration)
        smooth = gaussian(image, self.sigma)
        sharp = shock(smooth, self.shock_iterations, self.step)
        gradients = differences(crop_to_data(sharp, kernel_size, size_of(data))) * mask[:, None]
        count = math.ceil(self.per_kernel * math.sqrt(math.prod(kernel_size)))
        kept = above(magnitude(gradients), directions(gradients), count, self.relax**iteration)
        return embedded(gradients * kept[:, None], kernel_size), blurred

    def mask(self, blurred: Tensor, kernel_size: Size, iteration: int) -> Tensor:
        """Where the data's gradients (B, 2C, H, W) are useful: (B, H, W), true or false."""
        count = math.ceil(self.useful * math.sqrt(math.prod(kernel_size) * math.prod(size_of(blurred))))
        useful = usefulness(blurred, kernel_size, self.offset)
        return above(useful, directions(blurred), count, self.relax**iteration)


def above(value: Tensor, direction: Tensor, count: int, relaxed: float) -> Tensor:
    """Where a value reaches its threshold by `per_direction`, divided by ``relaxed``: (B, H, W), true or false."""
    return value >= per_direction(value, direction, count)[:, None, None] / relaxed


def usefulness(gradients: Tensor, window: Size, offset: float) -> Tensor:
    """Xu & Jia's r, their Eq. 2: gradients (B, 2C, H, W) -> (B, H, W), float32, in [0, 1).

    Over several channels, lengths are roots of mean squares.
    """
    strength = magnitude(gradients)
    together = magnitude(box_sum(gradients.float(), window))
    return together / (box_sum(strength, window) + offset)
