"""Kernel estimations: fits of a kernel to sharp edges and their blurred counterparts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from ...core.parameters import NonNegative, PositiveFraction, PositiveInt, validated
from ...numerics.conjugate_gradients import changed_by_at_most, conjugate_gradients, dot_per_image, ratio_or_zero
from .interfaces import KernelEstimation
from .normal_equations import (
    NormalEquations,
    accelerated_descent,
    cut_and_normalised,
    largest_eigenvalue,
    least_squares_gradient,
    normal_equations,
    project_on_simplex,
)

__all__ = ["ConjugateGradients", "L1Reweighted", "ProjectedGradient", "SupportDetection", "ToeplitzLeastSquares"]

MIN_MAGNITUDE_SHARE = 1e-3  # of the largest entry; below it the magnitude is majorised by a parabola no steeper
TINY_DIVISOR = 1e-30  # keeps a quotient finite without changing it

RelativeTolerance = Annotated[float, Field(ge=0, lt=1)]


class ConjugateGradients(KernelEstimation):
    """Ridge least squares by conjugate gradients; negative entries are cut afterwards (Cho & Lee 2009, Eq. 6).

    It minimises ``||k * s - b||^2 + weight ||k||^2`` from the current kernel, then sets negative entries to zero and
    scales the sum to one. Both terms are SUMS, as in the papers, which give the weight for gradients of images in
    [0, 1] (Pan et al. 2014 use 2, 20 iterations and 1e-5). The effect of the weight depends on the number and strength
    of the edges, and so on the image's size. At 255 x 255 pixels ``||s||^2`` is a few hundred.

    The papers take the blur as periodic. Here it is valid: the Toeplitz system is solved, and then once to a few times
    again with the right side corrected for the border (`invkit.solvers.map.normal_equations`).

    Args:
        weight: weight of the squared norm ``||k||^2`` against the SUM of squared residuals.
        iterations: largest number of conjugate-gradient iterations before and after each correction.
        tolerance: norm of the residual, relative to the right side, at which the conjugate gradients stop.
    """

    @validated
    def __init__(
        self, *, weight: NonNegative = 2.0, iterations: PositiveInt = 20, tolerance: RelativeTolerance = 1e-5
    ) -> None:
        super().__init__()
        self.weight, self.iterations, self.tolerance = weight, iterations, tolerance

    def forward(self, sharp: Tensor, blurred: Tensor, kernel: Tensor) -> Tensor:
        """Return the ridge solution, cut and scaled; the current kernel if nothing is positive, as without edges."""
        equations = normal_equations(sharp, blurred, kernel)
        times = equations.approximate.ridged(self.weight)

        def solve(right: Tensor, start: Tensor) -> Tensor:
            return conjugate_gradients(times, right, start, iterations=self.iterations, tolerance=self.tolerance)

        return cut_and_normalised(equations.solved(solve, kernel), kernel)


class L1Reweighted(KernelEstimation):
    """Least squares with an L1 penalty by iteratively reweighted least squares (Krishnan, Tay & Fergus 2011).

    It minimises ``||k * s - b||^2 / ||s||^2 + weight ||k||_1``. Since ``|k| <= k^2 / (2 |k0|) + |k0| / 2``, each round
    solves ``(A^T A + weight ||s||^2 / 2 diag(1 / |k0|)) k = A^T b`` by a few preconditioned conjugate gradients from
    the previous kernel k0. Non-negativity and sum are imposed afterwards, as in the paper; together they would make the
    penalty a constant. The paper does one round of one solve, and scales the gradients of each image instead of the
    weight. A ``power`` q below 1 replaces ``|k|`` by ``|k|^q`` and ``1 / |k0|`` by ``q |k0|^(q - 2)`` (Levin, Weiss,
    Durand, Freeman 2011 and Zuo et al. 2016 take 1/2).

    The first round solves the Toeplitz system, the others correct the right side for the border
    (`invkit.solvers.map.normal_equations`).

    Args:
        weight: weight of ``||k||_1``, relative to the edges' sum of squares, so that it does not depend on the image's
            size and contrast.
        rounds: number of reweightings.
        iterations: largest number of conjugate-gradient iterations in each round.
        tolerance: norm of the residual, relative to the right side, at which a round stops.
        power: q; a lower one spares large entries and suppresses small ones more.
    """

    @validated
    def __init__(
        self,
        *,
        weight: NonNegative = 2e-3,
        rounds: PositiveInt = 3,
        iterations: PositiveInt = 15,
        tolerance: RelativeTolerance = 1e-4,
        power: PositiveFraction = 1.0,
    ) -> None:
        super().__init__()
        self.weight, self.rounds, self.power = weight, rounds, power
        self.iterations, self.tolerance = iterations, tolerance

    def forward(self, sharp: Tensor, blurred: Tensor, kernel: Tensor) -> Tensor:
        """Return the sparse solution, cut and scaled; the current kernel if nothing is positive, as without edges."""
        equations = normal_equations(sharp, blurred, kernel)
        current = self._round(equations, equations.right, kernel)
        for _ in range(1, self.rounds):
            current = self._round(equations, equations.corrected(current), current)
        return cut_and_normalised(current, kernel)

    def _round(self, equations: NormalEquations, right: Tensor, current: Tensor) -> Tensor:
        """Reweight at the current kernel, and solve."""
        penalty = self.weight * self.power * equations.scale / 2 / bounded_magnitude(current).pow(2 - self.power)
        diagonal = equations.scale + penalty + TINY_DIVISOR
        return conjugate_gradients(
            lambda value: equations.approximate(value) + penalty * value,
            right,
            current,
            iterations=self.iterations,
            tolerance=self.tolerance,
            precondition=lambda residual: residual / diagonal,
        )


def bounded_magnitude(kernel: Tensor) -> Tensor:
    """``|k|``, at least a share of the largest, and positive."""
    size = kernel.abs()
    return size.maximum(MIN_MAGNITUDE_SHARE * size.amax((1, 2, 3), keepdim=True)) + TINY_DIVISOR


class ProjectedGradient(KernelEstimation):
    """Gradient steps on ``||k * s - b||^2``, constrained afterwards (Chan & Wong 1998; Perrone & Favaro 2014).

    ``normalisation="delayed"`` is theirs: an unconstrained gradient step, THEN negative entries to zero, THEN division
    by the sum. Perrone and Favaro show that the delay lets the alternation leave the identity kernel, where constrained
    minimisation would stay. ``"projection"`` minimises under the constraints: each step is followed by the projection
    on the kernels that are >= 0 and sum to one.

    Args:
        step: length of a step, in the unit of ``step_rule``. For "curvature" plain gradient descent diverges above 2;
            for "largest-change" Perrone and Favaro's program has 1e-3.
        step_rule: "curvature": the unit is one over the largest eigenvalue of the normal matrix, for images of any size
            and contrast. "largest-change": the step changes the entry of the largest derivative by ``step`` times the
            kernel's largest entry, before the constraints. Its length does not shrink near a minimum, and a small step
            follows the latent image slowly.
        iterations: gradient steps per call.
        normalisation: "delayed" clamps at zero and divides by the sum after a step, "projection" takes the nearest
            kernel of the simplex.
    """

    @validated
    def __init__(
        self,
        *,
        step: Annotated[float, Field(gt=0, lt=2)] = 1.0,
        step_rule: Literal["curvature", "largest-change"] = "curvature",
        iterations: PositiveInt = 1,
        normalisation: Literal["delayed", "projection"] = "delayed",
    ) -> None:
        super().__init__()
        self.step, self.step_rule = step, step_rule
        self.iterations, self.normalisation = iterations, normalisation

    def forward(self, sharp: Tensor, blurred: Tensor, kernel: Tensor) -> Tensor:
        """Return the kernel after the steps; the current kernel without edges."""
        moved_down = self._scaled_by_curvature if self.step_rule == "curvature" else self._scaled_by_largest_change
        descend, current = moved_down(sharp, blurred, kernel), kernel
        for _ in range(self.iterations):
            moved = descend(current)
            if self.normalisation == "projection":
                moved = project_on_simplex(moved)
            current = cut_and_normalised(moved, current)
        return current

    def _scaled_by_curvature(self, sharp: Tensor, blurred: Tensor, kernel: Tensor) -> Callable[[Tensor], Tensor]:
        """Return the unconstrained step of the rule "curvature"."""
        equations = normal_equations(sharp, blurred, kernel)
        bound = largest_eigenvalue(equations.approximate, kernel)
        step = ratio_or_zero(bound.new_full(bound.shape, self.step), bound)
        return lambda current: current - step * (equations.exact(current) - equations.right)

    def _scaled_by_largest_change(self, sharp: Tensor, blurred: Tensor, kernel: Tensor) -> Callable[[Tensor], Tensor]:
        """Return the unconstrained step of the rule "largest-change"."""
        gradient = least_squares_gradient(sharp, blurred, kernel)
        return lambda current: changed_by_at_most(self.step, current, gradient(current))


class SupportDetection(KernelEstimation):
    """Iterative support detection, which suppresses noise in the kernel but not its strokes (Xu & Jia 2010).

    Alternately, the support S of the current kernel is detected by the first significant jump among its sorted entries,
    and ``||k * s - b||^2 / (2 ||s||^2) + weight sum |k|``, with the sum over the entries outside S, is minimised. The
    rounds end when the kernel changes by less than a share of its norm. Then its sum is scaled to one.

    The paper minimises by reweighted least squares and cuts negative entries afterwards. Here accelerated projected
    gradients minimise over ``k >= 0``, where the penalty is linear, so that suppressed entries become exactly zero. The
    first round solves the Toeplitz system, the others correct the right side for the border
    (`invkit.solvers.map.normal_equations`).

    Args:
        weight: weight of the entries outside the support, relative to the edges' sum of squares, so that it does not
            depend on the image's size and contrast.
        rounds: largest number of rounds of support and fit.
        iterations: products with the normal matrix in each round.
        tolerance: relative change of a kernel at which its rounds end.
    """

    @validated
    def __init__(
        self,
        *,
        weight: NonNegative = 3e-3,
        rounds: PositiveInt = 4,
        iterations: PositiveInt = 60,
        tolerance: RelativeTolerance = 1e-3,
    ) -> None:
        super().__init__()
        self.weight, self.rounds = weight, rounds
        self.iterations, self.tolerance = iterations, tolerance

    def forward(self, sharp: Tensor, blurred: Tensor, kernel: Tensor) -> Tensor:
        """Return the fit with the last support; the current kernel without edges."""
        equations = normal_equations(sharp, blurred, kernel)
        times, weight = equations.approximate, self.weight * equations.scale
        bound = largest_eigenvalue(times, kernel)
        right, current, active = equations.right, kernel, torch.ones_like(bound, dtype=torch.bool)
        for number in range(self.rounds):
            if number:
                right = equations.corrected(current)
            outside = (~detected_support(current)).to(current.dtype)
            fitted = accelerated_descent(
                times, right - weight * outside, current, self.iterations, bound, clamped_at_zero
            )
            change = dot_per_image(fitted - current, fitted - current)
            current = torch.where(active, fitted, current)
            active = active & (change >= self.tolerance**2 * dot_per_image(current, current))
            if not bool(active.any()):
                break
        return cut_and_normalised(current, kernel)


def detected_support(kernel: Tensor) -> Tensor:
    """Return the entries above the first significant jump of the sorted entries (Xu & Jia 2010).

    With the entries in ascending order, the jump is the first ``d[i + 1] - d[i] > max(k) / (2 h i)``, i from 1 and h
    the kernel's longer side.

    Args:
        kernel: (B, 1, h, w), >= 0.

    Returns:
        (B, 1, h, w), bool; never empty; all entries of a constant kernel.
    """
    ordered = kernel.flatten(1).sort(1).values
    place = torch.arange(1, ordered.shape[1], device=kernel.device, dtype=kernel.dtype)
    enough = ordered[:, -1:] / (2 * max(kernel.shape[-2:]) * place)
    jumps = ordered.diff(dim=1) > enough
    first = jumps.to(torch.int64).argmax(1, keepdim=True) if jumps.shape[1] else ordered.new_zeros(1).long()[None]
    threshold = ordered.gather(1, first.expand(len(ordered), 1))
    threshold = torch.where(jumps.any(1, keepdim=True), threshold, -1.0)
    return kernel > threshold[..., None, None]


class ToeplitzLeastSquares(KernelEstimation):
    """Non-negative ridge least squares: the non-negative kernel that explains the edges best.

    It minimises ``||k * s - b||^2 / ||s||^2 + weight ||k||^2`` over ``k >= 0``, optionally with ``sum k = 1``, then
    scales the sum to one. Accelerated projected gradients (Beck & Teboulle 2009, with restarts) use the Toeplitz normal
    matrix, whose product takes microseconds. The right side is corrected for the border once to a few times
    (`invkit.solvers.map.normal_equations`).

    Args:
        weight: weight of ``||k||^2``, relative to the edges' sum of squares, so that it does not depend on the image's
            size and contrast.
        iterations: total number of products with the normal matrix.
        sum_to_one: whether the fit itself is constrained to sum to one. Otherwise the kernel is scaled afterwards,
            which tolerates a blurry image with another contrast than the sharp one.

    Example:
        >>> sharp = torch.rand(1, 2, 12, 12, generator=torch.Generator().manual_seed(0)) - 0.5
        >>> delta = torch.zeros(1, 1, 3, 3)
        >>> delta[..., 1, 1] = 1
        >>> fitted = ToeplitzLeastSquares()(sharp, sharp[..., 1:-1, 1:-1], torch.full_like(delta, 1 / 9))
        >>> bool((fitted - delta).abs().max() < 0.01)
        True
    """

    @validated
    def __init__(self, *, weight: NonNegative = 1e-2, iterations: PositiveInt = 150, sum_to_one: bool = False) -> None:
        super().__init__()
        self.weight, self.iterations = weight, iterations
        self.project = project_on_simplex if sum_to_one else clamped_at_zero

    def forward(self, sharp: Tensor, blurred: Tensor, kernel: Tensor) -> Tensor:
        """Return the constrained ridge solution; the current kernel without edges."""
        equations = normal_equations(sharp, blurred, kernel)
        times = equations.approximate.ridged(self.weight * equations.scale)
        bound = largest_eigenvalue(times, kernel)

        each = max(1, self.iterations // (equations.corrections + 1))

        def solve(right: Tensor, start: Tensor) -> Tensor:
            return accelerated_descent(times, right, start, each, bound, self.project)

        return cut_and_normalised(equations.solved(solve, kernel), kernel)


def clamped_at_zero(kernel: Tensor) -> Tensor:
    """Return the nearest kernel without negative entries."""
    return kernel.clamp(min=0)
