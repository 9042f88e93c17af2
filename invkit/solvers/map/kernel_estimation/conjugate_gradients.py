"""Ridge least squares by conjugate gradients."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import Tensor

from ....core.parameters import validated
from ....numerics.conjugate_gradients import conjugate_gradients
from ..interfaces import KernelEstimation
from .normal import as_kernel, normal_equations

__all__ = ["ConjugateGradients"]


class ConjugateGradients(KernelEstimation):
    """Ridge least squares by conjugate gradients, negative entries cut afterwards (Cho & Lee 2009, Eq. 6).

    Minimises ``||k * s - b||^2 + weight ||k||^2`` from the current kernel, then sets negative entries to zero and
    scales to sum one. Both terms are SUMS, as in the papers, which give the weight for gradients of images in [0, 1]
    (Pan et al. 2014 take 2, 20 iterations and 1e-5): what it does depends on the number and strength of the edges,
    and so on the image's size. At 255 x 255 pixels ``||s||^2`` is a few hundred.

    The papers take the blur to be periodic; here it is valid, solved with a Toeplitz matrix and then again, once to a
    few times, with the right side corrected for the border (`invkit.solvers.map.kernel_estimation.normal`).

    Args:
        weight: of the squared norm.
        iterations: of conjugate gradients, at most, before and after each correction.
        tolerance: residual, relative to the right side, at which they stop.
    """

    @validated
    def __init__(
        self,
        *,
        weight: Annotated[
            float, Field(ge=0, allow_inf_nan=False, description="of ||k||^2 against the SUM of squared residuals")
        ] = 2.0,
        iterations: Annotated[
            int, Field(gt=0, description="of conjugate gradients, before and after each correction for the border")
        ] = 20,
        tolerance: Annotated[float, Field(ge=0, lt=1, description="relative residual at which to stop")] = 1e-5,
    ) -> None:
        super().__init__()
        self.weight = weight
        self.iterations = iterations
        self.tolerance = tolerance

    def forward(self, sharp: Tensor, blurred: Tensor, kernel: Tensor) -> Tensor:
        """The ridge solution, cut and scaled; the current kernel where nothing is positive, as without edges."""
        equations = normal_equations(sharp, blurred, kernel)
        times = equations.approximate.ridged(self.weight)

        def solve(right: Tensor, start: Tensor) -> Tensor:
            return conjugate_gradients(times, right, start, iterations=self.iterations, tolerance=self.tolerance)

        return as_kernel(equations.solved(solve, kernel), kernel)
