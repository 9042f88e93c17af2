"""Means over the values of an image, and proximal maps of functions of one variable."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import TypeAlias

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from ..numerics.finite_differences import GRADIENT, SECOND_DIFFERENCES, DifferenceFilter, sum_over

__all__ = [
    "blockwise",
    "difference_filters",
    "filter_weights",
    "mean_penalty",
    "power_shrinkage",
    "squared_length",
    "truncated_shrinkage",
    "truncated_square",
    "values_per_image",
]

BLOCK_VALUES = 2**18  # numbers processed at a time on a CPU: one megabyte, which stays in the cache
GAIN_DEGREE = 8  # of the polynomial in `outer_gain`: its error is 3e-8 for powers up to 0.95


Shrinkage: TypeAlias = Callable[[Tensor], Tensor]
"""A proximal map of coefficients of any shape."""


def values_per_image(coefficients: Tensor) -> int:
    """The number C H W of values of an image, for coefficients (K, B, C, H, W)."""
    return math.prod(coefficients.shape[-3:])


def mean_penalty(penalties: Tensor, coefficients: Tensor) -> Tensor:
    """Penalties (K', B, C', H, W) -> their sum for each image, divided by the image's number of values; (B,)."""
    return penalties.sum((0, 2, 3, 4)) / values_per_image(coefficients)


def difference_filters(second: float) -> tuple[tuple[DifferenceFilter, ...], tuple[float, ...]]:
    """First differences of weight 1 and, unless ``second`` is 0, second ones of that weight: filters and weights."""
    if second == 0:
        return GRADIENT, (1.0,) * len(GRADIENT)
    return GRADIENT + SECOND_DIFFERENCES, (1.0,) * len(GRADIENT) + (second,) * len(SECOND_DIFFERENCES)


def filter_weights(weights: Sequence[float], like: Tensor) -> Tensor:
    """The weight of each filter, (K, 1, 1, 1, 1), created on the device: a CUDA graph cannot copy from the host."""
    return torch.cat([like.new_full((1, 1, 1, 1, 1), weight) for weight in weights])


@torch.no_grad()
def blockwise(function: Shrinkage, coefficients: Tensor) -> Tensor:
    """Apply a map of (K, B, C, n), in which each of the n places is independent, to (K, B, C, H, W); no gradients.

    On a CPU the map is applied block by block, so that temporary tensors stay in the cache and take little memory.
    """
    source = coefficients.flatten(-2)
    blocks = math.ceil(source.numel() / BLOCK_VALUES) if source.device.type == "cpu" else 1
    if blocks == 1:
        return function(source).view_as(coefficients)
    result = coefficients.new_empty(coefficients.shape)
    target = result.flatten(-2)
    for piece, place in zip(source.chunk(blocks, -1), target.chunk(blocks, -1), strict=True):
        place.copy_(function(piece))
    return result


def squared_length(coefficients: Tensor, joint: tuple[int, ...]) -> Tensor:
    """Squares, summed over the dimensions ``joint``, which keep size 1; a new tensor."""
    squares = coefficients.square()
    for dim in joint:
        squares = sum_over(squares, dim)
    return squares


# The truncated square, min(t^2 / smoothing^2, 1). Without smoothing it counts the nonzero values.


def truncated_square(coefficients: Tensor, joint: tuple[int, ...], smoothing: float) -> Tensor:
    """``min(t^2 / smoothing^2, 1)`` of the lengths t. A length too small to be squared counts as zero.

    Args:
        coefficients: any shape.
        joint: the dimensions that form one length; they keep size 1.
        smoothing: >= 0.
    """
    least = torch.finfo(coefficients.dtype).tiny
    return (squared_length(coefficients, joint) / max(smoothing**2, least)).clamp(max=1)


def truncated_shrinkage(joint: tuple[int, ...], smoothing: float, step: float) -> Shrinkage:
    """The proximal map of ``step * min(t^2 / smoothing^2, 1)`` for the lengths t.

    The two pieces have their minima at ``v / (1 + 2 step / smoothing^2)`` and at ``v``. The minima are equal where
    ``|v|^2 = smoothing^2 + 2 step``.

    Args:
        joint: the dimensions that form one length.
        smoothing: >= 0.
        step: > 0, for one coefficient.

    Example:
        >>> truncated_shrinkage((), smoothing=0.0, step=0.5)(torch.tensor([0.5, 0.9, 1.1]))  # hard threshold at 1
        tensor([0.0000, 0.0000, 1.1000])
    """
    threshold = smoothing**2 + 2 * step
    shrink = smoothing**2 / threshold

    def apply(values: Tensor) -> Tensor:
        gain = squared_length(values, joint).gt_(threshold).clamp_(min=shrink)
        return values * gain

    return apply


# Powers, |t|^power for |t| > smoothing; below, the parabola with the same value and slope.


def power_shrinkage(power: float, smoothing: float, step: float) -> Shrinkage:
    """The proximal map of ``step * phi``, where ``phi(t) = |t|^power``, or a parabola if ``|t| <= smoothing``.

    Args:
        power: in (0, 2].
        smoothing: >= 0.
        step: > 0, for one coefficient.

    Example:
        >>> power_shrinkage(power=1, smoothing=0.0, step=0.5)(torch.tensor([0.2, 2.0]))  # soft threshold
        tensor([0.0000, 1.5000])
    """
    if power == 2:
        return partial(torch.mul, other=1 / (1 + 2 * step))
    if power == 1:
        return partial(huber_shrinkage, smoothing=smoothing, step=step)
    inner = smoothing ** (2 - power) / (smoothing ** (2 - power) + step * power)
    threshold = power_threshold(power, smoothing, step)

    def apply(values: Tensor) -> Tensor:
        floor = max(threshold, torch.finfo(values.dtype).tiny)
        gain = outer_gain(values.abs().clamp_(min=floor), power, step)
        result = F.hardshrink(values, threshold)
        return result.mul_(gain.sub_(inner)).add_(values, alpha=inner) if inner else result.mul_(gain)

    return apply


def huber_shrinkage(values: Tensor, smoothing: float, step: float) -> Tensor:
    """The proximal map of ``step`` times Huber's function; soft thresholding if ``smoothing`` is 0.

    Args:
        values: any shape.
        smoothing: >= 0.
        step: > 0.
    """
    return values - (values * (step / (smoothing + step))).clamp_(-step, step)


def power_threshold(power: float, smoothing: float, step: float) -> float:
    """The magnitude up to which the proximal map of a power ends in the parabola (without smoothing: at zero).

    The map is monotone, so one threshold separates the pieces. For a convex objective it is the argument that is mapped
    to ``smoothing``. Otherwise it is the argument for which the minima of both pieces are equal.

    Args:
        power: in (0, 2].
        smoothing: >= 0.
        step: > 0.
    """

    def argument(root: float) -> float:
        return root + step * power * root ** (power - 1) if root else 0.0

    if smoothing == 0:
        return argument(max(0, 2 * step * (1 - power)) ** (1 / (2 - power)))
    least = max(0, step * power * (1 - power)) ** (1 / (2 - power))  # the outer piece has no minimum below this root
    if least <= smoothing:
        return argument(smoothing)
    low, high = least, argument(smoothing)
    while low < (middle := (low + high) / 2) < high:
        beyond = argument(middle) > argument(smoothing)
        low, high = (low, middle) if beyond or outer_is_lower(middle, power, smoothing, step) else (middle, high)
    return argument(high)


def outer_is_lower(root: float, power: float, smoothing: float, step: float) -> bool:
    """Whether a minimum beyond the parabola is at least as low as that of the parabola, for the same argument.

    Args:
        root: the minimum of the outer piece, > ``smoothing``.
        power: in (0, 2].
        smoothing: > 0.
        step: > 0.
    """
    pull = step * power * root ** (power - 1)  # the argument is root + pull
    outer = step * (root**power - smoothing**power * (1 - power / 2)) + pull**2 / 2
    curvature = step * power * smoothing ** (power - 2)
    return bool(outer <= (root + pull) ** 2 / 2 * curvature / (1 + curvature))


def outer_gain(magnitude: Tensor, power: float, step: float) -> Tensor:
    """The gain ``z / v`` for the largest z > 0 with ``z + step * power * z^(power - 1) = v``.

    With ``k = step * power * v^(power - 2)`` the gain g solves ``g + k g^(power - 1) = 1``. For a power above 1, the
    logarithms of the two terms are straight lines in log g. Newton's method on the logarithm of their sum decreases
    monotonically from ``min(1, k^(-1 / (power - 1)))``, which is too large by a factor of 2 at most.

    For a power below 1 there is a root only for k up to a critical value, where g branches like a square root. So g is
    a smooth function of ``sqrt(1 - k / critical)`` on all of [0, 1]. It depends only on the power, and a cached
    polynomial approximates it.

    Args:
        magnitude: v > 0, any shape; overwritten.
        power: in (0, 2), not 1.
        step: > 0.
    """
    if power > 1:
        return newton_gain(magnitude.log_().mul_(power - 2).add_(math.log(step * power)), power)
    critical, coefficients = gain_polynomial(power)
    factor = magnitude.log2_().mul_(power - 2).exp2_()  # times step * power, this is k
    distance = torch.rsub(factor, 1, alpha=step * power / critical).clamp_(min=0).sqrt_()
    if magnitude.dtype == torch.float32 and power <= 0.95:
        return evaluate_polynomial(distance, coefficients)
    return refined_gain(evaluate_polynomial(distance, coefficients), factor.mul_(step * power), power)


def newton_gain(logarithm: Tensor, power: float) -> Tensor:
    """The gain for a power in (1, 2) from log k, by Newton's method in log g; its error is at most 1e-7."""
    gain = (logarithm / (1 - power)).clamp_(max=0)
    for _ in range(5 if power >= 1.05 else 8):  # near 1 the bend between the two lines is sharper
        second = logarithm.add(gain, alpha=power - 1)
        slope = torch.sigmoid(second - gain).mul_(power - 2).add_(1)
        gain -= torch.logaddexp(gain, second).div_(slope)
    return gain.exp_()


def refined_gain(gain: Tensor, factor: Tensor, power: float) -> Tensor:
    """One Newton step for ``g + factor * g^(power - 1) = 1``, shortened near the branch point.

    Args:
        gain: an approximation of g, any shape.
        factor: k, the same shape.
        power: in (0, 1).
    """
    second = gain.pow(power - 1).mul_(factor)
    slope = (second / gain).mul_(power - 1).add_(1).clamp_(min=1e-3)
    return gain - second.add_(gain).sub_(1).div_(slope)


def evaluate_polynomial(argument: Tensor, coefficients: tuple[float, ...]) -> Tensor:
    """The value of a polynomial with coefficients from the constant term upwards."""
    constant, *middle, last = coefficients
    value = argument.mul(last)
    for coefficient in reversed(middle):
        value.add_(coefficient).mul_(argument)
    return value.add_(constant)


@lru_cache(maxsize=32)
def gain_polynomial(power: float) -> tuple[float, tuple[float, ...]]:
    """The critical k of `outer_gain`, and the coefficients of the gain's polynomial in ``sqrt(1 - k / critical)``."""
    lowest = (1 - power) / (2 - power)  # the maximum of (1 - g) g^(1 - power)
    critical = (1 - lowest) * lowest ** (1 - power)
    nodes = (1 + np.polynomial.chebyshev.chebpts1(2 * GAIN_DEGREE)) / 2
    gains = bisected_gains(critical * (1 - nodes**2), lowest, power)
    fitted = np.polynomial.Chebyshev.fit(nodes, gains, GAIN_DEGREE, domain=[0, 1])
    return critical, tuple(fitted.convert(kind=np.polynomial.Polynomial).coef.tolist())


def bisected_gains(factors: NDArray[np.float64], lowest: float, power: float) -> NDArray[np.float64]:
    """The larger root of ``g + factor * g^(power - 1) = 1``, by bisection.

    Args:
        factors: (n,), at most the critical one.
        lowest: a lower bound of the roots; 1 is the upper bound.
        power: in (0, 1).
    """
    low, high = np.full_like(factors, lowest), np.ones_like(factors)
    for _ in range(60):
        middle = (low + high) / 2
        short = (1 - middle) * middle ** (1 - power) > factors
        low, high = np.where(short, middle, low), np.where(short, high, middle)
    return (low + high) / 2
