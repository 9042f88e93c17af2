"""The ability of an operator whose data grow with a power of the image's brightness."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor

__all__ = ["Homogeneous"]


class Homogeneous(ABC):
    """The ability of an operator to be homogeneous: ``A(c x; k) = c^degree A(x; k)`` for every number c > 0.

    Data in any units then have the same image, up to its brightness. Data that are no pictures are scaled by it.

    Attributes:
        degree: > 0; 1 for linear operators and for magnitudes of a wave, 2 for its intensities.
    """

    degree: float = 1.0

    @abstractmethod
    def brightness(self, data: Tensor, kernel: Tensor) -> float:
        """About the largest value of the image of such data; of data ``c^degree`` times as large, c times as large.

        Args:
            data: (B, C, H', W').
            kernel: a value of the parameter, of `parameter_shape`.
        """
