"""What a variational solver may ask of a component, as types."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from invkit.core.interfaces import Regularizer

__all__ = ["ExpectedPenalty", "GaussianPrior"]


class GaussianPrior(ABC):
    """The ability of an image prior to give a Gaussian for each pixel, all independent, instead of a value."""

    @abstractmethod
    def distribution(self) -> tuple[Tensor, Tensor]:
        """Mean, which is the prior's image, and standard deviation >= 0, each (B, C, H, W); changes nothing."""


class ExpectedPenalty(Regularizer):
    """The ability of a penalty R to know its expectation over Gaussian pixels, or a bound that is above it."""

    @abstractmethod
    def expected(self, mean: Tensor, std: Tensor) -> Tensor:
        """At least ``E R(u)`` for independent ``u ~ N(mean, std^2)``, equal to R(mean) where std is zero.

        Two tensors (B, C, H, W) -> (B,), differentiable, with finite gradients everywhere.
        """

    def forward(self, value: Tensor) -> Tensor:
        """Value (B, C, H, W) -> (B,)."""
        return self.expected(value, torch.zeros_like(value))
