"""The ability of an operator whose data grow with a power of the image's brightness."""

from __future__ import annotations

from abc import abstractmethod
from typing import TypeAlias

from torch import Tensor

from .interfaces import ForwardOperator, LinearOperator

__all__ = ["Homogeneous", "ScalingOperator", "degree_of"]


class Homogeneous(ForwardOperator):
    """The ability to be homogeneous, but not linear: ``A(c x; k) = c^degree A(x; k)`` for every number c > 0.

    Data in any units then have the same image, up to its brightness. Data that are no pictures are scaled by it, as
    those of linear operators, whose degree is 1.

    Attributes:
        degree: > 0; 1 for the magnitudes of a wave, 2 for its intensities.
    """

    degree: float

    @abstractmethod
    def brightness(self, data: Tensor, kernel: Tensor) -> float:
        """About the largest value of the image of such data; of data ``c^degree`` times as large, c times as large.

        Args:
            data: (B, C, H', W').
            kernel: a value of the parameter, of `parameter_shape`.
        """


ScalingOperator: TypeAlias = LinearOperator | Homogeneous
"""An operator whose data scale with the image."""


def degree_of(operator: ScalingOperator) -> float:
    """The degree of homogeneity: 1 of a linear operator."""
    return operator.degree if isinstance(operator, Homogeneous) else 1.0
