"""Sparse deconvolution by iteratively reweighted least squares, with the borders masked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, TypeAlias

import torch
from pydantic import Field
from torch import Tensor

from ..core.interfaces import Assignable, Blur, LeastSquares, Reweightable
from ..core.parameters import Positive, PositiveInt, validated
from ..core.problem import Problem
from ..core.solver import Solver
from ..numerics.conjugate_gradients import conjugate_gradients, dot_per_channel
from ..numerics.finite_differences import DifferenceFilter, apply_filters, power_spectrum, roll_image, valid_mask
from ..numerics.geometry import Size, size_of
from .masked_blur import MaskedBlur, objective
from .pixel_state import PixelState, check_padding, check_terms, starting_point

__all__ = ["IRLS", "IRLSState", "majorised"]

Bands: TypeAlias = dict[Size, Tensor]
"""A symmetric matrix whose rows reach only neighbours: for an offset (row, column), lexicographically >= 0, what
couples pixel n and pixel n + offset, at n; (B, C, H, W) each."""

SMALLEST = 1e-6  # of the periodic system's eigenvalues; the largest of K^T K is 1


def add_squares(bands: Bands, weights: Tensor, filters: Sequence[DifferenceFilter]) -> None:
    """Add ``sum_k D_k^T W_k D_k`` to ``bands``.

    Args:
        bands: changed in place.
        weights: W, (K, B, C, H, W); where a filter reaches across the border they count as zero.
        filters: D, K of them.
    """
    for plane, taps in zip(weights, filters, strict=True):
        within = plane * valid_mask(taps, plane)
        for row, column, first in taps:
            for other_row, other_column, second in taps:
                offset = (other_row - row, other_column - column)
                if offset >= (0, 0):
                    term = first * second * roll_image(within, row, column)
                    bands[offset] = bands[offset].add_(term) if offset in bands else term


def add_banded(bands: Bands, image: Tensor, result: Tensor) -> Tensor:
    """Add the banded matrix times an image to ``result``, in place."""
    height, width = size_of(image)
    for (row, column), band in bands.items():
        if (row, column) == (0, 0):
            result.addcmul_(band, image)
            continue
        here = (..., slice(0, height - row), slice(max(0, -column), width - max(0, column)))
        there = (..., slice(row, height), slice(max(0, column), width - max(0, -column)))
        result[here].addcmul_(band[here], image[there])
        result[there].addcmul_(band[here], image[here])
    return result


@dataclass(kw_only=True)
class IRLSState(PixelState):
    """The image, with what every step needs of data and kernel.

    Attributes:
        blur: K.
        right: ``K^T y``, (B, C, H, W).
    """

    blur: MaskedBlur
    right: Tensor


class IRLS(Solver[IRLSState]):
    """Sparse deconvolution by iteratively reweighted least squares (Levin, Fergus, Durand, Freeman 2007).

    Minimises the problem's objective with the exact model of the border: each regularizer is replaced by the weighted
    squares that majorise it at the current image, and what then is a linear system,
    ``(K^T K + sum_i w_i D_i^T W_i D_i) x = K^T y``, is solved by conjugate gradients from that image. No step raises
    the objective, so far as it is solved exactly. In the first step the weights are uniform, as for a quadratic
    penalty: those of one and the same difference, ``initial_edge``, everywhere.

    The gradients are preconditioned by the system of a periodic image with uniform weights, which Fourier transforms
    invert; the paper takes plain ones. One step takes one reweighting.

    Args:
        reweightings: steps, the first with uniform weights among them; the paper takes 1 + 2.
        cg_iterations: of conjugate gradients in a step, at most.
        tolerance: of conjugate gradients, the residual's norm as a share of the right-hand side's.
        initial_edge: the difference whose weights the first step takes, in [0, 1] units.
    """

    needs: ClassVar = {
        "operator": Blur,
        "image_prior": Assignable,
        "fidelity": LeastSquares,
        "regularizers": Reweightable,
    }

    @validated
    def __init__(
        self,
        *,
        reweightings: Annotated[PositiveInt, Field(description="steps; the first has uniform weights")] = 3,
        cg_iterations: Annotated[PositiveInt, Field(description="conjugate gradients in a step, at most")] = 200,
        tolerance: Annotated[
            float, Field(ge=0, lt=1, description="residual at which they end, as a share of the right-hand side")
        ] = 3e-5,
        initial_edge: Annotated[
            Positive, Field(description="difference ([0, 1] units) whose weights the first step takes")
        ] = 0.1,
    ) -> None:
        self.iterations = reweightings
        self.cg_iterations = cg_iterations
        self.tolerance = tolerance
        self.initial_edge = initial_edge

    def check(self, problem: Problem) -> None:
        """Refuse what it cannot solve; raises `AssemblyError`."""
        super().check(problem)
        check_padding(problem, "irls")
        check_terms(problem, "irls")

    @torch.no_grad()
    def start(self, problem: Problem) -> IRLSState:
        """The image as the prior gives it."""
        image, kernel = starting_point(problem)
        blur = MaskedBlur.of(problem, kernel)
        return IRLSState(image=image, kernel=kernel, blur=blur, right=blur.adjoint(problem.data))

    @torch.no_grad()
    def step(self, problem: Problem, state: IRLSState) -> IRLSState:
        """Weights from the image, then the image from the weights."""
        bands, inverse = self._system(problem, state)
        state.image = conjugate_gradients(
            lambda image: add_banded(bands, image, state.blur.normal(image)),
            state.right,
            state.image,
            iterations=self.cg_iterations,
            tolerance=self.tolerance,
            precondition=lambda residual: state.blur.filtered(residual, inverse),
            inner_product=dot_per_channel,
        )
        state.losses.append(objective(problem, state.blur, state.image))
        return state

    def _system(self, problem: Problem, state: IRLSState) -> tuple[Bands, Tensor]:
        """``sum_i w_i D_i^T W_i D_i``, and the inverse of the periodic system with the mean weights, a spectrum."""
        bands: Bands = {}
        curvature = state.blur.spectrum.abs().square().clamp(min=SMALLEST)
        for scale, regularizer in majorised(problem):
            coefficients = apply_filters(state.image, regularizer.filters, wrap=False)
            if state.iteration == 0:
                coefficients.fill_(self.initial_edge)
            weights = regularizer.weights(coefficients) * scale
            add_squares(bands, weights, regularizer.filters)
            for plane, taps in zip(weights.mean((-2, -1), keepdim=True), regularizer.filters, strict=True):
                curvature = curvature + plane * power_spectrum([taps], state.blur.grid, plane)
        return bands, 1 / curvature


def majorised(problem: Problem) -> list[tuple[float, Reweightable]]:
    """The terms on the image, each with what makes its weights those of the sum of squares ``|K x - y|^2``."""
    half = problem.data[0].numel() / 2  # the fidelity is a mean, the majoriser has a factor 1/2
    return [
        (half * term.weight, term.regularizer)
        for term in problem.regularizers
        if term.target == "image" and isinstance(term.regularizer, Reweightable)
    ]
