"""Gradient descent on the image's pixels."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from torch import Tensor

from ..core.interfaces import Assignable, LinearOperator
from ..core.parameters import Positive, PositiveInt, validated
from ..core.problem import Problem, WeightedData
from ..core.ranges import AnyRange
from ..core.solver import Solver
from ..numerics.conjugate_gradients import changed_by_at_most
from .pixel_state import PixelState, check_terms, starting_point

__all__ = ["GradientDescent"]


class GradientDescent(Solver[PixelState], WeightedData, AnyRange):
    """Steepest descent on the image for a fixed kernel: the x-step of Chan & Wong 1998 and Perrone & Favaro 2014.

    With the rule "curvature", ``x <- x - step * N / 2 * gradient of the objective``, where N is the number of values of
    the data over their largest weight. With the mean squared error and a kernel that sums to one, a step of 1 is
    Landweber's. This is the largest safe step without regularizers. With the rule "largest-change", the pixel of the
    largest derivative changes by ``step`` times the largest pixel, as in Perrone and Favaro's program. These steps do
    not shrink near a minimum: a kernel step between two of them meets an image that keeps moving. The iterate stays
    within the range of the image prior. For an operator that is not linear no safe step is known beforehand;
    `ProximalGradient` finds one.

    Args:
        iterations: number of steps.
        step: length of a step, in the unit of ``step_rule``. For "curvature", 1 is as long as the data term allows;
            for "largest-change" Perrone and Favaro's program has 5e-3.
        step_rule: "curvature": the length of a step follows from the data term; "largest-change": from the largest
            change of a pixel.
    """

    keeps_large_blocks = True
    remedy = "set a smaller step"
    needs: ClassVar = {"operator": LinearOperator, "image_prior": Assignable}

    @validated
    def __init__(
        self,
        *,
        iterations: PositiveInt = 1,
        step: Positive = 0.5,
        step_rule: Literal["curvature", "largest-change"] = "curvature",
    ) -> None:
        self.iterations = iterations
        self.step_length, self.step_rule = step, step_rule

    def check(self, problem: Problem) -> None:
        """Raise `AssemblyError` for a problem that the solver cannot solve."""
        super().check(problem)
        check_terms(problem, "gradient-descent")

    def start(self, problem: Problem) -> PixelState:
        """Take the image that the prior gives."""
        image, kernel = starting_point(problem)
        return PixelState(image=image, kernel=kernel, range=problem.image_prior.range)

    def step(self, problem: Problem, state: PixelState) -> PixelState:
        """One gradient step."""
        image = state.image.detach().requires_grad_()
        loss = problem.objective(image, state.kernel, state.iteration).sum()
        (gradient,) = torch.autograd.grad(loss, image)
        state.image = self._moved(problem, state.image, gradient).clamp(*state.range)
        state.losses.append(loss.detach())
        return state

    def _moved(self, problem: Problem, image: Tensor, gradient: Tensor) -> Tensor:
        """The image after a step against a gradient.

        Args:
            problem: gives the number of data values and their largest weight, to which the curvature is proportional.
            image: (B, C, H, W).
            gradient: (B, C, H, W).
        """
        if self.step_rule == "largest-change":
            return changed_by_at_most(self.step_length, image, gradient)
        largest = float(problem.weights.max()) if problem.weights is not None and problem.is_graded else 1.0
        return image - self.step_length / largest * problem.data[0].numel() / 2 * gradient
