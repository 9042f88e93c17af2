"""Abilities of components that a variational solver uses, as types."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from invkit.core.interfaces import Regularizer

__all__ = ["ExpectedPenalty", "GaussianPrior"]


class GaussianPrior(ABC):
    """The ability of an image prior to give independent Gaussians for the pixels instead of values."""

    @abstractmethod
    def distribution(self) -> tuple[Tensor, Tensor]:
        """Return the mean, which is the prior's image, and the standard deviation >= 0, each (B, C, H, W).

        The call does not change the prior.
        """


class ExpectedPenalty(Regularizer):
    """The ability of a penalty R to compute its expectation over Gaussian pixels, or an upper bound of it."""

    @abstractmethod
    def expected(self, mean: Tensor, std: Tensor) -> Tensor:
        """Return an upper bound of ``E R(u)`` for independent ``u ~ N(mean, std^2)``; it is R(mean) if std is zero.

        It maps two tensors (B, C, H, W) to (B,), and is differentiable with finite gradients everywhere.
        """

    def forward(self, value: Tensor) -> Tensor:
        """Map a value (B, C, H, W) to its penalty, (B,)."""
        return self.expected(value, torch.zeros_like(value))
