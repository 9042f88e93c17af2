"""Narrower types for the type checker; each function asserts what it returns."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from torch import Tensor

T = TypeVar("T")


def tensor(given: object) -> Tensor:
    """A tensor, for example the image of a result of `Solver.solve`."""
    assert isinstance(given, Tensor)
    return given


def array(given: object) -> npt.NDArray[Any]:
    """An array, for example the image of a result of `invkit.deblur` from an array."""
    assert isinstance(given, np.ndarray)
    return given


def known(given: T | None) -> T:
    """A value that is not None."""
    assert given is not None
    return given
