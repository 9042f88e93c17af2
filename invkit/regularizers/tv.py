"""Total variation."""

from __future__ import annotations

import torch
from torch import Tensor

from ..core.interfaces import Reweightable
from ..core.parameters import Fraction, validated
from ..numerics.finite_differences import GRADIENT
from .shrinkage import blockwise, mean_penalty, squared_length, values_per_image

__all__ = ["TotalVariation", "length_weights", "shortened", "smooth_root"]

MIN_TV_SMOOTHING = 1e-15  # float32 cannot divide by the square of a smaller number
MIN_LENGTH = 1e-8  # for weights, which would be infinite at zero without smoothing


class TotalVariation(Reweightable):
    """Total variation per pixel (Rudin, Osher, Fatemi 1992): the mean length of the image's gradient.

    With forward differences ``d_h, d_w`` (zero across the border) and smoothing ``e``, this is the mean over pixels and
    channels of ``sqrt(d_h^2 + d_w^2 + e^2) - e`` (isotropic), or the sum of the same for each difference alone
    (anisotropic). It is convex. It is exactly zero on constant images, with gradient zero.

    It is a mean, as the fidelities are, so a weight does not depend on the size of the image. A paper may weight the
    sum over the N pixels of the image against the sum of squares over the M values of the data (SelfDeblur's Eq. 6).
    The weight here is then the paper's times N / M; for a kernel much smaller than the image, N / M is about 1.

    The proximal map shortens gradients: without smoothing by ``step / (C H W)``, with smoothing by a little less
    (Newton's method, to 1e-6 of the length). Without smoothing, lengths below 1e-8 have the weight of 1e-8.

    Args:
        isotropic: whether to penalise the length of the gradient, or the sum of the magnitudes of its components.
        smoothing: difference, in [0, 1] units, below which the penalty is quadratic. With 0 the penalty is homogeneous,
            R(c x) = |c| R(x).

    Example:
        >>> step = torch.tensor([0.0, 0.0, 1.0, 1.0]).expand(1, 1, 4, 4)  # 4 of 16 pixels have a gradient of 1
        >>> TotalVariation(smoothing=0.0)(step)
        tensor([0.2500])
    """

    filters = GRADIENT

    @validated
    def __init__(self, *, isotropic: bool = True, smoothing: Fraction = 1e-3) -> None:
        super().__init__()
        self.isotropic = isotropic
        self.smoothing = smoothing

    def penalty(self, coefficients: Tensor) -> Tensor:
        """Differences (2, B, C, H, W) -> (B,), >= 0."""
        return mean_penalty(smooth_root(squared_length(coefficients, self.joint), self.smoothing), coefficients)

    def prox(self, coefficients: Tensor, step: float) -> Tensor:
        """Differences (2, B, C, H, W), step > 0 -> the same shape; without gradients."""
        return shortened(coefficients, self.joint, self.smoothing, step)

    def weights(self, coefficients: Tensor) -> Tensor:
        """``1 / sqrt(length^2 + smoothing^2)`` over C H W; (2, B, C, H, W), > 0."""
        return length_weights(coefficients, self.joint, self.smoothing)

    @property
    def joint(self) -> tuple[int, ...]:
        """The dimensions of the differences that form one length."""
        return (0,) if self.isotropic else ()


def shortened(coefficients: Tensor, joint: tuple[int, ...], smoothing: float, step: float) -> Tensor:
    """The proximal map of ``step`` times the mean of the smoothed lengths.

    Args:
        coefficients: differences, (K, B, C, H, W).
        joint: the dimensions that form one length, (0,) or ().
        smoothing: >= 0.
        step: > 0.

    Returns:
        The same shape, without gradients.
    """
    single = step / values_per_image(coefficients)

    def shorten(block: Tensor) -> Tensor:
        return block * shortening_factor(squared_length(block, joint).sqrt_(), smoothing, single)

    return blockwise(shorten, coefficients)


def length_weights(coefficients: Tensor, joint: tuple[int, ...], smoothing: float) -> Tensor:
    """``1 / sqrt(length^2 + smoothing^2)`` over C H W, of the shape of the differences (K, B, C, H, W), > 0.

    Args:
        coefficients: differences.
        joint: the dimensions that form one length, (0,) or ().
        smoothing: >= 0.
    """
    least = max(smoothing, MIN_LENGTH) ** 2 - smoothing**2
    roots = squared_length(coefficients, joint).clamp_(min=least).add_(smoothing**2).rsqrt_()
    return roots.div_(values_per_image(coefficients)).expand_as(coefficients).contiguous()


def smooth_root(squared: Tensor, smoothing: float) -> Tensor:
    """``sqrt(squared + smoothing^2) - smoothing``, without cancellation; where it is zero, so is its gradient."""
    if smoothing**2 >= torch.finfo(squared.dtype).tiny:
        return squared / ((squared + smoothing**2).sqrt() + smoothing)
    positive = squared > 0
    safe = torch.where(positive, squared, 1.0)
    root = safe / ((safe + smoothing**2).sqrt() + smoothing)
    return torch.where(positive, root, 0.0)


def shortening_factor(length: Tensor, smoothing: float, step: float) -> Tensor:
    """The factor by which the proximal map of ``step * sqrt(t^2 + smoothing^2)`` multiplies a length.

    The new length r solves ``r + step * r / sqrt(r^2 + smoothing^2) = length``. The left side is concave. From a point
    below the root Newton's method rises to it; from a point above it, the next one is below. Four steps from the least
    of three upper bounds have an error of at most 2e-7 of the root for every length, smoothing and step.

    Args:
        length: >= 0, any shape; overwritten.
        smoothing: >= 0.
        step: > 0.
    """
    length.clamp_(min=1e-30)
    if smoothing < MIN_TV_SMOOTHING:
        return (step / length).neg_().add_(1).clamp_(min=0)
    floor = torch.maximum(length - step, length * (smoothing / (smoothing + step)))
    root = bound_of_root(length, smoothing, step)
    for _ in range(4):
        reciprocal = root.square().add_(smoothing**2).rsqrt_()
        slope = (reciprocal * smoothing).pow_(3).mul_(step / smoothing).add_(1)
        ahead = length.sub(root.mul_(reciprocal).pow_(3), alpha=step)  # the next point times the slope
        root = torch.maximum(ahead.div_(slope), floor)
    return root.div_(length)


def bound_of_root(length: Tensor, smoothing: float, step: float) -> Tensor:
    """A number above the root of `shortening_factor`, near it: the least of three upper bounds.

    The first takes the slope of the penalty at ``length``; the second omits the first term of the equation; the third
    is ``max(length - step, 0) + (step smoothing^2 / 2)^(1/3)``, because the second term of the equation is at least
    ``step (1 - smoothing^2 / (2 r^2))``.

    Args:
        length: > 0, any shape.
        smoothing: > 0.
        step: > 0.
    """
    squared = length.square()
    first = squared.add(smoothing**2).rsqrt_().mul_(step).add_(1).reciprocal_().mul_(length)
    second = squared.neg_().add_(step**2).clamp_(min=1e-30).rsqrt_().mul_(length).mul_(smoothing)
    third = (length - step).clamp_(min=0).add_((step * smoothing**2 / 2) ** (1 / 3))
    return torch.minimum(torch.minimum(first, second), third)
