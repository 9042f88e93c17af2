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
from ..numerics.framing import new_size
from ..numerics.geometry import Shape, Size, centre

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["SPLINE_DEGREE", "MotionPath", "enlarged_log_width", "spots"]

SPLINE_DEGREE = 3
TIMES_PER_PIXEL = 8  # of the longer side; a path of four times that side has a time at every half pixel
MIN_LOG_SPOT, MAX_LOG_SPOT = math.log(0.3), math.log(1e4)  # pixels: about one pixel, and a uniform spot
MAX_SHARE = 1 - 1e-4  # of half the support, where a coordinate still has a gradient


class MotionPath(KernelPrior, Resizable):
    """The path of a camera: a smooth curve that a spot of light draws; its control points are the unknowns.

    ``k = sum_t exposure_t spot(p(t))``. p is a uniform cubic B-spline (de Boor, "A Practical Guide to Splines", 1978)
    from its first to its last control point, and the sum runs over many times t. The spot is a Gaussian, sampled at
    the pixels and scaled to sum one within the support; its width, the blur of the lens, is an unknown too. Fergus et
    al., "Removing Camera Shake from a Single Photograph", SIGGRAPH 2006, describe the kernel of a shaken camera as such
    an integral along a path.

    The control points are hyperbolic tangents of free numbers, as shares of half the support. A B-spline stays in the
    convex hull of its control points, so no part of the path leaves the support. The free numbers are of order one:
    ``joint-adam`` needs a ``kernel_lr`` of about 0.03 for them. Use a pyramid: the gradient of a path extends only as
    far as its spot, so a path far from the best one is easily trapped.

    Args:
        shape: (B, 1, h, w); each kernel has its own path.
        points: number of control points of a path.
        width: starting standard deviation of the spot, pixels; at least 0.3.
        exposure: "uniform": the exposure is the same at all times. "free": it varies along the path, as a softmax of
            one unknown for each control point.
        extent: starting root mean square of the control points' coordinates, as a share of half the support.
        seed: seed of the random walk with which the path starts.

    Example:
        >>> kernel = MotionPath((1, 1, 9, 9))()
        >>> round(kernel.sum().item(), 5), bool((kernel >= 0).all())
        (1.0, True)
    """

    basis: Tensor

    @validated
    def __init__(
        self,
        shape: Shape,
        *,
        points: Annotated[int, Field(gt=SPLINE_DEGREE)] = 12,
        width: Annotated[float, Field(ge=0.3, allow_inf_nan=False)] = 0.7,
        exposure: Literal["uniform", "free"] = "free",
        extent: Annotated[float, Field(gt=0, lt=1)] = 0.3,
        seed: Seed = 0,
    ) -> None:
        super().__init__(shape)
        with seeded(seed):
            walk = torch.randn(shape[0], points, 2).cumsum(1)
        walk = walk - walk.mean(1, keepdim=True)
        walk = extent * walk / walk.square().mean((1, 2), keepdim=True).sqrt()
        self.coordinates = nn.Parameter(torch.atanh(walk.clamp(-MAX_SHARE, MAX_SHARE)))
        self.log_width = nn.Parameter(torch.full((shape[0], 1, 1), math.log(width)))
        self.log_exposure = nn.Parameter(torch.zeros(shape[0], points)) if exposure == "free" else None
        self.register_buffer("basis", splines(points, size_in(shape)).float(), persistent=False)

    def forward(self) -> Tensor:
        """Give the kernel, (B, 1, h, w), >= 0, each summing to one."""
        (height, width), path = size_in(self.shape), self.path()
        rows, columns = (spots(path[:, :, axis], side, self.log_width) for axis, side in enumerate((height, width)))
        kernel = (self.exposure()[:, :, None] * rows).mT @ columns
        return (kernel / kernel.sum((1, 2), keepdim=True))[:, None]

    def path(self) -> Tensor:
        """Return the (row, column) of the light at each time, (B, times, 2), pixels, within the support."""
        middle = self.middle()
        return self.basis @ (middle + middle * torch.tanh(self.coordinates))

    def exposure(self) -> Tensor:
        """Return the exposure at each time, (B, times), >= 0, summing to one for each path."""
        if self.log_exposure is None:
            return self.basis.new_full((self.shape[0], len(self.basis)), 1 / len(self.basis))
        return torch.softmax(self.log_exposure @ self.basis.T, dim=1)

    def middle(self) -> Tensor:
        """Return the middle of the support, (2,), pixels."""
        height, width = size_in(self.shape)
        return torch.stack([self.basis.new_full((), (side - 1) / 2) for side in (height, width)])

    @torch.no_grad()
    def resized(self, shape: Shape, scale: float) -> Self:
        """Return the path and its spot, enlarged about the centre pixel; control points are kept within the support.

        The spot is as wide as a spot drawn on the old grid and then interpolated. Raises `InputError` for another
        batch.
        """
        size, old = new_size(self.shape, shape), self.middle()
        motion = copy.deepcopy(self)
        motion.shape = shape
        motion.basis = splines(self.coordinates.shape[1], size).to(self.basis)
        points = old + old * torch.tanh(self.coordinates) - old.new_tensor(centre(size_in(self.shape)))
        points = old.new_tensor(centre(size)) + scale * points
        middle = motion.middle()
        shares = ((points - middle) / middle.clamp(min=0.5)).clamp(-MAX_SHARE, MAX_SHARE)
        motion.coordinates.copy_(torch.atanh(shares))
        motion.log_width.copy_(enlarged_log_width(self.log_width, scale))
        return motion


def size_in(shape: Shape) -> Size:
    """Return the (height, width) of a shape."""
    return shape[2], shape[3]


def splines(points: int, size: Size) -> Tensor:
    """Return the weight of each control point at each time, (times, points), >= 0; rows sum to one."""
    from scipy.interpolate import BSpline

    times = TIMES_PER_PIXEL * max(size)
    knots = np.concatenate(
        [np.zeros(SPLINE_DEGREE), np.linspace(0, 1, points - SPLINE_DEGREE + 1), np.ones(SPLINE_DEGREE)]
    )
    middles = (np.arange(times) + 0.5) / times
    return torch.from_numpy(BSpline.design_matrix(middles, knots, SPLINE_DEGREE).toarray())


def spots(position: Tensor, side: int, log_width: Tensor) -> Tensor:
    """Sample a Gaussian about each position at the pixels of one side, scaled to sum one there.

    Args:
        position: (B, N), pixels from the first pixel; it may lie outside the side.
        side: number of pixels.
        log_width: (B, 1, 1), logarithm of the standard deviation in pixels, which is limited to 0.3 to 1e4 pixels.

    Returns:
        (B, N, side).
    """
    pixels = torch.arange(side, dtype=position.dtype, device=position.device)
    distance = (pixels - position[:, :, None]) / log_width.clamp(MIN_LOG_SPOT, MAX_LOG_SPOT).exp()
    return torch.softmax(-distance.square() / 2, dim=2)


def enlarged_log_width(log_width: Tensor, scale: float) -> Tensor:
    """Return the log width of a spot that is drawn on one grid and then interpolated on a finer one.

    Interpolation is a convolution by triangles; it adds their variance, (scale^2 - 1) / 6 in new pixels.
    """
    variance = scale**2 * (2 * log_width.clamp(MIN_LOG_SPOT, MAX_LOG_SPOT)).exp() + max(scale**2 - 1, 0) / 6
    return (variance.log() / 2).clamp(MIN_LOG_SPOT, MAX_LOG_SPOT)
