"""Gradient descent with the constraints imposed after it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from torch import Tensor

from ....core.parameters import validated
from ....numerics.conjugate_gradients import ratio_or_zero
from ..interfaces import KernelEstimation
from .normal import as_kernel, largest_eigenvalue, nearest_kernel, normal_equations

__all__ = ["ProjectedGradient"]


class ProjectedGradient(KernelEstimation):
    """Gradient steps on least squares, constrained afterwards (Chan & Wong 1998; Perrone & Favaro 2014).

    The steps descend on ``||k * s - b||^2``. ``normalisation="delayed"`` is theirs: a free gradient step, THEN
    negative entries to zero, THEN division by the sum. Perrone and Favaro show that the delay is what lets the
    alternation leave the identity, at which minimising under the constraints themselves stays. ``"projection"``
    imposes these: each step is followed by the nearest kernel that is >= 0 and sums to one.

    Args:
        step: in units of one over the largest eigenvalue of the normal matrix, whatever the image's size and
            contrast; above 2 plain gradient descent diverges. (The paper of 2014 gives an absolute 1e-3.)
        iterations: steps per call.
        normalisation: how the constraints are imposed.
    """

    @validated
    def __init__(
        self,
        *,
        step: Annotated[
            float, Field(gt=0, lt=2, description="in units of 1 / the normal matrix's largest eigenvalue")
        ] = 1.0,
        iterations: Annotated[int, Field(gt=0, description="gradient steps per call")] = 1,
        normalisation: Annotated[
            Literal["delayed", "projection"],
            Field(description="'delayed': clip at zero, then divide by the sum; 'projection': nearest of the simplex"),
        ] = "delayed",
    ) -> None:
        super().__init__()
        self.step = step
        self.iterations = iterations
        self.normalisation = normalisation

    def forward(self, sharp: Tensor, blurred: Tensor, kernel: Tensor) -> Tensor:
        """The kernel after the steps; the current kernel without edges."""
        equations = normal_equations(sharp, blurred, kernel)
        bound = largest_eigenvalue(equations.approximate, kernel)
        step = ratio_or_zero(bound.new_full(bound.shape, self.step), bound)
        current = kernel
        for _ in range(self.iterations):
            moved = current - step * (equations.exact(current) - equations.right)
            if self.normalisation == "projection":
                moved = nearest_kernel(moved)
            current = as_kernel(moved, current)
        return current
