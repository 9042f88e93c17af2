"""Gradient descent on the image's pixels."""

from __future__ import annotations

from typing import ClassVar

import torch

from ..core.interfaces import Assignable
from ..core.parameters import Positive, PositiveInt, validated
from ..core.problem import MissingData, Problem
from ..core.solver import Solver
from .pixel_state import PixelState, check_terms, starting_point

__all__ = ["GradientDescent"]


class GradientDescent(Solver[PixelState], MissingData):
    """Steepest descent on the image for a fixed kernel: the x-step of Chan & Wong 1998 and Perrone & Favaro 2014.

    ``x <- x - step * N / 2 * gradient of the objective``, where N is the number of values of the data. With the mean
    squared error and a kernel that sums to one, a step of 1 is Landweber's. This is the largest safe step without
    regularizers. The iterate stays within [0, 1].

    Args:
        iterations: number of steps.
        step: length of a step; with 1, Landweber's, it is as long as the data term allows.
    """

    keeps_large_blocks = True
    remedy = "set a smaller step"
    needs: ClassVar = {"image_prior": Assignable}

    @validated
    def __init__(self, *, iterations: PositiveInt = 1, step: Positive = 0.5) -> None:
        self.iterations = iterations
        self.step_length = step

    def check(self, problem: Problem) -> None:
        """Raise `AssemblyError` for a problem that the solver cannot solve."""
        super().check(problem)
        check_terms(problem, "gradient-descent")

    def start(self, problem: Problem) -> PixelState:
        """Take the image that the prior gives."""
        image, kernel = starting_point(problem)
        return PixelState(image=image, kernel=kernel)

    def step(self, problem: Problem, state: PixelState) -> PixelState:
        """One gradient step."""
        image = state.image.detach().requires_grad_()
        loss = problem.objective(image, state.kernel, state.iteration).sum()
        (gradient,) = torch.autograd.grad(loss, image)
        state.image = (state.image - self.step_length * problem.data[0].numel() / 2 * gradient).clamp(0, 1)
        state.losses.append(loss.detach())
        return state
