"""Which gradients a kernel is fitted to: the strongest, in all, or of each direction."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from ....core.parameters import PositiveInt
from ....numerics.geometry import Size, margins

__all__ = [
    "Most",
    "PerKernel",
    "Relax",
    "Selection",
    "Share",
    "directions",
    "embedded",
    "magnitude",
    "per_direction",
    "strongest",
]

DIRECTIONS = 4
SHIFT = 14  # bits of a float32's mantissa that a bin of the histogram does not tell apart: bins of 0.2 %
FIRST = (127 - 24) << (23 - SHIFT)  # the bin of 2^-24; what is weaker, in images of [0, 1], is rounding
BINS = 28 << (23 - SHIFT)  # up to 2^4

FEWEST = 0.02  # share of the pixels that is kept however noisy they are

Share = Annotated[
    float, Field(gt=0, le=1, description="the share of the pixels, those with the strongest gradients, that is kept")
]
PerKernel = Annotated[
    float | None,
    Field(
        gt=0,
        allow_inf_nan=False,
        description="if given, instead of the share: how many pixels are at least kept of each of four directions, "
        "per pixel of the kernel's side",
    ),
]
Most = Annotated[
    PositiveInt | None, Field(description="if given, of a large image no more pixels than these are the share")
]
Relax = Annotated[
    float,
    Field(ge=1, allow_inf_nan=False, description="the threshold is divided by this at every iteration of a scale"),
]


@dataclass(frozen=True)
class Selection:
    """The rule by which gradients are kept.

    By default the threshold is the magnitude that ``share`` of the pixels reach. With ``per_kernel`` it is Cho & Lee's
    (2009, section 4): the largest that leaves at least ``per_kernel * sqrt(h w)`` pixels of each of four directions
    (all of a direction that has fewer), since a kernel of m x m pixels needs about m pixels of edges across each.
    They take 2; the published code of Pan et al. (2014) takes 20.

    The threshold is divided by ``relax ** iteration``. The papers fix it in the first iteration of a scale and then
    lower it (Cho & Lee times 0.9, Xu & Jia 2010 divided by 1.1); here it is found anew from the image as it stands,
    so that the selection has no memory, and lowered by the same factor.

    Attributes:
        share: of the pixels, in (0, 1].
        per_kernel: pixels of each direction per pixel of the kernel's side; takes the place of ``share``.
        relax: factor >= 1.
        most: pixels that the share is at most, or None. What a kernel needs does not grow with the image, but the
            share of an image that is noise does, in smooth areas.
    """

    share: float
    per_kernel: float | None
    relax: float
    most: int | None = None

    def of(self, gradients: Tensor, kernel_size: Size, iteration: int, least: Tensor | None = None) -> Tensor:
        """The same gradients with the weaker ones set to zero.

        Args:
            gradients: (B, 2C, H, W), rows' then columns'.
            kernel_size: (h, w).
            iteration: of the scale, from 0.
            least: (B,), what a gradient must reach in any case, as far as `FEWEST` of an image's pixels do.
        """
        strength = magnitude(gradients)
        if self.per_kernel is None:
            pixels = strength[0].numel()
            threshold = strongest(strength, min(self.share, (self.most or pixels) / pixels))
        else:
            count = math.ceil(self.per_kernel * math.sqrt(math.prod(kernel_size)))
            threshold = per_direction(strength, directions(gradients), count)
        threshold = threshold / self.relax**iteration
        if least is not None:
            threshold = threshold.maximum(least.minimum(strongest(strength, FEWEST)))
        kept = strength >= threshold[:, None, None]
        return gradients * kept[:, None]


def magnitude(gradients: Tensor) -> Tensor:
    """Gradients (B, 2C, H, W) -> (B, H, W), float32: their length, the root of the mean square over the channels."""
    return (gradients.float().square().sum(1) * (2 / gradients.shape[1])).sqrt()


def directions(gradients: Tensor) -> Tensor:
    """Gradients (B, 2C, H, W) -> (B, H, W), int32: 0 down, 1 across, 2 and 3 diagonal, each to within 22.5 degrees.

    Opposite gradients are of one direction. Of several channels it is the axis along which the image changes most
    (of the structure tensor), since gradients of opposite signs would cancel in a mean.
    """
    rows, columns = gradients.chunk(2, dim=1)
    axial = (rows.square() - columns.square()).sum(1)  # length^2 times the cosine of twice the angle
    diagonal = 2 * (rows * columns).sum(1)  # and the sine
    return torch.where(axial.abs() >= diagonal.abs(), axial < 0, 2 + (diagonal < 0).int()).int()


def strongest(strength: Tensor, share: float) -> Tensor:
    """The threshold that ``share`` of the pixels, and at least one, reach: (B, H, W), float32 -> (B,).

    It is exact to 0.2 % of its value, on the side of keeping more; where fewer are above zero, it is zero.
    """
    count = max(1, round(share * strength[0].numel()))
    return grouped(strength, torch.zeros_like(strength, dtype=torch.int32), 1, count)[:, 0]


def per_direction(strength: Tensor, direction: Tensor, count: int) -> Tensor:
    """The largest threshold that at least ``count`` pixels of each direction reach, as far as it has so many.

    Args:
        strength: (B, H, W), float32, >= 0.
        direction: (B, H, W), int32, 0 to 3.
        count: pixels.

    Returns:
        (B,), exact to 0.2 % of its value, on the side of keeping more; infinite where all is zero.
    """
    return grouped(strength, direction, DIRECTIONS, count).amin(1)


def grouped(strength: Tensor, group: Tensor, groups: int, count: int) -> Tensor:
    """The ``count``-th largest strength of each group, (B, groups): 0 of one that has fewer, infinite of an empty one.

    By a histogram of the leading bits of the numbers, which costs a tenth of a sort on large images.
    """
    batch = torch.arange(len(strength), device=strength.device, dtype=torch.int32).view(-1, 1, 1)
    keys = (strength.view(torch.int32) >> SHIFT).sub_(FIRST).clamp_(0, BINS - 1)
    keys += BINS * (group + groups * batch)
    histogram = torch.bincount(keys.flatten(), minlength=len(strength) * groups * BINS).view(-1, groups, BINS)
    histogram[..., 0] = 0  # what is zero, or rounding
    reaching = histogram.flip(-1).cumsum(-1).flip(-1)
    last = (reaching >= count).sum(-1) - 1
    least = ((last + FIRST) << SHIFT).int().view(torch.float32)
    least = torch.where(last > 0, least, least.new_tensor(2.0**-24))
    return torch.where(reaching[..., 0] > 0, least, torch.inf)


def embedded(selected: Tensor, kernel_size: Size) -> Tensor:
    """What was selected within the data's frame, (..., H, W), in the image's: (..., H + h - 1, W + w - 1), zero beyond.

    The image beyond the data is what a deconvolution made up; an edge there would tell more of it than of the kernel.
    """
    (top, bottom), (left, right) = margins(kernel_size)
    return F.pad(selected, (left, right, top, bottom))
