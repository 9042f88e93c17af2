"""Sparsity of the dark channel."""

from __future__ import annotations

from functools import reduce
from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import AfterValidator, Field
from torch import Tensor

from ..core.interfaces import Proximable
from ..core.parameters import validated
from .shrinkage import truncated_square, values_of

__all__ = ["DarkChannel"]

LOWER = 2**32 - 1
LARGEST = 2**63 - 2**10  # that a float holds, as padding asks for; above all that numbers rank


def odd(patch: int) -> int:
    """Refuse a window without a centre."""
    if patch % 2 == 0:
        raise ValueError(f"must be odd, for the window to have a centre; give {patch + 1}, not {patch}")
    return patch


class DarkChannel(Proximable):
    """Share of the pixels whose dark channel is not black (Pan et al., CVPR 2016; dark channel: He et al., CVPR 2009).

    The dark channel at a pixel is the least value d over all channels in a square window about the pixel, of which
    only what lies inside the image counts. Then

        ``R(u) = sum over the pixels of phi(d) / (C H W)``,   ``phi(t) = min(t^2 / smoothing^2, 1)``,

    and without smoothing ``phi(t) = 1`` for t other than 0: between 0 and 1 / C. Divided by the number of values, as
    the fidelities are, so that a weight is that of the paper's sum.

    Each window counts by one pixel, the one it selects: the least, and of equals the first (by column, then row, then
    channel). So ``R(u) = sum over q of n_q phi(u_q) / (C H W)``, n_q being the number of windows that select pixel q.

    Args:
        patch: side of the window, odd. One that is larger than the image sees, at each pixel, what there is.
        smoothing: the minimum below which the penalty is quadratic. Without it R is the paper's count, all of whose
            gradients are zero, for solvers that use `prox` alone.
    """

    @validated
    def __init__(
        self,
        *,
        patch: Annotated[int, Field(ge=1, description="side of the window (pixels), odd"), AfterValidator(odd)] = 35,
        smoothing: Annotated[
            float, Field(ge=0, le=1, description="minimum ([0, 1] units) below which the penalty is quadratic")
        ] = 0.01,
    ) -> None:
        super().__init__()
        self.patch = patch
        self.smoothing = smoothing

    def penalty(self, coefficients: Tensor) -> Tensor:
        """Image (1, B, C, H, W) -> (B,), >= 0."""
        value = coefficients[0]
        counted = selections(value.detach(), self.patch) * truncated_square(value, (), self.smoothing)
        return counted.mean((1, 2, 3))

    def prox(self, coefficients: Tensor, step: float) -> Tensor:
        """The proximal map with the selection of the image given: (1, B, C, H, W) -> the same shape.

        The map of R itself has no closed form: which pixels to blacken so that every window holds one is a problem of
        hitting sets. As the paper does, the numbers n_q are those of the image v given, and of

            ``F(u) = step * sum of n_q phi(u_q) / (C H W) + ||u - v||^2 / 2``

        this is the exact minimiser: v_q is kept where ``v_q^2 > e^2 + 2 s``, ``s = step n_q / (C H W)``, with e the
        smoothing, and multiplied by ``e^2 / (e^2 + 2 s)`` elsewhere, which without smoothing is zero.

        It never raises the true objective ``T(u) = step R(u) + ||u - v||^2 / 2`` above T(v), for v >= 0. For then also
        u >= 0; the least value of a window is at most that of the pixel which the window selected in v; and phi grows
        from zero. So T(u) <= F(u) <= F(v) = T(v).

        It is the minimiser of T also when all windows select one pixel (the window covers the image, say) or
        ``patch`` is 1, and without smoothing where no pixel is dark enough for all windows that see it:
        ``v_q^2 > 2 step patch^2 / (C H W)`` for every q.
        """
        value = coefficients[0]
        limit = selections(value, self.patch) * (2 * step / values_of(coefficients)) + self.smoothing**2
        gain = self.smoothing**2 / limit.clamp_min(torch.finfo(limit.dtype).tiny)
        return torch.where(value.square() > limit, value, value * gain)[None]


@torch.no_grad()
def selections(value: Tensor, patch: int) -> Tensor:
    """How many windows select each value: (B, C, H, W) -> the same shape, whole numbers in the same precision."""
    batch, channels, height, width = value.shape
    lowest = reduce(torch.minimum, torch.split(ranked(value), 1, 1))
    for dim in (-2, -1):
        lowest = sliding_minimum(lowest, patch, dim)
    place = (lowest & LOWER).flatten(1)
    counts = value.new_zeros(batch, width * height * channels)
    counts.scatter_add_(1, place, value.new_ones(()).expand_as(place))
    return counts.view(batch, width, height, channels).permute(0, 3, 2, 1)


def ranked(value: Tensor) -> Tensor:
    """Whole numbers that are ordered as the values are, in float32, and of equals as their places are.

    The upper half are the value's bits, whose order is that of the numbers but for the signs; the lower half is the
    place by column, then row, then channel. One minimum of these is a minimum and its place, at a third of the cost.
    """
    _, channels, height, width = value.shape
    bits = value.float().add(0.0).view(torch.int32)  # of minus zero those of zero
    ordered = torch.where(bits < 0, bits ^ 0x7FFFFFFF, bits).long()
    column, row = (torch.arange(side, device=value.device) for side in (width, height))
    place = (column * height + row[:, None]) * channels + torch.arange(channels, device=value.device)[:, None, None]
    return ordered.bitwise_left_shift_(32).add_(place)


def sliding_minimum(value: Tensor, patch: int, dim: int) -> Tensor:
    """The least of `ranked` in a centred window along one axis; the same shape.

    By doubling: the minimum over 2 L neighbours is that of two minima over L. So log2(patch) comparisons a pixel.
    """
    window = min(patch, 2 * value.shape[dim] - 1)
    border = (0, 0) * (-1 - dim) + (window // 2, window // 2)
    value, length = F.pad(value, border, value=LARGEST), 1
    while 2 * length <= window:
        value, length = lesser(value, length, dim), 2 * length
    return lesser(value, window - length, dim) if window > length else value


def lesser(value: Tensor, shift: int, dim: int) -> Tensor:
    """The less of each element and the one ``shift`` further on."""
    length = value.shape[dim] - shift
    return torch.minimum(value.narrow(dim, 0, length), value.narrow(dim, shift, length))
