"""The image under any differentiable operator, by accelerated proximal gradient steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ..core.errors import AssemblyError
from ..core.interfaces import Assignable, Denoising, Proximable
from ..core.parameters import NonNegative, Positive, PositiveInt, validated
from ..core.problem import Problem, WeightedData
from ..core.ranges import AnyRange
from ..core.registry import registered_name
from ..core.solver import Solver
from .boxed_prox import WeightedTerm, boxed_prox, zero_duals
from .pixel_state import PixelState, check_terms, starting_point
from .splitting import weighted_terms

__all__ = ["ProximalGradient", "ProximalGradientState"]

GROWING_STEPS = 10  # the first ones, which try twice the length of the step before
MAX_HALVINGS = 60  # of a step; the last one changes no pixel
ROUNDING = 8.0  # units of rounding by which the data term may exceed its bound


@dataclass(kw_only=True)
class ProximalGradientState(PixelState):
    """The image, and what the next step depends on.

    Attributes:
        previous: the image one step ago, (B, C, H, W); equal to the image at the start and after a restart.
        duals: dual variables of the regularizers on filters, each (K, B, C, H, W).
        inertia: t of the acceleration, scalar, >= 1.
        length: s, the length of the last step, scalar.
        value: the objective of the image, scalar.
    """

    previous: Tensor
    duals: list[Tensor]
    inertia: Tensor
    length: Tensor
    value: Tensor
    saved: ClassVar = ("image", "kernel", "previous", "duals", "inertia", "length", "value")


class ProximalGradient(Solver[ProximalGradientState], WeightedData, AnyRange):
    """FISTA, monotone, with backtracking and restarts, for any differentiable operator with known parameters.

    Beck & Teboulle, "A Fast Iterative Shrinkage-Thresholding Algorithm for Linear Inverse Problems", SIAM J. Imaging
    Sci. 2009, Sec. 4. The objective is f + R over images within the image prior's range: f is the fidelity and every
    regularizer without a proximal map, R the sum of the others. Each step is

    1. ``u = x + (t' - 1) / t (x - x')`` with ``t = (1 + sqrt(1 + 4 t'^2)) / 2``, x' and t' of the step before;
    2. ``z = prox_{s R}(u - s f'(u))``, where s is halved until ``f(z) <= f(u) + <f'(u), z - u> + |z - u|^2 / 2s``;
    3. ``x <- z`` if the objective has not increased. Otherwise x stays, ``t <- 1``, and s is doubled: the restart of
       O'Donoghue & Candès, "Adaptive Restart for Accelerated Gradient Schemes", 2015.

    The gradient is autograd's, so the operator need not be linear and has no adjoint. If it is not linear, the
    solver ends at a stationary point, which may depend on the first image. The proximal map is that of a regularizer on
    the pixels, or a few inner iterations for others, such as total variation (`boxed_prox`).

    A denoiser (`plug-and-play`) is the only regularizer with a proximal map, and has no objective: every step is
    accepted, as by Kamilov, Mansour, Wohlberg, "A Plug-and-Play Priors Approach for Solving Nonlinear Imaging Inverse
    Problems", IEEE Signal Process. Lett. 2017. All images of a batch have the same step.

    Args:
        iterations: the highest number of steps.
        tolerance: the solver stops when a step changes the image by less, relative to the image's norm,
            or when no step from rest decreases the objective.
        step: length of the first step, in the unit of the data term: 1 is as long as a blur with the mean squared
            error allows. The next ones try twice the length of the step before, ten times.
        inner_iterations: of the proximal map of regularizers that are not on the pixels themselves.

    Example:
        >>> from invkit.testing import small_problem
        >>> solver = ProximalGradient(iterations=5)
        >>> result = solver.solve(small_problem(solver))
        >>> result.history[-1] < result.history[0]
        True
    """

    keeps_large_blocks = True
    remedy = "set a smaller step"
    needs: ClassVar = {"image_prior": Assignable}

    @validated
    def __init__(
        self,
        *,
        iterations: PositiveInt = 300,
        tolerance: NonNegative = 1e-5,
        step: Positive = 1.0,
        inner_iterations: PositiveInt = 10,
    ) -> None:
        self.iterations, self.tolerance = iterations, tolerance
        self.step_length, self.inner_iterations = step, inner_iterations

    def check(self, problem: Problem) -> None:
        """Raise `AssemblyError` for a problem that the solver cannot solve."""
        super().check(problem)
        check_terms(problem, "proximal-gradient")
        terms = proximable_terms(problem)
        if len(terms) > 1 and is_denoised(terms):
            names = ", ".join(registered_name("regularizers", type(regularizer)) for _, regularizer in terms)
            raise AssemblyError(
                f"proximal-gradient takes a denoiser only without another regularizer with a proximal map, and there "
                f"are {names}; keep one of them, or use linear-admm if the operator is linear"
            )

    @torch.no_grad()
    def start(self, problem: Problem) -> ProximalGradientState:
        """Take the image that the prior gives."""
        image, kernel = starting_point(problem)
        return ProximalGradientState(
            image=image,
            kernel=kernel,
            range=problem.image_prior.range,
            previous=image,
            duals=zero_duals(image, proximable_terms(problem)),
            inertia=image.new_ones(()),
            length=image.new_tensor(self.step_length * problem.data[0].numel() / 2),
            value=image.new_tensor(torch.inf),
        )

    @torch.no_grad()
    def step(self, problem: Problem, state: ProximalGradientState) -> ProximalGradientState:
        """One step of FISTA, accepted if the objective does not increase."""
        terms, following = proximable_terms(problem), (1 + (1 + 4 * state.inertia**2).sqrt()) / 2
        ahead = torch.lerp(state.previous, state.image, 1 + (state.inertia - 1) / following)
        image, smooth = self._descended(problem, state, ahead)
        value = smooth + penalties(image, terms)
        if is_new_fidelity(problem, state.iteration):
            state.value = smooth_part(problem, state.image, state) + penalties(state.image, terms)
        if value <= state.value or is_denoised(terms):
            change = (image - state.image).norm() / image.norm().clamp(min=torch.finfo(image.dtype).tiny)
            state.converged = bool(change < self.tolerance)
            state.previous, state.image, state.inertia, state.value = state.image, image, following, value
        else:
            state.converged = bool(state.inertia == 1)  # from rest, only rounding increases the objective
            state.previous, state.inertia, state.length = state.image, torch.ones_like(following), 2 * state.length
        state.losses.append(state.value / len(problem.data))
        return state

    def _descended(self, problem: Problem, state: ProximalGradientState, point: Tensor) -> tuple[Tensor, Tensor]:
        """Step 2 of FISTA with backtracking (Beck & Teboulle 2009, Sec. 4): the image z and f(z)."""
        with torch.enable_grad():
            leaf = point.clone().requires_grad_()
            value = smooth_part(problem, leaf, state)
            (slope,) = torch.autograd.grad(value, leaf)
        terms, value = proximable_terms(problem), value.detach()
        state.length = state.length * (2 if 0 < state.iteration < GROWING_STEPS else 1)
        slack = ROUNDING * torch.finfo(value.dtype).eps * value.abs()
        for _ in range(MAX_HALVINGS):
            length = float(state.length)
            moved = point - length * slope
            image, duals = boxed_prox(moved, terms, length, state.duals, self.inner_iterations, state.range)
            change, reached = image - point, smooth_part(problem, image, state)
            if reached <= value + (slope * change).sum() + change.square().sum() / (2 * length) + slack:
                break
            state.length = state.length / 2
        state.duals = duals
        return image, reached


def proximable_terms(problem: Problem) -> list[WeightedTerm]:
    """The terms on the image with a proximal map, each with its weight for the sum over all images of the batch."""
    return [(share_of_image(problem) * weight, regularizer) for weight, regularizer in weighted_terms(problem)]


def share_of_image(problem: Problem) -> float:
    """The items of the data for each image of the batch: of several frames, a penalty counts once for each frame."""
    return len(problem.data) / problem.image_prior.shape[0]


def smooth_part(problem: Problem, image: Tensor, state: ProximalGradientState) -> Tensor:
    """f: the objective without the terms that have a proximal map, summed over the batch; scalar, differentiable.

    Args:
        problem: the problem.
        image: (B, C, H, W).
        state: gives kernel and iteration.
    """
    predicted = problem.operator(image, state.kernel)
    total = problem.data_term(predicted, state.iteration).sum()
    for term in problem.regularizers:
        if not isinstance(term.regularizer, Proximable):
            total = total + share_of_image(problem) * term.weight * term.regularizer(image).sum()
    return total


def penalties(image: Tensor, terms: Sequence[WeightedTerm]) -> Tensor:
    """R: the sum of the terms over the batch, without denoisers, whose penalty need not match their map; scalar."""
    found = [
        weight * regularizer(image).sum() for weight, regularizer in terms if not is_denoised([(1.0, regularizer)])
    ]
    return torch.stack([image.new_zeros(()), *found]).sum()


def is_denoised(terms: Sequence[WeightedTerm]) -> bool:
    """Whether a term is a denoiser."""
    return any(isinstance(regularizer, Denoising) for _, regularizer in terms)


def is_new_fidelity(problem: Problem, iteration: int) -> bool:
    """Whether a schedule has another fidelity than one step ago."""
    return iteration > 0 and problem.fidelity.at(iteration) is not problem.fidelity.at(iteration - 1)
