"""Total variation."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from ..core.interfaces import Reweightable
from ..core.parameters import validated
from ..numerics.finite_differences import GRADIENT
from .shrinkage import blockwise, mean_penalty, squared_length, values_of

__all__ = ["TotalVariation"]

NO_SMOOTHING = 1e-15  # below, the square leaves the range in which float32 can divide by it
LEAST_LENGTH = 1e-8  # for weights, which without smoothing are infinite at zero


class TotalVariation(Reweightable):
    """Total variation per pixel (Rudin, Osher, Fatemi 1992): the mean length of the image's gradient.

    With forward differences ``d_h, d_w`` (zero across the border) and smoothing ``e``, the mean over the pixels and
    channels of ``sqrt(d_h^2 + d_w^2 + e^2) - e`` (isotropic), or of the same of each difference alone, added
    (anisotropic): zero exactly on constant images, with gradient zero there, and convex.

    A mean, as the fidelities are, so that a weight does not depend on the image's size. For a paper that weights the
    sum over the image's N pixels against the sum of squares over the data's M values (SelfDeblur's Eq. 6), this
    weight is the paper's times N / M, which for a kernel much smaller than the image is the paper's.

    The proximal map shortens gradients: without smoothing by ``step / (C H W)``, with it by a little less (Newton's
    method, to 1e-6 of the length). Without smoothing, lengths below 1e-8 are reweighted as those of 1e-8.

    Args:
        isotropic: the length of the gradient, or the sum of its parts' magnitudes.
        smoothing: the difference in [0, 1] units below which the penalty turns quadratic; 0 for none, and then it is
            homogeneous, R(c x) = |c| R(x).
    """

    filters = GRADIENT

    @validated
    def __init__(
        self,
        *,
        isotropic: Annotated[
            bool, Field(description="penalise the length of the gradient, else the sum of its parts' magnitudes")
        ] = True,
        smoothing: Annotated[
            float, Field(ge=0, le=1, description="difference ([0, 1] units) below which the penalty is quadratic")
        ] = 1e-3,
    ) -> None:
        super().__init__()
        self.isotropic = isotropic
        self.smoothing = smoothing

    def penalty(self, coefficients: Tensor) -> Tensor:
        """Differences (2, B, C, H, W) -> (B,), >= 0."""
        return mean_penalty(smooth_root(self.squared(coefficients), self.smoothing), coefficients)

    def prox(self, coefficients: Tensor, step: float) -> Tensor:
        """Differences (2, B, C, H, W), step > 0 -> the same shape; without gradients."""
        single = step / values_of(coefficients)

        def shorten(block: Tensor) -> Tensor:
            return block * shrink(self.squared(block).sqrt_(), self.smoothing, single)

        return blockwise(shorten, coefficients)

    def weights(self, coefficients: Tensor) -> Tensor:
        """``1 / sqrt(length^2 + smoothing^2)`` over C H W; (2, B, C, H, W), > 0."""
        least = max(self.smoothing, LEAST_LENGTH) ** 2 - self.smoothing**2
        roots = self.squared(coefficients).clamp_(min=least).add_(self.smoothing**2).rsqrt_()
        return roots.div_(values_of(coefficients)).expand_as(coefficients).contiguous()

    def squared(self, coefficients: Tensor) -> Tensor:
        """The squared lengths, (1, B, C, H, W), or each difference's square, (2, B, C, H, W)."""
        return squared_length(coefficients, (0,) if self.isotropic else ())


def smooth_root(squared: Tensor, smoothing: float) -> Tensor:
    """``sqrt(squared + smoothing^2) - smoothing``, without cancellation, and with gradient zero where it is zero."""
    if smoothing**2 >= torch.finfo(squared.dtype).tiny:
        return squared / ((squared + smoothing**2).sqrt() + smoothing)
    positive = squared > 0
    safe = torch.where(positive, squared, 1.0)
    root = safe / ((safe + smoothing**2).sqrt() + smoothing)
    return torch.where(positive, root, 0.0)


def shrink(length: Tensor, smoothing: float, step: float) -> Tensor:
    """The factor by which the proximal map of ``step * sqrt(t^2 + smoothing^2)`` shortens; overwrites ``length``.

    The new length r solves ``r + step * r / sqrt(r^2 + smoothing^2) = length``, whose left side is concave: from a
    point below the root Newton's method rises to it, and from one above it steps below. Four steps from the least of
    three points above end within 2e-7 of the root for every length, smoothing and step.
    """
    length.clamp_(min=1e-30)
    if smoothing < NO_SMOOTHING:
        return (step / length).neg_().add_(1).clamp_(min=0)
    floor = torch.maximum(length - step, length * (smoothing / (smoothing + step)))
    root = ceiling(length, smoothing, step)
    for _ in range(4):
        reciprocal = root.square().add_(smoothing**2).rsqrt_()
        slope = (reciprocal * smoothing).pow_(3).mul_(step / smoothing).add_(1)
        ahead = length.sub(root.mul_(reciprocal).pow_(3), alpha=step)  # of the root less the step, times the slope
        root = torch.maximum(ahead.div_(slope), floor)
    return root.div_(length)


def ceiling(length: Tensor, smoothing: float, step: float) -> Tensor:
    """A number above the root of `shrink`, near it.

    The least of three: what is left if the pull were that at ``length``; if the root took no part in the sum; and
    ``max(length - step, 0) + (step smoothing^2 / 2)^(1/3)``, as the pull is at least
    ``step (1 - smoothing^2 / (2 r^2))``.
    """
    squared = length.square()
    least = squared.add(smoothing**2).rsqrt_().mul_(step).add_(1).reciprocal_().mul_(length)
    alone = squared.neg_().add_(step**2).clamp_(min=1e-30).rsqrt_().mul_(length).mul_(smoothing)
    corner = (length - step).clamp_(min=0).add_((step * smoothing**2 / 2) ** (1 / 3))
    return torch.minimum(torch.minimum(least, alone), corner)
