"""Deconvolution with honest borders by the alternating direction method of multipliers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from ..core.interfaces import Assignable, Blur, LeastSquares, Proximable
from ..core.parameters import NonNegative, Positive, PositiveInt, validated
from ..core.problem import Problem
from ..numerics.finite_differences import adjoint, analyse
from ..numerics.fourier import to_grid, to_image, transfer
from ..numerics.geometry import margins, size_of
from .half_quadratic import check_weights, on_grid, stiffness, weighted
from .inner import Advancing
from .pixel_state import PixelState, Saturation, check_padding, check_terms, imputed, saturated, starting_point

__all__ = ["ADMM"]

BRIGHTEST = 8.0  # times white: what is brighter has a trail that is itself clipped


@dataclass(kw_only=True)
class ADMMState(PixelState):
    """Image, blurred image and coefficients with their multipliers, on a periodic grid.

    Attributes:
        grid: the image and what joins its sides, x, (B, C, *grid).
        blurred: ``K x``, (B, C, *grid).
        blur_gap: scaled multiplier of ``u = K x``, and of u the share that relaxation keeps, (B, C, *grid).
        gaps: likewise of ``z_i = D_i x``, each (K, B, C, *grid).
        bound_gap: likewise of ``z = x`` in [0, 1], (B, C, *grid); a single zero without bounds.
        blur: the kernel's transfer function, (B, 1, *half grid).
        back: what the least-squares step multiplies the spectrum of what u asks for by.
        inverse: and that of what all z ask for; of the same type, as a mixed product takes a copy.
        clipped: which of the data are saturated, (B, C, H', W'), bool; None if none are.
        white: upper bound of the image, (B, C, *grid); None if it is 1 everywhere.
    """

    grid: Tensor
    blurred: Tensor
    blur_gap: Tensor
    gaps: list[Tensor]
    bound_gap: Tensor
    blur: Tensor
    back: Tensor
    inverse: Tensor
    clipped: Tensor | None = None
    white: Tensor | None = None

    def state_dict(self) -> dict[str, Any]:
        """A copy; what depends on kernel and data only is computed anew."""
        own = {"grid": self.grid, "blurred": self.blurred, "blur_gap": self.blur_gap, "bound_gap": self.bound_gap}
        copies = {name: tensor.clone() for name, tensor in own.items()}
        return super().state_dict() | copies | {"gaps": [gap.clone() for gap in self.gaps]}

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Take over what `state_dict` gave."""
        super().load_state_dict(saved)
        self.grid = saved["grid"].to(self.grid)
        self.blurred = saved["blurred"].to(self.grid)
        self.blur_gap = saved["blur_gap"].to(self.grid)
        self.bound_gap = saved["bound_gap"].to(self.grid)
        self.gaps = [gap.to(self.grid) for gap in saved["gaps"]]


class ADMM(Advancing[ADMMState]):
    """Deconvolution whose data term knows nothing beyond the data's border (Almeida & Figueiredo 2013).

    Minimises ``|M (u - y)|^2 + sum_i w_i g_i(z_i)`` with ``u = K x`` and ``z_i = D_i x`` by ADMM: the blurred image u
    is pulled to the data where there are any (M) and is free elsewhere, so that no border is made up; z by the
    regularizers' proximal maps; x by a division in the Fourier domain. Four transforms an iteration. With relaxation
    a, ``a K x + (1 - a) u`` and ``a D_i x + (1 - a) z_i`` stand for ``K x`` and ``D_i x`` (Eckstein & Bertsekas 1992).

    Args:
        iterations: turns of the three.
        data_penalty: of ``u = K x``, against the data term's 1.
        penalty: of ``z = D x``, as a multiple of the largest weight.
        relaxation: in (0, 2); 1 for none. With 1.8, 25 iterations get about as far as 40 without.
        bound_penalty: above 0 the image is held in [0, 1] by a further splitting, ``z = x``, whose penalty is this
            multiple of the others'. A dark or a white area then cannot ring below black or above white, and neither
            can what its ringing would have made up for. With 0 the image is clipped in the end only.
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
        iterations: Annotated[PositiveInt, Field(description="turns of data, prior and image")] = 40,
        data_penalty: Annotated[Positive, Field(description="penalty of u = K x; the data term has 1")] = 0.1,
        penalty: Annotated[Positive, Field(description="penalty of z = D x, times the largest weight")] = 20.0,
        relaxation: Annotated[float, Field(gt=0, lt=2, description="over- (above 1) or under-relaxation")] = 1.0,
        bound_penalty: Annotated[
            NonNegative, Field(description="penalty of z = x in [0, 1], times that of z = D x; 0 for no bounds")
        ] = 0.0,
        saturation: Saturation = None,
    ) -> None:
        self.iterations = iterations
        self.saturation = saturation
        self.data_penalty = data_penalty
        self.penalty = penalty
        self.relaxation = relaxation
        self.bound_penalty = bound_penalty

    def check(self, problem: Problem) -> None:
        """Refuse what it cannot solve; raises `AssemblyError`."""
        super().check(problem)
        check_padding(problem, "admm")
        check_terms(problem, "admm")
        check_weights(problem, "admm")

    @torch.no_grad()
    def start(self, problem: Problem) -> ADMMState:
        """The image on the grid, multipliers at zero."""
        image, kernel = starting_point(problem)
        size = size_of(on_grid(problem, kernel))
        blur, grid = transfer(kernel, size), to_grid(image, size)
        rho, stiff = self._rho(problem), stiffness(problem, grid) + self.bound_penalty
        inverse = 1 / (self.data_penalty * blur.abs().square() + rho * stiff)
        clipped = saturated(problem.data, self.saturation)
        blurred, kept, scale = torch.fft.irfft2(blur * torch.fft.rfft2(grid), size), 1 - self.relaxation, self._scale()
        return ADMMState(
            image=image,
            kernel=kernel,
            grid=grid,
            blurred=blurred,
            blur_gap=kept * blurred,
            gaps=[kept * analyse(grid, regularizer.stencils) for _, regularizer in weighted(problem)],
            bound_gap=kept * grid if self.bound_penalty > 0 else torch.zeros_like(grid[..., :1, :1]),
            blur=blur,
            back=scale * self.data_penalty * blur.conj() * inverse,
            inverse=(scale * rho * inverse).to(blur.dtype),
            clipped=clipped,
            white=None if clipped is None else brightest(problem, clipped, torch.ones_like(grid), kernel),
        )

    @torch.no_grad()
    def advance(self, problem: Problem, state: ADMMState) -> ADMMState:
        """Blurred image by the data, z by the proximal maps, x by least squares; then the multipliers."""
        size, rho = size_of(state.grid), self._rho(problem)
        asked = torch.zeros_like(state.grid)
        for index, (weight, regularizer) in enumerate(weighted(problem)):
            scale = state.grid[0].numel() * weight / (2 * rho)  # R is a mean, the splitting is of sums
            shifted = analyse(state.grid, regularizer.stencils)
            torch.add(state.gaps[index], shifted, alpha=self.relaxation, out=shifted)
            z = regularizer.prox(shifted, scale)
            state.gaps[index] = shifted.sub_(z, alpha=self.relaxation)
            asked += adjoint(z.sub_(state.gaps[index], alpha=1 / self._scale()), regularizer.stencils)
        if self.bound_penalty > 0:
            asked.add_(self._bound_step(state), alpha=self.bound_penalty)
        spectrum = torch.fft.rfft2(self._data_step(problem, state)).mul_(state.back)
        spectrum.addcmul_(torch.fft.rfft2(asked), state.inverse)
        state.grid = torch.fft.irfft2(spectrum, size)
        state.blurred = torch.fft.irfft2(spectrum * state.blur, size)
        state.image = to_image(state.grid, size_of(state.image))
        return state

    @torch.no_grad()
    def loss(self, problem: Problem, state: ADMMState) -> Tensor:
        """The data term."""
        under = under_data(problem, state.blurred, state.kernel)
        return torch.as_tensor(problem.fidelity(under, problem.data).sum())

    def _data_step(self, problem: Problem, state: ADMMState) -> Tensor:
        """What u asks of ``K x`` in the least-squares step, over `_scale`; updates the gap."""
        shifted = torch.add(state.blur_gap, state.blurred, alpha=self.relaxation)
        u = shifted.clone()
        under, data = under_data(problem, u, state.kernel), problem.data
        if state.clipped is not None:
            data = imputed(data, state.clipped, under)
        under.mul_(self.data_penalty).add_(data).div_(1 + self.data_penalty)
        state.blur_gap = shifted.sub_(u, alpha=self.relaxation)
        return u.sub_(state.blur_gap, alpha=1 / self._scale())

    def _bound_step(self, state: ADMMState) -> Tensor:
        """What z in [0, 1] asks of x, over `_scale`; updates the gap."""
        shifted = torch.add(state.bound_gap, state.grid, alpha=self.relaxation)
        z = shifted.clamp(0, 1) if state.white is None else shifted.clamp(min=0).minimum(state.white)
        state.bound_gap = shifted.sub_(z, alpha=self.relaxation)
        return z.sub_(state.bound_gap, alpha=1 / self._scale())

    def _scale(self) -> float:
        """Of what u and z ask for, which is ``scale * z - gap``."""
        return 2 - self.relaxation

    def _rho(self, problem: Problem) -> float:
        return self.penalty * max(term.weight for term in problem.regularizers)


def brightest(problem: Problem, clipped: Tensor, ones: Tensor, kernel: Tensor) -> Tensor:
    """The upper bound of the image on the grid, written into ``ones``: `BRIGHTEST` where the data are clipped."""
    under_data(problem, ones, kernel).masked_fill_(clipped, BRIGHTEST)
    return ones


def under_data(problem: Problem, grid: Tensor, kernel: Tensor) -> Tensor:
    """The part of a grid that lies under the data, a view."""
    if isinstance(problem.operator, Blur) and problem.operator.padding == "circular":
        return grid
    (height, width), ((top, _), (left, _)) = size_of(problem.data), margins(size_of(kernel))
    return grid[..., top : top + height, left : left + width]
