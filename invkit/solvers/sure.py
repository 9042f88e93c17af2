"""Weights and the number of iterations, chosen by an estimate of the error that needs no true image."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from ..core.errors import AssemblyError
from ..core.interfaces import Assignable, ImagePrior, OperatorParameterPrior
from ..core.parameters import Positive, Seed, validated
from ..core.problem import Problem
from ..core.solver import Solver
from .discrepancy import estimated_levels
from .pixel_state import PixelState, image_prior_of, kernel_prior_of, starting_point

__all__ = ["MonteCarloSURE", "SUREState"]

PERTURBATION_SHARE = 0.1  # of the noise: much smaller than it, and much larger than rounding
MIN_PERTURBATION = 1e-4  # of data in [0, 1] in single precision


@dataclass(kw_only=True)
class SUREState(PixelState):
    """The image with the least estimated error so far.

    Attributes:
        score: its estimated error, scalar; infinite before the first step.
    """

    score: Tensor
    saved: ClassVar = ("image", "kernel", "score")

    def priors(self, problem: Problem) -> tuple[ImagePrior, OperatorParameterPrior]:
        """Return priors that give the image and, if the inner solver has changed it, the kernel."""
        given = problem.kernel_prior().detach().to(self.kernel)
        kept = torch.equal(given, self.kernel)
        kernel_prior = problem.kernel_prior if kept else kernel_prior_of(problem.kernel_prior, self.kernel)
        return image_prior_of(problem.image_prior, self.image), kernel_prior


class MonteCarloSURE(Solver[SUREState]):
    """Another solver with the weights, and after the iteration, whose estimated error is least.

    Ramani, Blu, Unser, "Monte-Carlo SURE: A Black-Box Optimization of Regularization Parameters for General Denoising
    Algorithms", IEEE Trans. Image Process. 2008, Theorem 2: for data y with Gaussian noise of standard deviation s, an
    estimate f(y) of the clean data has the expected mean squared error

    ``|f(y) - y|^2 / n - s^2 + 2 s^2 b . (f(y + e b) - f(y)) / (e n)``

    with random signs b and a small e. Here f(y) is ``A x``, the data of the image x that the other solver finds. It
    is run twice, on y and on ``y + e b``, for each weight. For denoising this is the error of the image. Under a blur
    it is the error of the blurred image, which knows little of what the blur removes: the weight is then rather too
    small. Data that were clipped to [0, 1] have less noise than sigma in black and white areas, where the estimate is
    too low.

    Args:
        inner: the other solver.
        factors: numbers by which the weights of all regularizers on the image are multiplied, each in turn.
        stop: whether the number of iterations is chosen too, and not only the weight.
        sigma: standard deviation of the noise, in [0, 1] units; None: estimated from the data.
        seed: of the signs.
    """

    needs: ClassVar = {"image_prior": Assignable}

    @validated
    def __init__(
        self,
        *,
        inner: Annotated[Solver[Any], Field(examples=["gradient-descent"])],
        factors: Annotated[tuple[Positive, ...], Field(min_length=1)] = (0.25, 0.5, 1.0, 2.0, 4.0),
        stop: bool = False,
        sigma: Positive | None = None,
        seed: Seed = 0,
    ) -> None:
        self.inner, self.factors, self.stop = inner, factors, stop
        self.sigma, self.seed = sigma, seed
        self.iterations = len(factors)

    def check(self, problem: Problem) -> None:
        """Raise `AssemblyError` for a problem that the other solver cannot solve, or without a choice."""
        super().check(problem)
        self.inner.check(problem)
        has_weight = any(term.target == "image" and term.weight > 0 for term in problem.regularizers)
        if not (self.stop or has_weight):
            raise AssemblyError(
                "sure has nothing to choose: no regularizer on the image has a weight above zero; add one, or set "
                "stop=true to choose the number of iterations"
            )

    def start(self, problem: Problem) -> SUREState:
        """Take image and kernel that the priors give."""
        image, kernel = starting_point(problem)
        return SUREState(image=image, kernel=kernel, score=image.new_tensor(torch.inf))

    def step(self, problem: Problem, state: SUREState) -> SUREState:
        """Solve with one factor; keep the image with the least estimated error."""
        weighted = reweighted(problem, self.factors[state.iteration])
        levels = self._levels(problem)
        signs, size = self._perturbation(problem, levels)
        twin = replace(weighted, data=problem.data + size * signs)
        last: tuple[Tensor, Tensor, Tensor] | None = None
        for image, kernel, other_image, other_kernel in self._pairs(weighted, twin):
            predicted, moved = (problem.operator(*pair) for pair in ((image, kernel), (other_image, other_kernel)))
            last = estimated_error(predicted, problem.data, (moved - predicted) / size * signs, levels), image, kernel
            self._keep(state, *last, is_candidate=self.stop)
        if last is not None:
            self._keep(state, *last, is_candidate=not self.stop)
        state.losses.append(state.score)
        return state

    def _keep(self, state: SUREState, score: Tensor, image: Tensor, kernel: Tensor, *, is_candidate: bool) -> None:
        """Keep a candidate whose score is less than that of the state."""
        if is_candidate and bool(score < state.score):
            state.score, state.image, state.kernel = score, image.clone(), kernel.clone()

    def _pairs(self, problem: Problem, twin: Problem) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor]]:
        """Yield image and kernel of both problems: after each iteration, or only after the last one."""
        states = [self.inner.start(problem), self.inner.start(twin)]
        steps = self.inner.steps(problem)
        for number in range(1, steps + 1):
            for index, one in enumerate((problem, twin)):
                if not states[index].converged:
                    states[index] = self.inner.step(one, states[index])
                    states[index].iteration += 1
            done = number == steps or all(state.converged for state in states)
            if self.stop or done:
                with torch.no_grad():
                    yield (*states[0].estimate(), *states[1].estimate())
            if done:
                return

    def _levels(self, problem: Problem) -> Tensor:
        """The noise level of each item of the data, (B, 1, 1, 1)."""
        data = problem.data
        found = estimated_levels(problem, data) if self.sigma is None else [self.sigma] * len(data)
        return data.new_tensor(found).view(-1, 1, 1, 1)

    def _perturbation(self, problem: Problem, levels: Tensor) -> tuple[Tensor, Tensor]:
        """Random signs of the data's shape, and their sizes, (B, 1, 1, 1), so that the data stay in their range."""
        data, draw = problem.data, torch.Generator().manual_seed(self.seed)
        signs = torch.randint(0, 2, data.shape, generator=draw).to(data) * 2 - 1
        size = (PERTURBATION_SHARE * levels).clamp(min=MIN_PERTURBATION)
        if problem.operator.data_range is None:
            return signs, size
        low, high = problem.operator.data_range
        signs = torch.where(data + size > high, -1.0, torch.where(data - size < low, 1.0, signs))
        return signs, size


def reweighted(problem: Problem, factor: float) -> Problem:
    """The problem with the weights of the terms on the image times a factor."""
    terms = [
        replace(term, weight=factor * term.weight) if term.target == "image" else term for term in problem.regularizers
    ]
    return replace(problem, regularizers=terms)


def estimated_error(predicted: Tensor, data: Tensor, divergence: Tensor, levels: Tensor) -> Tensor:
    """The estimated mean squared error of a prediction of the clean data, scalar: Theorem 2 of Ramani et al. 2008.

    Args:
        predicted: f(y), (B, C, H, W).
        data: y, (B, C, H, W).
        divergence: the sample of ``df_i / dy_i`` at each value, (B, C, H, W).
        levels: standard deviation of the noise, (B, 1, 1, 1).

    Example:
        >>> data, level = torch.full((1, 1, 2, 2), 0.5), torch.full((1, 1, 1, 1), 0.1)
        >>> round(estimated_error(data, data, torch.ones_like(data), level).item(), 4)  # the identity keeps all noise
        0.01
    """
    return ((predicted - data).square() - levels.square() + 2 * levels.square() * divergence).mean()
