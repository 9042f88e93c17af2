"""Expectation maximisation of the kernel, with samples of the image's posterior distribution."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from ..core.interfaces import Assignable, OperatorParameterPrior, Reweightable
from ..core.parameters import NonNegative, Positive, PositiveFraction, PositiveInt, Seed, validated
from ..core.problem import Problem
from ..core.solver import Solver
from ..numerics.conjugate_gradients import conjugate_gradients, dot_per_channel, dot_per_image
from ..numerics.finite_differences import (
    power_spectrum,
)
from ..numerics.mean_field import MIN_PERIODIC_CURVATURE, MaskedConvolution
from .map.edge_filters import box_sum, forward_differences
from .map.expected_normal_equations import expected_normal_equations_of_samples
from .map.normal_equations import cut_and_normalised, project_on_simplex
from .pixel_state import (
    LEAST_SQUARES_DEBLURRING,
    PixelState,
    check_padding,
    check_terms,
    image_prior_of,
    kernel_prior_of,
    starting_point,
)
from .variational import check_noise, counted_gradients, counted_pixels
from .weighted_squares import Bands, WeightedSquares, add_banded, add_squares, majorised

__all__ = ["MonteCarloEM"]

VARIANCE_WINDOW = (9, 9)  # pixels; over it, squares of the samples are averaged to variances


@dataclass(kw_only=True)
class MonteCarloState(PixelState):
    """The posterior of the image, and the kernels of the last two iterations.

    Attributes:
        image: posterior mean, (B, C, H + h - 1, W + w - 1).
        deviation: a sample of the image minus the mean, of the same shape.
        moments: expected squares of the filters' responses, (K, B, C, H + h - 1, W + w - 1).
        previous: the kernel of the iteration before, (B, 1, h, w).
        momentum: Nesterov's sequence, (B, 1, 1, 1).
        draws: of the data's noise, (B, C, H, W), and of the prior, like ``moments``; standard normal.
        mask: 1 for the data that count, otherwise 0; (B, C, H, W).
        edges_mask: the same for their gradients, (B, 2 C, H, W).
    """

    deviation: Tensor
    moments: Tensor
    previous: Tensor
    momentum: Tensor
    draws: tuple[Tensor, Tensor]
    mask: Tensor
    edges_mask: Tensor
    saved: ClassVar = ("image", "kernel", "deviation", "moments", "previous", "momentum")

    def priors(self, problem: Problem) -> tuple[Any, OperatorParameterPrior]:
        """Return priors that give the mean and the kernel."""
        return image_prior_of(problem.image_prior, self.image), kernel_prior_of(problem.kernel_prior, self.kernel)


class MonteCarloEM(Solver[MonteCarloState]):
    """Maximises the likelihood of the kernel, the image being integrated out, by Monte Carlo EM (Wei & Tanner 1990).

    It needs a kernel that is nearly right, and refines it. MAP methods fit the kernel to one image, which is smoother
    than the truth, and are therefore biased towards a point. Here the kernel is fitted to the image's posterior mean
    and to a sample about the mean. The posterior is Gaussian for given weights of the reweighted regularizer. Its mean
    and the sample solve the same linear system for two right-hand sides ("perturb and optimise", Papandreou & Yuille
    2010), so that all covariances count, also between pixels. The method of Levin, Weiss, Durand, Freeman 2011
    (``variational``) keeps only the diagonal of the covariance, and has white noise on gradients instead of pixels.

    Where blur and noise are as modelled, the gradients of the posterior's images explain those of the data on average.
    The kernel solves these equations in the least-squares sense, >= 0 and with sum one. Nesterov's momentum with
    restarts (O'Donoghue & Candes 2015) speeds the iterations up.

    Each regularizer is a prior's negative logarithm: for a mean over n values, its weight is twice the variance of the
    noise.

    Args:
        iterations: outer iterations.
        rounds: reweightings in each outer iteration; one more in the first.
        cg_iterations: conjugate-gradient iterations of each reweighting, for mean and sample at once.
        initial_gradient: difference, in [0, 1] units, that gives the prior's weights in the very first reweighting.
        kernel_iterations: projected gradients of a kernel step.
        anchor: weight of the squared distance ``|k - k0|^2`` from the first kernel k0, relative to the expected sum of
            squared noise of the data's gradients. It keeps the entries that the data do not determine. With 0, noise of
            more than about 0.005 makes kernels of textured or smooth pictures worse.
        saturation: data of this value or more do not count. None: all data count.
        seed: of the sample.

    Example:
        >>> from invkit.testing import small_problem
        >>> solver = MonteCarloEM(iterations=3)
        >>> solver.solve(small_problem(solver)).iterations
        3
    """

    keeps_large_blocks = True
    needs: ClassVar = {**LEAST_SQUARES_DEBLURRING, "kernel_prior": Assignable, "regularizers": Reweightable}

    @validated
    def __init__(
        self,
        *,
        iterations: PositiveInt = 8,
        rounds: PositiveInt = 2,
        cg_iterations: PositiveInt = 8,
        initial_gradient: Positive = 0.02,
        kernel_iterations: PositiveInt = 150,
        anchor: NonNegative = 10.0,
        saturation: PositiveFraction | None = None,
        seed: Seed = 0,
    ) -> None:
        self.iterations, self.rounds, self.cg_iterations = iterations, rounds, cg_iterations
        self.initial_gradient, self.kernel_iterations = initial_gradient, kernel_iterations
        self.anchor, self.saturation, self.seed = anchor, saturation, seed

    def check(self, problem: Problem) -> None:
        """Raise `AssemblyError` for a problem that the solver cannot solve."""
        super().check(problem)
        check_padding(problem, "monte-carlo-em", ("valid",))
        check_terms(problem, "monte-carlo-em")
        check_noise(problem, "monte-carlo-em")

    @torch.no_grad()
    def start(self, problem: Problem) -> MonteCarloState:
        """Take image and kernel that the priors give, and draw the sample's random numbers."""
        image, kernel = starting_point(problem)
        count = sum(len(regularizer.filters) for _, regularizer in majorised(problem))
        moments = image.new_full((count, *image.shape), self.initial_gradient**2)
        generator = torch.Generator().manual_seed(self.seed)
        draws = [torch.randn(value.shape, generator=generator).to(image) for value in (problem.data, moments)]
        return MonteCarloState(
            image=image,
            kernel=kernel,
            deviation=torch.zeros_like(image),
            moments=moments,
            previous=kernel,
            momentum=kernel.new_ones(len(kernel), 1, 1, 1),
            draws=(draws[0], draws[1]),
            mask=counted_pixels(problem.data, self.saturation),
            edges_mask=counted_gradients(problem.data, self.saturation),
        )

    @torch.no_grad()
    def step(self, problem: Problem, state: MonteCarloState) -> MonteCarloState:
        """One iteration of EM: posterior at the extrapolated kernel (E step), then the kernel (M step)."""
        momentum = (1 + (1 + 4 * state.momentum.square()).sqrt()) / 2
        ahead = project_on_simplex(state.kernel + (state.momentum - 1) / momentum * (state.kernel - state.previous))
        blur = MaskedConvolution(ahead, state.mask)
        for _ in range(self.rounds + (state.iteration == 0)):
            self._reweight(problem, state, blur)
        kernel = self._fitted_kernel(problem, state, ahead)
        restart = dot_per_image(ahead - kernel, kernel - state.kernel) > 0
        state.previous, state.kernel = state.kernel, kernel
        state.momentum = torch.where(restart, 1.0, momentum)
        state.losses.append(problem.objective(state.image, state.kernel, state.iteration).sum())
        return state

    def _reweight(self, problem: Problem, state: MonteCarloState, blur: MaskedConvolution) -> None:
        """E step: weights from the moments, then mean and sample of the Gaussian posterior, then the moments."""
        system, noise = WeightedSystem.of(problem, state.moments), noise_variance(problem)
        perturbation = blur.adjoint(state.draws[0]) + system.differences_adjoint(system.weights.sqrt() * state.draws[1])
        right = torch.cat([blur.adjoint(problem.data), noise**0.5 * perturbation], 1)
        start = torch.cat([state.image, state.deviation], 1)
        solution = system.solved(blur, right, start, self.cg_iterations)
        state.image, state.deviation = solution.chunk(2, 1)
        state.moments = system.differences(state.image).square() + system.variances(state.deviation)

    def _fitted_kernel(self, problem: Problem, state: MonteCarloState, ahead: Tensor) -> Tensor:
        """M step: the kernel that best maps gradients of mean and sample to those of the data, in expectation."""
        equations = expected_normal_equations_of_samples(
            forward_differences(state.image),
            forward_differences(state.deviation),
            forward_differences(problem.data),
            state.edges_mask,
            ahead,
        )
        weight = self.anchor * 2 * noise_variance(problem) * state.edges_mask.sum((1, 2, 3), keepdim=True)
        first = problem.kernel_prior().to(ahead)
        fitted = equations.anchored(first, weight).solved(ahead, iterations=self.kernel_iterations, sum_to_one=True)
        return cut_and_normalised(fitted, ahead)


def noise_variance(problem: Problem) -> float:
    """Variance of the data's noise, as the first regularizer's weight tells it."""
    return problem.regularizers[0].weight / 2


@dataclass(frozen=True)
class WeightedSystem(WeightedSquares):
    """``K^T M K + sum_i D_i^T W_i D_i``."""

    def solved(self, blur: MaskedConvolution, right: Tensor, start: Tensor, iterations: int) -> Tensor:
        """Solve for a mean and a deviation, (B, 2 C, H, W), by conjugate gradients.

        The preconditioner is the periodic system with the mean weights, as in `invkit.solvers.irls`.

        Args:
            blur: M K.
            right: right-hand sides, (B, 2 C, H, W).
            start: (B, 2 C, H, W).
            iterations: of the conjugate gradients.
        """
        bands: Bands = {}
        add_squares(bands, torch.cat([self.weights, self.weights], 2), self.filters)
        inverse = self.periodic_inverse(blur)
        both = MaskedConvolution(blur.kernel, torch.cat([blur.mask, blur.mask], 1))
        return conjugate_gradients(
            lambda image: add_banded(bands, image, both.normal(image).contiguous()),
            right,
            start,
            iterations=iterations,
            precondition=lambda residual: both.filtered(residual, inverse),
            inner_product=dot_per_channel,
        )

    def periodic_inverse(self, blur: MaskedConvolution) -> Tensor:
        """The spectrum of the inverse of the periodic system with the mean weights, for (B, 2 C, H, W)."""
        curvature = (blur.spectrum.real.square() + blur.spectrum.imag.square()).clamp(min=MIN_PERIODIC_CURVATURE)
        for plane, taps in zip(self.weights.mean((-2, -1), keepdim=True), self.filters, strict=True):
            curvature = curvature + plane * power_spectrum([taps], blur.grid, plane)
        return torch.cat([1 / curvature] * 2, 1).to(blur.spectrum.dtype)

    def variances(self, deviation: Tensor) -> Tensor:
        """Variances of the filters' responses from those of one sample, (K, B, C, H, W).

        Relative to ``1 / W``, to which the variance is proportional where the data say nothing, they are averaged over
        a window.
        """
        relative = self.weights * self.differences(deviation).square()
        seen = (self.weights > 0).to(relative)
        average = box_sum(relative, VARIANCE_WINDOW) / box_sum(seen, VARIANCE_WINDOW).clamp(min=1)
        return torch.where(self.weights > 0, average / self.weights.clamp(min=torch.finfo(relative.dtype).tiny), 0.0)
