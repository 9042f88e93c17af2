"""Half-quadratic splitting: sparse deconvolution by proximal maps and divisions in the Fourier domain."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Annotated, Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from ..core.interfaces import Proximable
from ..core.parameters import Positive, validated
from ..core.problem import Problem
from ..core.ranges import AnyRange
from ..numerics.finite_differences import apply_filters, apply_filters_adjoint
from ..numerics.fourier import otf, to_grid, to_image
from ..numerics.geometry import size_of
from .inner import Advancing
from .masked_blur import data_on_grid
from .pixel_state import LEAST_SQUARES_DEBLURRING, PixelState, check_padding, check_terms, starting_point
from .splitting import check_weights, largest_weight, stiffness, weighted_terms

__all__ = ["HalfQuadratic"]


@dataclass(kw_only=True)
class HalfQuadraticState(PixelState):
    """The image on a periodic grid, and what every step needs of the data and the kernel.

    Attributes:
        grid: the image, and pixels that join its opposite sides, (B, C, *grid).
        spectrum: spectrum of ``grid``, (B, C, *half grid).
        fixed: spectrum of ``K^T y``, (B, C, *half grid).
        curvature: ``|K|^2`` on the half grid, (B, 1, *half grid).
        stiffness: ``sum_i |D_i|^2`` on the half grid.
        energy: mean square of the data on the grid, (B,).
    """

    grid: Tensor
    spectrum: Tensor
    fixed: Tensor
    curvature: Tensor
    stiffness: Tensor
    energy: Tensor
    saved: ClassVar = ("image", "kernel", "grid")

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Load what `state_dict` returned."""
        super().load_state_dict(saved)
        self.spectrum = torch.fft.rfft2(self.grid)


class HalfQuadratic(Advancing[HalfQuadraticState], AnyRange):
    """Sparse deconvolution by half-quadratic splitting with continuation (Wang, Yang, Yin, Zhang 2008).

    It minimises ``|K x - y|^2 + sum_i w_i g_i(z_i) + beta |D_i x - z_i|^2`` over z (the regularizers' proximal maps)
    and x (a division in the Fourier domain), once for each beta. Beta grows until z and D x agree. Krishnan & Fergus
    2009 use this scheme for hyper-Laplacians, and Xu, Zheng, Jia 2013 and Pan et al. 2014 for L0.

    The data are extended beyond their border so that opposite sides join smoothly
    (`invkit.numerics.fourier.extend_periodically`). Each step then takes two transforms. ``admm`` is slower but more
    accurate near the border.

    Args:
        beta_start: first beta, as a multiple of the largest weight.
        beta_max: no beta exceeds this multiple of the largest weight.
        beta_factor: ratio of each beta to the previous one.
        start_from_data: whether to start from the blurry image, as the papers do, or from the image prior's image.
    """

    keeps_large_blocks = True
    needs: ClassVar = {**LEAST_SQUARES_DEBLURRING, "regularizers": Proximable}

    @validated
    def __init__(
        self,
        *,
        beta_start: Positive = 2.0,
        beta_max: Positive = 1e5,
        beta_factor: Annotated[float, Field(gt=1, le=100)] = 2.0,
        start_from_data: bool = True,
    ) -> None:
        self.beta_start = beta_start
        self.beta_factor = beta_factor
        self.start_from_data = start_from_data
        self.iterations = 1 + max(0, math.floor(math.log(beta_max / beta_start) / math.log(beta_factor) + 1e-9))

    def check(self, problem: Problem) -> None:
        """Raise `AssemblyError` for a problem that the solver cannot solve."""
        super().check(problem)
        check_padding(problem, "half-quadratic")
        check_terms(problem, "half-quadratic")
        check_weights(problem, "half-quadratic")

    @torch.no_grad()
    def start(self, problem: Problem) -> HalfQuadraticState:
        """Put data, kernel and image on the grid."""
        image, kernel = starting_point(problem)
        data = data_on_grid(problem, kernel)
        size = size_of(data)
        blur, spectrum = otf(kernel, size), torch.fft.rfft2(data)
        grid = data if self.start_from_data else to_grid(image, size)
        return HalfQuadraticState(
            image=image,
            kernel=kernel,
            range=problem.image_prior.range,
            grid=grid,
            spectrum=spectrum if self.start_from_data else torch.fft.rfft2(grid),
            fixed=blur.conj() * spectrum,
            curvature=blur.abs().square(),
            stiffness=stiffness(problem, data),
            energy=data.square().mean((1, 2, 3)),
        )

    @torch.no_grad()
    def advance(self, problem: Problem, state: HalfQuadraticState) -> HalfQuadraticState:
        """One beta of Wang et al. 2008: z by the proximal maps, then x by least squares."""
        beta = self.beta_start * self.beta_factor**state.iteration * largest_weight(problem)
        count = state.grid[0].numel()  # R_i are means, the splitting is of sums
        back_projected = [
            apply_filters_adjoint(
                regularizer.prox(apply_filters(state.grid, regularizer.filters), count * weight / (2 * beta)),
                regularizer.filters,
            )
            for weight, regularizer in weighted_terms(problem)
        ]
        inverse = torch.add(state.curvature, state.stiffness, alpha=beta).reciprocal_()
        spectrum = torch.fft.rfft2(reduce(Tensor.add_, back_projected)).mul_(beta).add_(state.fixed)
        state.spectrum = spectrum.mul_(inverse.to(spectrum.dtype))  # a product of mixed types takes ten times as long
        state.grid = torch.fft.irfft2(state.spectrum, size_of(state.grid))
        state.image = to_image(state.grid, size_of(state.image))
        return state

    @torch.no_grad()
    def loss(self, problem: Problem, state: HalfQuadraticState) -> Tensor:
        """Return the mean square of ``K x - y`` over the grid, summed over the batch."""
        return data_error(state).sum()


def data_error(state: HalfQuadraticState) -> Tensor:
    """Compute the mean square of ``K x - y`` over the grid from the spectrum of x, by Parseval's theorem, (B,)."""
    own, fixed = torch.view_as_real(state.spectrum), torch.view_as_real(state.fixed.resolve_conj())
    slope = (own * state.curvature[..., None]).sub_(fixed, alpha=2)
    # rfft2 leaves out the conjugate half, so that all columns count twice but the first and, of even widths, the last.
    doubled = 2 * inner_products(own, slope) - inner_products(own[..., 0, :], slope[..., 0, :])
    if state.grid.shape[-1] % 2 == 0:
        doubled = doubled - inner_products(own[..., -1, :], slope[..., -1, :])
    return state.energy + doubled / (state.grid[0].numel() * state.grid.shape[-1] * state.grid.shape[-2])


def inner_products(one: Tensor, other: Tensor) -> Tensor:
    """Inner product of each pair of a batch: (B, ...) and (B, ...) -> (B,)."""
    return torch.bmm(one.flatten(1)[:, None], other.flatten(1)[..., None]).view(-1)
