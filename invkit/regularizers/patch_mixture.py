"""The patch prior of Zoran and Weiss: a mixture of Gaussians over small patches, as a denoiser."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import Field
from torch import Tensor
from torch.autograd.function import once_differentiable

from ..core.interfaces import Denoising
from ..core.parameters import validated
from ..numerics.gaussian_mixture import GaussianMixture, NoisyMixture, filtered
from ..numerics.geometry import size_of
from ..numerics.patches import PatchGrid, cosine_basis
from .shrinkage import values_per_image

__all__ = ["LEARNED_SIDE", "PATCH_MIXTURE", "PatchMixture", "learned_mixture"]

LEARNED_SIDE = 8  # pixels
PATCH_MIXTURE = "patch_mixture.npz"
PARTS, COMPARED = ("log_shares", "variances", "directions"), "compared_"  # buffers of a mixture, and their prefix
ROUNDING_VARIANCE = (1 / 255) ** 2 / 12  # of values rounded to 8 bits, the least variance of a patch in the penalty


class PatchMixture(Denoising):
    """Expected patch log-likelihood (Zoran, Weiss, "From Learning Models of Natural Image Patches...", ICCV 2011).

    The prior of an 8x8 patch without its mean is a mixture of 200 Gaussians with full covariances. The penalty is the
    mean of ``log p(0) - log p(patch)`` over the patches of all channels, divided by the 64 pixels of a patch. For data
    with white noise of variance s, the weight ``2 s`` makes the objective that of the paper.

    The proximal map is the paper's denoiser at the noise level ``sqrt(step / (C H W))``, as of ``plug-and-play``: each
    patch is assigned to its most likely component and filtered by the Wiener filter of this component, and the
    overlapping patches are averaged. It is one step of the paper's half-quadratic splitting, and does not minimise the
    penalty exactly. Any recipe that takes a denoiser takes it; the solver ``denoising-half-quadratic`` is the paper's.

    ``benchmarks/calibration/train_patch_mixture.py`` has learned the mixture from photographs that are free to use.
    Channels are denoised separately.

    Args:
        stride: pixels between two patches, along each side. The paper takes every patch, with a stride of 1. Time falls
            with the square of the stride. In a few iterations, a stride of 4 loses less than 0.1 dB.
        compared: number of DCT coefficients of a patch, lowest frequencies first, that decide which component is the
            most likely. With all 63 it is the paper's choice. 35 take a third of the time, and were as good on
            photographs; without noise, fine texture can lose some tenths of a dB.

    Example:
        >>> flat = torch.full((1, 1, 1, 16, 16), 0.5)
        >>> noisy = flat + 0.1 * torch.randn(flat.shape, generator=torch.Generator().manual_seed(0))
        >>> step = 0.1**2 * 16 * 16
        >>> bool((PatchMixture().prox(noisy, step) - flat).square().mean() < 0.1 * (noisy - flat).square().mean())
        True
    """

    basis: Tensor

    @validated
    def __init__(
        self,
        *,
        stride: Annotated[int, Field(ge=1, le=LEARNED_SIDE)] = 4,
        compared: Annotated[int, Field(ge=1, le=LEARNED_SIDE**2 - 1)] = LEARNED_SIDE**2 - 1,
    ) -> None:
        super().__init__()
        self.stride = stride
        for prefix, mixture in (("", learned_mixture()), (COMPARED, leading_mixture(compared))):
            for part in PARTS:
                self.register_buffer(prefix + part, getattr(mixture, part).float(), persistent=False)
        self.register_buffer("basis", cosine_basis(LEARNED_SIDE), persistent=False)

    def penalty(self, coefficients: Tensor) -> Tensor:
        """Pixels (1, B, C, H, W) -> (B,)."""
        energy: Tensor = _PatchEnergy.apply(coefficients[0], self)
        return energy

    @torch.no_grad()
    def prox(self, coefficients: Tensor, step: float) -> Tensor:
        """Pixels (1, B, C, H, W), step > 0 -> the same shape, denoised; without gradients."""
        variance = step / values_per_image(coefficients)
        compared = self.mixture(coefficients, COMPARED).noisy(variance)
        filters = self.mixture(coefficients).wiener_filters(variance)
        grid, basis = self.grid_of(coefficients), self.basis.to(coefficients)
        result = torch.empty_like(coefficients, memory_format=torch.contiguous_format)
        for plane, target in zip(channel_planes(coefficients), channel_planes(result), strict=True):
            patches = grid.patches(plane)
            vectors = basis @ patches
            found = filtered(vectors, filters, compared.most_likely(vectors[: compared.size]))
            target.copy_(grid.averaged(torch.addmm(patches.mean(0, keepdim=True), basis.T, found)))
        return result

    def mixture(self, like: Tensor, prefix: str = "") -> GaussianMixture:
        """The mixture of all coefficients or of the `COMPARED` ones, of the type and on the device of ``like``."""
        return GaussianMixture(*(getattr(self, prefix + part).to(like) for part in PARTS))

    def rounded(self, like: Tensor) -> NoisyMixture:
        """The mixture of the penalty, with the noise of rounding; as `mixture`."""
        return self.mixture(like).noisy(ROUNDING_VARIANCE)

    def grid_of(self, images: Tensor) -> PatchGrid:
        """The places of the patches of images (..., H, W)."""
        return PatchGrid(size_of(images), LEARNED_SIDE, self.stride)


class _PatchEnergy(torch.autograd.Function):
    """The penalty of images (B, C, H, W); its gradient is computed where it is needed, to save memory."""

    @staticmethod
    def forward(ctx: Any, images: Tensor, regularizer: PatchMixture) -> Tensor:
        ctx.regularizer = regularizer
        ctx.save_for_backward(images)
        mixture, grid = regularizer.rounded(images), regularizer.grid_of(images)
        basis = regularizer.basis.to(images)
        energies = torch.stack([mixture.energy(basis @ grid.patches(plane)) for plane in channel_planes(images)])
        return energies.view(images.shape[:2]).sum(1) / patch_values(grid, images)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (images,), regularizer = ctx.saved_tensors, ctx.regularizer
        mixture, grid = regularizer.rounded(images), regularizer.grid_of(images)
        basis = regularizer.basis.to(images)
        slopes = [
            grid.summed_with_repeated(basis.T @ mixture.slope(basis @ grid.patches(plane)))
            for plane in channel_planes(images)
        ]
        slope = torch.stack(slopes).view(images.shape) / patch_values(grid, images)
        return gradients[0].view(-1, 1, 1, 1) * slope, None


def channel_planes(images: Tensor) -> Tensor:
    """The channels of images (..., H, W), (N, H, W); a view where possible."""
    return images.view(-1, *images.shape[-2:]) if images.is_contiguous() else images.reshape(-1, *images.shape[-2:])


def patch_values(grid: PatchGrid, images: Tensor) -> int:
    """The number of values of all patches of an image of the batch (B, C, H, W)."""
    rows, columns = ((length - grid.side) // grid.stride + 1 for length in grid.padded)
    return grid.side**2 * rows * columns * images.shape[1]


@cache
def learned_mixture() -> GaussianMixture:
    """Read the mixture that is part of the package, once."""
    with (files(__package__) / PATCH_MIXTURE).open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        shares, factors = (torch.from_numpy(arrays[name]) for name in ("shares", "factors"))
    return GaussianMixture.of_triangles(shares, factors)


@cache
def leading_mixture(compared: int) -> GaussianMixture:
    """The part of this mixture for the first coefficients."""
    whole = learned_mixture()
    return whole if compared == whole.variances.shape[1] else whole.leading(compared)
