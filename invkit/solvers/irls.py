"""Sparse deconvolution with unknown boundaries by iteratively reweighted least squares (IRLS)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from ..core.interfaces import Attracting, Majorised
from ..core.parameters import NonNegativeInt, Positive, PositiveInt, validated
from ..core.problem import Problem, WeightedData
from ..core.ranges import AnyRange
from ..numerics.conjugate_gradients import conjugate_gradients, dot_per_channel
from ..numerics.finite_differences import (
    IDENTITY,
    apply_filters,
    power_spectrum,
)
from .inner import Advancing
from .masked_blur import MaskedBlur, objective
from .pixel_state import LEAST_SQUARES_DEBLURRING, PixelState, check_padding, check_terms, starting_point
from .weighted_squares import Bands, add_banded, add_squares, majorised, scaled_regularizers

__all__ = ["IRLS", "IRLSState"]

MIN_EIGENVALUE = 1e-6  # of the periodic system; the largest eigenvalue of K^T K is 1


@dataclass(kw_only=True)
class IRLSState(PixelState):
    """The image, and what every step needs of the data and the kernel.

    Attributes:
        blur: K.
        right: ``K^T y``, (B, C, H, W).
        source: the image at the start, (B, C, H, W).
    """

    blur: MaskedBlur
    right: Tensor
    source: Tensor


class IRLS(Advancing[IRLSState], WeightedData, AnyRange):
    """Sparse deconvolution by iteratively reweighted least squares (Levin, Fergus, Durand, Freeman 2007).

    It minimises the problem's objective with the exact model of the border. Each regularizer is replaced by the
    weighted squares that majorise it at the current image. Conjugate gradients from that image solve the linear system
    ``(K^T K + sum_i w_i D_i^T W_i D_i) x = K^T y``. As far as it is solved exactly, no step increases the objective.
    The first step has uniform weights, those of the difference ``initial_edge``, as for a quadratic penalty.

    A regularizer that attracts the image (`Attracting`, as edge-patches) adds ``w W (x - t)^2 / 2``. Its weights and
    targets come from the image of the previous step. New targets may increase the objective.

    The conjugate gradients are preconditioned by the system of a periodic image with uniform weights, which Fourier
    transforms invert; the paper uses no preconditioner. One step is one reweighting.

    Args:
        reweightings: number of steps, including the first one with uniform weights; the paper uses 1 + 2.
        cg_iterations: largest number of conjugate-gradient iterations in a step.
        tolerance: norm of the residual, relative to that of the right-hand side, at which a step ends.
        initial_edge: difference, in [0, 1] units, that defines the weights of the first step.
        attract_from: the step, counted from 0, from which regularizers attract the image. From step 1 on, the targets
            come from an image that the current kernel has deconvolved; from step 0 on, first from the prior's image.

    Example:
        >>> from invkit.testing import small_problem
        >>> solver = IRLS(reweightings=2)
        >>> result = solver.solve(small_problem(solver))
        >>> result.history[-1] < result.history[0]
        True
    """

    keeps_large_blocks = True
    needs: ClassVar = {**LEAST_SQUARES_DEBLURRING, "regularizers": Majorised}

    @validated
    def __init__(
        self,
        *,
        reweightings: PositiveInt = 3,
        cg_iterations: PositiveInt = 200,
        tolerance: Annotated[float, Field(ge=0, lt=1)] = 3e-5,
        initial_edge: Positive = 0.1,
        attract_from: NonNegativeInt = 1,
    ) -> None:
        self.iterations = reweightings
        self.cg_iterations = cg_iterations
        self.tolerance = tolerance
        self.initial_edge = initial_edge
        self.attract_from = attract_from

    def check(self, problem: Problem) -> None:
        """Raise `AssemblyError` for a problem that the solver cannot solve."""
        super().check(problem)
        check_padding(problem, "irls")
        check_terms(problem, "irls")

    @torch.no_grad()
    def start(self, problem: Problem) -> IRLSState:
        """Take the image that the prior gives."""
        image, kernel = starting_point(problem)
        blur = MaskedBlur.of(problem, kernel)
        return IRLSState(
            image=image,
            kernel=kernel,
            range=problem.image_prior.range,
            blur=blur,
            right=blur.adjoint(problem.data),
            source=image,
        )

    @torch.no_grad()
    def advance(self, problem: Problem, state: IRLSState) -> IRLSState:
        """One reweighting of Levin et al. 2007: weights from the image, then the image by conjugate gradients."""
        bands, right, inverse = self._system(problem, state)
        state.image = conjugate_gradients(
            lambda image: add_banded(bands, image, state.blur.normal(image)),
            right,
            state.image,
            iterations=self.cg_iterations,
            tolerance=self.tolerance,
            precondition=lambda residual: state.blur.filtered(residual, inverse),
            inner_product=dot_per_channel,
        )
        return state

    @torch.no_grad()
    def loss(self, problem: Problem, state: IRLSState) -> Tensor:
        """Return the objective, summed over the batch."""
        return objective(problem, state.blur, state.image)

    def _system(self, problem: Problem, state: IRLSState) -> tuple[Bands, Tensor, Tensor]:
        """Return the terms' part of the matrix, the right side, and the spectrum of an approximate inverse.

        The part of the matrix is ``sum_i w_i D_i^T W_i D_i``, the right side ``K^T y + sum_j w_j W_j t_j``; the inverse
        is that of the periodic system with the mean weights.
        """
        bands: Bands = {}
        curvature = state.blur.spectrum.abs().square().clamp(min=MIN_EIGENVALUE)
        for scale, regularizer in majorised(problem):
            coefficients = apply_filters(state.image, regularizer.filters, wrap=False)
            if state.iteration == 0:
                coefficients.fill_(self.initial_edge)
            weights = regularizer.weights(coefficients) * scale
            add_squares(bands, weights, regularizer.filters)
            for plane, taps in zip(weights.mean((-2, -1), keepdim=True), regularizer.filters, strict=True):
                curvature = curvature + plane * power_spectrum([taps], state.blur.grid, plane)
        right = state.right
        for scale, attracting in attractions(problem) if state.iteration >= self.attract_from else ():
            weights, targets = attracting.attraction(state.image, state.source)
            weights = weights * scale
            add_squares(bands, weights[None], [IDENTITY])
            right = right + weights * targets
            curvature = curvature + weights.mean((-2, -1), keepdim=True)
        return bands, right, 1 / curvature


def attractions(problem: Problem) -> list[tuple[float, Attracting]]:
    """Return the terms that attract the image, each with its weight relative to the sum of squares ``|K x - y|^2``."""
    return [(scale, one) for scale, one in scaled_regularizers(problem) if isinstance(one, Attracting)]
