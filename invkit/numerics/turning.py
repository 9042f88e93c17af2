"""Kernels of a camera that turns about its optical axis while it moves.

At each moment of the exposure, the camera is displaced by some pixels and turned by a small angle. A tap of the kernel
in the picture's centre is one such moment. Elsewhere, the same moment displaces the picture by further pixels: a point
p, relative to the centre, moves by ``(R - I) p``. All kernels follow from the kernel in the centre and the angle of
each tap (the model of Whyte, Sivic, Zisserman, Ponce, "Non-uniform Deblurring for Shaken Images", CVPR 2010, with one
angle for each displacement).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .geometry import Size, centre, size_of

__all__ = ["TurningMap", "angle_functions", "angles_of_course", "grid_points", "turned_kernels"]

CUBIC_SLOPE = -0.5  # of Keys' cubic convolution, which is exact for parabolas
NEGLIGIBLE_WEIGHT = 1e-7


def angle_functions(size: Size) -> Tensor:
    """The polynomials of a tap's position in which its angle is expanded: y, x, yx, y^2, x^2, (5, h, w).

    Positions are relative to the centre pixel, in units of half the longer side, so that a kernel and its enlargement
    have the same coefficients.

    Example:
        >>> angle_functions((1, 3))[1].tolist()
        [[-0.6666666865348816, 0.0, 0.6666666865348816]]
    """
    half = max(size) / 2
    y, x = ((torch.arange(side) - middle) / half for side, middle in zip(size, centre(size), strict=True))
    y, x = y[:, None].expand(size), x.expand(size)
    return torch.stack([y, x, y * x, y * y, x * x])


def angles_of_course(coefficients: Tensor, kernel: Tensor, limit: float) -> Tensor:
    """The angle of each tap of a kernel, (h, w), with a mean of about zero over the exposure.

    Args:
        coefficients: of `angle_functions`, (5,), in any unit.
        kernel: (h, w), summing to one.
        limit: angles approach this value, in the same unit; > 0.
    """
    angles = torch.einsum("i,ihw->hw", coefficients, angle_functions(size_of(kernel)).to(kernel))
    return limit * torch.tanh((angles - (angles * kernel).sum()) / limit)


def grid_points(grid: Size, size: Size) -> Tensor:
    """The points of a grid over a picture, the outer ones on its border, relative to its centre: (N, 2), pixels.

    Args:
        grid: rows and columns.
        size: (H, W) of the picture.

    Example:
        >>> grid_points((1, 2), (5, 5)).tolist()
        [[0.0, -2.0], [0.0, 2.0]]
    """
    rows, columns = (
        torch.linspace(-(side - 1) / 2, (side - 1) / 2, count) if count > 1 else torch.zeros(1)
        for count, side in zip(grid, size, strict=True)
    )
    return torch.cartesian_prod(rows, columns).reshape(-1, 2)


def displacements(angles: Tensor, points: Tensor) -> Tensor:
    """``(R - I) p`` for every point and angle: (N, S, 2), pixels down and along.

    Args:
        angles: (S,), radians; a positive angle turns from the rows' axis (down) to the columns' (along).
        points: (N, 2), pixels.
    """
    less, sine = (angles.cos() - 1)[None], angles.sin()[None]
    y, x = points[:, :1], points[:, 1:]
    return torch.stack([less * y - sine * x, sine * y + less * x], -1)


def turned_kernels(kernel: Tensor, angles: Tensor, points: Tensor, size: Size) -> Tensor:
    """The kernels at points of the picture, (N, 1, *size), >= 0, each summing to one.

    Args:
        kernel: in the picture's centre, (h, w), >= 0, summing to one.
        angles: of its taps, (h, w), radians.
        points: relative to the picture's centre, (N, 2), pixels.
        size: of the kernels; what lies beyond it is moved to its border.

    Example:
        >>> kernel = torch.tensor([[0.0, 0.5, 0.5]])
        >>> still = turned_kernels(kernel, torch.zeros(1, 3), torch.tensor([[40.0, 0.0]]), (5, 7))
        >>> still[0, 0, 2].tolist()
        [0.0, 0.0, 0.0, 0.5, 0.5, 0.0, 0.0]
    """
    turning = TurningMap.of(kernel > 0, angles, points, size)
    kernels = turning.kernels(kernel[kernel > 0]).clamp(min=0)  # cubic weights overshoot
    return kernels / kernels.sum((-2, -1), keepdim=True)


@dataclass(frozen=True)
class TurningMap:
    """The linear map from the taps of the kernel in the centre, (S,), to the kernels elsewhere, (N, 1, h, w).

    Attributes:
        kernel_pixel: index of the pixel among all pixels of the kernels to which each entry of the map goes, (E,).
        tap: index of the tap it comes from, (E,).
        weight: the entry's value, (E,).
        count: number of points N.
        size: (h, w) of the kernels elsewhere.
        taps: number of taps S.
    """

    kernel_pixel: Tensor
    tap: Tensor
    weight: Tensor
    count: int
    size: Size
    taps: int

    @classmethod
    def of(cls, support: Tensor, angles: Tensor, points: Tensor, size: Size) -> TurningMap:
        """The map of the taps in a support; each tap is moved, and interpolated by cubic convolution (Keys 1981).

        Args:
            support: which taps may be positive, (h, w), bool.
            angles: of all taps, (h, w), radians.
            points: (N, 2), pixels from the picture's centre.
            size: of the kernels at the points.
        """
        taps = support.nonzero()
        shift = torch.tensor(centre(size)) - torch.tensor(centre(size_of(support)))
        # y(p) = sum_t k_t x(p + (R_t - I) p - t): a tap moves against the displacement
        places = (taps + shift)[None] - displacements(angles[support], points.to(angles))
        rows, weights = zip(*(cubic_weights(places[..., i], side) for i, side in enumerate(size)), strict=True)
        target = (rows[0][..., :, None] * size[1] + rows[1][..., None, :]).flatten(2)
        target = target + torch.arange(len(points))[:, None, None] * (size[0] * size[1])
        value = (weights[0][..., :, None] * weights[1][..., None, :]).flatten(2)
        source = torch.arange(len(taps))[None, :, None].expand_as(target)
        kept = value.abs() > NEGLIGIBLE_WEIGHT
        return cls(target[kept], source[kept], value[kept], len(points), size, len(taps))

    def kernels(self, taps: Tensor) -> Tensor:
        """Taps (S,) -> kernels (N, 1, h, w)."""
        pixels = taps.new_zeros(self.count * self.size[0] * self.size[1])
        return pixels.index_add_(0, self.kernel_pixel, self.weight * taps[self.tap]).view(-1, 1, *self.size)

    def adjoint(self, kernels: Tensor) -> Tensor:
        """Kernels (N, 1, h, w) -> taps (S,)."""
        products = self.weight * kernels.reshape(-1)[self.kernel_pixel]
        return kernels.new_zeros(self.taps).index_add_(0, self.tap, products)


def cubic_weights(place: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """The four pixels around each place of a line and their weights, which sum to one: two tensors (..., 4).

    Args:
        place: in pixels from the first one; places outside count as the border.
        side: number of pixels.
    """
    place = place.clamp(0, side - 1)
    first = place.floor().clamp(max=max(side - 2, 0))
    offsets = torch.arange(-1, 3).to(place)
    distance = (place[..., None] - first[..., None] - offsets).abs()
    near = (CUBIC_SLOPE + 2) * distance**3 - (CUBIC_SLOPE + 3) * distance**2 + 1
    far = CUBIC_SLOPE * (distance**3 - 5 * distance**2 + 8 * distance - 4)
    weights = torch.where(distance <= 1, near, torch.where(distance < 2, far, 0.0))
    return (first[..., None] + offsets).clamp(0, side - 1).long(), weights
