"""Deconvolution of a blur that varies: each patch of the picture with its own kernel."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from ..core.errors import AssemblyError
from ..core.fidelity_abilities import LeastSquares
from ..core.interfaces import Assignable, GriddedBlur, KernelPrior
from ..core.parameters import NonNegative, validated
from ..core.problem import Problem, WeightedData
from ..core.ranges import AnyRange, ValueRange, usable_range
from ..core.solver import Solver, State
from ..numerics.framing import are_equal
from ..numerics.geometry import Size, margins, shape_of, size_of
from ..numerics.grid_weights import linear_weights
from .inner import run_inner
from .pixel_state import PixelState, image_prior_of, starting_point

__all__ = ["Patchwise", "one_kernel_problem"]


class GivenKernel(KernelPrior):
    """Kernels (B, 1, h, w) of patches, without unknowns."""

    kernel: Tensor

    def __init__(self, kernel: Tensor) -> None:
        super().__init__(shape_of(kernel))
        self.register_buffer("kernel", kernel)

    def forward(self) -> Tensor:
        """Give the kernels."""
        return self.kernel


@dataclass(frozen=True)
class Patch:
    """A part of the data around a point of the grid.

    Attributes:
        rows: of the data, (first, beyond the last).
        columns: of the data.
        row_weights: of the point for the rows of the patch's image, (rows + h - 1,).
        column_weights: for its columns.
    """

    rows: Size
    columns: Size
    row_weights: Tensor
    column_weights: Tensor

    def data(self, whole: Tensor) -> Tensor:
        """The part of data (B, C, H, W)."""
        return whole[..., slice(*self.rows), slice(*self.columns)]

    def image(self, whole: Tensor) -> Tensor:
        """The part of an image (B, C, H + h - 1, W + w - 1) that its data show."""
        height, width = len(self.row_weights), len(self.column_weights)
        top, left = self.rows[0], self.columns[0]
        return whole[..., top : top + height, left : left + width]


class Patchwise(Solver[PixelState], WeightedData, AnyRange):
    """Deconvolves the surroundings of each point of the grid with the kernel of this point, and blends the results.

    Weights and points are those of the operator. Around a point, the blur is taken as that of the point, which is the
    better the more points there are (Nagy & O'Leary, "Restoring Images Degraded by Spatially Variant Blur", SIAM J.
    Sci. Comput. 1998, interpolate results in this way). The memory is that of one patch and of the image.

    One step solves one patch. If the solve stops early, the image holds the finished patches and the starting image
    elsewhere.

    Args:
        patch: solver of a patch with one kernel.
        uniform: solver of the whole picture if all kernels are equal; None: it is solved in patches too.
        overlap: width of the data on each side beyond the pixels for which the point counts, in kernel sizes.
    """

    keeps_large_blocks = True
    needs: ClassVar = {"operator": GriddedBlur, "image_prior": Assignable, "fidelity": LeastSquares}

    @validated
    def __init__(
        self,
        *,
        patch: Annotated[Solver[Any], Field(examples=["admm"])],
        uniform: Solver[Any] | None = None,
        overlap: NonNegative = 0.5,
    ) -> None:
        self.patch = patch
        self.uniform = uniform
        self.overlap = overlap
        self.iterations = patch.iterations

    def usable(self, value_range: ValueRange) -> ValueRange:
        """Return what the solvers of a patch and of the whole can use of a range."""
        within = usable_range(self.patch, value_range)
        return within if self.uniform is None else usable_range(self.uniform, within)

    def check(self, problem: Problem) -> None:
        """Raise `AssemblyError` for a problem whose patches the inner solvers cannot solve."""
        super().check(problem)
        if len(problem.data) > 1:
            raise AssemblyError(f"patchwise restores one picture at a time, and {len(problem.data)} are given")
        one = one_kernel_problem(problem)
        self.patch.check(one)
        if self.uniform is not None:
            self.uniform.check(one)

    def steps(self, problem: Problem) -> int:
        """Return the number of patches; one if all kernels are equal."""
        kernels = problem.kernel_prior()
        return len(kernels) if self.uniform is None or not are_equal(kernels) else 1

    def start(self, problem: Problem) -> PixelState:
        """Take image and kernels that the priors give."""
        image, kernels = starting_point(problem)
        return PixelState(image=image.clone(), kernel=kernels, range=problem.image_prior.range)

    @torch.no_grad()
    def step(self, problem: Problem, state: PixelState) -> PixelState:
        """Solve the next patch, and add it to the image with the weights of its point."""
        if self.uniform is not None and are_equal(state.kernel):
            solved = run_inner(self.uniform, one_kernel_problem(problem))
            state.image = solved.estimate()[0].clone()
        else:
            patch = list(self._patches(problem, state.kernel))[state.iteration]
            start = patch.image(problem.image_prior().to(state.image))
            solved = self._solved(problem, state, patch, start)
            change = solved.estimate()[0] - start
            change = change * patch.row_weights.to(change)[:, None] * patch.column_weights.to(change)
            patch.image(state.image).add_(change)
        state.losses.append(solved.losses[-1].detach())
        return state

    def _solved(self, problem: Problem, state: PixelState, patch: Patch, start: Tensor) -> State:
        """The last state of the inner solver on a patch.

        Args:
            problem: the whole.
            state: with the number of the patch.
            patch: around the point of the grid.
            start: its starting image.
        """
        one = one_kernel_problem(problem, state.kernel[state.iteration : state.iteration + 1])
        weights = None if problem.weights is None else patch.data(problem.weights)
        prior = image_prior_of(problem.image_prior, start)
        part = replace(one, data=patch.data(problem.data), image_prior=prior, weights=weights)
        solved: State = run_inner(self.patch, part)
        return solved

    def _patches(self, problem: Problem, kernels: Tensor) -> Iterator[Patch]:
        """The patches of the grid's points, row by row."""
        assert isinstance(problem.operator, GriddedBlur)  # as `needs` says
        sizes = zip(problem.operator.grid, size_of(problem.data), size_of(kernels), strict=True)
        down, along = (list(self._windows(*line, problem.data)) for line in sizes)
        for rows, row_weights in down:
            for columns, column_weights in along:
                yield Patch(rows, columns, row_weights, column_weights)

    def _windows(self, points: int, pixels: int, taps: int, like: Tensor) -> Iterator[tuple[Size, Tensor]]:
        """The windows of a line's points on its data, and their weights for the pixels of the image.

        Args:
            points: of the grid.
            pixels: of the data.
            taps: of the kernels.
            like: gives precision and device.
        """
        (before, _), _ = margins((taps, 1))
        overlap, image = round(self.overlap * taps), torch.arange(pixels + taps - 1) - before
        for weights in linear_weights(points, pixels, like):
            shown = weights.nonzero()
            first, beyond = max(int(shown[0]) - overlap, 0), min(int(shown[-1]) + 1 + overlap, pixels)
            extended = weights[image.clamp(0, pixels - 1).to(weights.device)]
            yield (first, beyond), extended[first : beyond + taps - 1]


def one_kernel_problem(problem: Problem, kernel: Tensor | None = None) -> Problem:
    """The problem of a picture that is blurred by one kernel everywhere.

    Args:
        problem: with an operator that is a `GriddedBlur`.
        kernel: (1, 1, h, w); None for the first of the problem's kernels.
    """
    assert isinstance(problem.operator, GriddedBlur)
    kernel = problem.kernel_prior().detach()[:1] if kernel is None else kernel
    return replace(problem, operator=problem.operator.convolution(), kernel_prior=GivenKernel(kernel.to(problem.data)))
