"""The blur of a problem by Fourier transforms on a grid, without assumptions about the image beyond the border."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..core.interfaces import Blur
from ..core.problem import Problem
from ..numerics.fourier import extend_periodically, grid_size, otf
from ..numerics.geometry import Size, margins, size_of

__all__ = ["MaskedBlur", "data_on_grid", "is_circular", "objective"]


@dataclass(frozen=True)
class MaskedBlur:
    """``K`` from an image to the data of a problem whose padding is "valid" or "circular", with its adjoint.

    It equals the problem's operator. Solvers use it for ``K^T W K`` and for filters on the same grid. The adjoint and
    the normal map have the weights W of the data, which are zero where data are unknown.

    Attributes:
        spectrum: the kernel's transfer function, (B, 1, *half grid).
        grid: size of the grid.
        image_size: size of the image, which lies in the grid's first corner.
        data_size: size of the data.
        corner: (row, column) of the image at which the data begin.
        weights: W, of the data, (B, C, *data size); None: all 1.
    """

    spectrum: Tensor
    grid: Size
    image_size: Size
    data_size: Size
    corner: Size
    weights: Tensor | None = None

    @classmethod
    def of(cls, problem: Problem, kernel: Tensor) -> MaskedBlur:
        """Return the blur of a problem by a kernel (B, 1, h, w)."""
        data_size = size_of(problem.data)
        image_size = (problem.image_prior.shape[-2], problem.image_prior.shape[-1])
        if is_circular(problem):
            return cls(otf(kernel, data_size), data_size, data_size, data_size, (0, 0), problem.weights)
        (top, _), (left, _) = margins(size_of(kernel))
        grid = grid_size(data_size, size_of(kernel))
        return cls(otf(kernel, grid), grid, image_size, data_size, (top, left), problem.weights)

    def by(self, kernel: Tensor) -> MaskedBlur:
        """Return the blur from the same image to the same data by another kernel (B, 1, h, w) of the same size."""
        return replace(self, spectrum=otf(kernel, self.grid))

    def forward(self, image: Tensor) -> Tensor:
        """``K x``: (B, C, H, W) -> (B, C, H', W')."""
        return self._framed(self._filtered(image, self.spectrum)).contiguous()

    def adjoint(self, data: Tensor) -> Tensor:
        """``K^T W y``: (B, C, H', W') -> (B, C, H, W)."""
        data = data if self.weights is None else data * self.weights
        grid = data.new_zeros(*data.shape[:2], *self.grid)
        self._framed(grid).copy_(data)
        return self._cropped(self._filtered(grid, self.spectrum.conj()))

    def normal(self, image: Tensor) -> Tensor:
        """``K^T W K x``; the same shape."""
        blurred = self._filtered(image, self.spectrum)
        (row, column), (height, width) = self.corner, self.data_size
        blurred[..., :row, :] = 0
        blurred[..., row + height :, :] = 0
        blurred[..., :column] = 0
        blurred[..., column + width :] = 0
        if self.weights is not None:
            self._framed(blurred).mul_(self.weights)
        return self._cropped(self._filtered(blurred, self.spectrum.conj()))

    def filtered(self, image: Tensor, response: Tensor) -> Tensor:
        """Filter an image (B, C, H, W), zero beyond its border, by a transfer function on the grid, and crop it."""
        return self._cropped(self._filtered(image, response))

    def _filtered(self, image: Tensor, response: Tensor) -> Tensor:
        result: Tensor = torch.fft.irfft2(torch.fft.rfft2(image, self.grid).mul_(response), self.grid)
        return result

    def _framed(self, grid: Tensor) -> Tensor:
        (row, column), (height, width) = self.corner, self.data_size
        return grid[..., row : row + height, column : column + width]

    def _cropped(self, grid: Tensor) -> Tensor:
        return grid[..., : self.image_size[0], : self.image_size[1]]


def is_circular(problem: Problem) -> bool:
    """Whether the problem's blur takes the image as periodic."""
    return isinstance(problem.operator, Blur) and problem.operator.padding == "circular"


def data_on_grid(problem: Problem, kernel: Tensor) -> Tensor:
    """Return the data on the periodic grid; for a valid blur their opposite sides are joined smoothly."""
    if is_circular(problem):
        return problem.data
    return extend_periodically(problem.data, size_of(kernel), grid_size(size_of(problem.data), size_of(kernel)))


def objective(problem: Problem, blur: MaskedBlur, image: Tensor) -> Tensor:
    """Return the objective without the terms on the kernel, summed over the batch, as a scalar tensor.

    Args:
        problem: gives the data, the fidelity and the regularizers.
        blur: `MaskedBlur` of the problem.
        image: (B, C, H, W).
    """
    predicted = blur.forward(image)
    total = problem.data_term(predicted)
    for term in problem.regularizers:
        if term.target == "image":
            total = total + term.weight * term.regularizer(image)
    return total.sum()
