"""Half-quadratic splitting with a denoiser, with unknown boundaries and unknown or saturated data."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from ..core.errors import AssemblyError
from ..core.interfaces import Denoising, Proximable
from ..core.parameters import Positive, PositiveFraction, PositiveInt, validated
from ..core.problem import Problem, Term, WeightedData
from ..core.ranges import AnyRange
from ..core.solver import Solver
from ..numerics.conjugate_gradients import conjugate_gradients, dot_per_channel
from ..numerics.geometry import Size
from .admm import image_upper_bound, within_bounds
from .inner import Advancing, run_inner
from .masked_blur import MaskedBlur
from .pixel_state import (
    LEAST_SQUARES_DEBLURRING,
    PixelState,
    check_padding,
    check_terms,
    impute_saturated,
    saturation_mask,
    starting_point,
)

__all__ = ["DenoisingHalfQuadratic"]

CG_TOLERANCE = 1e-4  # of the residual's norm, relative to that of the right-hand side


@dataclass(kw_only=True)
class DenoisingState(PixelState):
    """The image, and what every step needs of the data and the kernel.

    Attributes:
        blur: K, from the image to the data.
        saturated: which data are saturated, (B, C, H', W'), bool; None if no data are.
        upper_bound: of the image, (B, C, H, W); None if it is that of the range everywhere.
    """

    blur: MaskedBlur
    saturated: Tensor | None
    upper_bound: Tensor | None


class DenoisingHalfQuadratic(Advancing[DenoisingState], WeightedData, AnyRange):
    """Deconvolution by half-quadratic splitting with a denoiser, whose noise level falls from step to step.

    It minimises ``|M (K x - y)|^2 + w R(z) + beta |x - z|^2`` over z, by the denoiser at the noise level
    ``sqrt(w / (2 beta))``, and over x, by conjugate gradients, once for each beta. With the regularizer
    ``patch-mixture`` this is the method of Zoran & Weiss 2011; with a network of ``plug-and-play`` it is that of Zhang
    et al., "Plug-and-Play Image Restoration with Deep Denoiser Prior", TPAMI 2022. The mask M leaves out what lies
    beyond the border and unknown data, so that no boundary condition is assumed.

    Noise levels form a geometric sequence from ``noise_start`` to ``sqrt(w / (2 beta_max))``. With ``w = 2 sigma^2``,
    ``beta_max`` 1 ends with the noise level of the data, and 1/4 with twice that level.

    A denoiser that treats blocks of pixels alike, such as ``patch-mixture`` with a stride, leaves traces of its blocks.
    Every step therefore shifts the image by other numbers of pixels before the denoiser, and back afterwards, as in the
    cycle spinning of Coifman & Donoho 1995.

    A few steps do not remove the errors that a poor first image has far from the data's noise: rings and the lost
    border of large kernels. Another solver, ``initial``, may therefore compute the first image from the regularizers
    that are not denoisers. Without it the first image is that of the image prior.

    Args:
        iterations: number of noise levels.
        noise_start: first noise level, in [0, 1] units; the last one if that is higher.
        beta_max: last beta; the data term has 1.
        shifts: shifts of the image along each side, from 0 to one less than this number of pixels; 1 for none.
        cg_iterations: largest number of conjugate-gradient iterations in a step.
        saturation: data from this value on are saturated: they may have been brighter than they are recorded. None: no
            data are saturated.
        initial: solver of the first image, which keeps the kernel fixed; None for none.

    Example:
        >>> from invkit.testing import small_problem
        >>> solver = DenoisingHalfQuadratic(iterations=3)
        >>> result = solver.solve(small_problem(solver))
        >>> result.history[-1] < result.history[0]
        True
    """

    keeps_large_blocks = True
    needs: ClassVar = {**LEAST_SQUARES_DEBLURRING, "regularizers": Proximable}

    @validated
    def __init__(
        self,
        *,
        iterations: PositiveInt = 8,
        noise_start: Positive = 0.1,
        beta_max: Positive = 0.45,
        shifts: Annotated[int, Field(ge=1, le=64)] = 4,
        cg_iterations: PositiveInt = 4,
        saturation: PositiveFraction | None = None,
        initial: Annotated[Solver[Any], Field(examples=["admm"])] | None = None,
    ) -> None:
        self.iterations = iterations
        self.noise_start = noise_start
        self.beta_max = beta_max
        self.shifts = shifts
        self.cg_iterations = cg_iterations
        self.saturation = saturation
        self.initial = initial

    def check(self, problem: Problem) -> None:
        """Raise `AssemblyError` for a problem that the solver cannot solve."""
        super().check(problem)
        check_padding(problem, "denoising-half-quadratic")
        check_terms(problem, "denoising-half-quadratic")
        number, others = len(denoising_terms(problem)), without_denoisers(problem).regularizers
        if number != 1:
            raise AssemblyError(
                "denoising-half-quadratic needs one regularizer that is a denoiser, with a weight above zero, and "
                f"there are {number or 'none'}; give one, such as patch-mixture or plug-and-play"
            )
        if self.initial is not None:
            self.initial.check(without_denoisers(problem))
        elif others:
            raise AssemblyError(
                f"denoising-half-quadratic ignores {type(others[0].regularizer).__name__}, which is not a denoiser; "
                "remove it from the regularizers, or set 'initial' to a solver that computes the first image with it"
            )

    @torch.no_grad()
    def start(self, problem: Problem) -> DenoisingState:
        """Compute the first image."""
        image, kernel = starting_point(problem)
        if self.initial is not None:
            image = run_inner(self.initial, without_denoisers(problem)).estimate()[0].detach()
        saturated = saturation_mask(problem.masked(problem.data), self.saturation)
        bound = image_upper_bound(problem, saturated, image, kernel)
        blur = MaskedBlur.of(problem, kernel)
        return DenoisingState(
            image=image,
            kernel=kernel,
            range=problem.image_prior.range,
            blur=blur,
            saturated=saturated,
            upper_bound=bound,
        )

    @torch.no_grad()
    def advance(self, problem: Problem, state: DenoisingState) -> DenoisingState:
        """One beta of Zoran & Weiss 2011, Sec. 3: z by the denoiser, then x by least squares."""
        term = denoising_terms(problem)[0]
        noise = self.noise_level(term.weight, state.iteration)
        beta = term.weight / (2 * noise**2)
        z = denoised(
            term, within_bounds(state.image, state.upper_bound, state.range), noise, self.shift(state.iteration)
        )
        inverse = 1 / (state.blur.spectrum.abs().square() + beta)
        state.image = conjugate_gradients(
            lambda image: state.blur.normal(image).add_(image, alpha=beta),
            state.blur.adjoint(self.data(problem, state, z)).add_(z, alpha=beta),
            z,
            iterations=self.cg_iterations,
            tolerance=CG_TOLERANCE,
            precondition=lambda residual: state.blur.filtered(residual, inverse),
            inner_product=dot_per_channel,
        )
        return state

    @torch.no_grad()
    def loss(self, problem: Problem, state: DenoisingState) -> Tensor:
        """Return the data term, summed over the batch."""
        predicted = state.blur.forward(state.image)
        return problem.data_term(predicted).sum()

    def noise_level(self, weight: float, iteration: int) -> float:
        """The noise level of an iteration, for a weight of the denoiser.

        Example:
            >>> solver = DenoisingHalfQuadratic(iterations=3, noise_start=0.1, beta_max=0.5)
            >>> [round(solver.noise_level(1e-6, i), 4) for i in range(3)]
            [0.1, 0.01, 0.001]
        """
        last = math.sqrt(weight / (2 * self.beta_max))
        first = max(self.noise_start, last)
        share = 1.0 if self.iterations == 1 else min(1.0, iteration / (self.iterations - 1))
        return first * math.pow(last / first, share)

    def shift(self, iteration: int) -> Size:
        """The shift of an iteration (down, right), in pixels; neighbouring iterations have unlike shifts.

        Example:
            >>> [DenoisingHalfQuadratic(shifts=4).shift(i) for i in range(5)]
            [(0, 0), (1, 2), (2, 1), (3, 3), (0, 2)]
        """
        return iteration % self.shifts, (2 * iteration + iteration // 2) % self.shifts

    def data(self, problem: Problem, state: DenoisingState, image: Tensor) -> Tensor:
        """Return the data, with a brighter prediction from an image (B, C, H, W) where they are saturated."""
        if state.saturated is None:
            return problem.data
        return impute_saturated(problem.data, state.saturated, state.blur.forward(image))


def denoising_terms(problem: Problem) -> list[Term]:
    """The terms of denoisers with a weight above zero."""
    return [term for term in problem.regularizers if isinstance(term.regularizer, Denoising) and term.weight > 0]


def without_denoisers(problem: Problem) -> Problem:
    """The problem with the other terms on the image only, of a weight above zero."""
    others = [term for term in problem.regularizers if not isinstance(term.regularizer, Denoising) and term.weight > 0]
    return replace(problem, regularizers=others)


def denoised(term: Term, image: Tensor, noise: float, shift: Size) -> Tensor:
    """An image after the denoiser of a term.

    Args:
        term: of a regularizer of type `Denoising`.
        image: (B, C, H, W).
        noise: noise level, > 0.
        shift: lines that repeat the first row, and the first column, in front of the image for the denoiser.
    """
    assert isinstance(term.regularizer, Denoising)  # as `denoising_terms` says
    shifted = F.pad(image, (shift[1], 0, shift[0], 0), mode="replicate")
    found = term.regularizer.prox(shifted[None], noise**2 * shifted[0].numel())[0]
    return found[..., shift[0] :, shift[1] :]
