"""What a forward operator does not know, and the priors that give it: a blur kernel, a mask, coil maps, a geometry.

The second prior of a problem is the prior of the operator's unknown. Each kind of unknown is a class here: the operator
names the class that it needs, and every prior that derives from it will do. A plugin with an unknown of another kind
derives a class of its own from `OperatorParameterPrior`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor, nn

from ..numerics.geometry import Shape
from .parameters import Component

__all__ = ["CoilMapPrior", "KernelPrior", "MaskPrior", "OperatorParameterPrior", "ScanPrior"]

EXACT = 1e-3  # by so much may a value be off what its kind allows: rounding in low precision


class OperatorParameterPrior(Component, nn.Module, ABC):
    """How the operator's unknown is parametrised: what is optimised is ``parameters()``.

    Attributes:
        rule: what its values keep to by construction, to end a sentence that begins with "it must be".
        examples: shapes that they may have, which the conformance suite tries.
    """

    family: ClassVar[str] = "kernel_priors"
    rule: ClassVar[str]
    examples: ClassVar[tuple[Shape, ...]]

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape

    @abstractmethod
    def forward(self) -> Tensor:
        """The unknown, of ``self.shape``, as its kind allows; calling the prior changes nothing in it."""

    @staticmethod
    @abstractmethod
    def allowed(value: Tensor) -> Tensor:
        """What the kind allows near any finite value of its shape; an allowed value stays as it is."""

    @classmethod
    def flaw(cls, value: Tensor) -> str | None:
        """What keeps a value from being one of this kind, to follow "it is", or None."""
        if not bool(torch.isfinite(value).all()):
            return "not finite"
        off = float((value - cls.allowed(value)).abs().max())
        return None if off <= EXACT else f"off by {off:.3g}: it must be {cls.rule}"


class KernelPrior(OperatorParameterPrior):
    """How blur kernels are parametrised: non-negative and summing to one BY CONSTRUCTION.

    Several kernels, as of the frames of one scene or of the parts of a picture, lie along the batch.
    """

    rule = "non-negative and sum to one"
    examples = ((1, 1, 7, 7), (2, 1, 6, 6), (1, 1, 5, 8))  # odd, even and not square

    @abstractmethod
    def forward(self) -> Tensor:
        """The kernel, (B, 1, h, w) = ``self.shape``: a true-convolution kernel, >= 0, each summing to one."""

    @staticmethod
    def allowed(value: Tensor) -> Tensor:
        """Without its negative values, scaled to sum one; uniform where nothing is left."""
        kernel = value.clamp(min=0)
        total = kernel.sum((-2, -1), keepdim=True)
        uniform = torch.full_like(kernel, 1 / (kernel.shape[-2] * kernel.shape[-1]))
        return torch.where(total > 0, kernel / total.where(total > 0, 1), uniform)


class MaskPrior(OperatorParameterPrior):
    """How a mask is parametrised: (B, 1, H, W), the size of the data, in [0, 1]."""

    rule = "in [0, 1]"
    examples = ((1, 1, 40, 36), (2, 1, 33, 41))

    @staticmethod
    def allowed(value: Tensor) -> Tensor:
        """Clipped."""
        return value.clamp(0, 1)


class CoilMapPrior(OperatorParameterPrior):
    """How the sensitivities of N receive coils are parametrised: (B, 2 N, H, W), real parts first, then imaginary.

    In every pixel the squares sum to one over the coils: what the coils have in common is in the image.
    """

    rule = "of squares that sum to one over the coils"
    examples = ((1, 8, 24, 20), (2, 4, 17, 24))

    @staticmethod
    def allowed(value: Tensor) -> Tensor:
        """Each pixel scaled; equal and real where all coils are zero."""
        norm = value.square().sum(1, keepdim=True).sqrt()
        coils = value.shape[1] // 2
        equal = torch.zeros_like(value)
        equal[:, :coils] = coils**-0.5
        return torch.where(norm > 0, value / norm.where(norm > 0, 1), equal)


class ScanPrior(OperatorParameterPrior):
    """How the geometry of a tomographic scan is parametrised: (B, 1, 2, A) for A projections, finite.

    The first row is by how many pixels the axis of rotation lies right of the detector's middle, for each projection;
    the second by how many degrees its angle exceeds the nominal one.
    """

    rule = "finite"
    examples = ((1, 1, 2, 12), (2, 1, 2, 7))

    @staticmethod
    def allowed(value: Tensor) -> Tensor:
        """Anything."""
        return value
