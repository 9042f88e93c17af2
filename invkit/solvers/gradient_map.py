"""Blind deconvolution of the image's gradients: alternates sparse gradients and a kernel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from ..core.errors import AssemblyError
from ..core.interfaces import Assignable, LinearOperator, OperatorParameterPrior, Proximable
from ..core.parameters import Positive, PositiveInt, validated
from ..core.problem import Problem
from ..core.solver import Solver
from ..numerics.finite_differences import (
    GRADIENT,
    IDENTITY,
    apply_filters_adjoint,
    power_spectrum,
    valid_mask,
)
from ..numerics.fourier import to_image
from ..numerics.geometry import size_of
from .map.edge_filters import forward_differences
from .map.interfaces import KernelEstimation, KernelPostprocessing
from .pixel_state import (
    LEAST_SQUARES_DEBLURRING,
    PixelState,
    check_padding,
    check_terms,
    image_prior_of,
    kernel_prior_of,
    starting_point,
)

__all__ = ["GradientMAP"]

MIN_GRADIENT_NORM = 1e-12  # for a flat image
REFERENCE_WEIGHT = 1e-3  # of the reference in `integrated`; it decides frequencies below about 1 / 200 pixels


@dataclass(kw_only=True)
class GradientState(PixelState):
    """Latent gradients and kernel.

    Attributes:
        sharp: latent gradients, (B, 2 C, H + h - 1, W + w - 1), in the scale of ``blurred``.
        blurred: the data's gradients, scaled, (B, 2 C, H, W).
        scale: factor by which gradients were multiplied, (B, 1, 1, 1).
    """

    sharp: Tensor
    blurred: Tensor
    scale: Tensor
    saved: ClassVar = ("image", "kernel", "sharp")

    def estimate(self) -> tuple[Tensor, Tensor]:
        """Return the image whose gradients are closest to the latent ones, and the kernel."""
        return integrated(self.sharp / self.scale, self.image).clamp(0, 1), self.kernel

    def priors(self, problem: Problem) -> tuple[Any, OperatorParameterPrior]:
        """Return priors that give the estimate."""
        image, kernel = self.estimate()
        return image_prior_of(problem.image_prior, image), kernel_prior_of(problem.kernel_prior, kernel)


class GradientMAP(Solver[GradientState]):
    """Alternates sparse latent gradients and the kernel that blurs them, at one scale (Krishnan, Tay, Fergus 2011).

    Let g be the data's gradients scaled to the norm ``norm``. One iteration minimises
    ``|K x - g|^2 + weight * R(x)`` over the gradients x by ``shrinkages`` steps of iterative shrinkage. The problem's
    regularizers must be `Proximable` on the values themselves, as ``l1-over-l2`` of "value". Then
    ``kernel_estimation`` fits the kernel. Here weights apply to sums, as in the paper, whose lambda is one over the
    weight, because the scale of the gradients is fixed. The image is the least-squares integral of the gradients; its
    lowest frequencies are those of the data.

    Args:
        kernel_estimation: fits the kernel to the gradients.
        kernel_postprocessing: corrects the fitted kernel; None for no correction.
        iterations: outer iterations of gradients and kernel.
        shrinkages: steps of iterative shrinkage in each outer iteration (the paper: 2 times 2).
        norm: norm to which the data's gradients are scaled; it fixes the scale of the weights.
    """

    keeps_large_blocks = True
    needs: ClassVar = {**LEAST_SQUARES_DEBLURRING, "kernel_prior": Assignable, "regularizers": Proximable}

    @validated
    def __init__(
        self,
        *,
        kernel_estimation: Annotated[KernelEstimation, Field(examples=["l1-irls"])],
        kernel_postprocessing: KernelPostprocessing | None = None,
        iterations: PositiveInt = 21,
        shrinkages: PositiveInt = 4,
        norm: Positive = 6.0,
    ) -> None:
        self.kernel_estimation = kernel_estimation
        self.kernel_postprocessing = kernel_postprocessing
        self.iterations = iterations
        self.shrinkages = shrinkages
        self.norm = norm

    def check(self, problem: Problem) -> None:
        """Raise `AssemblyError` for a problem that the solver cannot solve."""
        super().check(problem)
        check_padding(problem, "gradient-map", ("valid",))
        check_terms(problem, "gradient-map")
        for term in problem.regularizers:
            if isinstance(term.regularizer, Proximable) and term.regularizer.filters != (IDENTITY,):
                raise AssemblyError(
                    f"gradient-map needs regularizers on the values themselves, since its values are gradients, and "
                    f"{type(term.regularizer).__name__} takes their differences; use l1-over-l2 with of=value"
                )

    @torch.no_grad()
    def start(self, problem: Problem) -> GradientState:
        """Take the gradients of the image that the prior gives."""
        image, kernel = starting_point(problem)
        blurred = forward_differences(problem.data)
        scale = self.norm / blurred.flatten(1).norm(dim=1).clamp(min=MIN_GRADIENT_NORM).view(-1, 1, 1, 1)
        sharp = forward_differences(image) * scale
        return GradientState(image=image, kernel=kernel, sharp=sharp, blurred=blurred * scale, scale=scale)

    @torch.no_grad()
    def step(self, problem: Problem, state: GradientState) -> GradientState:
        """One outer iteration of Krishnan et al. 2011: iterative shrinkage of the gradients, then the kernel."""
        operator = problem.operator
        assert isinstance(operator, LinearOperator)  # as `needs` says
        for _ in range(self.shrinkages):
            residual = operator(state.sharp, state.kernel) - state.blurred
            # A kernel that sums to one never increases the norm, so a step of 1 / 2 on the square is always safe.
            state.sharp = proximal_step(problem, state.sharp - operator.adjoint(residual, state.kernel))
        kernel = self.kernel_estimation(state.sharp, state.blurred, state.kernel)
        state.kernel = kernel if self.kernel_postprocessing is None else self.kernel_postprocessing(kernel)
        error = (problem.operator(state.sharp, state.kernel) - state.blurred).square().sum()
        state.losses.append(error + sum(penalties(problem, state.sharp)))
        return state


def integrated(gradients: Tensor, reference: Tensor) -> Tensor:
    """Return the image whose differences are closest to given gradients, with the lowest frequencies of a reference.

    Args:
        gradients: (B, 2 C, H, W), down and along; values that reach across the border are ignored.
        reference: (B, C, H, W).
    """
    planes = torch.stack(gradients.chunk(2, dim=1))
    within = torch.stack([valid_mask(taps, reference) for taps in GRADIENT])[:, None, None]
    right = mirrored(apply_filters_adjoint(planes * within, GRADIENT) + REFERENCE_WEIGHT * reference)
    # Differences that end at the border are those of an image that continues as its mirror image.
    spectrum = torch.fft.rfft2(right) / (power_spectrum(GRADIENT, size_of(right), reference) + REFERENCE_WEIGHT)
    return to_image(torch.fft.irfft2(spectrum, size_of(right)), size_of(reference))


def mirrored(image: Tensor) -> Tensor:
    """Place an image beside and above its mirror images, (B, C, H, W) -> (B, C, 2 H, 2 W)."""
    image = torch.cat([image, image.flip(-2)], -2)
    return torch.cat([image, image.flip(-1)], -1)


def proximal_step(problem: Problem, value: Tensor) -> Tensor:
    """Apply the proximal map of each term, one after the other, for a step of 1 / 2."""
    for term in problem.regularizers:
        if isinstance(term.regularizer, Proximable):
            value = term.regularizer.prox(value[None], term.weight / 2)[0]
    return value


def penalties(problem: Problem, value: Tensor) -> list[Tensor]:
    """Return the weighted terms, each summed over the batch."""
    return [term.weight * term.regularizer(value).sum() for term in problem.regularizers]
