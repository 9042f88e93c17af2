"""The blur of a lens out of focus: a disc, whose radius is found by trying."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from ..core.interfaces import Assignable, Blur
from ..core.parameters import Positive, PositiveFraction, PositiveInt, validated
from ..core.problem import Problem
from ..core.solver import Solver
from ..numerics.framing import crop_to_data, extend, resize_kernel_support
from ..numerics.geometry import Size, size_of
from ..numerics.informative_window import informative_window
from ..numerics.restoration_scores import gradient_sparsity, noise_levels, residual_in_noise
from .alternating_map import MAPState
from .inner import run_inner
from .pixel_state import check_padding, check_terms, image_prior_of, kernel_prior_of, starting_point

__all__ = ["Defocus", "disc"]

SMALLEST_RADIUS = 1.0  # pixels; smaller discs hardly blur
FRAME_FACTOR = 0.75  # of the frame's longer side: a disc that the frame cuts off shows that the frame is too small
DATA_FACTOR = 0.25  # of the data's shorter side: larger discs leave nothing to compare
REFINEMENTS = 4  # radii beside the best one, at half and at a quarter of the step
SUBPIXELS = 9  # along each side of a pixel that the disc's edge crosses


@dataclass(kw_only=True)
class DefocusState(MAPState):
    """The best image and kernel so far.

    Attributes:
        pictures: in which radii are compared, (B, C, h, w).
        sigmas: of the noise of each picture.
        radii: tried so far, (B,) each, pixels.
        scores: of these radii, (B,) each; lower is better.
    """

    pictures: Tensor
    sigmas: list[float]
    radii: list[Tensor] = field(default_factory=list)
    scores: list[Tensor] = field(default_factory=list)
    saved: ClassVar = ("image", "kernel", "radii", "scores")


class Defocus(Solver[DefocusState]):
    """Finds the radius of a disc, the blur of a lens out of focus: it tries radii, each larger than the one before.

    The picture is restored with each disc. The score of a restoration is its residual in units of the noise plus
    ``sparsity_weight`` times ``log(mean |grad x| / rms |grad x|)``: a disc that is too small leaves blur, and one that
    is too large leaves rings or a residual. Four more radii are then tried around the best one. Methods that estimate
    every pixel of the kernel from sparse edges make discs too sparse; here one number is estimated from all pixels.

    Both terms are those of the metrics `Residual` and `NormalizedSparsity`. For large pictures, radii are compared in
    the most informative square.

    Args:
        latent: solver that restores the picture with a given disc, from the problem's regularizers.
        ratio: of a radius to the one before.
        sparsity_weight: weight of the sparsity of the gradients.
        window: side of the square in which radii are compared, pixels.
        saturation: data of this value or more do not count for the residual.
    """

    needs: ClassVar = {"operator": Blur, "image_prior": Assignable, "kernel_prior": Assignable}

    @validated
    def __init__(
        self,
        *,
        latent: Annotated[Solver[Any], Field(examples=["half-quadratic"])],
        ratio: Annotated[float, Field(gt=1, le=2)] = 1.2,
        sparsity_weight: Positive = 8.0,
        window: PositiveInt = 256,
        saturation: PositiveFraction = 0.98,
    ) -> None:
        self.latent = latent
        self.iterations = latent.iterations
        self.keeps_large_blocks = latent.keeps_large_blocks
        self.ratio = ratio
        self.sparsity_weight = sparsity_weight
        self.window = window
        self.saturation = saturation

    def check(self, problem: Problem) -> None:
        """Raise `AssemblyError` for a problem that it, or the solver of the latent image, cannot solve."""
        super().check(problem)
        check_padding(problem, "defocus", ("valid",))
        check_terms(problem, "defocus")
        self.latent.check(problem)

    def steps(self, problem: Problem) -> int:
        """One for each radius."""
        return len(self.ladder(problem)) + REFINEMENTS

    def start(self, problem: Problem) -> DefocusState:
        """Take image and kernel that the priors give."""
        image, kernel = starting_point(problem)
        pictures = torch.cat([one[(..., *informative_window(one, self.window))] for one in problem.data[:, None]])
        return DefocusState(image=image, kernel=kernel, pictures=pictures, sigmas=noise_levels(pictures))

    def step(self, problem: Problem, state: DefocusState) -> DefocusState:
        """Try one radius for each picture of the batch; the last step restores the pictures with the best one."""
        radii = self._next_radii(problem, state)
        state.radii.append(radii)
        state.scores.append(self._scores(problem, state, radii))
        with torch.no_grad():
            state.kernel = discs(self._best(state), size_of(state.kernel)).to(state.kernel)
        if len(state.radii) == self.steps(problem):
            image_prior = image_prior_of(problem.image_prior, state.image)
            kernel_prior = kernel_prior_of(problem.kernel_prior, state.kernel)
            whole = replace(problem, image_prior=image_prior, kernel_prior=kernel_prior)
            state.image, _ = run_inner(self.latent, whole).estimate()
            state.converged = True
        state.losses.append(problem.objective(state.image, state.kernel, state.iteration).sum().detach())
        return state

    def ladder(self, problem: Problem) -> list[float]:
        """The radii to try first, in pixels, increasing."""
        frame, data = max(problem.kernel_prior.shape[-2:]), min(problem.data.shape[-2:])
        largest = max(min(FRAME_FACTOR * frame, DATA_FACTOR * data), SMALLEST_RADIUS)
        count = 1 + int(math.log(largest / SMALLEST_RADIUS) / math.log(self.ratio) + 1e-9)
        return [SMALLEST_RADIUS * self.ratio**number for number in range(count)]

    def _next_radii(self, problem: Problem, state: DefocusState) -> Tensor:
        """The radius of the ladder; after the last one, a radius beside the best one."""
        ladder, number = self.ladder(problem), len(state.radii)
        if number < len(ladder):
            return torch.full((len(problem.data),), ladder[number], dtype=torch.float64)
        turn, side = divmod(number - len(ladder), 2)
        share = 0.5 ** (turn + 1) * (1 if side else -1)  # of the step between two radii of the ladder
        return self._best(state, len(ladder) + 2 * turn) * math.pow(self.ratio, share)

    def _best(self, state: DefocusState, count: int | None = None) -> Tensor:
        """The radius with the lowest score of each picture, (B,), among the first ``count``."""
        radii, scores = torch.stack(state.radii[:count]), torch.stack(state.scores[:count])
        return radii.take_along_dim(scores.argmin(0, keepdim=True), 0)[0]

    def _scores(self, problem: Problem, state: DefocusState, radii: Tensor) -> Tensor:
        """The scores (B,) of discs.

        Args:
            problem: the whole.
            state: with the pictures to compare.
            radii: (B,), pixels.
        """
        frame = 2 * math.ceil(self.ladder(problem)[-1] * self.ratio) + 1
        pictures = state.pictures
        kernels = discs(radii, (frame, frame)).to(pictures)
        start = extend(pictures, (frame, frame))
        part = replace(
            problem,
            data=pictures,
            image_prior=image_prior_of(problem.image_prior, start),
            kernel_prior=kernel_prior_of(problem.kernel_prior, kernels),
        )
        image, _ = run_inner(self.latent, part).estimate()
        with torch.no_grad():
            seen = crop_to_data(image, (frame, frame), size_of(pictures))
            residual = residual_in_noise(pictures, seen, kernels, state.sigmas, self.saturation)
            return (residual + self.sparsity_weight * gradient_sparsity(seen)).cpu()


def discs(radii: Tensor, size: Size) -> Tensor:
    """Discs of radii (B,) as kernels (B, 1, h, w); a smaller size crops them."""
    return torch.cat([resize_kernel_support(disc(float(radius)), size) for radius in radii])


def disc(radius: float) -> Tensor:
    """A uniform disc as a kernel (1, 1, n, n) that sums to one; pixels on its edge count by the part inside.

    Args:
        radius: pixels, > 0.

    Example:
        >>> (100 * disc(1.0)).round().int()[0, 0].tolist()
        [[2, 15, 2], [15, 32, 15], [2, 15, 2]]
    """
    side = 2 * max(math.ceil(radius - 0.5), 0) + 1
    places = (torch.arange(side * SUBPIXELS) + 0.5) / SUBPIXELS - side / 2
    inside = (places.square()[:, None] + places.square()[None] <= radius**2).float()
    parts = inside.reshape(side, SUBPIXELS, side, SUBPIXELS).mean((1, 3))
    return (parts / parts.sum())[None, None]
