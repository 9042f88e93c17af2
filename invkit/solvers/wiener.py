"""Deconvolution in closed form, in the Fourier domain."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor

from ..core.interfaces import Reweightable
from ..core.memory import StatesMemory
from ..core.parameters import validated
from ..core.problem import Problem
from ..core.ranges import AnyRange
from ..core.solver import Solver
from ..numerics.finite_differences import power_spectrum
from ..numerics.fourier import inverse_transform, otf, to_image, transform
from ..numerics.geometry import Sides, sides_of
from .masked_blur import MaskedBlur, axes_of, data_on_grid, objective
from .pixel_state import CONVOLVED, PixelState, check_padding, check_terms, starting_point

__all__ = ["Wiener"]

NUMBERS_PER_VALUE = 15  # of the image, which the filter takes
MIN_WIENER_DIVISOR = 1e-7  # frequencies that neither the data nor the regularizers determine become zero


class Wiener(Solver[PixelState], AnyRange, StatesMemory):
    """Wiener filter (Wiener 1949): the least-squares image under quadratic regularizers, by one division.

    ``X = conj(K) Y / (|K|^2 + sum_i w_i |D_i|^2)`` minimises the objective for quadratic regularizers such as
    ``gradient-l2``, which assumes that the power spectrum of images falls with the square of the frequency. Any other
    regularizer is replaced by the quadratic that majorises it at the constant image (`Reweightable.weights` of zeros).
    This is the steepest one for sparse penalties, so they need smaller weights here.

    The image is taken as periodic. The data are extended beyond their border so that opposite sides join smoothly
    (`invkit.numerics.fourier.extend_periodically`). The border rings more than with ``irls`` or ``admm``.
    """

    iterations = 1
    memory_remedy = "solve it in tiles (solver=tiles with this solver as solver.inner)"
    needs: ClassVar = {**CONVOLVED, "regularizers": Reweightable}

    @validated
    def __init__(self) -> None:
        pass

    def check(self, problem: Problem) -> None:
        """Raise `AssemblyError` for a problem that the solver cannot solve."""
        super().check(problem)
        check_padding(problem, "wiener")
        check_terms(problem, "wiener")

    def memory_needed(self, problem: Problem) -> int:
        """Return about how many bytes a solve takes besides the problem itself."""
        return problem.data.element_size() * NUMBERS_PER_VALUE * math.prod(problem.image_prior.shape)

    def start(self, problem: Problem) -> PixelState:
        """Take the image that the prior gives."""
        image, kernel = starting_point(problem)
        return PixelState(image=image, kernel=kernel, range=problem.image_prior.range)

    @torch.no_grad()
    def step(self, problem: Problem, state: PixelState) -> PixelState:
        """Divide the spectra; there is no other step."""
        data, axes = data_on_grid(problem, state.kernel), axes_of(problem)
        size = sides_of(data, axes)
        blur = otf(state.kernel, size)
        curvature = blur.abs().square() + quadratic(problem, data, size)
        spectrum = transform(data, size).mul_(blur.conj()).div_(curvature.clamp_(min=MIN_WIENER_DIVISOR))
        state.image = to_image(inverse_transform(spectrum, size), sides_of(state.image, axes)).contiguous()
        state.losses.append(objective(problem, MaskedBlur.of(problem, state.kernel), state.image))
        state.converged = True
        return state


def quadratic(problem: Problem, grid: Tensor, size: Sides) -> Tensor:
    """``sum_i w_i |D_i|^2`` on the half grid, in units in which the data term is ``|K|^2``.

    Args:
        problem: gives the regularizers.
        grid: (B, C, H, W), gives channels, precision and device.
        size: of the grid, (H, W), or (D, H, W) of a stack.

    Returns:
        (1, C, *half grid), or (*half grid) of a stack.
    """
    total, channels = grid.new_zeros(()), grid.shape[1]
    for term in problem.regularizers:
        if term.target == "image" and isinstance(term.regularizer, Reweightable):
            filters = term.regularizer.filters
            # R is the mean of ``channels`` values for one pixel; data and image have equally many values per pixel.
            weights = term.regularizer.weights(grid.new_zeros(len(filters), 1, channels, 1, 1)) * channels
            for weight, taps in zip(weights, filters, strict=True):
                factor = weight if len(size) == 2 else weight.mean()  # of a stack, every plane has the same
                total = total + term.weight / 2 * factor * power_spectrum([taps], size, grid)
    return total
