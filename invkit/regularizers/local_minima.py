"""Sparsity of the darkest pixels of neighbourhoods: the dark channel, and patch-wise minima."""

from __future__ import annotations

from functools import reduce
from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import AfterValidator
from torch import Tensor

from ..core.interfaces import Proximable
from ..core.parameters import Fraction, PositiveInt, validated
from .shrinkage import truncated_shrinkage, truncated_square, values_per_image

__all__ = ["DarkChannel", "PatchMinimum"]

PLACE_BITS = 2**32 - 1  # the lower half of a rank
LARGEST_RANK = 2**63 - 2**10  # padding takes a float, which holds this number; it is above the ranks of all numbers


def odd(patch: int) -> int:
    """Refuse an even side, for which a window has no centre."""
    if patch % 2 == 0:
        raise ValueError(f"must be odd, so that the window has a centre; give {patch + 1}, not {patch}")
    return patch


class DarkChannel(Proximable):
    """Fraction of the pixels with a dark channel that is not black (Pan et al., CVPR 2016; He et al., CVPR 2009).

    The dark channel of a pixel is the least value d over all channels in a square window about the pixel, inside the
    image. Then

        ``R(u) = sum over the pixels of phi(d) / (C H W)``,   ``phi(t) = min(t^2 / smoothing^2, 1)``,

    and without smoothing ``phi(t) = 1`` for every t but 0. R lies between 0 and 1 / C. It is divided by the number of
    values, as the fidelities are. The weight is therefore that of the paper's sum.

    Each window selects one pixel: the darkest, and of equals the first (by column, then row, then channel). So
    ``R(u) = sum over q of n_q phi(u_q) / (C H W)``, where n_q is the number of windows that select pixel q.

    Args:
        patch: side of the window, pixels, odd. A larger window than the image covers all of it.
        smoothing: minimum, in [0, 1] units, below which the penalty is quadratic. With 0, R is the paper's count. All
            its gradients are zero, so it serves only solvers that use `prox` alone.

    Example:
        >>> image = torch.full((1, 3, 8, 8), 0.5)
        >>> image[..., 0, 0] = 0
        >>> DarkChannel(patch=3)(image)  # the windows of 4 of 64 pixels have a black one
        tensor([0.3125])
    """

    @validated
    def __init__(self, *, patch: Annotated[PositiveInt, AfterValidator(odd)] = 35, smoothing: Fraction = 0.01) -> None:
        super().__init__()
        self.patch = patch
        self.smoothing = smoothing

    def penalty(self, coefficients: Tensor) -> Tensor:
        """Image (1, B, C, H, W) -> (B,), >= 0."""
        value = coefficients[0]
        counted = selections(value.detach(), self.patch) * truncated_square(value, (), self.smoothing)
        return counted.mean((1, 2, 3))

    def prox(self, coefficients: Tensor, step: float) -> Tensor:
        """The proximal map for the given image's selection of pixels: (1, B, C, H, W) -> the same shape.

        The map of R itself has no closed form: the smallest set of pixels that every window contains is a hitting-set
        problem. As in the paper, the numbers n_q are those of the given image v. The result is the exact minimiser of

            ``F(u) = step * sum of n_q phi(u_q) / (C H W) + ||u - v||^2 / 2``.

        With e the smoothing and ``s = step n_q / (C H W)``, v_q is kept where ``v_q^2 > e^2 + 2 s``. Elsewhere it is
        multiplied by ``e^2 / (e^2 + 2 s)``, which is zero without smoothing.

        For v >= 0, the map never raises the true objective ``T(u) = step R(u) + ||u - v||^2 / 2`` above T(v). Proof:
        also u >= 0. The least value of a window is at most the value of the pixel that the window selected in v, and
        phi increases from zero. So T(u) <= F(u) <= F(v) = T(v).

        The result also minimises T if all windows select one pixel (for example, if the window covers the image), if
        ``patch`` is 1, and, without smoothing, if no pixel is dark enough for all windows that contain it:
        ``v_q^2 > 2 step patch^2 / (C H W)`` for every q.
        """
        value = coefficients[0]
        limit = selections(value, self.patch) * (2 * step / values_per_image(coefficients)) + self.smoothing**2
        gain = self.smoothing**2 / limit.clamp_min(torch.finfo(limit.dtype).tiny)
        return torch.where(value.square() > limit, value, value * gain)[None]


@torch.no_grad()
def selections(value: Tensor, patch: int) -> Tensor:
    """The number of windows that select each value: (B, C, H, W) -> the same shape and precision, whole numbers."""
    batch, channels, height, width = value.shape
    lowest = reduce(torch.minimum, torch.split(ranks(value), 1, 1))
    for dim in (-2, -1):
        lowest = sliding_minimum(lowest, patch, dim)
    place = (lowest & PLACE_BITS).flatten(1)
    counts = value.new_zeros(batch, width * height * channels)
    counts.scatter_add_(1, place, value.new_ones(()).expand_as(place))
    return counts.view(batch, width, height, channels).permute(0, 3, 2, 1)


def ranks(value: Tensor) -> Tensor:
    """Whole numbers in the order of the values (in float32), and of equal values in the order of their places.

    The upper half holds the bits of the value, whose order is that of the numbers up to the sign. The lower half holds
    the place: column, then row, then channel. One minimum over these numbers finds a minimum and its place, at a third
    of the cost.
    """
    _, channels, height, width = value.shape
    bits = value.float().add(0.0).view(torch.int32)  # the sum turns minus zero into zero
    ordered = torch.where(bits < 0, bits ^ 0x7FFFFFFF, bits).long()
    column, row = (torch.arange(side, device=value.device) for side in (width, height))
    place = (column * height + row[:, None]) * channels + torch.arange(channels, device=value.device)[:, None, None]
    return ordered.bitwise_left_shift_(32).add_(place)


def sliding_minimum(value: Tensor, patch: int, dim: int) -> Tensor:
    """The minimum of ranks in a centred window along one dimension; the same shape.

    The window doubles: the minimum over 2 L neighbours is that of two minima over L. This takes log2(patch) comparisons
    per pixel.

    Args:
        value: ranks, (B, 1, H, W).
        patch: side of the window, pixels.
        dim: -2 or -1.
    """
    window = min(patch, 2 * value.shape[dim] - 1)
    border = (0, 0) * (-1 - dim) + (window // 2, window // 2)
    value, length = F.pad(value, border, value=LARGEST_RANK), 1
    while 2 * length <= window:
        value, length = minimum_with_shifted(value, length, dim), 2 * length
    return minimum_with_shifted(value, window - length, dim) if window > length else value


def minimum_with_shifted(value: Tensor, shift: int, dim: int) -> Tensor:
    """The minimum of each element and the one ``shift`` places later.

    Args:
        value: any tensor.
        shift: elements.
        dim: the dimension, which becomes shorter by ``shift``.
    """
    length = value.shape[dim] - shift
    return torch.minimum(value.narrow(dim, 0, length), value.narrow(dim, shift, length))


class PatchMinimum(Proximable):
    """Number of patches without a black pixel, per value (local minimal intensity; Wen et al., IEEE TCSVT 2021).

    The image is cut into square patches, which do not overlap and span all channels. With m the least value of a patch,

        ``R(u) = sum over the patches of phi(m) / (C H W)``,   ``phi(t) = min(t^2 / smoothing^2, 1)``,

    and without smoothing ``phi(t) = 1`` for every t but 0. R is divided by the number of values, as the fidelities are.
    The weight is therefore that of the paper's sum. With the default patch, R lies between 0 and 1 / 36. A patch that
    the lower or right border cuts is a patch of its own. A negative minimum counts by its square, too.

    Args:
        patch: side of the patches, pixels; the default is for images of about 255x255 pixels.
        smoothing: minimum, in [0, 1] units, below which the penalty is quadratic. With 0, R is the paper's count. All
            its gradients are zero, so it serves only solvers that use `prox` alone.
    """

    @validated
    def __init__(self, *, patch: PositiveInt = 6, smoothing: Fraction = 0.01) -> None:
        super().__init__()
        self.patch = patch
        self.smoothing = smoothing

    def penalty(self, coefficients: Tensor) -> Tensor:
        """Image (1, B, C, H, W) -> (B,), >= 0."""
        darkest = split_patches(coefficients[0], self.patch).min(-1).values
        return truncated_square(darkest, (), self.smoothing).sum(1) / values_per_image(coefficients)

    def prox(self, coefficients: Tensor, step: float) -> Tensor:
        """The proximal map, exact for images without negative values: (1, B, C, H, W) -> the same shape.

        Each patch is independent. For a solution with least value t, a patch with minimum m costs phi(t) plus at least
        (m - t)^2 / 2. This lower bound is reached if only the darkest pixel changes. As phi increases from 0, the pixel
        becomes darker and stays the darkest. The remaining problem is the map of phi in one variable.

        For a negative minimum, the pixel changes as if it stayed the minimum.
        """
        value = coefficients[0]
        grouped = split_patches(value, self.patch)
        darkest, place = grouped.min(-1, keepdim=True)
        shrinkage = truncated_shrinkage((), self.smoothing, step / values_per_image(coefficients))
        return join_patches(grouped.scatter(-1, place, shrinkage(darkest)), value, self.patch)[None]


def split_patches(value: Tensor, patch: int) -> Tensor:
    """(B, C, H, W) -> (B, number of patches, C side^2); missing values at the border are infinite."""
    side = side_of_patches(patch, value)
    down, right = (-length % side for length in value.shape[-2:])
    padded = F.pad(value, (0, right, 0, down), value=torch.inf) if down or right else value
    batch, channels, height, width = padded.shape
    cut = padded.reshape(batch, channels, height // side, side, width // side, side)
    return cut.permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2)


def join_patches(grouped: Tensor, like: Tensor, patch: int) -> Tensor:
    """The inverse of `split_patches`.

    Args:
        grouped: (B, number of patches, C side^2).
        like: an image (B, C, H, W) of the size of the result.
        patch: side of the patches, pixels.
    """
    (batch, channels, height, width), side = like.shape, side_of_patches(patch, like)
    cut = grouped.reshape(batch, -(-height // side), -(-width // side), channels, side, side)
    return cut.permute(0, 3, 1, 4, 2, 5).flatten(4).flatten(2, 3)[..., :height, :width]


def side_of_patches(patch: int, value: Tensor) -> int:
    """The side of the patches, at most the longer side of the image."""
    return min(patch, max(value.shape[-2:]))
