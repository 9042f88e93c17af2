"""The image of any linear operator by the alternating direction method of multipliers (ADMM)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ..core.fidelity_abilities import LeastSquares
from ..core.interfaces import Assignable, LinearOperator, Proximable
from ..core.parameters import NonNegative, Positive, PositiveInt, validated
from ..core.problem import Problem, WeightedData
from ..core.ranges import AnyRange
from ..core.solver import Solver
from ..numerics.conjugate_gradients import conjugate_gradients
from ..numerics.finite_differences import apply_filters, apply_filters_adjoint
from .pixel_state import PixelState, check_terms, starting_point
from .splitting import check_weights, largest_weight, weighted_terms

__all__ = ["LinearADMM", "LinearState"]


@dataclass(kw_only=True)
class LinearState(PixelState):
    """The image and the multipliers of its splittings.

    Attributes:
        gaps: scaled multipliers of ``z_i = D_i x``, each (K, B, C, H, W).
        bound_gap: scaled multiplier of ``z = x`` within the range, (B, C, H, W).
    """

    gaps: list[Tensor]
    bound_gap: Tensor
    saved: ClassVar = ("image", "kernel", "gaps", "bound_gap")


class LinearADMM(Solver[LinearState], WeightedData, AnyRange):
    """ADMM for any linear operator with known parameters.

    It minimises ``|W^(1/2) (A x - y)|^2 / n + sum_i w_i R_i(D_i x)`` over x within the image prior's range, for weights
    W of the data. Boyd et al., "Distributed Optimization and Statistical Learning via the Alternating Direction Method
    of Multipliers", 2011, Sec. 3: the splittings are ``z_i = D_i x``, solved by the regularizers' proximal maps, and
    ``z = x`` within the range. A few conjugate gradients from the previous x solve the least-squares problem for x. For
    a blur by one kernel, `invkit.solvers.admm.ADMM` does the same by Fourier transforms, in a tenth of the time.

    Args:
        iterations: outer iterations.
        cg_iterations: iterations of conjugate gradients for the image in each outer iteration.
        penalty: penalty of ``z = D x``; a proximal map changes values by about ``1 / (2 penalty)`` in [0, 1] units.
        bound_penalty: penalty of ``z = x`` within the range, times that of ``z = D x``. With 0 there are no bounds, and
            the image is clamped only in the end.

    Example:
        >>> from invkit.testing import small_problem
        >>> solver = LinearADMM(iterations=5)
        >>> result = solver.solve(small_problem(solver))
        >>> result.history[-1] < result.history[0]
        True
    """

    keeps_large_blocks = True

    needs: ClassVar = {
        "operator": LinearOperator,
        "image_prior": Assignable,
        "fidelity": LeastSquares,
        "regularizers": Proximable,
    }

    @validated
    def __init__(
        self,
        *,
        iterations: PositiveInt = 60,
        cg_iterations: PositiveInt = 6,
        penalty: Positive = 20.0,
        bound_penalty: NonNegative = 0.2,
    ) -> None:
        self.iterations = iterations
        self.cg_iterations = cg_iterations
        self.penalty = penalty
        self.bound_penalty = bound_penalty

    def check(self, problem: Problem) -> None:
        """Raise `AssemblyError` for a problem that the solver cannot solve."""
        super().check(problem)
        check_terms(problem, "linear-admm")
        check_weights(problem, "linear-admm")

    @torch.no_grad()
    def start(self, problem: Problem) -> LinearState:
        """Take the image that the prior gives, and set the multipliers to zero."""
        image, kernel = starting_point(problem)
        gaps = [
            torch.zeros_like(apply_filters(image, regularizer.filters, wrap=False))
            for _, regularizer in weighted_terms(problem)
        ]
        return LinearState(
            image=image, kernel=kernel, range=problem.image_prior.range, gaps=gaps, bound_gap=torch.zeros_like(image)
        )

    @torch.no_grad()
    def step(self, problem: Problem, state: LinearState) -> LinearState:
        """One outer iteration, and its loss."""
        self.iterate(problem, state)
        state.losses.append(problem.objective(state.image, state.kernel, state.iteration).mean())
        return state

    def iterate(self, problem: Problem, state: LinearState) -> None:
        """Boyd et al. 2011, Sec. 3, with the state's kernel: z by proximal maps, multipliers, x by least squares."""
        rho, targets = self.rho(problem, state), torch.zeros_like(state.image)
        for index, (weight, regularizer) in enumerate(weighted_terms(problem)):
            shifted = apply_filters(state.image, regularizer.filters, wrap=False) + state.gaps[index]
            z = regularizer.prox(shifted, self.data_per_image(problem, state) * weight / (2 * rho))
            state.gaps[index] = shifted - z
            targets += apply_filters_adjoint(z - state.gaps[index], regularizer.filters)
        if self.bound_penalty > 0:
            shifted = state.image + state.bound_gap
            z = shifted.clamp(*state.range)
            state.bound_gap = shifted - z
            targets += self.bound_penalty * (z - state.bound_gap)
        assert isinstance(problem.operator, LinearOperator)  # as `needs` says
        target = problem.operator.adjoint(problem.weighted(problem.data), state.kernel) + rho * targets
        normal = self.normal(problem, state, rho)
        state.image = conjugate_gradients(normal, target, state.image, iterations=self.cg_iterations, fused=False)

    def normal(self, problem: Problem, state: LinearState, rho: float) -> Callable[[Tensor], Tensor]:
        """Return the map ``x -> (A^T W A + rho (sum_i D_i^T D_i + bound_penalty)) x``.

        Args:
            problem: gives the operator A, the weights W of the data and the regularizers' filters D_i.
            state: gives the operator's parameters.
            rho: penalty of the splittings, see `rho`.
        """
        operator, filters = problem.operator, [regularizer.filters for _, regularizer in weighted_terms(problem)]
        assert isinstance(operator, LinearOperator)  # as `needs` says

        def applied(image: Tensor) -> Tensor:
            back: Tensor = operator.adjoint(problem.weighted(operator(image, state.kernel)), state.kernel)
            for group in filters:
                back = back + rho * apply_filters_adjoint(apply_filters(image, group, wrap=False), group)
            return back + rho * self.bound_penalty * image

        return applied

    def data_per_image(self, problem: Problem, state: LinearState) -> float:
        """Return the number of data values per image: the data term is their mean, the splitting is of sums."""
        return problem.data.numel() / len(state.image)

    def rho(self, problem: Problem, state: LinearState) -> float:
        """Return the penalty for a data term of ``|A x - y|^2 / 2``; R is a mean over the image."""
        share = self.data_per_image(problem, state) / state.image[0].numel()
        return self.penalty * share * largest_weight(problem)
