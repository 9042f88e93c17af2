"""Sparse deconvolution by iteratively reweighted least squares, with the borders masked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, TypeAlias

import torch
from pydantic import Field
from torch import Tensor

from ..core.interfaces import Assignable, Blur, LeastSquares, Reweightable
from ..core.parameters import Positive, PositiveInt, validated
from ..core.problem import Problem
from ..core.solver import Solver
from ..numerics.finite_differences import DifferenceFilter, apply_filters, power_spectrum, roll_image, valid_mask
from ..numerics.geometry import Size, size_of
from .masked_blur import MaskedBlur, objective
from .pixel_state import PixelState, check_padding, check_terms, starting_point

__all__ = ["IRLS", "IRLSState", "conjugate_gradients", "majorised"]

Bands: TypeAlias = dict[Size, Tensor]
"""A symmetric matrix whose rows reach only neighbours: for an offset (row, column), lexicographically >= 0, what
couples pixel n and pixel n + offset, at n; (B, C, H, W) each."""
Linear: TypeAlias = Callable[[Tensor], Tensor]

SMALLEST = 1e-6  # of the periodic system's eigenvalues; the largest of K^T K is 1
CHECK_EVERY = 5  # iterations between two looks at the residuals: each look waits for the device


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


def conjugate_gradients(
    matrix: Linear, precondition: Linear, right: Tensor, start: Tensor, *, iterations: int, tolerance: float
) -> Tensor:
    """Solve ``matrix(x) = right`` for each image and channel by preconditioned conjugate gradients.

    Args:
        matrix: symmetric positive semi-definite on each (H, W).
        precondition: symmetric positive definite likewise, near the inverse.
        right: (B, C, H, W).
        start: (B, C, H, W); left as it is.
        iterations: at most.
        tolerance: a channel is left alone once its residual's norm is below this share of that of ``right``.

    Returns:
        x, (B, C, H, W).
    """
    x, residual = start.clone(), right - matrix(start)
    enough = (tolerance**2) * dot(right, right)
    direction, along = torch.zeros_like(x), torch.zeros_like(enough)
    for iteration in range(iterations):
        active = dot(residual, residual) > enough
        if iteration % CHECK_EVERY == 0 and not bool(active.any()):
            break
        preconditioned = precondition(residual)
        before, along = along, dot(residual, preconditioned)
        direction = torch.addcmul(preconditioned, direction, ratio(along, before))
        turned = matrix(direction)
        step = ratio(along, dot(direction, turned)) * active
        x.addcmul_(direction, step)
        residual.addcmul_(turned, step, value=-1)
    return x


def dot(first: Tensor, second: Tensor) -> Tensor:
    """Inner products over the pixels, (B, C, 1, 1)."""
    return torch.einsum("bchw,bchw->bc", first, second)[..., None, None]


def ratio(above: Tensor, below: Tensor) -> Tensor:
    """The quotient, zero where the divisor is: there is nothing left to do there."""
    return torch.where(below > 0, above / below.clamp(min=torch.finfo(below.dtype).tiny), 0)


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
            lambda residual: state.blur.filtered(residual, inverse),
            state.right,
            state.image,
            iterations=self.cg_iterations,
            tolerance=self.tolerance,
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
