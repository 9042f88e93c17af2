"""What the separable penalties share: means over an image's values, and proximal maps of functions of one number."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache, partial

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from ..numerics.finite_differences import GRADIENT, SECOND_DIFFERENCES, DifferenceFilter, sum_over

__all__ = [
    "blockwise",
    "differences",
    "filter_weights",
    "mean_penalty",
    "power_shrinkage",
    "squared_length",
    "truncated_shrinkage",
    "truncated_square",
    "values_of",
]

BLOCK = 2**18  # numbers worked on at a time on a CPU: a megabyte, which stays in the cache over many small operations
DEGREE = 8  # of the polynomial of `outer_gain`: right to 3e-8 for powers up to 0.95

Shrinkage = Callable[[Tensor], Tensor]


def values_of(coefficients: Tensor) -> int:
    """How many values an image has: C H W, for coefficients (K, B, C, H, W)."""
    return math.prod(coefficients.shape[-3:])


def mean_penalty(penalties: Tensor, coefficients: Tensor) -> Tensor:
    """Sum over all but the batch of penalties (K', B, C', H, W), divided by the image's number of values; (B,)."""
    return penalties.sum((0, 2, 3, 4)) / values_of(coefficients)


def differences(second: float) -> tuple[tuple[DifferenceFilter, ...], tuple[float, ...]]:
    """First differences of weight one, and second ones of weight ``second`` unless that is zero: filters, weights."""
    if second == 0:
        return GRADIENT, (1.0,) * len(GRADIENT)
    return GRADIENT + SECOND_DIFFERENCES, (1.0,) * len(GRADIENT) + (second,) * len(SECOND_DIFFERENCES)


def filter_weights(weights: Sequence[float], like: Tensor) -> Tensor:
    """The weight of each filter, (K, 1, 1, 1, 1), made on the device: a graph of one can hold no copy from the host."""
    return torch.cat([like.new_full((1, 1, 1, 1, 1), weight) for weight in weights])


@torch.no_grad()
def blockwise(function: Shrinkage, coefficients: Tensor) -> Tensor:
    """Apply a function of (K, B, C, n) numbers, each of the n by itself, to (K, B, C, H, W); without gradients.

    On a CPU by blocks, so that the temporaries stay in the cache and take no memory.
    """
    source = coefficients.flatten(-2)
    blocks = math.ceil(source.numel() / BLOCK) if source.device.type == "cpu" else 1
    if blocks == 1:
        return function(source).view_as(coefficients)
    result = coefficients.new_empty(coefficients.shape)
    target = result.flatten(-2)
    for piece, place in zip(source.chunk(blocks, -1), target.chunk(blocks, -1), strict=True):
        place.copy_(function(piece))
    return result


def squared_length(coefficients: Tensor, joint: tuple[int, ...]) -> Tensor:
    """Squares, added over the dimensions ``joint``, which keep size one; a new tensor."""
    squares = coefficients.square()
    for dim in joint:
        squares = sum_over(squares, dim)
    return squares


# The truncated square, min(t^2 / smoothing^2, 1): the count of what is not zero, when smoothing is none.


def truncated_square(coefficients: Tensor, joint: tuple[int, ...], smoothing: float) -> Tensor:
    """``min(t^2 / smoothing^2, 1)`` of the lengths t over the dimensions ``joint``; (K', B, C', H, W).

    What is too small to be squared counts as zero.
    """
    least = torch.finfo(coefficients.dtype).tiny
    return (squared_length(coefficients, joint) / max(smoothing**2, least)).clamp(max=1)


def truncated_shrinkage(joint: tuple[int, ...], smoothing: float, step: float) -> Shrinkage:
    """The proximal map of ``step * min(t^2 / smoothing^2, 1)``, t the length over the dimensions ``joint``.

    The two pieces have their minima at ``v / (1 + 2 step / smoothing^2)`` and at ``v``; the values there are equal
    where ``|v|^2 = smoothing^2 + 2 step``.
    """
    threshold = smoothing**2 + 2 * step
    shrink = smoothing**2 / threshold

    def apply(values: Tensor) -> Tensor:
        gain = squared_length(values, joint).gt_(threshold).clamp_(min=shrink)
        return values * gain

    return apply


# Powers, |t|^power for |t| > smoothing, continued below by the parabola of the same value and slope.


def power_shrinkage(power: float, smoothing: float, step: float) -> Shrinkage:
    """The proximal map of ``step * phi`` with ``phi(t) = |t|^power``, a parabola where ``|t| <= smoothing``.

    Args:
        power: in (0, 2].
        smoothing: >= 0.
        step: > 0, of one coefficient.
    """
    if power == 2:
        return partial(torch.mul, other=1 / (1 + 2 * step))
    if power == 1:
        return partial(soft, smoothing=smoothing, step=step)
    inner = smoothing ** (2 - power) / (smoothing ** (2 - power) + step * power)
    threshold = power_threshold(power, smoothing, step)

    def apply(values: Tensor) -> Tensor:
        floor = max(threshold, torch.finfo(values.dtype).tiny)
        gain = outer_gain(values.abs().clamp_(min=floor), power, step)
        result = F.hardshrink(values, threshold)
        return result.mul_(gain.sub_(inner)).add_(values, alpha=inner) if inner else result.mul_(gain)

    return apply


def soft(values: Tensor, smoothing: float, step: float) -> Tensor:
    """The proximal map of step times Huber's function."""
    return values - (values * (step / (smoothing + step))).clamp_(-step, step)


def power_threshold(power: float, smoothing: float, step: float) -> float:
    """The magnitude up to which the proximal map of a power stays within the parabola (within zero, without one).

    The map is monotone, so one number tells the pieces apart. Where the objective is convex it is the argument that
    is mapped to ``smoothing``; otherwise the one at which the minima of both pieces are equally low.
    """

    def argument(root: float) -> float:
        return root + step * power * root ** (power - 1) if root else 0.0

    if smoothing == 0:
        return argument(max(0, 2 * step * (1 - power)) ** (1 / (2 - power)))
    least = max(0, step * power * (1 - power)) ** (1 / (2 - power))  # below, the outer piece has no minimum
    if least <= smoothing:
        return argument(smoothing)
    low, high = least, argument(smoothing)
    while low < (middle := (low + high) / 2) < high:
        beyond = argument(middle) > argument(smoothing)
        low, high = (low, middle) if beyond or outer_is_lower(middle, power, smoothing, step) else (middle, high)
    return argument(high)


def outer_is_lower(root: float, power: float, smoothing: float, step: float) -> bool:
    """Whether ``root`` beyond the parabola is at least as good as the parabola's minimum for the same argument."""
    pull = step * power * root ** (power - 1)  # the argument is root + pull
    outer = step * (root**power - smoothing**power * (1 - power / 2)) + pull**2 / 2
    curvature = step * power * smoothing ** (power - 2)
    return bool(outer <= (root + pull) ** 2 / 2 * curvature / (1 + curvature))


def outer_gain(magnitude: Tensor, power: float, step: float) -> Tensor:
    """``z / v`` for the largest z > 0 with ``z + step * power * z^(power - 1) = v``; overwrites ``magnitude``, v.

    With ``k = step * power * v^(power - 2)`` the gain g solves ``g + k g^(power - 1) = 1``. For a power above one the
    two terms' logarithms are straight lines of log g, and Newton's method on the logarithm of their sum falls
    monotonely from ``min(1, k^(-1 / (power - 1)))``, which is too large by log 2 at most.

    For a power below one there is a root only for k up to a critical value, at which g branches as a square root:
    so g is a smooth function of ``sqrt(1 - k / critical)`` on all of [0, 1], which depends on the power alone and of
    which a polynomial is kept.
    """
    if power > 1:
        return falling_gain(magnitude.log_().mul_(power - 2).add_(math.log(step * power)), power)
    critical, coefficients = gain_polynomial(power)
    factor = magnitude.log2_().mul_(power - 2).exp2_()  # times step * power: the k of each
    distance = torch.rsub(factor, 1, alpha=step * power / critical).clamp_(min=0).sqrt_()
    if magnitude.dtype == torch.float32 and power <= 0.95:
        return horner(distance, coefficients)
    return polished(horner(distance, coefficients), factor.mul_(step * power), power)


def falling_gain(logarithm: Tensor, power: float) -> Tensor:
    """The gain for a power in (1, 2) from log k, by Newton's method in log g, to 1e-7 or better."""
    gain = (logarithm / (1 - power)).clamp_(max=0)
    for _ in range(5 if power >= 1.05 else 8):  # the nearer to one, the sharper the bend between the two lines
        second = logarithm.add(gain, alpha=power - 1)
        slope = torch.sigmoid(second - gain).mul_(power - 2).add_(1)
        gain -= torch.logaddexp(gain, second).div_(slope)
    return gain.exp_()


def polished(gain: Tensor, factor: Tensor, power: float) -> Tensor:
    """One Newton step of ``g + factor * g^(power - 1) = 1``, shorter than that next to the branch point."""
    second = gain.pow(power - 1).mul_(factor)
    slope = (second / gain).mul_(power - 1).add_(1).clamp_(min=1e-3)
    return gain - second.add_(gain).sub_(1).div_(slope)


def horner(argument: Tensor, coefficients: tuple[float, ...]) -> Tensor:
    """A polynomial, its coefficients from the constant upwards."""
    constant, *middle, last = coefficients
    value = argument.mul(last)
    for coefficient in reversed(middle):
        value.add_(coefficient).mul_(argument)
    return value.add_(constant)


@lru_cache(maxsize=32)
def gain_polynomial(power: float) -> tuple[float, tuple[float, ...]]:
    """The critical k of `outer_gain`, and the gain as a polynomial of ``sqrt(1 - k / critical)``, from degree 0 up."""
    lowest = (1 - power) / (2 - power)  # where (1 - g) g^(1 - power) is largest
    critical = (1 - lowest) * lowest ** (1 - power)
    nodes = (1 + np.polynomial.chebyshev.chebpts1(2 * DEGREE)) / 2
    gains = gains_at(critical * (1 - nodes**2), lowest, power)
    fitted = np.polynomial.Chebyshev.fit(nodes, gains, DEGREE, domain=[0, 1])
    return critical, tuple(fitted.convert(kind=np.polynomial.Polynomial).coef.tolist())


def gains_at(factors: NDArray[np.float64], lowest: float, power: float) -> NDArray[np.float64]:
    """The larger root of ``g + factor * g^(power - 1) = 1``, by bisection between ``lowest`` and one."""
    low, high = np.full_like(factors, lowest), np.ones_like(factors)
    for _ in range(60):
        middle = (low + high) / 2
        short = (1 - middle) * middle ** (1 - power) > factors
        low, high = np.where(short, middle, low), np.where(short, high, middle)
    return (low + high) / 2
