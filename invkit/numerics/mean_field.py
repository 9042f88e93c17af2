"""The posterior distribution of latent differences given a kernel, as independent Gaussians.

The data are ``y = M (k * x + n)``: a valid convolution, white noise n of variance ``s``, and a mask M of ones and
zeros. The differences x have a heavy-tailed density p whose ``-log p`` is concave in ``x^2``. Among the distributions
q(x) that are Gaussian with mean mu and a diagonal covariance C, one minimises the free energy

    ``F = E_q[|M (k * x - y)|^2] / (2 s) + sum E_q[-log p(x)] + E_q[log q(x)] + count log(2 pi s) / 2``,

which is never below ``-log p(y | k)``. Minimising it over q and k alternately is the variational Bayesian method of
Levin, Weiss, Durand, Freeman, "Efficient Marginal Likelihood Optimization in Blind Deconvolution", CVPR 2011. The
second term is replaced by its upper bound ``-log p`` at ``E_q[x^2] = mu^2 + C``
(`invkit.numerics.scale_mixture`). Each of the three updates of `MeanField` then lowers F.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

from .conjugate_gradients import conjugate_gradients, dot_per_channel
from .fourier import grid_size, otf
from .geometry import Size, margins, size_of

__all__ = ["MIN_PERIODIC_CURVATURE", "EnergyOfMoments", "MaskedConvolution", "MeanField"]

EnergyOfMoments: TypeAlias = Callable[[Tensor], Tensor]
"""The sum of ``-log p`` over the differences as a function of their second moments: (B, S, H, W) -> (B,)."""

MIN_PERIODIC_CURVATURE = 1e-6  # of the preconditioner's periodic system; the largest eigenvalue of K^T K is 1


@dataclass(frozen=True)
class MaskedConvolution:
    """``M K`` from latent differences (B, S, H + h - 1, W + w - 1) to data (B, S, H, W), by Fourier transforms.

    Attributes:
        kernel: (B, 1, h, w).
        mask: 1 where the data count, otherwise 0; (B, S, H, W).
    """

    kernel: Tensor
    mask: Tensor

    @cached_property
    def grid(self) -> Size:
        """The size of the transforms."""
        return grid_size(size_of(self.mask), size_of(self.kernel))

    @cached_property
    def spectrum(self) -> Tensor:
        """The kernel's transfer function, (B, 1, *half grid)."""
        return otf(self.kernel, self.grid)

    @cached_property
    def conjugate(self) -> Tensor:
        """Its complex conjugate, of the same shape."""
        return self.spectrum.conj().resolve_conj()

    @cached_property
    def mask_on_grid(self) -> Tensor:
        """The mask at the place of the data, (B, S, *grid)."""
        return self.framed(self.mask)

    @cached_property
    def coverage(self) -> Tensor:
        """The diagonal of ``K^T M K``, (B, S, H + h - 1, W + w - 1)."""
        squares = otf(self.kernel.square(), self.grid).conj().resolve_conj()
        return self.filtered(self.mask_on_grid, squares).clamp_(min=0)

    def framed(self, data: Tensor) -> Tensor:
        """Data (B, S, H, W) at their place on the grid, with zeros around them."""
        (top, _), (left, _) = margins(size_of(self.kernel))
        (height, width), (rows, columns) = size_of(data), self.grid
        return F.pad(data, (left, columns - left - width, top, rows - top - height))

    def forward(self, latent: Tensor) -> Tensor:
        """``M K x``."""
        (top, _), (left, _) = margins(size_of(self.kernel))
        (height, width) = size_of(self.mask)
        return self._filtered(latent, self.spectrum)[..., top : top + height, left : left + width] * self.mask

    def adjoint(self, data: Tensor) -> Tensor:
        """``K^T M y``."""
        return self.filtered(self.framed(data * self.mask), self.conjugate)

    def normal(self, latent: Tensor) -> Tensor:
        """``K^T M K x``."""
        return self.filtered(self._filtered(latent, self.spectrum).mul_(self.mask_on_grid), self.conjugate)

    def filtered(self, values: Tensor, response: Tensor) -> Tensor:
        """Values on the grid, or in its first corner, times a transfer function; cropped to the latent differences."""
        (height, width), (h, w) = size_of(self.mask), size_of(self.kernel)
        return self._filtered(values, response)[..., : height + h - 1, : width + w - 1]

    def _filtered(self, values: Tensor, response: Tensor) -> Tensor:
        found: Tensor = torch.fft.irfft2(torch.fft.rfft2(values, self.grid).mul_(response), self.grid)
        return found


@dataclass(frozen=True)
class MeanField:
    """The distribution q of latent differences, (B, S, H + h - 1, W + w - 1) each.

    Attributes:
        mean: mu.
        variance: C, the diagonal of the covariance, > 0.
    """

    mean: Tensor
    variance: Tensor

    @property
    def second_moment(self) -> Tensor:
        """``E_q[x^2]``."""
        return self.mean.square().add_(self.variance)

    def updated(
        self, blur: MaskedConvolution, right: Tensor, precision: Tensor, *, noise: float, cg_iterations: int
    ) -> MeanField:
        """Minimise the free energy over mean and covariance for given expected precisions of the prior.

        The mean solves ``(K^T M K + s w) mu = K^T M y`` by conjugate gradients, preconditioned by the periodic system
        with the mean precision. The variance is ``1 / (coverage / s + w)``.

        Args:
            blur: M K.
            right: ``K^T M y``, of the shape of the mean.
            precision: w, the same shape.
            noise: variance s of the noise.
            cg_iterations: from the present mean.
        """
        weights = noise * precision
        curvature = blur.spectrum.real.square() + blur.spectrum.imag.square()
        inverse = 1 / (curvature + weights.mean((-2, -1), keepdim=True).clamp(min=MIN_PERIODIC_CURVATURE))
        inverse = inverse.to(blur.spectrum.dtype)  # a product of mixed types takes ten times as long
        mean = conjugate_gradients(
            lambda latent: blur.normal(latent).addcmul_(weights, latent),
            right,
            self.mean,
            iterations=cg_iterations,
            precondition=lambda residual: blur.filtered(residual, inverse),
            inner_product=dot_per_channel,
        )
        return replace(self, mean=mean, variance=noise / (blur.coverage + weights))

    def data_term(self, blur: MaskedConvolution, data: Tensor) -> Tensor:
        """``E_q[|M (K x - y)|^2]``, (B,)."""
        squared = (blur.forward(self.mean) - data * blur.mask).square().sum((1, 2, 3))
        return squared + (blur.coverage * self.variance).sum((1, 2, 3))

    def free_energy(self, blur: MaskedConvolution, data: Tensor, energy: EnergyOfMoments, noise: float) -> Tensor:
        """F, (B,).

        Args:
            blur: M K.
            data: y, (B, S, H, W).
            energy: of the prior.
            noise: variance s of the noise.
        """
        count = blur.mask.sum((1, 2, 3))
        likelihood = self.data_term(blur, data) / (2 * noise) + count * (0.5 * math.log(2 * math.pi * noise))
        entropies = 0.5 * (self.variance.log() + (1 + math.log(2 * math.pi)))
        return likelihood + energy(self.second_moment) - entropies.sum((1, 2, 3))
