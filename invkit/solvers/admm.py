"""Deconvolution with unknown boundaries by the alternating direction method of multipliers (ADMM)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from ..core.fidelity_abilities import Separable
from ..core.interfaces import Proximable
from ..core.parameters import NonNegative, Positive, PositiveFraction, PositiveInt, validated
from ..core.problem import Problem, WeightedData
from ..core.ranges import AnyRange, ValueRange
from ..numerics.finite_differences import apply_filters, apply_filters_adjoint
from ..numerics.fourier import otf, to_grid, to_image
from ..numerics.geometry import margins, size_of
from .inner import Advancing
from .masked_blur import data_on_grid, is_circular
from .pixel_state import (
    LEAST_SQUARES_DEBLURRING,
    PixelState,
    check_padding,
    check_terms,
    impute_saturated,
    saturation_mask,
    starting_point,
)
from .splitting import check_weights, largest_weight, stiffness, weighted_terms

__all__ = ["ADMM", "image_upper_bound", "within_bounds"]

SATURATED_UPPER_BOUND = 8.0  # times white; the blur of a brighter pixel is itself saturated


@dataclass(kw_only=True)
class ADMMState(PixelState):
    """Image, blurred image and coefficients with their multipliers, on a periodic grid.

    With relaxation a each scaled multiplier also holds the share (1 - a) of its variable that the next step needs.

    Attributes:
        grid: x, the image and pixels that join its opposite sides, (B, C, *grid).
        blurred: ``K x``, (B, C, *grid).
        blur_gap: scaled multiplier of ``u = K x``, (B, C, *grid).
        gaps: scaled multipliers of ``z_i = D_i x``, each (K, B, C, *grid).
        bound_gap: scaled multiplier of ``z = x`` within the range, (B, C, *grid); a single zero without bounds.
        blur: the kernel's transfer function, (B, 1, *half grid).
        data_factor: factor of the spectrum of u's target in the least-squares step, (B, 1, *half grid).
        prior_factor: factor of the spectrum of the targets of all z; complex, as a mixed product takes a copy.
        saturated: which data are saturated, (B, C, H', W'), bool; None if no data are.
        upper_bound: upper bound of the image, (B, C, *grid); None if it is that of the range everywhere.
    """

    grid: Tensor
    blurred: Tensor
    blur_gap: Tensor
    gaps: list[Tensor]
    bound_gap: Tensor
    blur: Tensor
    data_factor: Tensor
    prior_factor: Tensor
    saturated: Tensor | None = None
    upper_bound: Tensor | None = None
    saved: ClassVar = ("image", "kernel", "grid", "blurred", "blur_gap", "gaps", "bound_gap")


class ADMM(Advancing[ADMMState], WeightedData, AnyRange):
    """Deconvolution whose data term ignores what lies beyond the data's border (Almeida & Figueiredo 2013).

    It minimises ``f(M u, y) + sum_i w_i g_i(z_i)`` with ``u = K x`` and ``z_i = D_i x`` by ADMM. The mask M keeps the
    blurred image u close to the data y and leaves it free elsewhere, so that no boundary condition is assumed. The
    proximal map of the fidelity f gives u there, those of the regularizers give z, and a division in the Fourier domain
    gives x. An iteration takes four transforms. With relaxation a, ``a K x + (1 - a) u`` and ``a D_i x + (1 - a) z_i``
    replace ``K x`` and ``D_i x`` (Eckstein & Bertsekas 1992). The same splitting for Poisson noise: Figueiredo,
    Bioucas-Dias, IEEE TIP 2010.

    Args:
        iterations: outer iterations.
        data_penalty: penalty of ``u = K x``; squared error has 1.
        penalty: penalty of ``z = D x``, as a multiple of the largest weight.
        relaxation: factor in (0, 2): over-relaxation above 1, under-relaxation below; 1 for none. With 1.8, 25
            iterations are about as good as 40 without relaxation.
        bound_penalty: above 0, a further splitting ``z = x`` keeps the image in its range; its penalty is this multiple
            of that of ``z = D x``. A dark or bright area then cannot ring below black or above white, and such ringing
            cannot spread. With 0 the image is clamped only in the end.
        saturation: data from this value on are saturated: they may have been brighter than they are recorded. None: no
            data are saturated.

    Example:
        >>> from invkit.testing import small_problem
        >>> solver = ADMM(iterations=5)
        >>> result = solver.solve(small_problem(solver))
        >>> result.history[-1] < result.history[0]
        True
    """

    keeps_large_blocks = True
    needs: ClassVar = {**LEAST_SQUARES_DEBLURRING, "fidelity": Separable, "regularizers": Proximable}

    @validated
    def __init__(
        self,
        *,
        iterations: PositiveInt = 40,
        data_penalty: Positive = 0.1,
        penalty: Positive = 20.0,
        relaxation: Annotated[float, Field(gt=0, lt=2)] = 1.0,
        bound_penalty: NonNegative = 0.0,
        saturation: PositiveFraction | None = None,
    ) -> None:
        self.iterations = iterations
        self.saturation = saturation
        self.data_penalty = data_penalty
        self.penalty = penalty
        self.relaxation = relaxation
        self.bound_penalty = bound_penalty

    def check(self, problem: Problem) -> None:
        """Raise `AssemblyError` for a problem that the solver cannot solve."""
        super().check(problem)
        check_padding(problem, "admm")
        check_terms(problem, "admm")
        check_weights(problem, "admm")

    @torch.no_grad()
    def start(self, problem: Problem) -> ADMMState:
        """Put the image on the grid and set the multipliers to zero."""
        image, kernel = starting_point(problem)
        size = size_of(data_on_grid(problem, kernel))
        blur, grid = otf(kernel, size), to_grid(image, size)
        rho, stiff = self._rho(problem), stiffness(problem, grid) + self.bound_penalty
        inverse = 1 / (self.data_penalty * blur.abs().square() + rho * stiff)
        saturated = saturation_mask(problem.masked(problem.data), self.saturation)
        blurred, kept, scale = torch.fft.irfft2(blur * torch.fft.rfft2(grid), size), 1 - self.relaxation, self._scale()
        return ADMMState(
            image=image,
            kernel=kernel,
            range=problem.image_prior.range,
            grid=grid,
            blurred=blurred,
            blur_gap=kept * blurred,
            gaps=[kept * apply_filters(grid, regularizer.filters) for _, regularizer in weighted_terms(problem)],
            bound_gap=kept * grid if self.bound_penalty > 0 else torch.zeros_like(grid[..., :1, :1]),
            blur=blur,
            data_factor=scale * self.data_penalty * blur.conj() * inverse,
            prior_factor=(scale * rho * inverse).to(blur.dtype),
            saturated=saturated,
            upper_bound=image_upper_bound(problem, saturated, grid, kernel),
        )

    @torch.no_grad()
    def advance(self, problem: Problem, state: ADMMState) -> ADMMState:
        """One iteration of Almeida & Figueiredo 2013: u and z by proximal maps with their multipliers, then x."""
        target = self._prior_step(problem, state)
        if self.bound_penalty > 0:
            target.add_(self._bound_step(state), alpha=self.bound_penalty)
        spectrum = torch.fft.rfft2(self._data_step(problem, state)).mul_(state.data_factor)
        spectrum.addcmul_(torch.fft.rfft2(target), state.prior_factor)
        state.grid = torch.fft.irfft2(spectrum, size_of(state.grid))
        state.blurred = torch.fft.irfft2(spectrum * state.blur, size_of(state.grid))
        state.image = to_image(state.grid, size_of(state.image))
        return state

    @torch.no_grad()
    def loss(self, problem: Problem, state: ADMMState) -> Tensor:
        """Return the data term, summed over the batch."""
        under = under_data(problem, state.blurred, state.kernel)
        return problem.data_term(under).sum()

    def _prior_step(self, problem: Problem, state: ADMMState) -> Tensor:
        """Update z and its multipliers; return ``sum_i D_i^T`` of the targets of ``D_i x``, over `_scale`."""
        rho, target = self._rho(problem), torch.zeros_like(state.grid)
        for index, (weight, regularizer) in enumerate(weighted_terms(problem)):
            scale = state.grid[0].numel() * weight / (2 * rho)  # R is a mean, the splitting is of sums
            shifted = apply_filters(state.grid, regularizer.filters)
            torch.add(state.gaps[index], shifted, alpha=self.relaxation, out=shifted)
            z = regularizer.prox(shifted, scale)
            state.gaps[index] = shifted.sub_(z, alpha=self.relaxation)
            z.sub_(state.gaps[index], alpha=1 / self._scale())
            target += apply_filters_adjoint(z, regularizer.filters)
        return target

    def _data_step(self, problem: Problem, state: ADMMState) -> Tensor:
        """Update u and its multiplier; return the target of ``K x``, over `_scale`."""
        shifted = torch.add(state.blur_gap, state.blurred, alpha=self.relaxation)
        u = shifted.clone()
        under = under_data(problem, u, state.kernel)
        data = problem.observed(under)
        if state.saturated is not None:
            data = impute_saturated(data, state.saturated, under)
        under.copy_(data_prox(problem, under, data, 1 / (2 * self.data_penalty)))
        state.blur_gap = shifted.sub_(u, alpha=self.relaxation)
        return u.sub_(state.blur_gap, alpha=1 / self._scale())

    def _bound_step(self, state: ADMMState) -> Tensor:
        """Update z within the range and its multiplier; return the target of x, over `_scale`."""
        shifted = torch.add(state.bound_gap, state.grid, alpha=self.relaxation)
        z = within_bounds(shifted, state.upper_bound, state.range)
        state.bound_gap = shifted.sub_(z, alpha=self.relaxation)
        return z.sub_(state.bound_gap, alpha=1 / self._scale())

    def _scale(self) -> float:
        """Scale of the targets: the target of a split variable z is ``scale * z - gap``."""
        return 2 - self.relaxation

    def _rho(self, problem: Problem) -> float:
        return self.penalty * largest_weight(problem)


def data_prox(problem: Problem, under: Tensor, data: Tensor, step: float) -> Tensor:
    """The proximal map of the weighted fidelity, the prediction itself where data are unknown, (B, C, H', W').

    Args:
        problem: gives the fidelity and the weights of the data.
        under: the blurred image, (B, C, H', W').
        data: (B, C, H', W').
        step: of the map for data of weight 1, > 0.
    """
    assert isinstance(problem.fidelity, Separable)  # as `needs` says
    known = problem.known
    if problem.weights is None or known is None:
        return problem.fidelity.prox(under, data, step)
    each = step * problem.weights.where(known, 1) if problem.is_graded else step
    return torch.where(known, problem.fidelity.prox(under, data, each), under)


def image_upper_bound(problem: Problem, saturated: Tensor | None, image: Tensor, kernel: Tensor) -> Tensor | None:
    """The upper bound of an image: `SATURATED_UPPER_BOUND` where data are saturated, else 1; None if none are.

    Instead of 1 it is the upper bound of the image prior's range, if that is another one.

    Args:
        problem: gives the shape of the data.
        saturated: which data are saturated, (B, C, H', W'), bool; None if no data are.
        image: gives shape, precision and device: (B, C, *grid), or (B, C, H, W) of the image itself.
        kernel: (B, 1, h, w).
    """
    if saturated is None:
        return None
    white = problem.image_prior.range[1]
    bound = torch.full_like(image, white)
    under_data(problem, bound, kernel).masked_fill_(saturated, max(white, SATURATED_UPPER_BOUND))
    return bound


def within_bounds(image: Tensor, upper_bound: Tensor | None, value_range: ValueRange) -> Tensor:
    """An image within its range.

    Args:
        image: (B, C, H, W).
        upper_bound: of `image_upper_bound`, which replaces that of the range; None for that of the range.
        value_range: of the image.
    """
    low, high = value_range
    return image.clamp(low, high) if upper_bound is None else image.clamp(min=low).minimum(upper_bound)


def under_data(problem: Problem, grid: Tensor, kernel: Tensor) -> Tensor:
    """Return the part of a grid that lies under the data, as a view.

    Args:
        problem: gives the shape of the data.
        grid: (B, C, *grid).
        kernel: (B, 1, h, w).
    """
    if is_circular(problem):
        return grid
    (height, width), ((top, _), (left, _)) = size_of(problem.data), margins(size_of(kernel))
    return grid[..., top : top + height, left : left + width]
