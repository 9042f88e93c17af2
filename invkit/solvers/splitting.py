"""The terms of a problem as the splitting methods need them."""

from __future__ import annotations

import torch
from torch import Tensor

from ..core.errors import AssemblyError
from ..core.interfaces import Proximable
from ..core.problem import Problem
from ..numerics.finite_differences import power_spectrum
from ..numerics.geometry import sides_of
from .masked_blur import axes_of

__all__ = ["check_weights", "largest_weight", "stiffness", "weighted_terms"]


def weighted_terms(problem: Problem) -> list[tuple[float, Proximable]]:
    """Return weight and regularizer of each term on the image with a weight above zero.

    `invkit.core.solver.Solver.check` has made sure that these regularizers have a proximal map.
    """
    terms = [term for term in problem.regularizers if term.target == "image" and term.weight > 0]
    return [(term.weight, term.regularizer) for term in terms if isinstance(term.regularizer, Proximable)]


def largest_weight(problem: Problem) -> float:
    """Return the largest weight of a term on the image. Penalties of splittings are multiples of it."""
    return max((term.weight for term in problem.regularizers if term.target == "image"), default=0.0)


def stiffness(problem: Problem, grid: Tensor) -> Tensor:
    """``sum_i |D_i|^2`` over the filters of all terms, on the half grid of a grid (B, C, H, W), or of a stack's."""
    size = sides_of(grid, axes_of(problem))
    return torch.stack([power_spectrum(term.filters, size, grid) for _, term in weighted_terms(problem)]).sum(0)


def check_weights(problem: Problem, solver: str) -> None:
    """Raise `AssemblyError` if no weight is above zero, since a solver named ``solver`` scales its penalties by one."""
    if not weighted_terms(problem):
        raise AssemblyError(
            f"{solver} needs a regularizer with a weight above zero; for almost no regularization, set a small weight"
        )
