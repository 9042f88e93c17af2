"""Blind deconvolution that alternates a latent image and a kernel: the scheme of the classical MAP methods."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from ..core.interfaces import Assignable, Blur, OperatorParameterPrior
from ..core.parameters import NonNegative, PositiveFraction, PositiveInt, validated
from ..core.problem import Problem
from ..core.solver import Solver
from ..numerics.geometry import Size, margins, size_of
from .inner import run_inner
from .map.interfaces import EdgeSelection, KernelEstimation, KernelPostprocessing
from .pixel_state import (
    PixelState,
    check_padding,
    check_terms,
    image_prior_of,
    kernel_prior_of,
    saturation_mask,
    starting_point,
)

__all__ = ["AlternatingMAP"]

MAX_SATURATED_SHARE = 0.5  # of the image; more pixels near saturated data are a white background, not highlights


@dataclass(kw_only=True)
class MAPState(PixelState):
    """The current latent image and kernel."""

    def priors(self, problem: Problem) -> tuple[Any, OperatorParameterPrior]:
        """Return priors that give the latent image and the kernel."""
        return image_prior_of(problem.image_prior, self.image), kernel_prior_of(problem.kernel_prior, self.kernel)


class AlternatingMAP(Solver[MAPState]):
    """Alternates a latent image and the kernel that blurs its salient edges into the data's, at one scale.

    One iteration: (1) ``latent`` deconvolves the data with the current kernel and the problem's regularizers;
    (2) ``edge_selection`` selects the reliable edges of the latent image; (3) ``kernel_estimation`` fits the kernel
    to them; (4) ``kernel_postprocessing`` removes artefacts from the kernel. With different components these are the
    methods of Chan & Wong 1998, Cho & Lee 2009, Xu & Jia 2010, Xu, Zheng, Jia 2013, Pan et al. 2014 and 2016, Perrone
    & Favaro 2014 and others. All of them work from coarse to fine: put this solver into ``pyramid``. A `Scheduled`
    regularizer changes with the outer iteration.

    Args:
        latent: solver that computes the latent image for a given kernel.
        edge_selection: selects the edges to which the kernel is fitted.
        kernel_estimation: fits the kernel to these edges.
        kernel_postprocessing: corrects the fitted kernel; None for no correction.
        iterations: outer iterations.
        decay: the regularizers' weights are divided by this factor after each outer iteration.
        min_weight: no weight is divided below this value.
        saturation: data of this value or more are saturated. The kernel is then fitted only to edges farther from
            saturated data than the kernel reaches, since the trail of a lamp is brighter than the blur of the recorded
            lamp. If that is less than half of the image, as with text on white paper, or if no data are saturated, the
            kernel is fitted to all edges. None: always to all edges.
    """

    needs: ClassVar = {"operator": Blur, "image_prior": Assignable, "kernel_prior": Assignable}

    @validated
    def __init__(
        self,
        *,
        latent: Annotated[Solver[Any], Field(examples=["half-quadratic"])],
        edge_selection: Annotated[EdgeSelection, Field(examples=["gradients"])],
        kernel_estimation: Annotated[KernelEstimation, Field(examples=["toeplitz"])],
        kernel_postprocessing: KernelPostprocessing | None = None,
        iterations: PositiveInt = 5,
        decay: Annotated[float, Field(ge=1)] = 1.0,
        min_weight: NonNegative = 0.0,
        saturation: PositiveFraction | None = None,
    ) -> None:
        self.latent = latent
        self.keeps_large_blocks = latent.keeps_large_blocks
        self.edge_selection = edge_selection
        self.kernel_estimation = kernel_estimation
        self.kernel_postprocessing = kernel_postprocessing
        self.iterations = iterations
        self.decay = decay
        self.min_weight = min_weight
        self.saturation = saturation

    def check(self, problem: Problem) -> None:
        """Raise `AssemblyError` for a problem that it, or the solver of the latent image, cannot solve."""
        super().check(problem)
        check_padding(problem, "alternating-map", ("valid",))
        check_terms(problem, "alternating-map")
        self.latent.check(problem)

    def start(self, problem: Problem) -> MAPState:
        """Take image and kernel that the priors give."""
        image, kernel = starting_point(problem)
        return MAPState(image=image, kernel=kernel)

    def step(self, problem: Problem, state: MAPState) -> MAPState:
        """One outer iteration: latent image, edge selection, kernel estimation, kernel post-processing."""
        image, _ = run_inner(self.latent, self._latent_problem(problem, state)).estimate()
        with torch.no_grad():
            sharp, blurred = self.edge_selection(image, problem.data, size_of(state.kernel), state.iteration)
            saturated = saturation_mask(problem.data, self.saturation)
            if saturated is not None:
                sharp, blurred = unsaturated_edges(saturated, sharp, blurred, size_of(state.kernel))
            kernel = self.kernel_estimation(sharp, blurred, state.kernel)
            state.kernel = kernel if self.kernel_postprocessing is None else self.kernel_postprocessing(kernel)
            state.image = image
            state.losses.append(problem.objective(image, state.kernel, state.iteration).sum())
        return state

    def _latent_problem(self, problem: Problem, state: MAPState) -> Problem:
        """Return the problem with the current image and kernel, and the weights and fidelity of this iteration."""
        factor = self.decay**state.iteration
        terms = [
            replace(term, weight=max(term.weight / factor, min(term.weight, self.min_weight)))
            for term in (term.at(state.iteration) for term in problem.regularizers)
        ]
        image_prior, kernel_prior = state.priors(problem)
        return replace(
            problem,
            image_prior=image_prior,
            kernel_prior=kernel_prior,
            fidelity=problem.fidelity.at(state.iteration),
            regularizers=terms,
        )


def unsaturated_edges(saturated: Tensor, sharp: Tensor, blurred: Tensor, kernel_size: Size) -> tuple[Tensor, Tensor]:
    """Set to zero the edges whose blur reaches saturated data, and the data's edges that saturation has altered.

    Args:
        saturated: (B, C, H, W), bool.
        sharp: (B, S, H + h - 1, W + w - 1).
        blurred: (B, S, H, W).
        kernel_size: (h, w).

    Returns:
        sharp and blurred; both are unchanged for an image of which less than half would remain.
    """
    mask, (h, w) = saturated.any(1, keepdim=True).to(blurred), kernel_size
    near = dilated_along(dilated_along(mask, h // 2, -2), w // 2, -1)
    applies = (near.mean((1, 2, 3), keepdim=True) <= MAX_SATURATED_SHARE).to(blurred)
    (top, bottom), (left, right) = margins(kernel_size)
    kept = 1 - applies * F.pad(near, (left, right, top, bottom), mode="replicate")
    return sharp * kept, blurred * (1 - applies * F.max_pool2d(mask, 3, stride=1, padding=1))


def dilated_along(mask: Tensor, reach: int, dim: int) -> Tensor:
    """Dilate a mask of zeros and ones along a dimension; the cost does not depend on the reach.

    Args:
        mask: (B, C, H, W).
        reach: pixels in either direction.
        dim: -2 or -1.
    """
    places = mask.shape[dim]
    around = [0, 0, reach + 1, reach] if dim == -2 else [reach + 1, reach]
    counts = F.pad(mask, around).cumsum(dim)
    return (counts.narrow(dim, 2 * reach + 1, places) > counts.narrow(dim, 0, places)).to(mask)
