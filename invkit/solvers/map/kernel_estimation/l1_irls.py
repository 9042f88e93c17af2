"""Sparse least squares by reweighting."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import Tensor

from ....core.parameters import validated
from ....numerics.conjugate_gradients import conjugate_gradients
from ..interfaces import KernelEstimation
from .normal import NormalEquations, as_kernel, normal_equations

__all__ = ["L1Reweighted"]

SMALLEST = 1e-3  # of the largest entry: below it the magnitude is majorised by a parabola no steeper
TINY = 1e-30  # keeps a quotient finite without changing it


class L1Reweighted(KernelEstimation):
    """Least squares with an L1 penalty by iteratively reweighted least squares (Krishnan, Tay & Fergus 2011).

    Minimises ``||k * s - b||^2 / ||s||^2 + weight ||k||_1``: as ``|k| <= k^2 / (2 |k0|) + |k0| / 2``, each round
    solves ``(A^T A + weight ||s||^2 / 2 diag(1 / |k0|)) k = A^T b`` by a few preconditioned conjugate gradients from
    the kernel k0 before it. Non-negativity and sum come afterwards, as in the paper: together they would make the
    penalty a constant. The paper takes one round of one solve, and scales the gradients of each image instead of
    the weight.

    The first round is with a Toeplitz matrix, the others with the right side corrected for the border
    (`invkit.solvers.map.kernel_estimation.normal`).

    Args:
        weight: of the sum of magnitudes; relative, and so the same for images of any size and contrast.
        rounds: reweightings.
        iterations: of conjugate gradients in each round, at most.
        tolerance: residual, relative to the right side, at which these stop.
    """

    @validated
    def __init__(
        self,
        *,
        weight: Annotated[
            float, Field(ge=0, allow_inf_nan=False, description="of ||k||_1, relative to the edges' sum of squares")
        ] = 2e-3,
        rounds: Annotated[int, Field(gt=0, description="reweightings")] = 3,
        iterations: Annotated[int, Field(gt=0, description="of conjugate gradients in each round")] = 15,
        tolerance: Annotated[float, Field(ge=0, lt=1, description="relative residual at which to stop")] = 1e-4,
    ) -> None:
        super().__init__()
        self.weight = weight
        self.rounds = rounds
        self.iterations = iterations
        self.tolerance = tolerance

    def forward(self, sharp: Tensor, blurred: Tensor, kernel: Tensor) -> Tensor:
        """The sparse solution, cut and scaled; the current kernel where nothing is positive, as without edges."""
        equations = normal_equations(sharp, blurred, kernel)
        current = self._round(equations, equations.right, kernel)
        for _ in range(1, self.rounds):
            current = self._round(equations, equations.corrected(current), current)
        return as_kernel(current, kernel)

    def _round(self, equations: NormalEquations, right: Tensor, current: Tensor) -> Tensor:
        """One reweighting at the current kernel, and one solve."""
        penalty = self.weight * equations.scale / 2 / magnitude(current)

        def times(value: Tensor) -> Tensor:
            return equations.approximate(value) + penalty * value

        diagonal = equations.scale + penalty + TINY
        return conjugate_gradients(
            times,
            right,
            current,
            iterations=self.iterations,
            tolerance=self.tolerance,
            precondition=lambda residual: residual / diagonal,
        )


def magnitude(kernel: Tensor) -> Tensor:
    """``|k|``, no less than a share of the largest, and positive."""
    size = kernel.abs()
    return size.maximum(SMALLEST * size.amax((1, 2, 3), keepdim=True)) + TINY
