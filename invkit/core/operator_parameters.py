"""Priors of operator parameters other than blur kernels: masks, coil maps, scan geometries and phase masks.

The second prior of a problem is the prior of the operator's parameter. Each kind of parameter is a class. An operator
names the class that it needs, and every prior that derives from this class can be used. A plugin with another kind of
parameter derives its own class from `invkit.core.interfaces.OperatorParameterPrior`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor

from ..numerics.geometry import Shape
from .interfaces import PARAMETER_TOLERANCE, OperatorParameterPrior

__all__ = [
    "CoilMapPrior",
    "ComplexImage",
    "LinearMap",
    "MaskPrior",
    "MeasuredPixels",
    "PartlySeen",
    "PhaseMaskPrior",
    "Prepared",
    "ScanPrior",
    "StackKernelPrior",
    "Stacked",
]

LinearMap: TypeAlias = Callable[[Tensor], Tensor]


class MaskPrior(OperatorParameterPrior):
    """How a mask is parametrised: (B, 1, H, W), of the size of the data, in [0, 1]."""

    rule = "in [0, 1]"
    examples = ((1, 1, 40, 36), (2, 1, 33, 41))

    @staticmethod
    def allowed(value: Tensor) -> Tensor:
        """Clip a value (B, 1, H, W) to [0, 1]."""
        return value.clamp(0, 1)


class MeasuredPixels:
    """The ability of an operator whose mask says which pixels were measured: it is 0 or 1."""


class ComplexImage(ABC):
    """The ability of an operator to have a complex image: (B, 2, H, W), the real part, then the imaginary part."""

    @property
    @abstractmethod
    def has_complex_image(self) -> bool:
        """Whether it has one with its settings."""


class PartlySeen(ABC):
    """The ability of an operator to leave a part of the image without any data, as receive coils outside the body."""

    @abstractmethod
    def seen(self, kernel: Tensor) -> Tensor:
        """Return one for each pixel that data depend on, otherwise zero, (B, 1, H, W), for a value of the parameter."""


class CoilMapPrior(OperatorParameterPrior):
    """How the sensitivities of N receive coils are parametrised: (B, 2 N, H, W), real parts first, then imaginary.

    In every pixel the squares sum to one over the coils: a factor that all coils share is part of the image. In pixels
    that no coil sees, as outside the body, all coils are zero.
    """

    rule = "of squares that sum to one over the coils, or zero in all coils"
    examples = ((1, 8, 24, 20), (2, 4, 17, 24))

    @staticmethod
    def allowed(value: Tensor) -> Tensor:
        """Scale a value (B, 2 N, H, W) in each pixel; pixels where all coils are zero stay zero.

        Example:
            >>> CoilMapPrior.allowed(torch.tensor([3.0, 0.0, 4.0, 0.0]).view(1, 4, 1, 1)).flatten().tolist()
            [0.6000000238418579, 0.0, 0.800000011920929, 0.0]
        """
        norm = value.square().sum(1, keepdim=True).sqrt()
        return value / norm.where(norm > 0, 1)

    @classmethod
    def flaw(cls, value: Tensor) -> str | None:
        """Say why coil maps are not allowed, and what to do, to complete "it is ...", or return None."""
        lost = ~torch.isfinite(value).all(1)
        if bool(lost.any()):
            return f"not finite in {int(lost.sum())} of {lost.numel()} pixels; give 0 where no coil sees anything"
        squares = value.square().sum(1)
        off = (squares > 0) & ((value - cls.allowed(value)).abs().amax(1) > PARAMETER_TOLERANCE)
        if not bool(off.any()):
            return None
        low, high = f"{float(squares[off].min()):.3g}", f"{float(squares[off].max()):.3g}"
        return (
            f"not normalised: it must be {cls.rule}, and in {int(off.sum())} of {off.numel()} pixels they sum to "
            f"{low if low == high else f'{low} to {high}'}; divide each pixel by the root of its sum, by which the "
            "image is multiplied then"
        )


class Prepared(ABC):
    """The ability of a linear operator to prepare for many products with one value of its parameter."""

    @abstractmethod
    def prepared(
        self, kernel: Tensor, image_shape: Shape
    ) -> tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]:
        """Return the operator and its adjoint for a value of the parameter.

        Args:
            kernel: the parameter.
            image_shape: (B, C, H, W) of the image.
        """


class Stacked(ABC):
    """The ability of an operator to have stacks of planes as image and data: (B, D, H, W), the planes as channels."""

    @abstractmethod
    def visible(self, image: Tensor, data_shape: Shape) -> Tensor:
        """Return the part of an image (B, D, H, W) that lies under data of a shape."""


class StackKernelPrior(OperatorParameterPrior):
    """How the kernel of a stack is parametrised: (B, d, h, w), non-negative, its sum over all planes one."""

    rule = "non-negative and sum to one over all planes"
    examples = ((1, 3, 5, 5), (2, 4, 3, 6))

    @staticmethod
    def allowed(value: Tensor) -> Tensor:
        """Set the negative values of kernels (B, d, h, w) to zero and scale each to sum one, or make it uniform.

        Example:
            >>> StackKernelPrior.allowed(torch.tensor([-1.0, 1.0, 3.0]).view(1, 3, 1, 1)).flatten().tolist()
            [0.0, 0.25, 0.75]
        """
        kernel = value.clamp(min=0)
        total = kernel.sum((1, 2, 3), keepdim=True)
        uniform = torch.full_like(kernel, 1 / kernel[0].numel())
        return torch.where(total > 0, kernel / total.where(total > 0, 1), uniform)


class ScanPrior(OperatorParameterPrior):
    """How the geometry of a tomographic scan is parametrised: (B, 1, 2, A) for A projections, finite.

    The first row holds, for each projection, the distance in pixels of the rotation axis to the right of the detector's
    centre. The second row holds the deviation in degrees of its angle from the nominal one.
    """

    rule = "finite"
    examples = ((1, 1, 2, 12), (2, 1, 2, 7))

    @staticmethod
    def allowed(value: Tensor) -> Tensor:
        """Return the value: any finite geometry is allowed."""
        return value


class PhaseMaskPrior(OperatorParameterPrior):
    """How the phases of M masks are parametrised: (B, M, H, W), radians, finite."""

    rule = "finite"
    examples = ((1, 3, 12, 10), (2, 4, 7, 8))

    @staticmethod
    def allowed(value: Tensor) -> Tensor:
        """Return the value: any finite phases are allowed."""
        return value
