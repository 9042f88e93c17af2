"""The blur of a problem by Fourier transforms on a grid, without assumptions about the image beyond the border."""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor

from ..core.problem import Problem
from ..core.ranges import Convolving
from ..numerics.fourier import extend_periodically, grid_sides, inverse_transform, otf, to_image, transform
from ..numerics.geometry import Sides, margin_before, sides_of, window_of

__all__ = ["MaskedBlur", "axes_of", "data_on_grid", "is_circular", "objective"]


@dataclass(frozen=True)
class MaskedBlur:
    """``K`` from an image to the data of a problem whose padding is "valid" or "circular", with its adjoint.

    It equals the problem's operator. Solvers use it for ``K^T W K`` and for filters on the same grid. The adjoint and
    the normal map have the weights W of the data, which are zero where data are unknown. Sizes have two
    sides, or three for stacks (B, D, H, W).

    Attributes:
        spectrum: the kernel's transfer function, (B, 1, *half grid), or (B, *half grid) for stacks.
        grid: size of the grid.
        image_size: size of the image, which lies in the grid's first corner.
        data_size: size of the data.
        corner: (row, column), or (plane, row, column), of the image at which the data begin.
        weights: W, of the data, (B, C, *data size); None: all 1.
    """

    spectrum: Tensor
    grid: Sides
    image_size: Sides
    data_size: Sides
    corner: Sides
    weights: Tensor | None = None

    @classmethod
    def of(cls, problem: Problem, kernel: Tensor) -> MaskedBlur:
        """Return the blur of a problem by a kernel (B, 1, h, w), or (B, d, h, w) of a stack."""
        axes = axes_of(problem)
        data, taps = sides_of(problem.data, axes), sides_of(kernel, axes)
        if is_circular(problem):
            return cls(otf(kernel, data), data, data, data, (0,) * axes, problem.weights)
        grid, corner = grid_sides(data, taps), tuple(map(margin_before, taps))
        return cls(otf(kernel, grid), grid, problem.image_prior.shape[-axes:], data, corner, problem.weights)

    def by(self, kernel: Tensor) -> MaskedBlur:
        """Return the blur from the same image to the same data by another kernel of the same size."""
        return replace(self, spectrum=otf(kernel, self.grid))

    def forward(self, image: Tensor) -> Tensor:
        """``K x``: (B, C, H, W) -> (B, C, H', W')."""
        return self._framed(self._filtered(image, self.spectrum)).contiguous()

    def adjoint(self, data: Tensor) -> Tensor:
        """``K^T W y``: (B, C, H', W') -> (B, C, H, W)."""
        data = data if self.weights is None else data * self.weights
        grid = data.new_zeros(*data.shape[: -len(self.grid)], *self.grid)
        self._framed(grid).copy_(data)
        return self._cropped(self._filtered(grid, self.spectrum.conj()))

    def normal(self, image: Tensor) -> Tensor:
        """``K^T W K x``; the same shape."""
        blurred = self._filtered(image, self.spectrum)
        for dim, (first, side) in enumerate(zip(self.corner, self.data_size, strict=True), start=-len(self.grid)):
            blurred.narrow(dim, 0, first).zero_()
            blurred.narrow(dim, first + side, blurred.shape[dim] - first - side).zero_()
        if self.weights is not None:
            self._framed(blurred).mul_(self.weights)
        return self._cropped(self._filtered(blurred, self.spectrum.conj()))

    def filtered(self, image: Tensor, response: Tensor) -> Tensor:
        """Filter an image (B, C, H, W), zero beyond its border, by a transfer function on the grid, and crop it."""
        return self._cropped(self._filtered(image, response))

    def _filtered(self, image: Tensor, response: Tensor) -> Tensor:
        return inverse_transform(transform(image, self.grid).mul_(response), self.grid)

    def _framed(self, grid: Tensor) -> Tensor:
        return window_of(grid, self.corner, self.data_size)

    def _cropped(self, grid: Tensor) -> Tensor:
        return to_image(grid, self.image_size)


def axes_of(problem: Problem) -> int:
    """Return the number of dimensions of the problem's blur; 2 if its operator is no convolution."""
    return problem.operator.axes if isinstance(problem.operator, Convolving) else 2


def is_circular(problem: Problem) -> bool:
    """Whether the problem's blur takes the image as periodic."""
    return isinstance(problem.operator, Convolving) and problem.operator.padding == "circular"


def data_on_grid(problem: Problem, kernel: Tensor) -> Tensor:
    """Return the data on the periodic grid; for a valid blur their opposite sides are joined smoothly."""
    if is_circular(problem):
        return problem.data
    axes = axes_of(problem)
    data, taps = sides_of(problem.data, axes), sides_of(kernel, axes)
    return extend_periodically(problem.data, taps, grid_sides(data, taps))


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
