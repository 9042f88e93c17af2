"""Blind deconvolution of the image's gradients: turns of sparse gradients and a kernel."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from ..geometry import extend, size_of
from ..interfaces import Assignable, Blur, KernelCleanup, KernelPrior, KernelStep, Proximable
from ..parameters import Positive, PositiveInt, validated
from ..problem import Problem
from ..solver import Solver
from ..stencils import GRADIENT, analyse
from .pixel_state import PixelState, check_padding, image_prior_of, kernel_prior_of, starting_point

__all__ = ["GradientMAP"]


@dataclass(kw_only=True)
class GradientState(PixelState):
    """Latent gradients and kernel.

    Attributes:
        sharp: latent gradients, (B, 2 C, H + h - 1, W + w - 1), in the scale of ``blurred``.
        blurred: the data's gradients, scaled, (B, 2 C, H, W).
    """

    sharp: Tensor
    blurred: Tensor

    def priors(self, problem: Problem) -> tuple[Any, KernelPrior]:
        """The image's prior with the image it gave, and a kernel prior that gives the kernel."""
        return image_prior_of(problem.image_prior, self.image), kernel_prior_of(problem.kernel_prior, self.kernel)

    def state_dict(self) -> dict[str, Any]:
        """A copy; the data's gradients are computed anew."""
        return super().state_dict() | {"sharp": self.sharp.clone()}

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Take over what `state_dict` gave."""
        super().load_state_dict(saved)
        self.sharp = saved["sharp"].to(self.sharp)


class GradientMAP(Solver[GradientState]):
    """Turns of sparse latent gradients and the kernel that blurs them, at one scale (Krishnan, Tay, Fergus 2011).

    With g the data's gradients scaled to the norm ``norm``, one iteration minimises
    ``|K x - g|^2 + weight * R(x)`` over the gradients x by ``shrinkages`` steps of iterative shrinkage (the problem's
    regularizers must be `Proximable` on the values themselves, as ``l1-over-l2`` of "value"), then fits the kernel by
    ``kernel_step``. Weights are of sums here, as in the paper (whose lambda is one over the weight), since the scale
    of the gradients is fixed. The image itself is not estimated: what the image prior gave stays, and the kernel is
    what the method is for.

    Args:
        kernel_step: fits the kernel.
        clean_up: what is then done to it; none for nothing.
        iterations: turns.
        shrinkages: steps of iterative shrinkage a turn (the paper: 2 times 2).
        norm: of the data's gradients, by which the scale of the weights is fixed.
    """

    needs: ClassVar[Mapping[str, type]] = {
        "operator": Blur,
        "image_prior": Assignable,
        "kernel_prior": Assignable,
        "regularizers": Proximable,
    }

    @validated
    def __init__(
        self,
        *,
        kernel_step: Annotated[KernelStep, Field(description="fits the kernel", examples=["l1-irls"])],
        clean_up: Annotated[KernelCleanup | None, Field(description="mends the kernel after each turn")] = None,
        iterations: Annotated[PositiveInt, Field(description="turns of gradients and kernel")] = 21,
        shrinkages: Annotated[PositiveInt, Field(description="steps of iterative shrinkage a turn")] = 4,
        norm: Annotated[Positive, Field(description="norm of the data's gradients")] = 6.0,
    ) -> None:
        self.kernel_step = kernel_step
        self.clean_up = clean_up
        self.iterations = iterations
        self.shrinkages = shrinkages
        self.norm = norm

    def check(self, problem: Problem) -> None:
        """Refuse what it cannot solve; raises `AssemblyError`."""
        super().check(problem)
        check_padding(problem, "gradient-map", ("valid",))

    @torch.no_grad()
    def start(self, problem: Problem) -> GradientState:
        """Latent gradients as the data's."""
        image, kernel = starting_point(problem)
        blurred = gradients(problem.data)
        blurred = blurred * self.norm / blurred.flatten(1).norm(dim=1).clamp(min=1e-12).view(-1, 1, 1, 1)
        return GradientState(image=image, kernel=kernel, sharp=extend(blurred, size_of(kernel)), blurred=blurred)

    @torch.no_grad()
    def step(self, problem: Problem, state: GradientState) -> GradientState:
        """One turn: shrinkage of the gradients, then the kernel."""
        for _ in range(self.shrinkages):
            residual = problem.operator(state.sharp, state.kernel) - state.blurred
            # A kernel that sums to one never lengthens: a step of 1 / 2 on the square is always small enough.
            state.sharp = shrunk(problem, state.sharp - problem.operator.adjoint(residual, state.kernel))
        kernel = self.kernel_step(state.sharp, state.blurred, state.kernel)
        state.kernel = kernel if self.clean_up is None else self.clean_up(kernel)
        state.losses.append(residual.square().sum() + sum(penalties(problem, state.sharp)))
        return state


def gradients(data: Tensor) -> Tensor:
    """Forward differences down and along, zero across the border: (B, C, H, W) -> (B, 2 C, H, W)."""
    return torch.cat(list(analyse(data, GRADIENT, wrap=False)), dim=1)


def shrunk(problem: Problem, value: Tensor) -> Tensor:
    """The proximal map of every term in turn, for a step of 1 / 2."""
    for term in problem.regularizers:
        if isinstance(term.regularizer, Proximable):
            value = term.regularizer.prox(value[None], term.weight / 2)[0]
    return value


def penalties(problem: Problem, value: Tensor) -> list[Tensor]:
    """The weighted terms."""
    return [term.weight * term.regularizer(value).sum() for term in problem.regularizers]
