"""The image under any linear operator by the alternating direction method of multipliers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from ..core.interfaces import Assignable, LeastSquares, Proximable
from ..core.parameters import NonNegative, Positive, PositiveInt, validated
from ..core.problem import Problem
from ..core.solver import Solver
from ..numerics.conjugate_gradients import conjugate_gradients
from ..numerics.finite_differences import apply_filters, apply_filters_adjoint
from .pixel_state import PixelState, check_terms, starting_point
from .splitting import check_weights, weighted_terms

__all__ = ["BoundPenalty", "InnerIterations", "LinearADMM", "LinearState", "Penalty"]

InnerIterations = Annotated[PositiveInt, Field(description="conjugate gradients for the image in each turn")]
Penalty = Annotated[Positive, Field(description="of z = D x; a proximal map moves about 1 / (2 penalty)")]
BoundPenalty = Annotated[NonNegative, Field(description="of z = x in [0, 1], times that of z = D x; 0 for no bounds")]


@dataclass(kw_only=True)
class LinearState(PixelState):
    """Image and coefficients with their multipliers.

    Attributes:
        gaps: scaled multipliers of ``z_i = D_i x``, each (K, B, C, H, W).
        bound_gap: likewise of ``z = x`` in [0, 1], (B, C, H, W).
    """

    gaps: list[Tensor]
    bound_gap: Tensor

    def state_dict(self) -> dict[str, Any]:
        """A copy; later steps leave it as it is."""
        own = {"gaps": [gap.clone() for gap in self.gaps], "bound_gap": self.bound_gap.clone()}
        return super().state_dict() | own

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Take over what `state_dict` gave."""
        super().load_state_dict(saved)
        self.gaps = [gap.to(self.image) for gap in saved["gaps"]]
        self.bound_gap = saved["bound_gap"].to(self.image)


class LinearADMM(Solver[LinearState]):
    """Any linear operator whose unknown is known: ``|A x - y|^2 / n + sum_i w_i R_i(D_i x)``, x in [0, 1], by ADMM.

    Boyd et al., "Distributed Optimization and Statistical Learning via the Alternating Direction Method of
    Multipliers", 2011, Sec. 3: the splittings are ``z_i = D_i x``, solved by the regularizers' proximal maps, and
    ``z = x`` in [0, 1]; x is a least-squares problem, for which a few conjugate gradients go on from the last x. For
    a blur by one kernel `ADMM` does the same by Fourier transforms, in a tenth of the time.

    Args:
        iterations: turns of prior and image.
        cg_iterations: conjugate gradients for the image in each turn.
        penalty: of ``z = D x``: what a proximal map moves is about ``1 / (2 penalty)`` in [0, 1] units.
        bound_penalty: of ``z = x`` in [0, 1], times that of ``z = D x``; 0 for no bounds, clipping only in the end.
    """

    needs: ClassVar = {"image_prior": Assignable, "fidelity": LeastSquares, "regularizers": Proximable}

    @validated
    def __init__(
        self,
        *,
        iterations: Annotated[PositiveInt, Field(description="turns of prior and image")] = 60,
        cg_iterations: InnerIterations = 6,
        penalty: Penalty = 20.0,
        bound_penalty: BoundPenalty = 0.2,
    ) -> None:
        self.iterations = iterations
        self.cg_iterations = cg_iterations
        self.penalty = penalty
        self.bound_penalty = bound_penalty

    def check(self, problem: Problem) -> None:
        """Refuse what it cannot solve; raises `AssemblyError`."""
        super().check(problem)
        check_terms(problem, "linear-admm")
        check_weights(problem, "linear-admm")

    @torch.no_grad()
    def start(self, problem: Problem) -> LinearState:
        """The image of the prior, multipliers at zero."""
        image, kernel = starting_point(problem)
        gaps = [
            torch.zeros_like(apply_filters(image, regularizer.filters, wrap=False))
            for _, regularizer in weighted_terms(problem)
        ]
        return LinearState(image=image, kernel=kernel, gaps=gaps, bound_gap=torch.zeros_like(image))

    @torch.no_grad()
    def step(self, problem: Problem, state: LinearState) -> LinearState:
        """Coefficients z by the proximal maps, x by least squares; then the multipliers."""
        self.iterate(problem, state)
        state.losses.append(problem.objective(state.image, state.kernel, state.iteration).mean())
        return state

    def iterate(self, problem: Problem, state: LinearState) -> None:
        """One turn of ADMM on the image, under the kernel of the state."""
        rho, asked = self.rho(problem, state), torch.zeros_like(state.image)
        for index, (weight, regularizer) in enumerate(weighted_terms(problem)):
            shifted = apply_filters(state.image, regularizer.filters, wrap=False) + state.gaps[index]
            z = regularizer.prox(shifted, self.per_image(problem, state) * weight / (2 * rho))
            state.gaps[index] = shifted - z
            asked += apply_filters_adjoint(z - state.gaps[index], regularizer.filters)
        if self.bound_penalty > 0:
            shifted = state.image + state.bound_gap
            z = shifted.clamp(0, 1)
            state.bound_gap = shifted - z
            asked += self.bound_penalty * (z - state.bound_gap)
        target = problem.operator.adjoint(problem.data, state.kernel) + rho * asked
        normal = self.normal(problem, state, rho)
        state.image = conjugate_gradients(normal, target, state.image, iterations=self.cg_iterations, fused=False)

    def normal(self, problem: Problem, state: LinearState, rho: float) -> Callable[[Tensor], Tensor]:
        """``x -> (A^T A + rho (sum D^T D + bound)) x``."""
        filters = [regularizer.filters for _, regularizer in weighted_terms(problem)]

        def applied(image: Tensor) -> Tensor:
            back = problem.operator.adjoint(problem.operator(image, state.kernel), state.kernel)
            for those in filters:
                back = back + rho * apply_filters_adjoint(apply_filters(image, those, wrap=False), those)
            return back + rho * self.bound_penalty * image

        return applied

    def per_image(self, problem: Problem, state: LinearState) -> float:
        """Data there are for each image: the data term is their mean, the splitting is of sums."""
        return problem.data.numel() / len(state.image)

    def rho(self, problem: Problem, state: LinearState) -> float:
        """The penalty against a data term of ``|A x - y|^2 / 2``; R is a mean over the image."""
        share = self.per_image(problem, state) / state.image[0].numel()
        return self.penalty * share * max(term.weight for term in problem.regularizers if term.target == "image")
