"""Priors of operator parameters that are no blur kernels: masks, coil maps and scan geometries."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from ..core.interfaces import ImagePrior
from ..core.operator_parameters import CoilMapPrior, MaskPrior, ScanPrior
from ..core.parameters import PositiveInt, validated
from ..numerics.geometry import Shape

__all__ = ["ImageMask", "ScanGeometry", "SmoothMaps"]

DARK_WEIGHT = 1e-2  # weight of dark pixels in a fit of coil maps, relative to the mean weight
MIN_SQUARED_NORM = 1e-12  # relative to the largest map's square; below it rounding decides which coil is strongest


class ImageMask(MaskPrior):
    """Any image prior as the prior of a mask: ``m = prior()``, as the mask network of Double-DIP.

    Args:
        shape: (B, 1, H, W).
        prior: prior of the mask, (B, 1, H, W) in [0, 1]. It starts from the given mask, or from the operator's estimate
            if no mask is given.
    """

    @validated
    def __init__(
        self,
        shape: Shape,
        *,
        prior: Annotated[ImagePrior, Field(examples=[{"name": "pixels", "params": {"initial": "grey"}}])],
    ) -> None:
        super().__init__(shape)
        self.prior = prior

    @classmethod
    def nested_arguments(cls, keyword: str, arguments: Mapping[str, object]) -> Mapping[str, object]:
        """Return the given arguments; the start is the mask, or else the operator's estimate of it."""
        start = arguments.get("start")
        return {**arguments, "start": arguments.get("guess") if start is None else start}

    def forward(self) -> Tensor:
        """Give the mask, (B, 1, H, W), in [0, 1]."""
        mask: Tensor = self.prior()
        return mask


class ScanGeometry(ScanPrior):
    """The position of the rotation axis and, optionally, a displacement and an angle of each projection.

    The mean of the displacements is the position of the axis. The mean of the angles is zero, because the data do not
    distinguish a rotation of the whole scan from a rotation of the image.

    Args:
        shape: (B, 1, 2, A).
        start: the starting geometry, of that shape.
        guess: the operator's estimate from the data, used if ``start`` is None; the nominal geometry if both are None.
        displacements: whether each projection has its own displacement, as on a stage that wobbles.
        angles: whether each projection has its own angle.

    Example:
        >>> ScanGeometry((1, 1, 2, 4))().tolist()
        [[[[0.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]]]]
    """

    @validated
    def __init__(
        self,
        shape: Shape,
        start: Tensor | None = None,
        guess: Tensor | None = None,
        *,
        displacements: bool = False,
        angles: bool = False,
    ) -> None:
        super().__init__(shape)
        known = guess if start is None else start
        geometry = torch.zeros(shape) if known is None else known.detach().to(torch.get_default_dtype())
        axis = geometry[:, :, :1].mean(-1, keepdim=True)
        self.axis = nn.Parameter(axis)
        self.displacements = nn.Parameter(geometry[:, :, :1] - axis) if displacements else None
        self.angles = nn.Parameter(geometry[:, :, 1:].clone()) if angles else None

    def forward(self) -> Tensor:
        """Give the geometry, (B, 1, 2, A): displacements in pixels, then angles in degrees."""
        zeros = self.axis.new_zeros(self.shape[0], 1, 1, self.shape[-1])
        places = self.axis + (zeros if self.displacements is None else without_mean(self.displacements))
        return torch.cat([places.expand_as(zeros), zeros if self.angles is None else without_mean(self.angles)], dim=2)


def without_mean(values: Tensor) -> Tensor:
    """Subtract the mean over the projections."""
    return values - values.mean(-1, keepdim=True)


class SmoothMaps(CoilMapPrior):
    """Sums of a few cosines, scaled so that the coils' squares sum to one in each pixel.

    The real and imaginary parts of each coil are cosine series of the lowest ``order`` frequencies along both axes of
    the image. Ying & Sheng, "Joint Image Reconstruction and Sensitivity Estimation in SENSE (JSENSE)", Magn. Reson.
    Med. 2007, use polynomials; cosines stay well conditioned. If all series vanish in a pixel, the coils are equal
    there.

    Args:
        shape: (B, 2 N, H, W), real parts first.
        start: starting maps, of that shape; the series are their least-squares fit.
        guess: the operator's estimate from the data, of that shape, used if ``start`` is None: images of the coils,
            whose brightness in a pixel is the weight of that pixel in the fit. Equal coils if both are None.
        order: number of cosines along each axis.

    Example:
        >>> SmoothMaps((1, 8, 16, 12))().square().sum(1).allclose(torch.ones(1, 16, 12))
        True
    """

    down: Tensor
    along: Tensor

    @validated
    def __init__(
        self, shape: Shape, start: Tensor | None = None, guess: Tensor | None = None, *, order: PositiveInt = 6
    ) -> None:
        super().__init__(shape)
        height, width = shape[-2:]
        self.register_buffer("down", cosines(height, min(order, height)), persistent=False)
        self.register_buffer("along", cosines(width, min(order, width)), persistent=False)
        known = guess if start is None else start
        coils = with_equal_coils(torch.zeros(shape)) if known is None else known.detach().to(self.down)
        self.series = nn.Parameter(fitted_series(coils, self.down, self.along))

    def forward(self) -> Tensor:
        """Give the maps, (B, 2 N, H, W)."""
        return scaled_maps(self.down @ self.series @ self.along.T)


@torch.no_grad()
def fitted_series(coils: Tensor, down: Tensor, along: Tensor) -> Tensor:
    """Fit cosine series to coil images, weighted by their squared brightness.

    A small weight is added everywhere, so that dark pixels are determined too.

    Args:
        coils: (B, 2 N, H, W).
        down: cosines along the rows' axis, (H, orders).
        along: cosines along the columns' axis, (W, orders).

    Returns:
        (B, 2 N, orders, orders).
    """
    maps, weights = with_equal_coils(coils), coils.square().sum(1)
    weights = weights + DARK_WEIGHT * weights.mean((-2, -1), keepdim=True)
    squares = torch.einsum("bhw,hi,hj,wk,wl->bikjl", weights, down, down, along, along).flatten(3).flatten(1, 2)
    right = torch.einsum("bhw,bchw,hi,wk->bcik", weights, maps, down, along).flatten(2)
    series: Tensor = torch.linalg.solve(squares.double(), right.double().mT).mT
    return series.to(maps).view(*maps.shape[:2], down.shape[1], along.shape[1])


def with_equal_coils(coils: Tensor) -> Tensor:
    """Scale coil images (B, 2 N, H, W) to maps; pixels where all coils are zero get equal, real coils."""
    equal = torch.zeros_like(coils)
    equal[:, : coils.shape[1] // 2] = (coils.shape[1] // 2) ** -0.5
    return torch.where(coils.square().sum(1, keepdim=True) > 0, CoilMapPrior.allowed(coils), equal)


def scaled_maps(maps: Tensor) -> Tensor:
    """Scale maps so that their squares sum to one in each pixel; gradients are finite for maps of any size."""
    size = maps.detach().abs().amax((1, 2, 3), keepdim=True).clamp(min=torch.finfo(maps.dtype).tiny)
    unit = maps / size
    norm = unit.square().sum(1, keepdim=True)
    lost = norm < MIN_SQUARED_NORM
    equal = with_equal_coils(torch.zeros_like(unit))
    return torch.where(lost, equal, unit / torch.where(lost, 1, norm).sqrt())


def cosines(pixels: int, order: int) -> Tensor:
    """Return the first cosines of the DCT-II, (pixels, order), orthogonal and of mean square one."""
    position = (torch.arange(pixels, dtype=torch.float64) + 0.5) * (torch.pi / pixels)
    waves = torch.cos(position[:, None] * torch.arange(order, dtype=torch.float64))
    unit: Tensor = waves * (pixels**0.5 / waves.norm(dim=0))
    return unit.to(torch.get_default_dtype())
