"""The abilities of fidelities: classes by which a solver says which fidelities it minimises."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import ClassVar

import torch
from torch import Tensor

from .interfaces import Fidelity
from .ranges import SumOverData

__all__ = ["KullbackLeibler", "LeastSquares", "Separable", "divergence"]


class Separable(Fidelity, SumOverData):
    """The ability to be a mean over the values of an image, of a function with a known proximal map.

    A solver that splits off the blurred image, such as `admm`, needs no more of the data term.

    Attributes:
        least: the lowest prediction that the fidelity allows; `prox` gives nothing below it.
    """

    least: float = -math.inf

    @abstractmethod
    def values(self, predicted: Tensor, data: Tensor) -> Tensor:
        """The function at each value: two tensors (B, C, H, W) -> (B, C, H, W), >= 0, zero where the two agree."""

    @abstractmethod
    def prox(self, predicted: Tensor, data: Tensor, step: float | Tensor) -> Tensor:
        """``argmin_z step * values(z, data) + (z - predicted)^2 / 2`` over z >= ``least``, value by value.

        Args:
            predicted: (B, C, H, W), any finite numbers.
            data: (B, C, H, W).
            step: > 0, a number or one for each value, (B, C, H, W).

        Returns:
            (B, C, H, W), another tensor than ``predicted``.
        """

    def forward(self, predicted: Tensor, data: Tensor) -> Tensor:
        """Two tensors (B, C, H, W) -> (B,), >= 0."""
        return self.values(predicted, data).mean((1, 2, 3))

    def weighted(self, predicted: Tensor, data: Tensor, weights: Tensor) -> Tensor:
        """Arguments and result as `SumOverData` says."""
        return (weights * self.values(predicted, data)).mean((1, 2, 3))


def divergence(counts: Tensor, light: Tensor) -> Tensor:
    """The Kullback-Leibler divergence of each expected value > 0 from its count >= 0, of their shape."""
    return torch.xlogy(counts, counts / light) - counts + light


class LeastSquares(Separable):
    """The ability of a fidelity to be the mean of the squared differences, which linear solvers minimise."""

    def values(self, predicted: Tensor, data: Tensor) -> Tensor:
        """The squared differences, (B, C, H, W)."""
        return (predicted - data).square()

    def prox(self, predicted: Tensor, data: Tensor, step: float | Tensor) -> Tensor:
        """The mean of prediction and data with the weights 1 and ``2 * step``; arguments as `Separable` says."""
        kept = 1 / (2 * step)
        return (predicted * kept).add_(data).div_(1 + kept)


class KullbackLeibler(Separable):
    """The ability of a fidelity to be the mean Kullback-Leibler divergence, which multiplicative solvers minimise.

    It is ``c log(c / q) - c + q`` for ``q = prediction + shift`` and ``c = data + shift``, which both count as
    `MIN_LIGHT` if they are less.

    Attributes:
        shift: added to prediction and data.
    """

    MIN_LIGHT: ClassVar[float] = 1e-6  # in a quotient; the darkest grey of 8 bits, made linear, is five times as much
    shift: float = 0.0

    @property
    def least(self) -> float:  # type: ignore[override]  # it follows from the shift
        """The prediction that counts as `MIN_LIGHT`."""
        return self.MIN_LIGHT - self.shift

    def light(self, values: Tensor) -> Tensor:
        """Predictions or data (B, C, H, W) with the shift, at least `MIN_LIGHT`."""
        return (values + self.shift).clamp_(min=self.MIN_LIGHT)

    def values(self, predicted: Tensor, data: Tensor) -> Tensor:
        """The divergence of each value, (B, C, H, W)."""
        light, counts = self.light(predicted), self.light(data)
        return divergence(counts, light)

    def prox(self, predicted: Tensor, data: Tensor, step: float | Tensor) -> Tensor:
        """The positive root q of ``q^2 - (predicted + shift - step) q = step c``; arguments as `Separable` says."""
        middle, product = (predicted + (self.shift - step)).mul_(0.5), self.light(data).mul_(step)
        root = torch.addcmul(product, middle, middle).sqrt_()
        # The second form of the root has no difference of nearly equal numbers where the middle is negative.
        light = torch.where(middle > 0, middle + root, product / (root - middle).clamp_(min=self.MIN_LIGHT))
        return light.clamp_(min=self.MIN_LIGHT).sub_(self.shift)
