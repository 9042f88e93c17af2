"""Non-negative ridge least squares."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import Tensor

from ....core.parameters import validated
from ..interfaces import KernelEstimation
from .normal import accelerated_descent, as_kernel, largest_eigenvalue, nearest_kernel, normal_equations

__all__ = ["ToeplitzLeastSquares"]


class ToeplitzLeastSquares(KernelEstimation):
    """Non-negative ridge least squares on the kernel's support: the kernel that explains the edges best.

    Minimises ``||k * s - b||^2 / ||s||^2 + weight ||k||^2`` over ``k >= 0``, and over ``sum k = 1`` if asked to, then
    scales to sum one. By accelerated projected gradients (Beck & Teboulle 2009, with restarts) on the Toeplitz normal
    matrix, whose product takes microseconds, the right side corrected for the border once to a few times on the way
    (`invkit.solvers.map.kernel_estimation.normal`).

    Args:
        weight: of the squared norm; relative, and so the same for images of any size and contrast.
        iterations: products with the normal matrix, in all.
        sum_to_one: whether the fit itself sums to one; else it is scaled afterwards, which bears a blurry image of
            another contrast than the sharp one's.
    """

    @validated
    def __init__(
        self,
        *,
        weight: Annotated[
            float, Field(ge=0, allow_inf_nan=False, description="of ||k||^2, relative to the edges' sum of squares")
        ] = 1e-2,
        iterations: Annotated[int, Field(gt=0, description="products with the normal matrix, in all")] = 150,
        sum_to_one: Annotated[bool, Field(description="constrain the sum, instead of scaling afterwards")] = False,
    ) -> None:
        super().__init__()
        self.weight = weight
        self.iterations = iterations
        self.project = nearest_kernel if sum_to_one else non_negative

    def forward(self, sharp: Tensor, blurred: Tensor, kernel: Tensor) -> Tensor:
        """The constrained ridge solution; the current kernel without edges."""
        equations = normal_equations(sharp, blurred, kernel)
        times = equations.approximate.ridged(self.weight * equations.scale)
        bound = largest_eigenvalue(times, kernel)

        each = max(1, self.iterations // (equations.corrections + 1))

        def solve(right: Tensor, start: Tensor) -> Tensor:
            return accelerated_descent(times, right, start, each, bound, self.project)

        return as_kernel(equations.solved(solve, kernel), kernel)


def non_negative(kernel: Tensor) -> Tensor:
    """The nearest kernel without negative entries."""
    return kernel.clamp(min=0)
