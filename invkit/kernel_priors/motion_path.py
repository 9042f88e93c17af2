"""The path of a camera during the exposure."""

from __future__ import annotations

import copy
import math
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from ..core.interfaces import KernelPrior, Resizable
from ..core.parameters import Seed, validated
from ..networks.random import seeded
from ..numerics.geometry import Shape, Size, centre, new_size

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["MotionPath", "enlarged", "spots"]

DEGREE = 3
TIMES_PER_PIXEL = 8  # of the longer side: half a pixel between two times on a path of four times that length
NARROWEST, WIDEST = math.log(0.3), math.log(1e4)  # pixels: hardly more than the nearest, and all alike
INSIDE = 1 - 1e-4  # of the way to the border, where a coordinate still has a gradient


class MotionPath(KernelPrior, Resizable):
    """Path of a camera: a smooth curve, drawn by a spot of light; its control points are the unknowns.

    ``k = sum_t exposure_t spot(p(t))``, in which p is a uniform cubic B-spline (de Boor, "A Practical Guide to
    Splines", 1978) from the first to the last of its control points, t runs through many times, and the spot is a
    Gaussian, sampled at the pixels and scaled to sum one within the support; its width, that of the lens's own blur,
    is an unknown too. That a shaken camera's kernel is the integral of a path is as in Fergus et al., "Removing Camera
    Shake from a Single Photograph", SIGGRAPH 2006.

    The control points are hyperbolic tangents of free numbers, as shares of the support. A B-spline stays in the convex
    hull of its control points; so no part of the path leaves the support, whatever the numbers are. They are of order
    one: ``joint-adam`` wants a ``kernel_lr`` of about 0.03 for them, in a pyramid, since a path sees no farther than
    its spot, and is easily caught far from the best.

    Args:
        shape: (B, 1, h, w); each kernel has a path of its own.
        points: control points of a path.
        width: standard deviation of the spot to start from, pixels; at least 0.3.
        exposure: "uniform", the camera's speed alone says how long the light stays anywhere, or "free", the exposure
            also varies along the path, as a softmax of one unknown for each control point.
        extent: root mean square of the control points' coordinates to start from, as a share of half the support.
        seed: of the random walk to start from.
    """

    basis: Tensor

    @validated
    def __init__(
        self,
        shape: Shape,
        *,
        points: Annotated[int, Field(gt=DEGREE, description="control points of a path")] = 12,
        width: Annotated[
            float,
            Field(ge=0.3, allow_inf_nan=False, description="standard deviation of the spot to start from, pixels"),
        ] = 0.7,
        exposure: Annotated[
            Literal["uniform", "free"],
            Field(description="whether the exposure along the path follows the speed alone, or has unknowns too"),
        ] = "free",
        extent: Annotated[
            float,
            Field(gt=0, lt=1, description="root mean square of the starting path, as a share of half the support"),
        ] = 0.3,
        seed: Seed = 0,
    ) -> None:
        super().__init__(shape)
        with seeded(seed):
            walk = torch.randn(shape[0], points, 2).cumsum(1)
        walk = walk - walk.mean(1, keepdim=True)
        walk = extent * walk / walk.square().mean((1, 2), keepdim=True).sqrt()
        self.coordinates = nn.Parameter(torch.atanh(walk.clamp(-INSIDE, INSIDE)))
        self.log_width = nn.Parameter(torch.full((shape[0], 1, 1), math.log(width)))
        self.log_exposure = nn.Parameter(torch.zeros(shape[0], points)) if exposure == "free" else None
        self.register_buffer("basis", splines(points, size_in(shape)).float(), persistent=False)

    def forward(self) -> Tensor:
        """The kernel, (B, 1, h, w), >= 0, each summing to one."""
        (height, width), path = size_in(self.shape), self.path()
        rows, columns = (spots(path[:, :, axis], side, self.log_width) for axis, side in enumerate((height, width)))
        kernel = (self.exposure()[:, :, None] * rows).mT @ columns
        return (kernel / kernel.sum((1, 2), keepdim=True))[:, None]

    def path(self) -> Tensor:
        """Where the light is, (B, times, 2): (row, column) in pixels, all within the support."""
        middle = self.middle()
        return self.basis @ (middle + middle * torch.tanh(self.coordinates))

    def exposure(self) -> Tensor:
        """For how long, (B, times), >= 0, each path's summing to one."""
        if self.log_exposure is None:
            return self.basis.new_full((self.shape[0], len(self.basis)), 1 / len(self.basis))
        return torch.softmax(self.log_exposure @ self.basis.T, dim=1)

    def middle(self) -> Tensor:
        """The middle of the support, (2,), pixels."""
        height, width = size_in(self.shape)
        return torch.stack([self.basis.new_full((), (side - 1) / 2) for side in (height, width)])

    @torch.no_grad()
    def resized(self, shape: Shape, scale: float) -> Self:
        """The path enlarged about the centre pixel, and so the spot; control points beyond the border go there.

        The spot is as wide as one that is drawn on the old grid, and then interpolated: the variance of that is added.
        Raises `InputError` for another batch.
        """
        size, old = new_size(self.shape, shape), self.middle()
        motion = copy.deepcopy(self)
        motion.shape = shape
        motion.basis = splines(self.coordinates.shape[1], size).to(self.basis)
        points = old + old * torch.tanh(self.coordinates) - old.new_tensor(centre(size_in(self.shape)))
        points = old.new_tensor(centre(size)) + scale * points
        middle = motion.middle()
        shares = ((points - middle) / middle.clamp(min=0.5)).clamp(-INSIDE, INSIDE)
        motion.coordinates.copy_(torch.atanh(shares))
        motion.log_width.copy_(enlarged(self.log_width, scale))
        return motion


def size_in(shape: Shape) -> Size:
    """The (height, width) of a shape."""
    return shape[2], shape[3]


def splines(points: int, size: Size) -> Tensor:
    """The part of each control point in the path at each time, (times, points), >= 0, rows summing to one."""
    from scipy.interpolate import BSpline

    times = TIMES_PER_PIXEL * max(size)
    knots = np.concatenate([np.zeros(DEGREE), np.linspace(0, 1, points - DEGREE + 1), np.ones(DEGREE)])
    middles = (np.arange(times) + 0.5) / times
    return torch.from_numpy(BSpline.design_matrix(middles, knots, DEGREE).toarray())


def spots(position: Tensor, side: int, log_width: Tensor) -> Tensor:
    """A Gaussian about each position, sampled at the pixels of one side and summing to one there.

    Args:
        position: (B, N), pixels from the first; anywhere.
        side: pixels.
        log_width: (B, 1, 1), logarithm of its standard deviation in pixels; counts as at least that of 0.3 and at most
            that of 1e4 pixels.

    Returns:
        (B, N, side).
    """
    pixels = torch.arange(side, dtype=position.dtype, device=position.device)
    distance = (pixels - position[:, :, None]) / log_width.clamp(NARROWEST, WIDEST).exp()
    return torch.softmax(-distance.square() / 2, dim=2)


def enlarged(log_width: Tensor, scale: float) -> Tensor:
    """The width of a spot that was drawn on one grid, and then interpolated between its pixels on a finer one.

    Interpolation is a convolution by triangles, whose variance, (scale^2 - 1) / 6 new pixels, is added.
    """
    variance = scale**2 * (2 * log_width.clamp(NARROWEST, WIDEST)).exp() + max(scale**2 - 1, 0) / 6
    return (variance.log() / 2).clamp(NARROWEST, WIDEST)
