"""Half-quadratic splitting: sparse deconvolution by turns of a proximal map and a division in the Fourier domain."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Annotated, Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from ..core.errors import AssemblyError
from ..core.interfaces import Assignable, Blur, LeastSquares, Proximable
from ..core.parameters import Positive, validated
from ..core.problem import Problem
from ..numerics.finite_differences import adjoint, analyse, power
from ..numerics.fourier import grid_size, to_grid, to_image, transfer, wrapped
from ..numerics.geometry import size_of
from .inner import Advancing
from .pixel_state import PixelState, check_padding, check_terms, starting_point

__all__ = ["HalfQuadratic", "check_weights", "on_grid", "stiffness", "weighted"]


@dataclass(kw_only=True)
class HalfQuadraticState(PixelState):
    """The image on a periodic grid, with what every step needs of data and kernel.

    Attributes:
        grid: the image, and what joins its sides, (B, C, *grid).
        spectrum: of that, (B, C, *half grid).
        fixed: spectrum of ``K^T y``, (B, C, *half grid).
        curvature: ``|K|^2`` on the half grid, (B, 1, *half grid).
        stiffness: ``sum_i |D_i|^2`` there, (*half grid).
        energy: mean square of the data on the grid, (B,).
    """

    grid: Tensor
    spectrum: Tensor
    fixed: Tensor
    curvature: Tensor
    stiffness: Tensor
    energy: Tensor

    def state_dict(self) -> dict[str, Any]:
        """A copy; what depends on data and kernel only is computed anew."""
        return super().state_dict() | {"grid": self.grid.clone()}

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Take over what `state_dict` gave."""
        super().load_state_dict(saved)
        self.grid = saved["grid"].to(self.grid)
        self.spectrum = torch.fft.rfft2(self.grid)


class HalfQuadratic(Advancing[HalfQuadraticState]):
    """Sparse deconvolution by half-quadratic splitting with continuation (Wang, Yang, Yin, Zhang 2008).

    Minimises ``|K x - y|^2 + sum_i w_i g_i(z_i) + beta |D_i x - z_i|^2`` over z (the regularizers' proximal maps) and x
    (a division in the Fourier domain) once for each beta, which grows until z and D x agree: the scheme of Krishnan &
    Fergus 2009 for hyper-Laplacians, of Xu, Zheng, Jia 2013 and of Pan et al. 2014 for L0.

    The data are continued beyond their border so that they wrap round smoothly (`invkit.numerics.fourier.wrapped`), which makes
    every step two transforms; where the border matters more than the time, take ``admm``.

    Args:
        beta_start: the first beta, as a multiple of the largest weight.
        beta_max: no beta exceeds this multiple of the largest weight.
        beta_factor: ratio of one beta to the one before.
        start_from_data: begin from the blurry image, as the papers do, instead of from what the image prior gives.
    """

    needs: ClassVar = {
        "operator": Blur,
        "image_prior": Assignable,
        "fidelity": LeastSquares,
        "regularizers": Proximable,
    }

    @validated
    def __init__(
        self,
        *,
        beta_start: Annotated[Positive, Field(description="first beta, times the largest weight")] = 2.0,
        beta_max: Annotated[Positive, Field(description="largest beta, times the largest weight")] = 1e5,
        beta_factor: Annotated[float, Field(gt=1, le=100, description="ratio of one beta to the one before")] = 2.0,
        start_from_data: Annotated[
            bool, Field(description="begin from the blurry image, else from what the image prior gives")
        ] = True,
    ) -> None:
        self.beta_start = beta_start
        self.beta_factor = beta_factor
        self.start_from_data = start_from_data
        self.iterations = 1 + max(0, math.floor(math.log(beta_max / beta_start) / math.log(beta_factor) + 1e-9))

    def check(self, problem: Problem) -> None:
        """Refuse what it cannot solve; raises `AssemblyError`."""
        super().check(problem)
        check_padding(problem, "half-quadratic")
        check_terms(problem, "half-quadratic")
        check_weights(problem, "half-quadratic")

    @torch.no_grad()
    def start(self, problem: Problem) -> HalfQuadraticState:
        """Data, kernel and image on the grid."""
        image, kernel = starting_point(problem)
        data = on_grid(problem, kernel)
        size = size_of(data)
        blur, spectrum = transfer(kernel, size), torch.fft.rfft2(data)
        grid = data if self.start_from_data else to_grid(image, size)
        return HalfQuadraticState(
            image=image,
            kernel=kernel,
            grid=grid,
            spectrum=spectrum if self.start_from_data else torch.fft.rfft2(grid),
            fixed=blur.conj() * spectrum,
            curvature=blur.abs().square(),
            stiffness=stiffness(problem, data),
            energy=data.square().mean((1, 2, 3)),
        )

    @torch.no_grad()
    def advance(self, problem: Problem, state: HalfQuadraticState) -> HalfQuadraticState:
        """One beta: z by the proximal maps, x by least squares."""
        beta = self.beta_start * self.beta_factor**state.iteration * max(term.weight for term in problem.regularizers)
        count = state.grid[0].numel()  # R_i are means, the splitting is of sums
        asked = [
            adjoint(
                regularizer.prox(analyse(state.grid, regularizer.stencils), count * weight / (2 * beta)),
                regularizer.stencils,
            )
            for weight, regularizer in weighted(problem)
        ]
        inverse = torch.add(state.curvature, state.stiffness, alpha=beta).reciprocal_()
        spectrum = torch.fft.rfft2(reduce(Tensor.add_, asked)).mul_(beta).add_(state.fixed)
        state.spectrum = spectrum.mul_(inverse.to(spectrum.dtype))  # a product of two types takes ten times as long
        state.grid = torch.fft.irfft2(state.spectrum, size_of(state.grid))
        state.image = to_image(state.grid, size_of(state.image))
        return state

    @torch.no_grad()
    def loss(self, problem: Problem, state: HalfQuadraticState) -> Tensor:
        """Mean square of ``K x - y`` over the grid."""
        return data_error(state).sum()


def on_grid(problem: Problem, kernel: Tensor) -> Tensor:
    """The data on the periodic grid: themselves where the blur is circular, else with their sides joined."""
    if isinstance(problem.operator, Blur) and problem.operator.padding == "circular":
        return problem.data
    return wrapped(problem.data, size_of(kernel), grid_size(size_of(problem.data), size_of(kernel)))


def weighted(problem: Problem) -> list[tuple[float, Proximable]]:
    """The terms that count, with their weights; `Solver.check` has seen that they are proximable."""
    terms = [term for term in problem.regularizers if term.target == "image" and term.weight > 0]
    return [(term.weight, term.regularizer) for term in terms if isinstance(term.regularizer, Proximable)]


def stiffness(problem: Problem, grid: Tensor) -> Tensor:
    """``sum_i |D_i|^2`` over the filters of all terms, on the half grid of a grid (B, C, H, W)."""
    return torch.stack([power(term.stencils, size_of(grid), grid) for _, term in weighted(problem)]).sum(0)


def check_weights(problem: Problem, solver: str) -> None:
    """Refuse a problem whose weights are all zero, of which penalties are multiples; raises `AssemblyError`."""
    if not weighted(problem):
        raise AssemblyError(f"{solver} needs a regularizer of a weight above zero; take a small weight for none")


def data_error(state: HalfQuadraticState) -> Tensor:
    """Mean square of ``K x - y`` over the grid from the spectrum of x (Parseval), (B,)."""
    own, fixed = torch.view_as_real(state.spectrum), torch.view_as_real(state.fixed.resolve_conj())
    slope = (own * state.curvature[..., None]).sub_(fixed, alpha=2)
    doubled = 2 * inner(own, slope) - inner(own[..., 0, :], slope[..., 0, :])  # rfft2 leaves out the conjugate half
    if state.grid.shape[-1] % 2 == 0:
        doubled = doubled - inner(own[..., -1, :], slope[..., -1, :])
    return state.energy + doubled / (state.grid[0].numel() * state.grid.shape[-1] * state.grid.shape[-2])


def inner(one: Tensor, other: Tensor) -> Tensor:
    """The inner products of a batch, (B, ...) and (B, ...) -> (B,)."""
    return torch.bmm(one.flatten(1)[:, None], other.flatten(1)[..., None]).view(-1)
