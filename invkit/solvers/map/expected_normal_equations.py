"""The kernel that fits a distribution of latent differences best: normal equations in expectation.

With ``b[n] = sum_m k[m] x[n + (h - 1, w - 1) - m]``, as in `invkit.solvers.map.normal_equations`, and independent x of
mean mu and variance C, the expected squared error over the data that count (M) is

    ``E |M (A k - b)|^2 = |M (A_mu k - b)|^2 + sum_m D[m] k[m]^2``,

where ``D[m]`` is the sum of C over the window of x that meets the data through pixel m. Without D, which Levin, Weiss,
Durand, Freeman 2011 found to make the difference, the kernel of a smooth estimate of x is drawn towards a point.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ...numerics.mean_field import MeanField
from .normal_equations import (
    NormalEquations,
    Toeplitz,
    accelerated_descent,
    correlated,
    largest_eigenvalue,
    normal_equations,
    project_on_simplex,
)

__all__ = ["ExpectedNormalEquations", "expected_normal_equations", "expected_normal_equations_of_samples"]

UNSEEN_TOLERANCE = 0.01  # remaining influence of the data that do not count after the corrections
MIN_FREE_SHARE = 0.01  # of a kernel's largest entry; solves with few iterations leave fainter ones instead of zeros
MAX_UNSEEN_CORRECTIONS = 8  # more would be needed only if most data did not count


@dataclass(frozen=True)
class PlusDiagonal(Toeplitz):
    """The product with the sum of a matrix and a diagonal matrix.

    Attributes:
        matrix: the product with the former.
        diagonal: of the latter, (B, 1, h, w).
    """

    matrix: Toeplitz
    diagonal: Tensor

    def __call__(self, kernel: Tensor) -> Tensor:
        """(B, 1, h, w) -> (B, 1, h, w)."""
        return self.matrix(kernel).addcmul_(self.diagonal, kernel)

    def ridged(self, weight: Tensor | float) -> Toeplitz:
        """Return the product with the matrix plus ``weight``, (B, 1, 1, 1), times the identity."""
        return replace(self, diagonal=self.diagonal + weight)

    def scaled(self, factor: Tensor) -> Toeplitz:
        """Return the product with ``factor``, (B, 1, 1, 1), times the matrix."""
        return PlusDiagonal(self.matrix.scaled(factor), self.diagonal * factor)


@dataclass(frozen=True)
class ExpectedNormalEquations:
    """``(A^T M A + D) k = A^T M b``.

    Attributes:
        equations: those of the mean, whose data are masked.
        mask: M, (B, S, H, W).
        diagonal: D, (B, 1, h, w).
    """

    equations: NormalEquations
    mask: Tensor
    diagonal: Tensor

    @property
    def right(self) -> Tensor:
        """``A^T M b``, (B, 1, h, w)."""
        return self.equations.right

    def exact(self, kernel: Tensor) -> Tensor:
        """``(A^T M A + D) k``."""
        own = self.equations
        seen = own.predicted(kernel) * self.mask
        return correlated(own.spectrum, seen, own.grid, own.kernel_size) + self.diagonal * kernel

    def anchored(self, kernel: Tensor, weight: Tensor) -> ExpectedNormalEquations:
        """Return the equations of the same error plus ``weight |k - kernel|^2``.

        Args:
            kernel: (B, 1, h, w).
            weight: (B, 1, 1, 1), >= 0.
        """
        equations = replace(self.equations, right=torch.addcmul(self.equations.right, weight, kernel))
        return replace(self, equations=equations, diagonal=self.diagonal + weight)

    @property
    def corrections(self) -> int:
        """Number of corrections of the right side that make the data that do not count insignificant."""
        (h, w), (height, width) = self.equations.kernel_size, self.equations.data_size
        seen = float(self.mask.mean((1, 2, 3)).amin()) * height * width / ((height + h - 1) * (width + w - 1))
        if seen in (0, 1):
            return 0
        return min(MAX_UNSEEN_CORRECTIONS, math.ceil(math.log(UNSEEN_TOLERANCE) / math.log(1 - seen)) - 1)

    def solved(self, start: Tensor, *, iterations: int, sum_to_one: bool, penalty: Tensor | None = None) -> Tensor:
        """Minimise ``k^T (A^T M A + D + diag(penalty)) k / 2 - (A^T M b)^T k`` over ``k >= 0``.

        The Toeplitz matrix majorises ``A^T M A``, as in `invkit.solvers.map.normal_equations`. Every correction lowers
        the minimised function.

        Args:
            start: (B, 1, h, w).
            iterations: accelerated projected gradients in all.
            sum_to_one: whether the kernel must also sum to one.
            penalty: (B, 1, h, w), >= 0.
        """
        added = self.diagonal if penalty is None else self.diagonal + penalty
        times = PlusDiagonal(self.equations.approximate, added)
        bound = largest_eigenvalue(times, start)
        project = project_on_simplex if sum_to_one else without_negative
        each, kernel = max(1, iterations // (self.corrections + 1)), start
        for _ in range(self.corrections + 1):
            right = self.right + self.equations.approximate(kernel) + self.diagonal * kernel - self.exact(kernel)
            kernel = accelerated_descent(times, right, kernel, each, bound, project)
        return kernel

    def variances(self, kernel: Tensor, noise: float) -> Tensor:
        """Posterior variances of the entries of a kernel that solves these equations, for a flat prior of kernels >= 0.

        Given the distribution of x, the posterior is a Gaussian whose covariance is ``noise`` times the inverse of
        ``A^T M A + D``. This is a lower bound where that distribution depends on the kernel. Entries of less than
        `MIN_FREE_SHARE` of the largest count as zero. The constraint holds them there; they are left out of the matrix,
        and their variance is zero. Each other entry takes one product with the matrix.

        Args:
            kernel: (B, 1, h, w), >= 0.
            noise: variance of the noise of the data.

        Returns:
            (B, 1, h, w), >= 0.
        """
        free = (kernel > MIN_FREE_SHARE * kernel.amax((1, 2, 3), keepdim=True)).flatten(1)
        entries = free.any(0).nonzero().flatten()
        columns = kernel.new_empty(len(entries), *free.shape)
        for column, entry in zip(columns, entries, strict=True):
            unit = torch.zeros_like(kernel)
            unit.flatten(1)[:, entry] = 1
            column.copy_(self.exact(unit).flatten(1))
        found = torch.zeros_like(free, dtype=kernel.dtype)
        for item, own in enumerate(free):
            found[item, own] = noise * diagonal_of_inverse(columns[own[entries], item][:, own]).to(kernel.dtype)
        return found.view_as(kernel)


def diagonal_of_inverse(matrix: Tensor) -> Tensor:
    """The diagonal (n,) of the inverse of a symmetric matrix (n, n), in float64; large where it is nearly singular."""
    if len(matrix) == 0:
        return matrix.new_zeros(0, dtype=torch.float64)
    values, vectors = torch.linalg.eigh((matrix + matrix.T).double() / 2)
    rounding = torch.finfo(matrix.dtype)
    found: Tensor = (vectors.square() / values.clamp(min=max(float(values[-1]) * rounding.eps, rounding.tiny))).sum(1)
    return found


def without_negative(kernel: Tensor) -> Tensor:
    """Return the nearest kernel without negative entries."""
    return kernel.clamp(min=0)


def expected_normal_equations(
    latent: MeanField, blurred: Tensor, mask: Tensor, kernel: Tensor
) -> ExpectedNormalEquations:
    """Return the equations of a kernel of the size of ``kernel``.

    Args:
        latent: the distribution of x, (B, S, H + h - 1, W + w - 1).
        blurred: b, (B, S, H, W).
        mask: M, 1 where data count, otherwise 0; (B, S, H, W).
        kernel: (B, 1, h, w); only its size is read.

    Raises:
        InputError: the shapes differ from these.
    """
    equations = normal_equations(latent.mean, blurred * mask, kernel)
    variances = torch.fft.rfft2(latent.variance, equations.grid)
    return ExpectedNormalEquations(
        equations=equations,
        mask=mask,
        diagonal=correlated(variances, mask.expand_as(blurred), equations.grid, equations.kernel_size).clamp_(min=0),
    )


def expected_normal_equations_of_samples(
    mean: Tensor, deviation: Tensor, blurred: Tensor, mask: Tensor, kernel: Tensor
) -> ExpectedNormalEquations:
    """Return the equations of a kernel from a sample of x, whose covariances then count too.

    The expected squared error is that of the mean plus ``E |M A_d k|^2`` with the deviation d of a sample from the
    mean. One sample is enough, since the sums run over all pixels.

    Args:
        mean: of x, (B, S, H + h - 1, W + w - 1).
        deviation: of a sample from the mean, of the same shape.
        blurred: b, (B, S, H, W).
        mask: M, 1 where data count, otherwise 0; (B, S, H, W).
        kernel: (B, 1, h, w); only its size is read.

    Raises:
        InputError: the shapes differ from these.
    """
    data = torch.cat([blurred * mask, torch.zeros_like(blurred)], 1)
    return ExpectedNormalEquations(
        equations=normal_equations(torch.cat([mean, deviation], 1), data, kernel),
        mask=torch.cat([mask, mask], 1),
        diagonal=torch.zeros_like(kernel),
    )
