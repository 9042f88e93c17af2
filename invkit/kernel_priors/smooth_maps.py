"""Coil maps that vary slowly."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from ..core.interfaces import CoilMapPrior
from ..core.parameters import validated
from ..numerics.geometry import Shape

__all__ = ["SmoothMaps"]


class SmoothMaps(CoilMapPrior):
    """Sums of a few cosines, scaled so that the coils' squares sum to one in each pixel.

    Each coil's real and imaginary part is a cosine series of the lowest ``order`` frequencies down and along the
    picture (the polynomials of Ying & Sheng, "Joint Image Reconstruction and Sensitivity Estimation in SENSE
    (JSENSE)", Magn. Reson. Med. 2007, in a basis that stays well conditioned). Where all series vanish together the
    coils are equal.

    Args:
        shape: (B, 2 N, H, W), real parts first.
        start: maps to start from, of that shape: their least-squares fit.
        guess: what the operator makes of the data, of that shape, where no maps are given: images of the coils, whose
            brightness in a pixel is the weight of what they say there. Equal coils where that is None too.
        order: cosines down and along.
    """

    down: Tensor
    along: Tensor

    @validated
    def __init__(
        self,
        shape: Shape,
        start: Tensor | None = None,
        guess: Tensor | None = None,
        *,
        order: Annotated[int, Field(gt=0, description="cosines down and along the picture")] = 6,
    ) -> None:
        super().__init__(shape)
        height, width = shape[-2:]
        self.register_buffer("down", cosines(height, min(order, height)), persistent=False)
        self.register_buffer("along", cosines(width, min(order, width)), persistent=False)
        known = guess if start is None else start
        coils = self.allowed(torch.zeros(shape)) if known is None else known.detach().to(self.down)
        self.series = nn.Parameter(fitted(coils, self.down, self.along))

    def forward(self) -> Tensor:
        """The maps, (B, 2 N, H, W)."""
        return scaled(self.down @ self.series @ self.along.T)


@torch.no_grad()
def fitted(coils: Tensor, down: Tensor, along: Tensor) -> Tensor:
    """The series (B, 2 N, orders) of maps nearest to coil images (B, 2 N, H, W), weighted by their squared brightness.

    A little is added to the weights, so that the dark is not free.
    """
    maps, weights = CoilMapPrior.allowed(coils), coils.square().sum(1)
    weights = weights + WEIGHTLESS * weights.mean((-2, -1), keepdim=True)
    squares = torch.einsum("bhw,hi,hj,wk,wl->bikjl", weights, down, down, along, along).flatten(3).flatten(1, 2)
    asked = torch.einsum("bhw,bchw,hi,wk->bcik", weights, maps, down, along).flatten(2)
    series: Tensor = torch.linalg.solve(squares.double(), asked.double().mT).mT
    return series.to(maps).view(*maps.shape[:2], down.shape[1], along.shape[1])


WEIGHTLESS = 1e-2  # of the mean weight


def scaled(maps: Tensor) -> Tensor:
    """Maps whose squares sum to one in each pixel, with finite gradients where they vanish and for any size of them."""
    size = maps.detach().abs().amax((1, 2, 3), keepdim=True).clamp(min=torch.finfo(maps.dtype).tiny)
    unit = maps / size
    norm = unit.square().sum(1, keepdim=True)
    lost = norm < TINY
    equal = CoilMapPrior.allowed(torch.zeros_like(unit))
    return torch.where(lost, equal, unit / torch.where(lost, 1, norm).sqrt())


TINY = 1e-12  # of the largest map's square: where all coils are below it, rounding says which of them is the strongest


def cosines(pixels: int, order: int) -> Tensor:
    """The first cosines of the DCT-II, each of mean square one and orthogonal, (pixels, order)."""
    position = (torch.arange(pixels, dtype=torch.float64) + 0.5) * (torch.pi / pixels)
    waves = torch.cos(position[:, None] * torch.arange(order, dtype=torch.float64))
    unit: Tensor = waves * (pixels**0.5 / waves.norm(dim=0))
    return unit.to(torch.get_default_dtype())
