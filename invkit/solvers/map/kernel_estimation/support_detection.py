"""Least squares whose penalty spares the support."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from ....core.parameters import validated
from ....numerics.conjugate_gradients import dot_per_image
from ..interfaces import KernelEstimation
from .normal import accelerated_descent, as_kernel, largest_eigenvalue, normal_equations

__all__ = ["SupportDetection"]


class SupportDetection(KernelEstimation):
    """Iterative support detection: noise in the kernel is suppressed, its strokes are not (Xu & Jia 2010).

    In turn, the support S of the current kernel is found by the first significant jump among its sorted entries
    and ``||k * s - b||^2 / (2 ||s||^2) + weight sum |k| over the entries outside S`` is minimised,
    until the kernel changes by less than a share of its norm. Then it is scaled to sum one.

    The paper minimises by reweighted least squares and cuts negative entries afterwards; here by accelerated
    projected gradients over ``k >= 0``, where the penalty is linear, so that entries it suppresses become exactly
    zero. The first round is with a Toeplitz matrix, the others with the right side corrected for the border
    (`invkit.solvers.map.kernel_estimation.normal`).

    Args:
        weight: of the entries outside the support; relative, and so the same for images of any size and contrast.
        rounds: of support and fit, at most.
        iterations: products with the normal matrix in each round.
        tolerance: relative change of a kernel at which its rounds end.
    """

    @validated
    def __init__(
        self,
        *,
        weight: Annotated[
            float,
            Field(ge=0, allow_inf_nan=False, description="of entries outside the support, relative to sum of squares"),
        ] = 3e-3,
        rounds: Annotated[int, Field(gt=0, description="of support and fit, at most")] = 4,
        iterations: Annotated[int, Field(gt=0, description="products with the normal matrix in each round")] = 60,
        tolerance: Annotated[float, Field(ge=0, lt=1, description="relative change at which to stop")] = 1e-3,
    ) -> None:
        super().__init__()
        self.weight = weight
        self.rounds = rounds
        self.iterations = iterations
        self.tolerance = tolerance

    def forward(self, sharp: Tensor, blurred: Tensor, kernel: Tensor) -> Tensor:
        """The fit with the last support; the current kernel without edges."""
        equations = normal_equations(sharp, blurred, kernel)
        times, weight = equations.approximate, self.weight * equations.scale
        bound = largest_eigenvalue(times, kernel)
        right, current, active = equations.right, kernel, torch.ones_like(bound, dtype=torch.bool)
        for number in range(self.rounds):
            if number:
                right = equations.corrected(current)
            outside = (~support(current)).to(current.dtype)
            fitted = accelerated_descent(
                times, right - weight * outside, current, self.iterations, bound, lambda value: value.clamp(min=0)
            )
            change = dot_per_image(fitted - current, fitted - current)
            current = torch.where(active, fitted, current)
            active = active & (change >= self.tolerance**2 * dot_per_image(current, current))
            if not bool(active.any()):
                break
        return as_kernel(current, kernel)


def support(kernel: Tensor) -> Tensor:
    """The entries above the first significant jump of the sorted ones (Xu & Jia 2010).

    With the entries in ascending order, the jump is the first ``d[i + 1] - d[i] > max(k) / (2 h i)``, i from 1 and h
    the kernel's longer side.

    Args:
        kernel: (B, 1, h, w), >= 0.

    Returns:
        (B, 1, h, w), bool; never empty, of a constant kernel all.
    """
    ordered = kernel.flatten(1).sort(1).values
    place = torch.arange(1, ordered.shape[1], device=kernel.device, dtype=kernel.dtype)
    enough = ordered[:, -1:] / (2 * max(kernel.shape[-2:]) * place)
    jumps = ordered.diff(dim=1) > enough
    first = jumps.to(torch.int64).argmax(1, keepdim=True) if jumps.shape[1] else ordered.new_zeros(1).long()[None]
    threshold = ordered.gather(1, first.expand(len(ordered), 1))
    threshold = torch.where(jumps.any(1, keepdim=True), threshold, -1.0)
    return kernel > threshold[..., None, None]
