"""Selection of the gradients to which a kernel is fitted: the strongest overall, or the strongest of each direction."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from ...numerics.geometry import Size, margins

__all__ = [
    "GradientSelection",
    "Relax",
    "edge_directions",
    "embed_in_image",
    "gradient_magnitude",
    "threshold_of_share",
    "threshold_per_direction",
]

EDGE_DIRECTIONS = 4
BIN_SHIFT = 14  # low bits of a float32's mantissa that a histogram bin ignores: bins of 0.2 %
FIRST_BIN = (127 - 24) << (23 - BIN_SHIFT)  # the bin of 2^-24; smaller values, in images of [0, 1], are rounding
BIN_COUNT = 28 << (23 - BIN_SHIFT)  # up to 2^4

MIN_SHARE_ABOVE_NOISE = 0.02  # share of the pixels that is kept, however noisy they are

Relax = Annotated[float, Field(ge=1, allow_inf_nan=False)]


@dataclass(frozen=True)
class GradientSelection:
    """The rule that selects gradients.

    By default the threshold is the magnitude that ``share`` of the pixels reach. With ``per_kernel`` it is Cho & Lee's
    (2009, section 4): the largest threshold that keeps at least ``per_kernel * sqrt(h w)`` pixels of each of four
    directions (all pixels of a direction that has fewer), since a kernel of m x m pixels needs about m pixels of edges
    across each direction. They use 2; the published code of Pan et al. (2014) uses 20.

    The threshold is divided by ``relax ** iteration``. The papers set it in the first iteration of a scale and then
    lower it (Cho & Lee by a factor of 0.9, Xu & Jia 2010 by dividing by 1.1). Here it is computed from the current
    image, so that the selection has no memory, and lowered by the same factor.

    Attributes:
        share: of the pixels, in (0, 1].
        per_kernel: pixels of each direction per pixel of the kernel's side; replaces ``share``.
        relax: factor >= 1.
        max_pixels: largest number of pixels of the share, or None. The number of edges that a kernel needs does not
            grow with the image, but the noise that a share selects in smooth areas does.
    """

    share: float
    per_kernel: float | None
    relax: float
    max_pixels: int | None = None

    def of(self, gradients: Tensor, kernel_size: Size, iteration: int, minimum: Tensor | None = None) -> Tensor:
        """Set gradients below the threshold to zero.

        Args:
            gradients: (B, 2C, H, W), rows' then columns'.
            kernel_size: (h, w).
            iteration: of the scale, from 0.
            minimum: (B,), a lower bound of the threshold, unless fewer than `MIN_SHARE_ABOVE_NOISE` of the pixels
                reach it.
        """
        strength = gradient_magnitude(gradients)
        if self.per_kernel is None:
            pixels = strength[0].numel()
            threshold = threshold_of_share(strength, min(self.share, (self.max_pixels or pixels) / pixels))
        else:
            count = math.ceil(self.per_kernel * math.sqrt(math.prod(kernel_size)))
            threshold = threshold_per_direction(strength, edge_directions(gradients), count)
        threshold = threshold / self.relax**iteration
        if minimum is not None:
            threshold = threshold.maximum(minimum.minimum(threshold_of_share(strength, MIN_SHARE_ABOVE_NOISE)))
        kept = strength >= threshold[:, None, None]
        return gradients * kept[:, None]


def gradient_magnitude(gradients: Tensor) -> Tensor:
    """Gradients (B, 2C, H, W) -> (B, H, W), float32: their length, the root of the mean square over the channels."""
    return (gradients.float().square().sum(1) * (2 / gradients.shape[1])).sqrt()


def edge_directions(gradients: Tensor) -> Tensor:
    """Gradients (B, 2C, H, W) -> (B, H, W), int32: 0 down, 1 across, 2 and 3 diagonal, each within 22.5 degrees.

    Opposite gradients have the same direction. For several channels it is the axis of the strongest change (of the
    structure tensor), since gradients of opposite signs would cancel in a mean.
    """
    rows, columns = gradients.chunk(2, dim=1)
    axial = (rows.square() - columns.square()).sum(1)  # length^2 times the cosine of twice the angle
    diagonal = 2 * (rows * columns).sum(1)  # length^2 times the sine of twice the angle
    return torch.where(axial.abs() >= diagonal.abs(), axial < 0, 2 + (diagonal < 0).int()).int()


def threshold_of_share(strength: Tensor, share: float) -> Tensor:
    """Return the threshold that ``share`` of the pixels, and at least one, reach: (B, H, W), float32 -> (B,).

    It is exact to 0.2 % of its value and keeps rather too many pixels. It is zero if fewer are above zero.
    """
    count = max(1, round(share * strength[0].numel()))
    return threshold_per_group(strength, torch.zeros_like(strength, dtype=torch.int32), 1, count)[:, 0]


def threshold_per_direction(strength: Tensor, direction: Tensor, count: int) -> Tensor:
    """Return the largest threshold that at least ``count`` pixels of each direction reach, or all that it has.

    Args:
        strength: (B, H, W), float32, >= 0.
        direction: (B, H, W), int32, 0 to 3.
        count: pixels.

    Returns:
        (B,), exact to 0.2 % of its value and rather too low; infinite if all strengths are zero.
    """
    return threshold_per_group(strength, direction, EDGE_DIRECTIONS, count).amin(1)


def threshold_per_group(strength: Tensor, group: Tensor, groups: int, count: int) -> Tensor:
    """Return the ``count``-th largest strength of each group by a histogram of the leading bits of the numbers.

    The histogram costs a tenth of a sort on large images.

    Args:
        strength: (B, H, W), float32, >= 0.
        group: (B, H, W), int32, from 0.
        groups: number of groups.
        count: rank of the strength in its group.

    Returns:
        (B, groups); 0 for a group that has fewer pixels, infinite for an empty group.
    """
    batch = torch.arange(len(strength), device=strength.device, dtype=torch.int32).view(-1, 1, 1)
    keys = (strength.view(torch.int32) >> BIN_SHIFT).sub_(FIRST_BIN).clamp_(0, BIN_COUNT - 1)
    keys += BIN_COUNT * (group + groups * batch)
    histogram = torch.bincount(keys.flatten(), minlength=len(strength) * groups * BIN_COUNT).view(-1, groups, BIN_COUNT)
    histogram[..., 0] = 0  # zeros and rounding
    reaching = histogram.flip(-1).cumsum(-1).flip(-1)
    last = (reaching >= count).sum(-1) - 1
    least = ((last + FIRST_BIN) << BIN_SHIFT).int().view(torch.float32)
    least = torch.where(last > 0, least, least.new_tensor(2.0**-24))
    return torch.where(reaching[..., 0] > 0, least, torch.inf)


def embed_in_image(selected: Tensor, kernel_size: Size) -> Tensor:
    """Pad what was selected in the data's frame, (..., H, W), with zeros to (..., H + h - 1, W + w - 1).

    The deconvolution invents the image beyond the data; edges there would tell little about the kernel.
    """
    (top, bottom), (left, right) = margins(kernel_size)
    return F.pad(selected, (left, right, top, bottom))
