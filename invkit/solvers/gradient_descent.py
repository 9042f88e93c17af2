"""Plain gradient descent on the image's pixels."""

from __future__ import annotations

from typing import Annotated, ClassVar

import torch
from pydantic import Field

from ..core.interfaces import Assignable
from ..core.parameters import Positive, PositiveInt, validated
from ..core.problem import Problem
from ..core.solver import Solver
from .pixel_state import PixelState, check_terms, starting_point

__all__ = ["GradientDescent"]


class GradientDescent(Solver[PixelState]):
    """Steepest descent on the image with the kernel as it is: the x-step of Chan & Wong 1998, Perrone & Favaro 2014.

    ``x <- x - step * N / 2 * gradient of the objective``, N the number of values of the data: with the mean squared
    error and a kernel that sums to one, a step of 1 is Landweber's, the largest that is safe without regularizers.
    The iterate stays within [0, 1].

    Args:
        iterations: steps.
        step: length of a step, 1 for Landweber's.
    """

    needs: ClassVar = {"image_prior": Assignable}

    @validated
    def __init__(
        self,
        *,
        iterations: Annotated[PositiveInt, Field(description="steps")] = 1,
        step: Annotated[Positive, Field(description="length of a step; 1: as long as the data term allows")] = 0.5,
    ) -> None:
        self.iterations = iterations
        self.length = step

    def check(self, problem: Problem) -> None:
        """Refuse what it cannot solve; raises `AssemblyError`."""
        super().check(problem)
        check_terms(problem, "gradient-descent")

    def start(self, problem: Problem) -> PixelState:
        """The image as its prior gives it."""
        image, kernel = starting_point(problem)
        return PixelState(image=image, kernel=kernel)

    def step(self, problem: Problem, state: PixelState) -> PixelState:
        """One step."""
        image = state.image.detach().requires_grad_()
        loss = problem.objective(image, state.kernel, state.iteration).sum()
        (gradient,) = torch.autograd.grad(loss, image)
        state.image = (state.image - self.length * problem.data[0].numel() / 2 * gradient).clamp(0, 1)
        state.losses.append(loss.detach())
        return state
