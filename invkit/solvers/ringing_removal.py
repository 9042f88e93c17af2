"""Ringing removal: two deconvolutions of one image show which part of one of them is ringing."""

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
from ..core.problem import Problem, Term, WeightedData
from ..core.solver import Solver
from ..numerics.geometry import size_of
from .inner import run_inner
from .pixel_state import PixelState, starting_point

__all__ = ["RingingRemoval", "bilateral_filter"]


class RingingRemoval(Solver[PixelState], WeightedData):
    """Ringing removal (Pan, Hu, Su, Yang 2014, section on ringing artifacts).

    The deconvolution with the problem's own regularizers has detail and ringing. The deconvolution with an L0 penalty
    of the gradient (``structure``) has neither. A bilateral filter of their difference keeps what is smooth and of low
    contrast, which is taken as ringing: ``detail - bilateral(detail - structure)``.

    The first step computes the detailed image, the second step the result.

    Args:
        solver: deconvolves with the problem's regularizers (total variation in the paper).
        structure: regularizer of the image without detail; it replaces the problem's regularizers on the image.
        structure_solver: deconvolves with ``structure``.
        structure_weight: weight of ``structure``.
        sigma_space: standard deviation of the bilateral filter by distance, pixels.
        sigma_range: standard deviation of the bilateral filter by value, in [0, 1] units.
        strength: share of the detected ringing, the filtered difference, that is subtracted. The difference also holds
            fine detail, so an image that does not ring is better left unchanged.
    """

    iterations = 2
    needs: ClassVar = {"image_prior": Assignable}

    @validated
    def __init__(
        self,
        *,
        solver: Annotated[Solver[Any], Field(examples=["half-quadratic"])],
        structure: Annotated[Regularizer, Field(examples=["l0-gradient"])],
        structure_solver: Annotated[Solver[Any], Field(examples=["half-quadratic"])],
        structure_weight: Positive = 5e-4,
        sigma_space: Annotated[float, Field(gt=0, le=50)] = 3.0,
        sigma_range: Positive = 0.1,
        strength: Fraction = 1.0,
    ) -> None:
        self.solver = solver
        self.keeps_large_blocks = solver.keeps_large_blocks
        self.structure = structure
        self.structure_solver = structure_solver
        self.structure_weight = structure_weight
        self.sigma_space = sigma_space
        self.sigma_range = sigma_range
        self.strength = strength

    def check(self, problem: Problem) -> None:
        """Raise `AssemblyError` for a problem that either of its solvers cannot solve."""
        super().check(problem)
        self.solver.check(problem)
        self.structure_solver.check(self._structure_problem(problem))

    def start(self, problem: Problem) -> PixelState:
        """Take the image that the prior gives."""
        image, kernel = starting_point(problem)
        return PixelState(image=image, kernel=kernel)

    def step(self, problem: Problem, state: PixelState) -> PixelState:
        """First compute the detailed image, then the structure, and subtract the ringing."""
        if state.iteration == 0:
            state.image = run_inner(self.solver, problem).estimate()[0].detach()
        else:
            structure = run_inner(self.structure_solver, self._structure_problem(problem)).estimate()[0].detach()
            ringing = bilateral_filter(state.image - structure, self.sigma_space, self.sigma_range)
            state.image = state.image - self.strength * ringing
        with torch.no_grad():
            state.losses.append(problem.objective(state.image, state.kernel).sum())
        state.converged = state.iteration > 0
        return state

    def _structure_problem(self, problem: Problem) -> Problem:
        kept = [term for term in problem.regularizers if term.target == "kernel"]
        structure = self.structure.to(problem.data.device)
        return replace(problem, regularizers=(*kept, Term(structure, self.structure_weight)))


def bilateral_filter(image: Tensor, sigma_space: float, sigma_range: float) -> Tensor:
    """Bilateral filter (Tomasi & Manduchi 1998), whose window ends at two standard deviations.

    Args:
        image: (B, C, H, W); its edge pixels are repeated beyond the border.
        sigma_space: standard deviation of the weights by distance, pixels.
        sigma_range: standard deviation of the weights by the root mean square difference over the channels, in the
            image's units.

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
