"""What the kernel steps share: the normal equations of a valid convolution, and how they are solved.

With ``b[n] = sum_m k[m] s[n + (h - 1, w - 1) - m]`` over the pixels n of the data, ``A k = b`` is linear in the
kernel. Its normal matrix ``A^T A`` is almost a Toeplitz matrix T: the autocorrelation of ``sharp`` at lags shorter
than the kernel, exactly so if the blur were seen beyond the data too. T is read off one Fourier transform, and a
product with it costs as much as a transform of twice the kernel's size, whatever the size of the image. As T adds the
unseen rows to those of A, ``T - A^T A`` has no negative eigenvalue, and

    ``k^T T k / 2 - (A^T b + (T - A^T A) k0)^T k``

is, but for a constant, never below ``||A k - b||^2 / 2`` and touches it at k0. Minimising it for k0 = 0, and then
again from what this gives, comes nearer to the minimum of the exact one each time, by a factor of about the share of
the border.
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

from ....core.errors import InputError
from ....numerics.conjugate_gradients import LinearMap, dot_per_image, ratio_or_zero
from ....numerics.finite_differences import sum_over
from ....numerics.fourier import fast_size, irfft2_rows, rfft2_padded
from ....numerics.geometry import Size, size_of
from ....numerics.simplex import nearest_on_simplex

__all__ = [
    "NormalEquations",
    "accelerated_descent",
    "as_kernel",
    "largest_eigenvalue",
    "nearest_kernel",
    "normal_equations",
    "toeplitz_matrix",
]

DENSE = 576  # unknowns up to which a product with the matrix itself is faster than by Fourier transforms
SMALL = 0.01  # what the border may change in the end
MOST = 5  # corrections: beyond them the border is most of the image
POWERS = 15  # of the power iteration: a few per cent below the largest eigenvalue
MARGIN = 1.1  # that makes up for them


class Toeplitz(ABC):
    """A product of kernels with a Toeplitz matrix."""

    @abstractmethod
    def __call__(self, kernel: Tensor) -> Tensor:
        """(B, 1, h, w) -> (B, 1, h, w)."""

    @abstractmethod
    def ridged(self, weight: Tensor | float) -> Toeplitz:
        """The product with the matrix and ``weight``, (B, 1, 1, 1), times the identity."""

    @abstractmethod
    def scaled(self, factor: Tensor) -> Toeplitz:
        """The product with ``factor``, (B, 1, 1, 1), times the matrix."""

    def plus(self, kernel: Tensor, added: Tensor) -> Tensor:
        """The product with a kernel, and another added to it."""
        return self(kernel).add_(added)


@dataclass(frozen=True)
class DenseToeplitz(Toeplitz):
    """By the matrix (B, h w, h w) itself."""

    matrix: Tensor

    def __call__(self, kernel: Tensor) -> Tensor:
        """(B, 1, h, w) -> (B, 1, h, w)."""
        return torch.bmm(self.matrix, kernel.reshape(len(kernel), -1, 1)).view_as(kernel)

    def plus(self, kernel: Tensor, added: Tensor) -> Tensor:
        """The product with a kernel, and another added to it."""
        column = (len(kernel), -1, 1)
        return torch.baddbmm(added.reshape(column), self.matrix, kernel.reshape(column)).view_as(kernel)

    def ridged(self, weight: Tensor | float) -> Toeplitz:
        """With ``weight``, (B, 1, 1, 1), on the diagonal."""
        matrix = self.matrix.clone()
        matrix.diagonal(dim1=-2, dim2=-1).add_(torch.as_tensor(weight).view(-1, 1))
        return DenseToeplitz(matrix)

    def scaled(self, factor: Tensor) -> Toeplitz:
        """With every entry times ``factor``, (B, 1, 1, 1)."""
        return DenseToeplitz(self.matrix * factor.view(-1, 1, 1))


@dataclass(frozen=True)
class FourierToeplitz(Toeplitz):
    """By the transform (B, 1, ., .), real, of the circulant matrix of ``grid`` in whose corner it lies."""

    spectrum: Tensor
    grid: Size

    def __call__(self, kernel: Tensor) -> Tensor:
        """(B, 1, h, w) -> (B, 1, h, w)."""
        h, w = size_of(kernel)
        return irfft2_rows(rfft2_padded(kernel, self.grid).mul_(self.spectrum), slice(h), self.grid)[..., :w]

    def ridged(self, weight: Tensor | float) -> Toeplitz:
        """With ``weight``, (B, 1, 1, 1), on the diagonal."""
        return FourierToeplitz(self.spectrum + weight, self.grid)

    def scaled(self, factor: Tensor) -> Toeplitz:
        """With the spectrum times ``factor``, (B, 1, 1, 1)."""
        return FourierToeplitz(self.spectrum * factor, self.grid)


def toeplitz(autocorrelation: Tensor, kernel_size: Size) -> Toeplitz:
    """The product with `toeplitz_matrix`, the faster way."""
    h, w = kernel_size
    if h * w <= DENSE:
        return DenseToeplitz(toeplitz_matrix(autocorrelation, h, w))
    grid = fast_size((2 * h - 1, 2 * w - 1))
    padded = F.pad(autocorrelation, (0, grid[1] - 2 * w + 1, 0, grid[0] - 2 * h + 1))
    return FourierToeplitz(torch.fft.rfft2(padded.roll((1 - h, 1 - w), (-2, -1))).real, grid)


def toeplitz_matrix(autocorrelation: Tensor, h: int, w: int) -> Tensor:
    """The matrix ``T[m, m'] = autocorrelation[m - m']`` of the pixels m, m' of a kernel, row by row.

    Args:
        autocorrelation: (B, 1, 2 h - 1, 2 w - 1), lag zero in the centre.
        h: the kernel's height, pixels.
        w: its width.

    Returns:
        (B, h w, h w).
    """
    return F.unfold(autocorrelation, (h, w)).flip(-1)  # windows that slide back as their row's pixel goes on


@dataclass(frozen=True)
class NormalEquations:
    """``A^T A k = A^T b``; kernels are (B, 1, h, w).

    Attributes:
        spectrum: ``rfft2`` of sharp on ``grid``, (B, S, ., .).
        grid: large enough for the full convolution.
        kernel_size: (h, w).
        data_size: (H, W).
        right: ``A^T b``.
        scale: the diagonal of T, the sum of squares of ``sharp``, (B, 1, 1, 1); what a relative weight is relative to.
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
        (h, w), (height, width) = self.kernel_size, self.data_size
        full: Tensor = torch.fft.irfft2(rfft2_padded(kernel, self.grid) * self.spectrum, self.grid)
        return full[..., h - 1 : h - 1 + height, w - 1 : w - 1 + width]

    def exact(self, kernel: Tensor) -> Tensor:
        """``A^T A k``."""
        return correlated(self.spectrum, self.predicted(kernel), self.grid, self.kernel_size)

    def corrected(self, kernel: Tensor) -> Tensor:
        """``A^T b + (T - A^T A) k``, the right side with which T stands for ``A^T A`` near ``kernel``."""
        return self.right + self.approximate(kernel) - self.exact(kernel)

    @property
    def corrections(self) -> int:
        """How often the right side is to be corrected, so that the border matters no more."""
        (h, w), (height, width) = self.kernel_size, self.data_size
        border = 1 - height * width / ((height + h - 1) * (width + w - 1))
        return 0 if border == 0 else min(MOST, math.ceil(math.log(SMALL) / math.log(border)) - 1)

    def solved(self, solve: Callable[[Tensor, Tensor], Tensor], start: Tensor) -> Tensor:
        """Solve with T, then again with the right side corrected at what that gave.

        Args:
            solve: ``solve(right, start)`` minimises ``k^T T k / 2 - right^T k`` and what a method adds to it.
            start: where the first one starts; the others start where the one before ended.
        """
        kernel = solve(self.right, start)
        for _ in range(self.corrections):
            kernel = solve(self.corrected(kernel), kernel)
        return kernel


def normal_equations(sharp: Tensor, blurred: Tensor, kernel: Tensor) -> NormalEquations:
    """The equations of a kernel of the size of ``kernel``.

    Args:
        sharp: (B, S, H + h - 1, W + w - 1).
        blurred: (B, S, H, W).
        kernel: (B, 1, h, w), only its size is read.

    Raises:
        InputError: shapes that are not these.
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
        approximate=toeplitz(lags, (h, w)),
    )


def check_shapes(sharp: Tensor, blurred: Tensor, kernel: Tensor) -> None:
    """Refuse shapes that are not those of a valid convolution."""
    (h, w), (height, width) = size_of(kernel), size_of(blurred)
    expected = (*blurred.shape[:2], height + h - 1, width + w - 1)
    if tuple(sharp.shape) != expected or tuple(kernel.shape[:2]) != (blurred.shape[0], 1):
        raise InputError(
            "a kernel step needs blurred (B, S, H, W), a kernel (B, 1, h, w) and sharp (B, S, H + h - 1, W + w - 1); "
            f"got {tuple(blurred.shape)}, {tuple(kernel.shape)} and {tuple(sharp.shape)}"
        )


def autocorrelation(spectrum: Tensor, grid: Size, kernel_size: Size) -> Tensor:
    """Of ``sharp``, zero beyond its border, summed over S: (B, 1, 2 h - 1, 2 w - 1), lag zero in the centre."""
    power = sum_over(spectrum.real.square() + spectrum.imag.square(), 1)
    rows, columns = (torch.arange(1 - side, side, device=power.device) for side in kernel_size)
    return irfft2_rows(power, rows % grid[0], grid).index_select(-1, columns % grid[1])


def correlated(spectrum: Tensor, data: Tensor, grid: Size, kernel_size: Size) -> Tensor:
    """``A^T data``: (B, S, H, W) -> (B, 1, h, w)."""
    (h, w), (height, width) = kernel_size, size_of(data)
    place = (w - 1, grid[1] - (w - 1) - width, h - 1, grid[0] - (h - 1) - height)  # in the full convolution
    product = sum_over(torch.fft.rfft2(F.pad(data, place)) * spectrum.conj(), 1)
    return irfft2_rows(product, slice(h), grid)[..., :w]


def accelerated_descent(
    times: Toeplitz, right: Tensor, start: Tensor, iterations: int, bound: Tensor, project: LinearMap
) -> Tensor:
    """Minimise ``k^T times(k) / 2 - right^T k`` over a convex set by accelerated projected gradients.

    FISTA (Beck & Teboulle 2009), whose momentum restarts where it points uphill (O'Donoghue & Candes 2015), for each
    kernel of the batch by itself.

    Args:
        times: a product with a positive semi-definite matrix.
        right: (B, 1, h, w).
        start: (B, 1, h, w).
        iterations: that many products.
        bound: (B, 1, 1, 1), the matrix's largest eigenvalue or a little more.
        project: gives the nearest kernel of the set.
    """
    step, count = ratio_or_zero(torch.ones_like(bound), bound), torch.zeros_like(bound, dtype=torch.int64)
    descended, pull = times.scaled(-step).ridged(1.0), step * right  # a gradient step is one product and a sum
    momentum = bound.new_tensor(momenta(iterations))
    kernel = ahead = start
    for _ in range(iterations):
        following = project(descended.plus(ahead, pull))
        moved = following - kernel
        count.add_(1).mul_(dot_per_image(ahead - following, moved) <= 0)
        kernel, ahead = following, torch.addcmul(following, momentum.take(count), moved)
    return kernel


@lru_cache(maxsize=16)
def momenta(iterations: int) -> list[float]:
    """FISTA's momentum after 0, 1, ... iterations since it restarted."""
    found, current = [0.0], 1.0
    for _ in range(iterations):
        following = (1 + math.sqrt(1 + 4 * current**2)) / 2
        found.append((current - 1) / following)
        current = following
    return found


def largest_eigenvalue(times: LinearMap, like: Tensor) -> Tensor:
    """The largest eigenvalue of a positive semi-definite matrix or a little more, by power iteration.

    Args:
        times: the product with it.
        like: (B, 1, h, w), read for its shape, precision and device.

    Returns:
        (B, 1, 1, 1).
    """
    count = torch.arange(like[0].numel(), device=like.device, dtype=torch.float64)
    chirp = torch.cos(count.square() * 0.37)  # of every frequency about as much
    vector = chirp.to(like.dtype).view_as(like[:1]).expand_as(like)
    least = torch.finfo(like.dtype).tiny
    for _ in range(POWERS):
        vector = times(vector / dot_per_image(vector, vector).sqrt_().clamp_(min=least))
    return MARGIN * dot_per_image(vector, vector).sqrt()


def nearest_kernel(kernel: Tensor) -> Tensor:
    """The nearest kernel that is >= 0 and sums to one; (B, 1, h, w)."""
    return nearest_on_simplex(kernel.flatten(1)).view_as(kernel)


def as_kernel(values: Tensor, fallback: Tensor) -> Tensor:
    """Negative entries to zero, then the sum to one; where nothing finite is left, ``fallback``."""
    positive = values.clamp(min=0)
    total = positive.sum((1, 2, 3), keepdim=True)
    return torch.where(torch.isfinite(total) & (total > 0), positive / total, fallback)
