"""Blind deconvolution by turns of a latent image and a kernel: the skeleton of the classical MAP methods."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from ..core.interfaces import Assignable, Blur, EdgeSelection, KernelPostprocessing, KernelEstimation, OperatorParameterPrior
from ..core.parameters import NonNegative, PositiveInt, validated
from ..core.problem import Problem
from ..core.solver import Solver
from ..numerics.geometry import Size, margins, size_of
from .inner import run_inner
from .pixel_state import (
    PixelState,
    Saturation,
    check_padding,
    check_terms,
    image_prior_of,
    kernel_prior_of,
    saturated,
    starting_point,
)

__all__ = ["AlternatingMAP"]

CLOSED = 0.5  # of the image: if more than that is near to clipped data, it is a white background


@dataclass(kw_only=True)
class MAPState(PixelState):
    """Latent image and kernel as they stand."""

    def priors(self, problem: Problem) -> tuple[Any, OperatorParameterPrior]:
        """Priors that give the latent image and the kernel."""
        return image_prior_of(problem.image_prior, self.image), kernel_prior_of(problem.kernel_prior, self.kernel)


class AlternatingMAP(Solver[MAPState]):
    """Turns of a latent image, its salient edges, and the kernel that blurs them into the data's, at one scale.

    One iteration: (1) the slot ``latent`` deconvolves the data with the current kernel and the problem's regularizers;
    (2) ``edge_selection`` chooses what of the latent image is to be trusted; (3) ``kernel_estimation`` fits the kernel to it;
    (4) ``kernel_postprocessing`` takes from the kernel what no motion would leave. With different parts these are the methods of
    Chan & Wong 1998, Cho & Lee 2009, Xu & Jia 2010, Xu, Zheng, Jia 2013, Pan et al. 2014 and 2016, Perrone & Favaro
    2014 and others; all work from coarse to fine, for which there is the solver ``pyramid``.

    Args:
        latent: a solver that gives an image for a given kernel.
        edge_selection: what of the latent image the kernel is fitted to.
        kernel_estimation: how it is fitted.
        kernel_postprocessing: what is then done to it; none for nothing.
        iterations: turns.
        decay: the regularizers' weights are divided by it after each turn.
        smallest_weight: below which no weight is divided.
        saturation: data of this value or more are clipped, and the kernel is fitted to what is farther from them than
            it reaches: a lamp's trail is brighter than any blur of the lamp as it is seen. Where that is less than half
            of the image, as with text on white paper, and where no data are clipped, all of it is taken. None: always.
    """

    needs: ClassVar[Mapping[str, type]] = {
        "operator": Blur,
        "image_prior": Assignable,
        "kernel_prior": Assignable,
    }

    @validated
    def __init__(
        self,
        *,
        latent: Annotated[Solver[Any], Field(description="gives the latent image", examples=["half-quadratic"])],
        edge_selection: Annotated[
            EdgeSelection, Field(description="chooses what the kernel is fitted to", examples=["gradients"])
        ],
        kernel_estimation: Annotated[KernelEstimation, Field(description="fits the kernel", examples=["toeplitz"])],
        kernel_postprocessing: Annotated[KernelPostprocessing | None, Field(description="mends the kernel after each turn")] = None,
        iterations: Annotated[PositiveInt, Field(description="turns of image and kernel")] = 5,
        decay: Annotated[float, Field(ge=1, description="weights are divided by it after each turn")] = 1.0,
        smallest_weight: Annotated[NonNegative, Field(description="no weight is divided below this")] = 0.0,
        saturation: Saturation = None,
    ) -> None:
        self.latent = latent
        self.edge_selection = edge_selection
        self.kernel_estimation = kernel_estimation
        self.kernel_postprocessing = kernel_postprocessing
        self.iterations = iterations
        self.decay = decay
        self.smallest_weight = smallest_weight
        self.saturation = saturation

    def check(self, problem: Problem) -> None:
        """Refuse what it, or the solver of the latent image, cannot solve; raises `AssemblyError`."""
        super().check(problem)
        check_padding(problem, "alternating-map", ("valid",))
        check_terms(problem, "alternating-map")
        self.latent.check(problem)

    def start(self, problem: Problem) -> MAPState:
        """Image and kernel as the priors give them."""
        image, kernel = starting_point(problem)
        return MAPState(image=image, kernel=kernel)

    def step(self, problem: Problem, state: MAPState) -> MAPState:
        """One turn: latent image, edges, kernel, clean-up."""
        image, _ = run_inner(self.latent, self._latent_problem(problem, state)).estimate()
        with torch.no_grad():
            sharp, blurred = self.edge_selection(image, problem.data, size_of(state.kernel), state.iteration)
            clipped = saturated(problem.data, self.saturation)
            if clipped is not None:
                sharp, blurred = apart_from(clipped, sharp, blurred, size_of(state.kernel))
            kernel = self.kernel_estimation(sharp, blurred, state.kernel)
            state.kernel = kernel if self.kernel_postprocessing is None else self.kernel_postprocessing(kernel)
            state.image = image
            state.losses.append(problem.objective(image, state.kernel, state.iteration).sum())
        return state

    def _latent_problem(self, problem: Problem, state: MAPState) -> Problem:
        """The problem with the current kernel, from the current image, with this turn's weights and fidelity."""
        factor = self.decay**state.iteration
        terms = [
            replace(term, weight=max(term.weight / factor, min(term.weight, self.smallest_weight)))
            for term in problem.regularizers
        ]
        image_prior, kernel_prior = state.priors(problem)
        return replace(
            problem,
            image_prior=image_prior,
            kernel_prior=kernel_prior,
            fidelity=problem.fidelity.at(state.iteration),
            regularizers=terms,
        )


def apart_from(clipped: Tensor, sharp: Tensor, blurred: Tensor, kernel_size: Size) -> tuple[Tensor, Tensor]:
    """Edges of the image without those that reach clipped data, and the data's without what clipping has made of them.

    Args:
        clipped: (B, C, H, W), bool.
        sharp: (B, S, H + h - 1, W + w - 1).
        blurred: (B, S, H, W).
        kernel_size: (h, w).

    Returns:
        Both; as they are, of a picture of which less than half would be left.
    """
    seen, (h, w) = clipped.any(1, keepdim=True).to(blurred), kernel_size
    near = spread_along(spread_along(seen, h // 2, -2), w // 2, -1)
    few = (near.mean((1, 2, 3), keepdim=True) <= CLOSED).to(blurred)
    (top, bottom), (left, right) = margins(kernel_size)
    apart = 1 - few * F.pad(near, (left, right, top, bottom), mode="replicate")
    return sharp * apart, blurred * (1 - few * F.max_pool2d(seen, 3, stride=1, padding=1))


def spread_along(seen: Tensor, reach: int, dim: int) -> Tensor:
    """One where zeros and ones have a one within so many places along a dimension, at a cost that no reach changes."""
    places = seen.shape[dim]
    around = [0, 0, reach + 1, reach] if dim == -2 else [reach + 1, reach]
    counts = F.pad(seen, around).cumsum(dim)
    return (counts.narrow(dim, 2 * reach + 1, places) > counts.narrow(dim, 0, places)).to(seen)
