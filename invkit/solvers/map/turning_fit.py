"""Fits of a turning camera's kernel and angles to sharp edges and their blurred counterparts in patches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ...numerics.fourier import fast_size
from ...numerics.geometry import Size, size_of
from ...numerics.turning import TurningMap, angle_functions
from .normal_equations import Toeplitz, accelerated_descent, largest_eigenvalue, project_on_simplex

__all__ = ["PatchEdges", "fitted_coefficients", "fitted_taps"]

DIFFERENCE = 0.2  # pixels, by which a coefficient is changed for a derivative
DAMPING = 0.02  # of the diagonal of the normal matrix
LEAST_CURVATURE = 0.02  # of the largest entry of this diagonal
HALVING, SHORTEST = 0.4, 0.1  # of a step that does not lower the error
MIN_TAP = 0.05  # of the largest: fainter ones do not limit a step


@dataclass(frozen=True)
class PatchEdges:
    """Selected edges of sharp patches, and those of the data.

    Attributes:
        spectrum: of the sharp edges on ``grid``, (N, S, ., .).
        grid: large enough for the full convolution.
        blurred: edges of the data, (N, S, H, W).
        kernel_size: (h, w) of the kernels, which the sharp edges exceed the data by.
    """

    spectrum: Tensor
    grid: Size
    blurred: Tensor
    kernel_size: Size

    @classmethod
    def of(cls, sharp: Tensor, blurred: Tensor, kernel_size: Size) -> PatchEdges:
        """Transform the sharp edges.

        Args:
            sharp: (N, S, H + h - 1, W + w - 1).
            blurred: (N, S, H, W).
            kernel_size: (h, w).
        """
        grid = fast_size((sharp.shape[-2] + kernel_size[0] - 1, sharp.shape[-1] + kernel_size[1] - 1))
        return cls(torch.fft.rfft2(sharp, grid), grid, blurred, kernel_size)

    def predicted(self, kernels: Tensor) -> Tensor:
        """The sharp edges blurred by the kernel of each patch: (N, 1, h, w) -> (N, S, H, W)."""
        (h, w), (height, width) = self.kernel_size, size_of(self.blurred)
        full: Tensor = torch.fft.irfft2(torch.fft.rfft2(kernels, self.grid) * self.spectrum, self.grid)
        return full[..., h - 1 : h - 1 + height, w - 1 : w - 1 + width]

    def adjoint(self, edges: Tensor) -> Tensor:
        """The adjoint of `predicted`: (N, S, H, W) -> (N, 1, h, w)."""
        (h, w), (height, width) = self.kernel_size, size_of(edges)
        place = (w - 1, self.grid[1] - (w - 1) - width, h - 1, self.grid[0] - (h - 1) - height)
        product = (torch.fft.rfft2(F.pad(edges, place)) * self.spectrum.conj()).sum(1, keepdim=True)
        kernels: Tensor = torch.fft.irfft2(product, self.grid)
        return kernels[..., :h, :w]

    def error(self, kernels: Tensor) -> float:
        """The sum of squared differences from the data's edges."""
        return float((self.predicted(kernels) - self.blurred).square().sum())


@dataclass(frozen=True)
class TapsProduct(Toeplitz):
    """The normal matrix of the taps in the centre, ``scale M^T A^T A M + ridge``, for taps as (1, 1, 1, S)."""

    edges: PatchEdges
    turning: TurningMap
    scale: float | Tensor = 1.0
    ridge: float | Tensor = 0.0

    def __call__(self, kernel: Tensor) -> Tensor:
        """(1, 1, 1, S) -> (1, 1, 1, S)."""
        normal = self.edges.adjoint(self.edges.predicted(self.turning.kernels(kernel.flatten())))
        return self.scale * self.turning.adjoint(normal).view_as(kernel) + self.ridge * kernel

    def ridged(self, weight: Tensor | float) -> TapsProduct:
        """Add ``weight`` to the diagonal."""
        return TapsProduct(self.edges, self.turning, self.scale, self.ridge + weight)

    def scaled(self, factor: Tensor) -> TapsProduct:
        """Multiply every entry by ``factor``."""
        return TapsProduct(self.edges, self.turning, self.scale * factor, self.ridge * factor)


def fitted_taps(edges: PatchEdges, turning: TurningMap, start: Tensor, ridge: float, iterations: int) -> Tensor:
    """The taps whose kernels best blur the sharp edges into the data's, >= 0, summing to one; (S,).

    Args:
        edges: of the patches.
        turning: from taps to the kernels of the patches.
        start: (S,), >= 0, summing to one.
        ridge: weight of the squared taps, as a multiple of the normal matrix's largest eigenvalue.
        iterations: projected gradients.
    """
    product, taps = TapsProduct(edges, turning), start.view(1, 1, 1, -1)
    bound = largest_eigenvalue(product, taps)
    right = turning.adjoint(edges.adjoint(edges.blurred)).view_as(taps)
    ridged = product.ridged(ridge * bound)
    return accelerated_descent(ridged, right, taps, iterations, (1 + ridge) * bound, project_on_simplex).flatten()


def fitted_coefficients(
    edges: PatchEdges, kernels_of: Callable[[Tensor], Tensor], coefficients: Tensor, kernel: Tensor, steps: int
) -> Tensor:
    """The coefficients of the angles after some damped Gauss-Newton steps on the error of the edges, (5,).

    Args:
        edges: of the patches.
        kernels_of: gives the kernels of the patches, (N, 1, h, w), of coefficients.
        coefficients: to start from, in pixels by which the picture's corners move.
        kernel: in the centre, (h, w); no tap with much light turns by more than a pixel in one step.
        steps: at most so many.
    """
    functions, shown = angle_functions(size_of(kernel)).to(kernel), kernel > MIN_TAP * kernel.max()
    for _ in range(steps):
        residual = edges.predicted(kernels_of(coefficients)) - edges.blurred
        slopes = torch.stack([slope(edges, kernels_of, coefficients, unit) for unit in torch.eye(len(coefficients))])
        flat = slopes.flatten(1)
        normal, gradient = flat @ flat.T, flat @ residual.flatten()
        diagonal = normal.diagonal().clamp(min=LEAST_CURVATURE * float(normal.diagonal().max()) + 1e-30)
        change = -torch.linalg.solve(normal + DAMPING * torch.diag(diagonal), gradient)
        largest = float(torch.einsum("i,ihw->hw", change, functions)[shown].abs().max())
        change, share, before = change / max(1.0, largest), 1.0, float(residual.square().sum())
        while share > SHORTEST and edges.error(kernels_of(coefficients + share * change)) >= before:
            share *= HALVING
        if share <= SHORTEST:
            break
        coefficients = coefficients + share * change
    return coefficients


def slope(edges: PatchEdges, kernels_of: Callable[[Tensor], Tensor], coefficients: Tensor, unit: Tensor) -> Tensor:
    """The derivative of the predicted edges by one coefficient, (N, S, H, W), as a central difference.

    Args:
        edges: of the patches.
        kernels_of: see `fitted_coefficients`.
        coefficients: (5,).
        unit: (5,), one for the coefficient.
    """
    step = DIFFERENCE * unit.to(coefficients)
    difference = kernels_of(coefficients + step) - kernels_of(coefficients - step)
    return edges.predicted(difference / (2 * DIFFERENCE))
