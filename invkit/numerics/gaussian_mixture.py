"""Mixtures of zero-mean Gaussians with full covariances: posterior estimates of noisy vectors."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["GaussianMixture", "NoisyMixture", "filtered"]

BLOCK_COLUMNS = 2048  # vectors processed at a time: their products take 16 MB


@dataclass(frozen=True)
class GaussianMixture:
    """A mixture of K zero-mean Gaussians of n variables, as the eigenvalues and eigenvectors of its covariances.

    Attributes:
        log_shares: logarithms of the weights of the components, (K,).
        variances: eigenvalues, (K, n), > 0.
        directions: eigenvectors as columns, (K, n, n).
    """

    log_shares: Tensor
    variances: Tensor
    directions: Tensor

    @classmethod
    def of_triangles(cls, shares: Tensor, triangles: Tensor) -> GaussianMixture:
        """The mixture of the covariances ``L L^T``; float64.

        Args:
            shares: weights of the components, (K,), > 0.
            triangles: for each component the lower triangle of L, row by row, (K, n (n + 1) / 2).
        """
        size = side_of_triangle(triangles.shape[1])
        factors = torch.zeros(len(shares), size, size, dtype=torch.float64)
        rows, columns = torch.tril_indices(size, size)
        factors[:, rows, columns] = triangles.double()
        variances, directions = torch.linalg.eigh(factors @ factors.mT)
        return cls(shares.double().log(), variances, directions)

    def leading(self, count: int) -> GaussianMixture:
        """The mixture of the first ``count`` variables alone."""
        covariances = self.with_eigenvalues(self.variances)[:, :count, :count]
        return GaussianMixture(self.log_shares, *torch.linalg.eigh(covariances))

    def noisy(self, variance: float) -> NoisyMixture:
        """The mixture of the sums of such vectors and white noise of this variance, > 0."""
        total = self.variances + variance
        return NoisyMixture(
            noise=variance,
            constants=self.log_shares - total.log().sum(1) / 2 - total.shape[1] / 2 * math.log(2 * math.pi),
            products=triangle(self.with_eigenvalues(self.variances / total / variance)),
        )

    def wiener_filters(self, variance: float) -> Tensor:
        """For each component the matrix (n, n) from a vector with white noise to its mean without, (K, n, n)."""
        return self.with_eigenvalues(self.variances / (self.variances + variance))

    def with_eigenvalues(self, values: Tensor) -> Tensor:
        """Matrices (K, n, n) with the components' eigenvectors and other eigenvalues (K, n)."""
        return (self.directions * values[:, None]) @ self.directions.mT


@dataclass(frozen=True)
class NoisyMixture:
    """The densities of vectors with white noise under a mixture.

    The logarithm of a component's density is ``constant - |v|^2 / (2 noise) + products . (v_i v_j)_(i <= j)``. One
    matrix product gives it for all components and many vectors. For 200 components of 63 variables this is faster than
    products with 200 matrices.

    Attributes:
        noise: variance of the noise.
        constants: (K,).
        products: (K, n (n + 1) / 2), coefficients of the products of two variables.
    """

    noise: float
    constants: Tensor
    products: Tensor

    @property
    def size(self) -> int:
        """The number n of variables."""
        return side_of_triangle(self.products.shape[1])

    def most_likely(self, vectors: Tensor) -> Tensor:
        """The most likely component of each of the vectors (n, N), (N,)."""
        return torch.cat([self.advantages(block).argmax(0) for block in column_blocks(vectors)])

    def energy(self, vectors: Tensor) -> Tensor:
        """The sum over the vectors (n, N) of ``log p(0) - log p(v)``, >= 0, a scalar."""
        log_density = [self.log_density(block).sum() for block in column_blocks(vectors)]
        return vectors.shape[1] * self.constants.logsumexp(0) - torch.stack(log_density).sum()

    def log_density(self, vectors: Tensor) -> Tensor:
        """``log p(v)`` of each of the vectors (n, N), (N,)."""
        return self.advantages(vectors).logsumexp(0) - vectors.square().sum(0) / (2 * self.noise)

    def slope(self, vectors: Tensor) -> Tensor:
        """The gradient of `energy`, (n, N)."""
        return torch.cat([self.block_slope(block) for block in column_blocks(vectors)], 1)

    def block_slope(self, vectors: Tensor) -> Tensor:
        """The gradient of `energy` for a few vectors (n, N): the precision expected of each, times the vector."""
        weights = self.products.T @ torch.softmax(self.advantages(vectors), 0)
        slope, first = vectors / self.noise, 0
        for index in range(len(vectors)):  # the row of the products of variable ``index`` with itself and later ones
            row = weights[first : first + len(vectors) - index]
            slope[index] -= (row * vectors[index:]).sum(0)
            slope[index:] -= row * vectors[index]
            first += len(row)
        return slope

    def advantages(self, vectors: Tensor) -> Tensor:
        """Logarithms of the components' densities and shares, without ``-|v|^2 / (2 noise)``: (n, N) -> (K, N)."""
        products = torch.cat([vectors[index:] * vectors[index] for index in range(len(vectors))])
        return torch.addmm(self.constants[:, None], self.products, products)


def side_of_triangle(entries: int) -> int:
    """The side n of a triangle with n (n + 1) / 2 entries."""
    return (math.isqrt(8 * entries + 1) - 1) // 2


def filtered(vectors: Tensor, filters: Tensor, components: Tensor) -> Tensor:
    """The product of each vector with the matrix of its component.

    Args:
        vectors: (n, N).
        filters: (K, n, n).
        components: of each vector, (N,).

    Returns:
        (n, N).
    """
    order = torch.argsort(components, stable=True)
    counts = torch.bincount(components, minlength=len(filters)).tolist()
    groups = torch.split(vectors[:, order], counts, 1)
    products = torch.cat([matrix @ group for matrix, group in zip(filters, groups, strict=True)], 1)
    return torch.empty_like(vectors).index_copy_(1, order, products)


def triangle(matrices: Tensor) -> Tensor:
    """Coefficients of the products ``v_i v_j``, i <= j, in ``v^T M v / 2``: (K, n, n) -> (K, n (n + 1) / 2)."""
    rows, columns = torch.triu_indices(*matrices.shape[1:], device=matrices.device)
    halved = torch.where(rows == columns, 0.5, 1.0).to(matrices)
    return (matrices[:, rows, columns] * halved).contiguous()


def column_blocks(vectors: Tensor) -> Iterator[Tensor]:
    """Vectors (n, N) in blocks that stay in the processor's caches."""
    yield from torch.split(vectors, BLOCK_COLUMNS, 1)
