"""Sparsity of the dark channel."""

from __future__ import annotations

from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import AfterValidator, Field
from torch import Tensor

from ..interfaces import Proximable
from ..parameters import validated
from .shrinkage import truncated_square, values_of

__all__ = ["DarkChannel"]


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
    lowest, place = value.min(1)
    height, width = lowest.shape[1:]
    place = place.int() * (height * width) + torch.arange(height * width, device=value.device).int().view(height, width)
    for dim in (-2, -1):
        lowest, place = sliding_minimum(lowest, place, patch, dim)
    chosen = place.flatten(1).long()
    ones = value.new_ones(()).expand_as(chosen)
    return torch.zeros_like(value).flatten(1).scatter_add_(1, chosen, ones).view_as(value)


def sliding_minimum(value: Tensor, place: Tensor, patch: int, dim: int) -> tuple[Tensor, Tensor]:
    """The least value, and its place, in a centred window along one axis: (B, H, W) twice -> the same.

    By doubling: the minimum over 2 L neighbours is that of two minima over L. So log2(patch) comparisons a pixel.
    """
    window = min(patch, 2 * value.shape[dim] - 1)
    border = (0, 0) * (-1 - dim) + (window // 2, window // 2)
    value, place = F.pad(value, border, value=torch.inf), F.pad(place, border)
    length = 1
    while 2 * length <= window:
        value, place = lesser(value, place, length, dim)
        length *= 2
    return lesser(value, place, window - length, dim) if window > length else (value, place)


def lesser(value: Tensor, place: Tensor, shift: int, dim: int) -> tuple[Tensor, Tensor]:
    """The less of each element and the one ``shift`` further on, of equals the first, and its place."""
    length = value.shape[dim] - shift
    here, there = value.narrow(dim, 0, length), value.narrow(dim, shift, length)
    first, second = place.narrow(dim, 0, length), place.narrow(dim, shift, length)
    return torch.minimum(here, there), torch.where(there < here, second, first)
