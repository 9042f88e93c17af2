"""The range of an image's values, the abilities to have another one than [0, 1], and one that weights of data need."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, TypeAlias

from .errors import AssemblyError

if TYPE_CHECKING:
    from torch import Tensor
    from typing_extensions import Self

__all__ = [
    "RANGE_TOLERANCE",
    "UNIT_RANGE",
    "AnyRange",
    "NonNegative",
    "Ranged",
    "SumOverData",
    "ValueRange",
    "check_range",
    "usable_range",
]

ValueRange: TypeAlias = tuple[float, float]
"""The lowest and the highest value of an image; ``-inf`` and ``inf`` where there is no bound."""

UNIT_RANGE: ValueRange = (0.0, 1.0)  # black and white
RANGE_TOLERANCE = 1e-4  # by which values may leave a range: more than the rounding of float32 Fourier transforms


class Ranged(ABC):
    """The ability of an image prior to give images of another range than [0, 1], or of any values."""

    @abstractmethod
    def in_range(self, low: float, high: float) -> Self:
        """A new prior with the same settings and image, whose values lie in [low, high].

        Args:
            low: lowest value; ``-inf`` for none.
            high: highest value, above ``low``; ``inf`` for none.
        """


class NonNegative(ABC):  # noqa: B024 - an ability without a method
    """The ability of a linear operator to give data >= 0 of every image >= 0, whatever the value of its parameter."""


class SumOverData(ABC):
    """The ability of a fidelity to be a mean over the data, in which each of them may have a weight."""

    @abstractmethod
    def weighted(self, predicted: Tensor, data: Tensor, weights: Tensor) -> Tensor:
        """``sum_i w_i f_i / n`` over the n values of an image, (B,).

        Args:
            predicted: (B, C, H, W).
            data: (B, C, H, W).
            weights: w >= 0, (B, C, H, W).
        """


class AnyRange(ABC):  # noqa: B024 - every solver of this type may keep the default
    """The ability of a solver to keep the image in the image prior's range, instead of in [0, 1]."""

    def usable(self, value_range: ValueRange) -> ValueRange:
        """The part of a range in which this solver can keep an image: by default the whole."""
        return value_range


def usable_range(solver: object, value_range: ValueRange) -> ValueRange:
    """The part of a range of values in which a solver can keep the image; [0, 1] for one that is not `AnyRange`."""
    return solver.usable(value_range) if isinstance(solver, AnyRange) else UNIT_RANGE


def check_range(solver: object, value_range: ValueRange) -> None:
    """Refuse an image prior whose range a solver would not keep; raises `AssemblyError`.

    Args:
        solver: the solver.
        value_range: of the image prior.
    """
    kept = usable_range(solver, value_range)
    if kept != value_range:
        advice = "scale the data" if kept == UNIT_RANGE else "add a constant to the data"
        raise AssemblyError(
            f"{type(solver).__name__} keeps images in {interval(kept)}, and the image prior's range is "
            f"{interval(value_range)}; {advice} and set image_prior.range={list(kept)}"
        )


def interval(value_range: ValueRange) -> str:
    """A range in words.

    Example:
        >>> interval((0.0, 1.0)), interval((0.0, float("inf")))
        ('[0, 1]', '[0, inf]')
    """
    return f"[{value_range[0]:g}, {value_range[1]:g}]"
