"""Deconvolution in closed form, in the Fourier domain."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from ..core.interfaces import Assignable, Blur, LeastSquares, Reweightable
from ..core.parameters import validated
from ..core.problem import Problem
from ..core.solver import Solver
from ..numerics.finite_differences import power
from ..numerics.fourier import to_image, transfer
from ..numerics.geometry import size_of
from .half_quadratic import on_grid
from .masked_blur import MaskedBlur, objective
from .pixel_state import PixelState, check_padding, check_terms, starting_point

__all__ = ["Wiener"]

SMALLEST = 1e-7  # of what is divided by: frequencies that neither data nor regularizers say anything about become zero


class Wiener(Solver[PixelState]):
    """Wiener filter (Wiener 1949): the least-squares image under quadratic regularizers, in one division.

    ``X = conj(K) Y / (|K|^2 + sum_i w_i |D_i|^2)`` minimises the objective for quadratic regularizers such as
    ``gradient-l2``, which stands for a power spectrum of images that falls with the square of the frequency. Another
    regularizer counts as the quadratic that majorises it at the constant image (`Reweightable.weights` of zeros): for
    sparse penalties that is the steepest one, so that they take smaller weights here.

    The image is taken for periodic. The data are continued beyond their border so that they wrap round smoothly
    (`invkit.numerics.fourier.wrapped`); near the border the image rings more than that of ``irls`` or ``admm``.
    """

    iterations = 1
    needs: ClassVar = {
        "operator": Blur,
        "image_prior": Assignable,
        "fidelity": LeastSquares,
        "regularizers": Reweightable,
    }

    @validated
    def __init__(self) -> None:
        pass

    def check(self, problem: Problem) -> None:
        """Refuse what it cannot solve; raises `AssemblyError`."""
        super().check(problem)
        check_padding(problem, "wiener")
        check_terms(problem, "wiener")

    def start(self, problem: Problem) -> PixelState:
        """The image as the prior gives it."""
        image, kernel = starting_point(problem)
        return PixelState(image=image, kernel=kernel)

    @torch.no_grad()
    def step(self, problem: Problem, state: PixelState) -> PixelState:
        """All of it."""
        data = on_grid(problem, state.kernel)
        blur = transfer(state.kernel, size_of(data))
        curvature = blur.abs().square() + quadratic(problem, data)
        spectrum = torch.fft.rfft2(data).mul_(blur.conj()).div_(curvature.clamp_(min=SMALLEST))
        state.image = to_image(torch.fft.irfft2(spectrum, size_of(data)), size_of(state.image)).contiguous()
        state.losses.append(objective(problem, MaskedBlur.of(problem, state.kernel), state.image))
        state.converged = True
        return state


def quadratic(problem: Problem, grid: Tensor) -> Tensor:
    """``sum_i w_i |D_i|^2`` on the half grid, (1, C, *half grid), in units in which the data term is ``|K|^2``."""
    total, channels = grid.new_zeros(()), grid.shape[1]
    for term in problem.regularizers:
        if term.target == "image" and isinstance(term.regularizer, Reweightable):
            stencils = term.regularizer.stencils
            # On one pixel the mean that R is has ``channels`` values; data and image have one number of values each.
            weights = term.regularizer.weights(grid.new_zeros(len(stencils), 1, channels, 1, 1)) * channels
            for weight, stencil in zip(weights, stencils, strict=True):
                total = total + term.weight / 2 * weight * power([stencil], size_of(grid), grid)
    return total
