"""The blur of a camera that turns about its optical axis, from coarse to fine; or one kernel, if that fits as well."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from ..core.errors import AssemblyError
from ..core.fidelity_abilities import LeastSquares
from ..core.interfaces import Assignable, GriddedBlur, KernelPrior, Regularizer
from ..core.parameters import NonNegative, Positive, PositiveInt, validated
from ..core.problem import Problem, Term
from ..core.solver import Solver
from ..numerics.framing import crop_to_data, extend_to, resize_kernel_support
from ..numerics.geometry import Size, shape_of, size_of
from ..numerics.noise import PATCH_SIDE, ROUNDING_SIGMA, estimate_sigma
from ..numerics.resampling import downscale, resample_kernel
from ..numerics.restoration_scores import gradient_sparsity
from ..numerics.turning import TurningMap, angles_of_course, grid_points, turned_kernels
from .alternating_map import MAPState
from .inner import run_inner
from .map.interfaces import EdgeSelection, KernelPostprocessing
from .map.turning_fit import PatchEdges, fitted_coefficients, fitted_taps
from .patchwise import GivenKernel, Patchwise, one_kernel_problem
from .pixel_state import check_terms, image_prior_of, starting_point

__all__ = ["TurningCamera"]

MIN_KERNEL_SIDE = 5  # pixels, at the coarsest level
MIN_PATCH_SIDE = 20  # pixels
MIN_MARGIN, MARGIN_SHARE = 2, 0.1  # pixels, and share of the kernel's reach, that the new kernel may reach further
MIN_OVERLAP = 8  # pixels, on each side of a patch
WITHOUT_TURNING = 2  # first iterations of the coarsest level, in which the kernel forms
COURSE_STEPS = 2  # Gauss-Newton steps on the angles in each iteration
FIRST_TAPS = ((0.0, 0.125, 0.0), (0.125, 0.5, 0.125), (0.0, 0.125, 0.0))


@dataclass(kw_only=True)
class TurningState(MAPState):
    """The kernel in the centre and the angles, at the current level; image and kernels are those of the problem.

    Attributes:
        centre_kernel: (1, 1, h, w).
        coefficients: of the angles, (5,), pixels by which the picture's corners move.
    """

    centre_kernel: Tensor
    coefficients: Tensor
    saved: ClassVar = ("image", "kernel", "centre_kernel", "coefficients")


@dataclass(frozen=True)
class Patches:
    """Overlapping patches of one size that cover a picture.

    Attributes:
        data: (N, C, H, W).
        points: their middles relative to the picture's centre, (N, 2), pixels.
    """

    data: Tensor
    points: Tensor

    @classmethod
    def of(cls, picture: Tensor, count: int, overlap: int, most: int) -> Patches:
        """Cut patches of a picture (1, C, H, W).

        Args:
            picture: the data.
            count: of patches along each side.
            overlap: pixels beyond each patch's share, on each side.
            most: pixels of a patch along each side.
        """
        sizes = [min(side, math.ceil(side / count) + 2 * overlap, most) for side in size_of(picture)]
        firsts = [
            [round(i * (side - size) / max(1, count - 1)) for i in range(count)]
            for side, size in zip(size_of(picture), sizes, strict=True)
        ]
        corners = [(top, left) for top in firsts[0] for left in firsts[1]]
        parts = [picture[..., top : top + sizes[0], left : left + sizes[1]] for top, left in corners]
        middle = torch.tensor([(size - side) / 2 for size, side in zip(sizes, size_of(picture), strict=True)])
        return cls(torch.cat(parts), torch.tensor(corners) + middle)


class TurningCamera(Solver[TurningState]):
    """Estimates the kernel in the picture's centre and the angle of each of its taps; the other kernels follow.

    A kernel for each part of the picture has too many unknowns. Here all kernels follow from one kernel and five
    coefficients: the angle of the camera is a polynomial of second order of its displacement (`numerics.turning`).

    From coarse to fine, on overlapping patches with one kernel each: the latent image by ``latent`` with a sparse
    ``latent_regularizer``, the selection of its edges, Gauss-Newton steps on the angles, and the kernel in the centre
    by non-negative least squares. The problem's kernel gives the size, and the kernel to compare with: in the end
    ``restoration`` restores the patches with both, and the turning camera is taken only if its score is lower by
    ``min_gain``. The score is the residual in units of the noise plus ``sparsity_weight`` times the sparsity of the
    gradients, as for the solver ``defocus``. Otherwise all kernels are the one that was given, without the operator's
    margin.

    Args:
        latent: solver of the latent image of a patch.
        latent_regularizer: of the latent image.
        edge_selection: selects the edges to which kernel and angles are fitted.
        kernel_postprocessing: corrects the kernel in the centre.
        restoration: solver that restores the patches with both sets of kernels and the problem's regularizers.
        latent_weight: of ``latent_regularizer`` in the first iteration of a level.
        decay: the weight is divided by this factor after each iteration.
        iterations: of each level.
        ratio: size of a level relative to the next finer one.
        patches: number of patches along each side, at most.
        patch_side: pixels of a patch along each side, at most, so that large pictures need no more memory.
        max_turn: pixels by which the picture's corners move, at most.
        kernel_iterations: projected gradients of a fit of the kernel.
        ridge: weight of its squared entries, as a multiple of the normal matrix's largest eigenvalue.
        sparsity_weight: weight of the sparsity in the score.
        min_gain: by which the score of the turning camera must be lower.
        min_turn: pixels by which the picture's corners must move, standard deviation over the exposure; smaller turns
            are not worth a new kernel.
    """

    keeps_large_blocks = True
    needs: ClassVar = {
        "operator": GriddedBlur,
        "image_prior": Assignable,
        "kernel_prior": Assignable,
        "fidelity": LeastSquares,
    }

    @validated
    def __init__(
        self,
        *,
        latent: Annotated[Solver[Any], Field(examples=["half-quadratic"])],
        latent_regularizer: Annotated[Regularizer, Field(examples=["l0-gradient"])],
        edge_selection: Annotated[EdgeSelection, Field(examples=["gradients"])],
        kernel_postprocessing: Annotated[KernelPostprocessing, Field(examples=["threshold"])],
        restoration: Annotated[Solver[Any], Field(examples=["admm"])],
        latent_weight: Positive = 4e-3,
        decay: Annotated[float, Field(ge=1)] = 1.1,
        iterations: PositiveInt = 5,
        ratio: Annotated[float, Field(ge=0.3, le=0.95)] = 0.5**0.5,
        patches: PositiveInt = 5,
        patch_side: PositiveInt = 224,
        max_turn: Positive = 12.0,
        kernel_iterations: PositiveInt = 25,
        ridge: Annotated[float, Field(ge=0, lt=1)] = 0.01,
        sparsity_weight: NonNegative = 8.0,
        min_gain: Annotated[float, Field(allow_inf_nan=False)] = 0.0,
        min_turn: NonNegative = 0.7,
    ) -> None:
        self.latent, self.latent_regularizer, self.restoration = latent, latent_regularizer, restoration
        self.edge_selection, self.kernel_postprocessing = edge_selection, kernel_postprocessing
        self.latent_weight, self.decay, self.iterations, self.ratio = latent_weight, decay, iterations, ratio
        self.patches, self.patch_side, self.max_turn = patches, patch_side, max_turn
        self.kernel_iterations, self.ridge = kernel_iterations, ridge
        self.sparsity_weight, self.min_gain, self.min_turn = sparsity_weight, min_gain, min_turn

    def check(self, problem: Problem) -> None:
        """Raise `AssemblyError` for a problem that it, or a solver inside it, cannot solve."""
        super().check(problem)
        check_terms(problem, "turning-camera")
        if len(problem.data) > 1:
            raise AssemblyError(f"turning-camera restores one picture at a time, and {len(problem.data)} are given")
        self.latent.check(replace(one_kernel_problem(problem), regularizers=self._latent_terms(0)))
        self.restoration.check(one_kernel_problem(problem))

    def levels(self, problem: Problem) -> int:
        """The number of levels: the kernel's longer side is about five pixels at the coarsest."""
        side = max(self._kernel_size(problem))
        return 1 + max(0, math.ceil(math.log(MIN_KERNEL_SIDE / side) / math.log(self.ratio)))

    def steps(self, problem: Problem) -> int:
        """Return the iterations of all levels."""
        return self.levels(problem) * self.iterations

    @torch.no_grad()
    def start(self, problem: Problem) -> TurningState:
        """Take image and kernels that the priors give; the kernel in the centre starts as a spot."""
        image, kernels = starting_point(problem)
        first = kernels.new_tensor(FIRST_TAPS)[None, None]
        return TurningState(image=image, kernel=kernels, centre_kernel=first, coefficients=kernels.new_zeros(5))

    @torch.no_grad()
    def step(self, problem: Problem, state: TurningState) -> TurningState:
        """One iteration of a level: latent patches, edges, angles, kernel; the last one also decides."""
        number, turn = divmod(state.iteration, self.iterations)
        scale = self.ratio ** (self.levels(problem) - 1 - number)
        picture = problem.data if scale == 1 else downscale(problem.data, scale).clamp(0, 1)
        kernel = self._kernel_at(problem, state, scale)
        patches = self._patches_of(picture, size_of(kernel))
        reach = math.ceil(scale * self.max_turn) + 2
        size = (kernel.shape[-2] + 2 * reach, kernel.shape[-1] + 2 * reach)

        def kernels_of(coefficients: Tensor) -> Tensor:
            angles = self._angles(problem, coefficients, kernel[0, 0])
            return turned_kernels(kernel[0, 0], angles, patches.points.to(kernel), size)

        edges = self._edges(problem, patches, kernels_of(state.coefficients), turn)
        if number > 0 or turn >= WITHOUT_TURNING:
            state.coefficients = fitted_coefficients(edges, kernels_of, state.coefficients, kernel[0, 0], COURSE_STEPS)
        angles = self._angles(problem, state.coefficients, kernel[0, 0])
        everywhere = torch.ones_like(angles, dtype=torch.bool)
        turning = TurningMap.of(everywhere, angles, patches.points.to(kernel), size)
        taps = fitted_taps(edges, turning, kernel.flatten(), self.ridge, self.kernel_iterations)
        state.centre_kernel = self.kernel_postprocessing(taps.view_as(kernel))
        state.losses.append(picture.new_tensor(edges.error(kernels_of(state.coefficients)) / edges.blurred.numel()))
        if state.iteration + 1 == self.steps(problem):
            self._decide(problem, state)
        return state

    def _kernel_size(self, problem: Problem) -> Size:
        """The size of the part of the given kernel that is not zero, odd, about its centre, with a margin."""
        kernel = problem.kernel_prior().detach()[0, 0]
        middle = torch.tensor([side // 2 for side in size_of(kernel)], device=kernel.device)
        reach = (kernel.nonzero() - middle).abs().amax(0).tolist()
        height, width = (2 * (int(far) + MIN_MARGIN + int(MARGIN_SHARE * far)) + 1 for far in reach)
        return height, width

    def _kernel_at(self, problem: Problem, state: TurningState, scale: float) -> Tensor:
        """The kernel in the centre at a level, (1, 1, h, w); enlarged in the level's first iteration."""
        side = max(3, *(round(scale * one) // 2 * 2 + 1 for one in self._kernel_size(problem)))
        kernel = state.centre_kernel
        if state.iteration % self.iterations or state.iteration == 0:
            return resize_kernel_support(kernel, (side, side))
        return resample_kernel(kernel, (side, side), 1 / self.ratio)

    def _angles(self, problem: Problem, coefficients: Tensor, kernel: Tensor) -> Tensor:
        """The angles of the taps of a kernel, (h, w), radians.

        Args:
            problem: gives the distance of the picture's corners.
            coefficients: of the angles, (5,), pixels by which the corners move.
            kernel: in the centre, (h, w).
        """
        return angles_of_course(coefficients, kernel, self.max_turn) / corner_distance(problem)

    def _patches_of(self, picture: Tensor, kernel_size: Size) -> Patches:
        """As many patches as the picture has room for."""
        room = min(size_of(picture)) // max(MIN_PATCH_SIDE, *kernel_size)
        return Patches.of(
            picture, max(1, min(self.patches, room)), max(MIN_OVERLAP, max(kernel_size) // 2), self.patch_side
        )

    def _latent_terms(self, turn: int) -> list[Term]:
        return [Term(self.latent_regularizer, self.latent_weight / self.decay**turn)]

    def _edges(self, problem: Problem, patches: Patches, kernels: Tensor, turn: int) -> PatchEdges:
        """The selected edges of the latent patches.

        Args:
            problem: the whole.
            patches: of the level.
            kernels: of the patches, (N, 1, h, w).
            turn: iteration of the level.
        """
        latent = replace(patch_problem(problem, patches, kernels), regularizers=self._latent_terms(turn))
        image = run_inner(self.latent, latent).estimate()[0]
        sharp, blurred = self.edge_selection(image, patches.data, size_of(kernels), turn)
        return PatchEdges.of(sharp, blurred, size_of(kernels))

    def _decide(self, problem: Problem, state: TurningState) -> None:
        """Take the kernels of the turning camera if they restore the patches better than the given kernel."""
        assert isinstance(problem.operator, GriddedBlur)  # as `needs` says
        kernel, size = state.centre_kernel[0, 0], size_of(state.kernel)
        angles = self._angles(problem, state.coefficients, kernel)
        patches = self._patches_of(problem.data, size_of(kernel))
        turned = turned_kernels(kernel, angles, patches.points.to(kernel), size)
        given = state.kernel[:1].expand(len(turned), -1, -1, -1)
        one, varying = (self._score(patch_problem(problem, patches, each)) for each in (given, turned))
        start, margin = problem.image_prior(), problem.operator.margin
        turn = corner_distance(problem) * float((angles.square() * kernel).sum().sqrt())
        if turn >= self.min_turn and varying < one - self.min_gain:
            points = grid_points(problem.operator.grid, size_of(problem.data)).to(kernel)
            state.kernel = KernelPrior.allowed(turned_kernels(kernel, angles, points, size))
        else:
            start, state.kernel = without_frame(start, margin), without_frame(state.kernel, margin)
        prior = image_prior_of(problem.image_prior, start)
        whole = replace(problem, image_prior=prior, kernel_prior=GivenKernel(state.kernel))
        state.image = run_inner(Patchwise(patch=self.restoration), whole).estimate()[0]

    def _score(self, problem: Problem) -> float:
        """The score of the kernels of patches; lower is better."""
        data, kernels = problem.data, problem.kernel_prior()
        image = run_inner(self.restoration, problem).estimate()[0]
        shown = crop_to_data(image, size_of(kernels), size_of(data))
        sigma = max(estimate_sigma(data), ROUNDING_SIGMA) if min(size_of(data)) >= PATCH_SIDE else ROUNDING_SIGMA
        residual = float((problem.operator(image, kernels) - data).square().mean().sqrt())
        stacked = shown.transpose(0, 1).flatten(1, 2)[None]  # a tall picture of all patches
        return math.log(max(residual / sigma, 1.0)) + self.sparsity_weight * float(gradient_sparsity(stacked))


def corner_distance(problem: Problem) -> float:
    """The distance of the picture's corners from its centre, pixels."""
    return math.hypot(*size_of(problem.data)) / 2


def patch_problem(problem: Problem, patches: Patches, kernels: Tensor) -> Problem:
    """The problem of all patches at once, each with its own kernel.

    Args:
        problem: the whole.
        patches: of one size.
        kernels: (N, 1, h, w).
    """
    convolution = one_kernel_problem(problem).operator
    start = convolution.initial_image(patches.data, kernels)
    extended = extend_to(start, convolution.image_shape(shape_of(patches.data), shape_of(kernels))[-2:])
    prior = image_prior_of(problem.image_prior, extended)
    return Problem(patches.data, convolution, prior, GivenKernel(kernels), problem.fidelity, problem.regularizers)


def without_frame(planes: Tensor, margin: int) -> Tensor:
    """Planes (..., H, W) without so many pixels on each side."""
    height, width = size_of(planes)
    return planes[..., margin : height - margin, margin : width - margin]
