"""Blind deconvolution of the image's gradients: turns of sparse gradients and a kernel."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from ..core.errors import AssemblyError
from ..core.interfaces import Assignable, Blur, KernelPostprocessing, KernelEstimation, LeastSquares, Proximable, OperatorParameterPrior
from ..core.parameters import Positive, PositiveInt, validated
from ..core.problem import Problem
from ..core.solver import Solver
from ..numerics.finite_differences import GRADIENT, IDENTITY, adjoint, analyse, inside, power
from ..numerics.fourier import to_image
from ..numerics.geometry import size_of
from .pixel_state import PixelState, check_padding, check_terms, image_prior_of, kernel_prior_of, starting_point

__all__ = ["GradientMAP"]

SMALLEST = 1e-12  # norm of the gradients of a flat image
TIE = 1e-3  # of the integrated image to the other: below a frequency of about 1 / 200 pixels the other's is kept


@dataclass(kw_only=True)
class GradientState(PixelState):
    """Latent gradients and kernel.

    Attributes:
        sharp: latent gradients, (B, 2 C, H + h - 1, W + w - 1), in the scale of ``blurred``.
        blurred: the data's gradients, scaled, (B, 2 C, H, W).
        scale: by which gradients were multiplied, (B, 1, 1, 1).
    """

    sharp: Tensor
    blurred: Tensor
    scale: Tensor

    def estimate(self) -> tuple[Tensor, Tensor]:
        """The image whose gradients come nearest to the latent ones, and the kernel."""
        return integrated(self.sharp / self.scale, self.image).clamp(0, 1), self.kernel

    def priors(self, problem: Problem) -> tuple[Any, OperatorParameterPrior]:
        """Priors that give the estimate."""
        image, kernel = self.estimate()
        return image_prior_of(problem.image_prior, image), kernel_prior_of(problem.kernel_prior, kernel)

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
    ``kernel_estimation``. Weights are of sums here, as in the paper (whose lambda is one over the weight), since the scale
    of the gradients is fixed. The image is what least squares make of the gradients, its lowest frequencies the data's.

    Args:
        kernel_estimation: fits the kernel.
        kernel_postprocessing: what is then done to it; none for nothing.
        iterations: turns.
        shrinkages: steps of iterative shrinkage a turn (the paper: 2 times 2).
        norm: of the data's gradients, by which the scale of the weights is fixed.
    """

    needs: ClassVar[Mapping[str, type]] = {
        "operator": Blur,
        "image_prior": Assignable,
        "kernel_prior": Assignable,
        "fidelity": LeastSquares,
        "regularizers": Proximable,
    }

    @validated
    def __init__(
        self,
        *,
        kernel_estimation: Annotated[KernelEstimation, Field(description="fits the kernel", examples=["l1-irls"])],
        kernel_postprocessing: Annotated[KernelPostprocessing | None, Field(description="mends the kernel after each turn")] = None,
        iterations: Annotated[PositiveInt, Field(description="turns of gradients and kernel")] = 21,
        shrinkages: Annotated[PositiveInt, Field(description="steps of iterative shrinkage a turn")] = 4,
        norm: Annotated[Positive, Field(description="norm of the data's gradients")] = 6.0,
    ) -> None:
        self.kernel_estimation = kernel_estimation
        self.kernel_postprocessing = kernel_postprocessing
        self.iterations = iterations
        self.shrinkages = shrinkages
        self.norm = norm

    def check(self, problem: Problem) -> None:
        """Refuse what it cannot solve; raises `AssemblyError`."""
        super().check(problem)
        check_padding(problem, "gradient-map", ("valid",))
        check_terms(problem, "gradient-map")
        for term in problem.regularizers:
            if isinstance(term.regularizer, Proximable) and term.regularizer.stencils != (IDENTITY,):
                raise AssemblyError(
                    f"gradient-map needs regularizers on the values themselves, since its values are gradients, and "
                    f"{type(term.regularizer).__name__} takes their differences; take l1-over-l2 with params.of=value"
                )

    @torch.no_grad()
    def start(self, problem: Problem) -> GradientState:
        """Latent gradients as the image prior's image has them."""
        image, kernel = starting_point(problem)
        blurred = gradients(problem.data)
        scale = self.norm / blurred.flatten(1).norm(dim=1).clamp(min=SMALLEST).view(-1, 1, 1, 1)
        sharp = gradients(image) * scale
        return GradientState(image=image, kernel=kernel, sharp=sharp, blurred=blurred * scale, scale=scale)

    @torch.no_grad()
    def step(self, problem: Problem, state: GradientState) -> GradientState:
        """One turn: shrinkage of the gradients, then the kernel."""
        for _ in range(self.shrinkages):
            residual = problem.operator(state.sharp, state.kernel) - state.blurred
            # A kernel that sums to one never lengthens: a step of 1 / 2 on the square is always small enough.
            state.sharp = shrunk(problem, state.sharp - problem.operator.adjoint(residual, state.kernel))
        kernel = self.kernel_estimation(state.sharp, state.blurred, state.kernel)
        state.kernel = kernel if self.kernel_postprocessing is None else self.kernel_postprocessing(kernel)
        error = (problem.operator(state.sharp, state.kernel) - state.blurred).square().sum()
        state.losses.append(error + sum(penalties(problem, state.sharp)))
        return state


def gradients(data: Tensor) -> Tensor:
    """Forward differences down and along, zero across the border: (B, C, H, W) -> (B, 2 C, H, W)."""
    return torch.cat(list(analyse(data, GRADIENT, wrap=False)), dim=1)


def integrated(stack: Tensor, like: Tensor) -> Tensor:
    """The image whose differences come nearest to a stack of them, and which keeps another's lowest frequencies.

    Args:
        stack: (B, 2 C, H, W), down and along; what reaches across the border counts for nothing.
        like: (B, C, H, W), the other image.
    """
    planes = torch.stack(stack.chunk(2, dim=1))
    within = torch.stack([inside(stencil, like) for stencil in GRADIENT])[:, None, None]
    pulled = mirrored(adjoint(planes * within, GRADIENT) + TIE * like)
    # Differences that end at the border are those of an image that continues as its mirror image.
    spectrum = torch.fft.rfft2(pulled) / (power(GRADIENT, size_of(pulled), like) + TIE)
    return to_image(torch.fft.irfft2(spectrum, size_of(pulled)), size_of(like))


def mirrored(image: Tensor) -> Tensor:
    """An image beside and above its mirror images, (B, C, H, W) -> (B, C, 2 H, 2 W)."""
    image = torch.cat([image, image.flip(-2)], -2)
    return torch.cat([image, image.flip(-1)], -1)


def shrunk(problem: Problem, value: Tensor) -> Tensor:
    """The proximal map of every term in turn, for a step of 1 / 2."""
    for term in problem.regularizers:
        if isinstance(term.regularizer, Proximable):
            value = term.regularizer.prox(value[None], term.weight / 2)[0]
    return value


def penalties(problem: Problem, value: Tensor) -> list[Tensor]:
    """The weighted terms."""
    return [term.weight * term.regularizer(value).sum() for term in problem.regularizers]
