"""Two deconvolutions of one image, and from one what of the other is ringing."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Annotated, Any, ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from ..core.interfaces import Assignable, Regularizer
from ..core.parameters import Fraction, Positive, validated
from ..core.problem import Problem, Term
from ..core.solver import Solver
from ..numerics.geometry import size_of
from .inner import run_inner
from .pixel_state import PixelState, starting_point

__all__ = ["RingingRemoval", "bilateral"]


class RingingRemoval(Solver[PixelState]):
    """Ringing removal (Pan, Hu, Su, Yang 2014, section on ringing artifacts).

    Deconvolved with the problem's own regularizers the image has detail and rings; with an L0 penalty of the gradient
    (``structure``) it has neither. Their difference holds both, and what a bilateral filter leaves of it, being smooth
    and of low contrast, is taken for the rings: ``detail - bilateral(detail - structure)``.

    The first step gives the detailed image, the second the result.

    Args:
        solver: deconvolves with the problem's regularizers, in the paper with total variation.
        structure: the regularizer of the image without detail, instead of the problem's on the image.
        structure_solver: deconvolves with it.
        structure_weight: its weight.
        sigma_space: of the bilateral filter, pixels.
        sigma_range: of the bilateral filter, in [0, 1] units.
        strength: what is taken away of the filtered difference. It holds fine detail as well as rings, so that an
            image that does not ring is better left as it is.
    """

    iterations = 2
    needs: ClassVar = {"image_prior": Assignable}

    @validated
    def __init__(
        self,
        *,
        solver: Annotated[
            Solver[Any], Field(description="deconvolves with the problem's regularizers", examples=["half-quadratic"])
        ],
        structure: Annotated[Regularizer, Field(description="of the image without detail", examples=["l0-gradient"])],
        structure_solver: Annotated[
            Solver[Any], Field(description="deconvolves with 'structure'", examples=["half-quadratic"])
        ],
        structure_weight: Annotated[Positive, Field(description="weight of 'structure'")] = 5e-4,
        sigma_space: Annotated[
            float, Field(gt=0, le=50, description="bilateral filter: standard deviation in pixels")
        ] = 3.0,
        sigma_range: Annotated[
            Positive, Field(description="bilateral filter: standard deviation of values, [0, 1] units")
        ] = 0.1,
        strength: Annotated[Fraction, Field(description="share of the rings found that is taken away")] = 1.0,
    ) -> None:
        self.solver = solver
        self.structure = structure
        self.structure_solver = structure_solver
        self.structure_weight = structure_weight
        self.sigma_space = sigma_space
        self.sigma_range = sigma_range
        self.strength = strength

    def check(self, problem: Problem) -> None:
        """Refuse what either of its solvers refuses; raises `AssemblyError`."""
        super().check(problem)
        self.solver.check(problem)
        self.structure_solver.check(self._structure_problem(problem))

    def start(self, problem: Problem) -> PixelState:
        """The image as the prior gives it."""
        image, kernel = starting_point(problem)
        return PixelState(image=image, kernel=kernel)

    def step(self, problem: Problem, state: PixelState) -> PixelState:
        """First the detailed image, then the structure and the filter."""
        if state.iteration == 0:
            state.image = run_inner(self.solver, problem).estimate()[0].detach()
        else:
            structure = run_inner(self.structure_solver, self._structure_problem(problem)).estimate()[0].detach()
            rings = bilateral(state.image - structure, self.sigma_space, self.sigma_range)
            state.image = state.image - self.strength * rings
        with torch.no_grad():
            state.losses.append(problem.objective(state.image, state.kernel).sum())
        state.converged = state.iteration > 0
        return state

    def _structure_problem(self, problem: Problem) -> Problem:
        kept = [term for term in problem.regularizers if term.target == "kernel"]
        structure = self.structure.to(problem.data.device)
        return replace(problem, regularizers=(*kept, Term(structure, self.structure_weight)))


def bilateral(image: Tensor, sigma_space: float, sigma_range: float) -> Tensor:
    """Bilateral filter (Tomasi & Manduchi 1998), whose window ends at two standard deviations.

    Args:
        image: (B, C, H, W); beyond the border it counts as its edge pixels.
        sigma_space: standard deviation of the weights by distance, pixels.
        sigma_range: of the weights by the root mean square difference over the channels, in the image's units.

    Returns:
        (B, C, H, W).
    """
    reach, (height, width) = max(1, round(2 * sigma_space)), size_of(image)
    padded = F.pad(image, (reach, reach, reach, reach), mode="replicate")
    total, weights = torch.zeros_like(image), torch.zeros_like(image[:, :1])
    for down, right in product(range(2 * reach + 1), repeat=2):
        neighbour = padded[..., down : down + height, right : right + width]
        distance = ((down - reach) ** 2 + (right - reach) ** 2) / (2 * sigma_space**2)
        squared = (neighbour - image).square().mean(1, keepdim=True)
        weight = squared.mul_(-1 / (2 * sigma_range**2)).sub_(distance).exp_()
        total.addcmul_(neighbour, weight)
        weights += weight
    return total / weights
