"""The normal equations of a kernel under a valid convolution, and how the kernel estimations solve them.

With ``b[n] = sum_m k[m] s[n + (h - 1, w - 1) - m]`` over the pixels n of the data, ``A k = b`` is linear in the kernel.
Its normal matrix ``A^T A`` is almost a Toeplitz matrix T, the autocorrelation of ``sharp`` at lags shorter than the
kernel. It would be T if the blur were also seen beyond the data. One Fourier transform gives T, and a product with it
costs as much as a transform of twice the kernel's size, whatever the size of the image. Since T adds the unseen rows to
those of A, ``T - A^T A`` has no negative eigenvalue. Up to a constant,

    ``k^T T k / 2 - (A^T b + (T - A^T A) k0)^T k``

is therefore never below ``||A k - b||^2 / 2`` and touches it at k0. It is minimised for k0 = 0, and then repeatedly
for the last minimum. Each repetition reduces the distance to the exact minimum by a factor of about the border's share.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from ...core.errors import InputError
from ...numerics.conjugate_gradients import LinearMap, dot_per_image, ratio_or_zero
from ...numerics.finite_differences import sum_over
from ...numerics.fourier import fast_size, irfft2_rows, rfft2_padded
from ...numerics.geometry import Size, size_of
from ...numerics.simplex import nearest_on_simplex

__all__ = [
    "NormalEquations",
    "accelerated_descent",
    "cut_and_normalised",
    "largest_eigenvalue",
    "least_squares_gradient",
    "normal_equations",
    "project_on_simplex",
    "toeplitz_matrix",
]

MAX_DENSE_UNKNOWNS = 576  # up to which a product with the matrix is faster than one by Fourier transforms
BORDER_TOLERANCE = 0.01  # remaining influence of the border after the corrections
MAX_CORRECTIONS = 5  # more would be needed only if the border were most of the image
POWER_ITERATIONS = 15  # their estimate is a few per cent below the largest eigenvalue
EIGENVALUE_MARGIN = 1.1  # compensates for these few per cent


class Toeplitz(ABC):
    """A product of kernels with a Toeplitz matrix."""

    @abstractmethod
    def __call__(self, kernel: Tensor) -> Tensor:
        """(B, 1, h, w) -> (B, 1, h, w)."""

    @abstractmethod
    def ridged(self, weight: Tensor | float) -> Toeplitz:
        """Return the product with the matrix plus ``weight``, (B, 1, 1, 1), times the identity."""

    @abstractmethod
    def scaled(self, factor: Tensor) -> Toeplitz:
        """Return the product with ``factor``, (B, 1, 1, 1), times the matrix."""

    def plus(self, kernel: Tensor, added: Tensor) -> Tensor:
        """Return the product with a kernel, plus another kernel."""
        return self(kernel).add_(added)


@dataclass(frozen=True)
class DenseToeplitz(Toeplitz):
    """A product by the matrix (B, h w, h w) itself."""

    matrix: Tensor

    def __call__(self, kernel: Tensor) -> Tensor:
        """(B, 1, h, w) -> (B, 1, h, w)."""
        return torch.bmm(self.matrix, kernel.reshape(len(kernel), -1, 1)).view_as(kernel)

    def plus(self, kernel: Tensor, added: Tensor) -> Tensor:
        """Return the product with a kernel, plus another kernel."""
        column = (len(kernel), -1, 1)
        return torch.baddbmm(added.reshape(column), self.matrix, kernel.reshape(column)).view_as(kernel)

    def ridged(self, weight: Tensor | float) -> Toeplitz:
        """Add ``weight``, (B, 1, 1, 1), to the diagonal."""
        matrix = self.matrix.clone()
        matrix.diagonal(dim1=-2, dim2=-1).add_(torch.as_tensor(weight).view(-1, 1))
        return DenseToeplitz(matrix)

    def scaled(self, factor: Tensor) -> Toeplitz:
        """Multiply every entry by ``factor``, (B, 1, 1, 1)."""
        return DenseToeplitz(self.matrix * factor.view(-1, 1, 1))


@dataclass(frozen=True)
class FourierToeplitz(Toeplitz):
    """A product by the real spectrum (B, 1, ., .) of a circulant matrix of ``grid`` that contains the matrix."""

    spectrum: Tensor
    grid: Size

    def __call__(self, kernel: Tensor) -> Tensor:
        """(B, 1, h, w) -> (B, 1, h, w)."""
        h, w = size_of(kernel)
        return irfft2_rows(rfft2_padded(kernel, self.grid).mul_(self.spectrum), slice(h), self.grid)[..., :w]

    def ridged(self, weight: Tensor | float) -> Toeplitz:
        """Add ``weight``, (B, 1, 1, 1), to the diagonal."""
        return FourierToeplitz(self.spectrum + weight, self.grid)

    def scaled(self, factor: Tensor) -> Toeplitz:
        """Multiply the spectrum by ``factor``, (B, 1, 1, 1)."""
        return FourierToeplitz(self.spectrum * factor, self.grid)


def toeplitz_product(autocorrelation: Tensor, kernel_size: Size) -> Toeplitz:
    """Return the product with `toeplitz_matrix`, by the faster of the two ways."""
    h, w = kernel_size
    if h * w <= MAX_DENSE_UNKNOWNS:
        return DenseToeplitz(toeplitz_matrix(autocorrelation, h, w))
    grid = fast_size((2 * h - 1, 2 * w - 1))
    padded = F.pad(autocorrelation, (0, grid[1] - 2 * w + 1, 0, grid[0] - 2 * h + 1))
    return FourierToeplitz(torch.fft.rfft2(padded.roll((1 - h, 1 - w), (-2, -1))).real, grid)


def toeplitz_matrix(autocorrelation: Tensor, h: int, w: int) -> Tensor:
    """Return the matrix ``T[m, m'] = autocorrelation[m - m']`` of the pixels m, m' of a kernel, row by row.

    Args:
        autocorrelation: (B, 1, 2 h - 1, 2 w - 1), lag zero in the centre.
        h: the kernel's height, pixels.
        w: its width.

    Returns:
        (B, h w, h w).
    """
    return F.unfold(autocorrelation, (h, w)).flip(-1)  # the window moves back as the pixel of the row moves forward


@dataclass(frozen=True)
class NormalEquations:
    """``A^T A k = A^T b``; kernels are (B, 1, h, w).

    Attributes:
        spectrum: ``rfft2`` of sharp on ``grid``, (B, S, ., .).
        grid: large enough for the full convolution.
        kernel_size: (h, w).
        data_size: (H, W).
        right: ``A^T b``.
        scale: the diagonal of T, the sum of squares of ``sharp``, (B, 1, 1, 1); the unit of relative weights.
        approximate: the product with T.
    """

    spectrum: Tensor
    grid: Size
    kernel_size: Size
    data_size: Size
    right: Tensor
    scale: Tensor
    approximate: Toeplitz

    def predicted(self, kernel: Tensor) -> Tensor:
        """``A k``, the valid convolution, (B, S, H, W)."""
        return valid_convolution(self.spectrum, kernel, self.grid, self.data_size)

    def exact(self, kernel: Tensor) -> Tensor:
        """``A^T A k``."""
        return correlated(self.spectrum, self.predicted(kernel), self.grid, self.kernel_size)

    def corrected(self, kernel: Tensor) -> Tensor:
        """``A^T b + (T - A^T A) k``, the right side with which T replaces ``A^T A`` near ``kernel``."""
        return self.right + self.approximate(kernel) - self.exact(kernel)

    @property
    def corrections(self) -> int:
        """Number of corrections of the right side that make the border insignificant."""
        (h, w), (height, width) = self.kernel_size, self.data_size
        border = 1 - height * width / ((height + h - 1) * (width + w - 1))
        return 0 if border == 0 else min(MAX_CORRECTIONS, math.ceil(math.log(BORDER_TOLERANCE) / math.log(border)) - 1)

    def solved(self, solve: Callable[[Tensor, Tensor], Tensor], start: Tensor) -> Tensor:
        """Solve with T, then repeatedly with the right side corrected at the last solution.

        Args:
            solve: ``solve(right, start)`` minimises ``k^T T k / 2 - right^T k`` plus a method's own penalty.
            start: (B, 1, h, w), start of the first solve; each later solve starts from the previous solution.
        """
        kernel = solve(self.right, start)
        for _ in range(self.corrections):
            kernel = solve(self.corrected(kernel), kernel)
        return kernel


def normal_equations(sharp: Tensor, blurred: Tensor, kernel: Tensor) -> NormalEquations:
    """Return the equations of a kernel of the size of ``kernel``.

    Args:
        sharp: (B, S, H + h - 1, W + w - 1).
        blurred: (B, S, H, W).
        kernel: (B, 1, h, w); only its size is read.

    Raises:
        InputError: the shapes differ from these.
    """
    check_shapes(sharp, blurred, kernel)
    (height, width), (h, w) = size_of(sharp), size_of(kernel)
    grid = fast_size((height + h - 1, width + w - 1))
    spectrum = torch.fft.rfft2(sharp, grid)
    lags = autocorrelation(spectrum, grid, (h, w))
    return NormalEquations(
        spectrum=spectrum,
        grid=grid,
        kernel_size=(h, w),
        data_size=size_of(blurred),
        right=correlated(spectrum, blurred, grid, (h, w)),
        scale=lags[..., h - 1 : h, w - 1 : w],
        approximate=toeplitz_product(lags, (h, w)),
    )


def least_squares_gradient(sharp: Tensor, blurred: Tensor, kernel: Tensor) -> Callable[[Tensor], Tensor]:
    """The gradient ``A^T (A k - b)`` of ``||A k - b||^2 / 2`` as a function of k, without the matrix T.

    Args:
        sharp: (B, S, H + h - 1, W + w - 1).
        blurred: (B, S, H, W).
        kernel: gives the shape of k, (B, 1, h, w).

    Returns:
        A function (B, 1, h, w) -> (B, 1, h, w).

    Raises:
        InputError: the shapes differ from these.
    """
    check_shapes(sharp, blurred, kernel)
    grid = fast_size(size_of(sharp))
    spectrum = torch.fft.rfft2(sharp, grid)

    def gradient(current: Tensor) -> Tensor:
        residual = valid_convolution(spectrum, current, grid, size_of(blurred)) - blurred
        return correlated(spectrum, residual, grid, size_of(current))

    return gradient


def valid_convolution(spectrum: Tensor, kernel: Tensor, grid: Size, data_size: Size) -> Tensor:
    """``A k``, (B, S, H, W).

    Args:
        spectrum: of ``sharp``, (B, S, ., .).
        kernel: (B, 1, h, w).
        grid: of the spectrum, at least (H + h - 1, W + w - 1).
        data_size: (H, W).
    """
    (h, w), (height, width) = size_of(kernel), data_size
    full: Tensor = torch.fft.irfft2(rfft2_padded(kernel, grid) * spectrum, grid)
    return full[..., h - 1 : h - 1 + height, w - 1 : w - 1 + width]


def check_shapes(sharp: Tensor, blurred: Tensor, kernel: Tensor) -> None:
    """Raise `InputError` for shapes that are not those of a valid convolution: see `normal_equations`.

    Args:
        sharp: (B, S, H + h - 1, W + w - 1).
        blurred: (B, S, H, W).
        kernel: (B, 1, h, w).
    """
    (h, w), (height, width) = size_of(kernel), size_of(blurred)
    expected = (*blurred.shape[:2], height + h - 1, width + w - 1)
    if tuple(sharp.shape) != expected or tuple(kernel.shape[:2]) != (blurred.shape[0], 1):
        shapes = f"{tuple(blurred.shape)}, {tuple(kernel.shape)} and {tuple(sharp.shape)}"
        raise InputError(
            "a kernel estimation needs blurred (B, S, H, W), a kernel (B, 1, h, w) and "
            f"sharp (B, S, H + h - 1, W + w - 1); got {shapes}"
        )


def autocorrelation(spectrum: Tensor, grid: Size, kernel_size: Size) -> Tensor:
    """Autocorrelation of ``sharp``, zero beyond its border, summed over S.

    Args:
        spectrum: of ``sharp``, (B, S, ., .).
        grid: of the spectrum.
        kernel_size: (h, w).

    Returns:
        (B, 1, 2 h - 1, 2 w - 1), lag zero in the centre.
    """
    power = sum_over(spectrum.real.square() + spectrum.imag.square(), 1)
    rows, columns = (torch.arange(1 - side, side, device=power.device) for side in kernel_size)
    return irfft2_rows(power, rows % grid[0], grid).index_select(-1, columns % grid[1])


def correlated(spectrum: Tensor, data: Tensor, grid: Size, kernel_size: Size) -> Tensor:
    """``A^T data``.

    Args:
        spectrum: of ``sharp``, (B, S, ., .).
        data: (B, S, H, W).
        grid: of the spectrum.
        kernel_size: (h, w).

    Returns:
        (B, 1, h, w).
    """
    (h, w), (height, width) = kernel_size, size_of(data)
    place = (w - 1, grid[1] - (w - 1) - width, h - 1, grid[0] - (h - 1) - height)  # of the data in the full convolution
    product = sum_over(torch.fft.rfft2(F.pad(data, place)) * spectrum.conj(), 1)
    return irfft2_rows(product, slice(h), grid)[..., :w]


def accelerated_descent(
    times: Toeplitz, right: Tensor, start: Tensor, iterations: int, bound: Tensor, project: LinearMap
) -> Tensor:
    """Minimise ``k^T times(k) / 2 - right^T k`` over a convex set by accelerated projected gradients.

    FISTA (Beck & Teboulle 2009), whose momentum restarts when it points uphill (O'Donoghue & Candes 2015), separately
    for each kernel of the batch.

    Args:
        times: a product with a positive semi-definite matrix.
        right: (B, 1, h, w).
        start: (B, 1, h, w).
        iterations: number of products.
        bound: (B, 1, 1, 1), the matrix's largest eigenvalue or slightly more.
        project: returns the nearest kernel of the set.
    """
    step, count = ratio_or_zero(torch.ones_like(bound), bound), torch.zeros_like(bound, dtype=torch.int64)
    descended, pull = times.scaled(-step).ridged(1.0), step * right  # a gradient step is one product and a sum
    momentum = bound.new_tensor(fista_momenta(iterations))
    kernel = ahead = start
    for _ in range(iterations):
        following = project(descended.plus(ahead, pull))
        moved = following - kernel
        count.add_(1).mul_(dot_per_image(ahead - following, moved) <= 0)
        kernel, ahead = following, torch.addcmul(following, momentum.take(count), moved)
    return kernel


@lru_cache(maxsize=16)
def fista_momenta(iterations: int) -> list[float]:
    """Return FISTA's momentum after 0, 1, ... iterations since its restart."""
    found, current = [0.0], 1.0
    for _ in range(iterations):
        following = (1 + math.sqrt(1 + 4 * current**2)) / 2
        found.append((current - 1) / following)
        current = following
    return found


def largest_eigenvalue(times: LinearMap, like: Tensor) -> Tensor:
    """Largest eigenvalue of a positive semi-definite matrix, or slightly more, by power iteration.

    Args:
        times: the product with the matrix.
        like: (B, 1, h, w), gives shape, precision and device.

    Returns:
        (B, 1, 1, 1).
    """
    count = torch.arange(like[0].numel(), device=like.device, dtype=torch.float64)
    chirp = torch.cos(count.square() * 0.37)  # all frequencies about equally
    vector = chirp.to(like.dtype).view_as(like[:1]).expand_as(like)
    least = torch.finfo(like.dtype).tiny
    for _ in range(POWER_ITERATIONS):
        vector = times(vector / dot_per_image(vector, vector).sqrt_().clamp_(min=least))
    return EIGENVALUE_MARGIN * dot_per_image(vector, vector).sqrt()


def project_on_simplex(kernel: Tensor) -> Tensor:
    """Return the nearest kernel that is >= 0 and sums to one; (B, 1, h, w)."""
    return nearest_on_simplex(kernel.flatten(1)).view_as(kernel)


def cut_and_normalised(values: Tensor, fallback: Tensor) -> Tensor:
    """Set negative entries to zero and scale the sum to one; return ``fallback`` where nothing finite remains."""
    positive = values.clamp(min=0)
    total = positive.sum((1, 2, 3), keepdim=True)
    return torch.where(torch.isfinite(total) & (total > 0), positive / total, fallback)
