"""From coarse to fine: any solver, on ever larger versions of the problem."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar, Literal, TypeVar, cast

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from ..core.errors import AssemblyError, InputError
from ..core.interfaces import Assignable, ImagePrior, OperatorParameterPrior, Resizable
from ..core.parameters import PositiveInt, validated
from ..core.problem import Problem
from ..core.runtime.threads import threads_for
from ..core.solver import Solver, State
from ..numerics.geometry import Shape, Size, centre, resample, resample_kernel, shape_of, shrink, size_of
from .pixel_state import image_prior_of, kernel_prior_of

__all__ = ["Pyramid"]

MINIMUM = 16  # pixels of the data's shorter side, below which there is nothing to see


@dataclass(kw_only=True)
class PyramidState(State):
    """Where in the pyramid the solve is.

    Attributes:
        solver: whose levels these are.
        whole: the problem at its own size.
        level: 0 is the finest.
        problem: the problem at this level.
        inner: the inner solver's state on it.
    """

    solver: Pyramid
    whole: Problem
    level: int
    problem: Problem
    inner: State

    def estimate(self) -> tuple[Tensor, Tensor]:
        """Image and kernel as they stand, brought to the finest level's size."""
        image, kernel = self.inner.estimate()
        if self.level == 0:
            return fitted(image, kernel, self.whole.image_prior.shape[-2:], self.whole.kernel_prior.shape[-2:])
        (height, width), kernel_size = self.whole.image_prior.shape[-2:], self.whole.kernel_prior.shape[-2:]
        finer = resample(image, (height, width), self._scale()).clamp(0, 1)
        return finer, resample_kernel(kernel, kernel_size, self._scale())

    def priors(self, problem: Problem) -> tuple[ImagePrior, OperatorParameterPrior]:
        """The inner solver's, brought to the finest level's size."""
        image_prior, kernel_prior = self.inner.priors(self.problem)
        if self.level > 0:
            image_prior = resized(image_prior, problem.image_prior.shape, self._scale())
            kernel_prior = resized(kernel_prior, problem.kernel_prior.shape, self._scale())
        elif self.solver.margin > 0:
            image, kernel = self.estimate()
            return image_prior_of(problem.image_prior, image), kernel_prior_of(problem.kernel_prior, kernel)
        return image_prior, kernel_prior

    def state_dict(self) -> dict[str, Any]:
        """The level, the priors that it began with, and the inner solver's state there."""
        return super().state_dict() | {
            "level": self.level,
            "image_prior": cloned(self.problem.image_prior),
            "kernel_prior": cloned(self.problem.kernel_prior),
            "inner": self.inner.state_dict(),
        }

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Take over what `state_dict` gave: begin that level as it was, then let the inner solver's state do so."""
        super().load_state_dict(saved)
        self.level = int(saved["level"])
        begun = self.solver.problem_at(self.level, self.whole, self.whole, 0)
        # Copies, since at level 0 they are the problem's own; in the precision that priors get when they go on.
        image_prior = copy.deepcopy(begun.image_prior).to(self.whole.data)
        kernel_prior = copy.deepcopy(begun.kernel_prior).to(self.whole.data)
        image_prior.load_state_dict(saved["image_prior"])
        kernel_prior.load_state_dict(saved["kernel_prior"])
        self.problem = replace(begun, image_prior=image_prior, kernel_prior=kernel_prior)
        self.inner = self.solver.inner.start(self.problem)
        self.inner.load_state_dict(saved["inner"])

    def refine(self) -> None:
        """Begin the next finer level with the priors that the inner solver leaves."""
        image_prior, kernel_prior = self.inner.priors(self.problem)
        left = replace(self.problem, image_prior=image_prior, kernel_prior=kernel_prior)
        self.problem = self.solver.problem_at(self.level - 1, self.whole, left, self.level)
        self.level -= 1
        self.inner = self.solver.inner.start(self.problem)

    def _scale(self) -> float:
        return float(self.solver.ratio**-self.level)


def cloned(prior: nn.Module) -> dict[str, Tensor]:
    """A copy of what a prior is made of."""
    return {name: value.clone() for name, value in prior.state_dict().items()}


class Pyramid(Solver[PyramidState]):
    """Solves the problem from coarse to fine, each level beginning with what the last one ended with.

    The data of a level are the data shrunk by a power of ``ratio``; the kernel's size shrinks with them, down to about
    ``smallest`` pixels. Priors go on from level to level by `Resizable`: pixels are resampled, networks keep their
    weights. Any solver may stand inside: a pyramid around ``alternating-map`` is the classical MAP method, one around
    ``joint-adam`` is a SelfDeblur from coarse to fine.

    Args:
        inner: solves each level.
        ratio: the size of a level against the next finer one.
        smallest: the kernel's longer side at the coarsest level, pixels, or a little more.
        begin: the kernel at the coarsest level: what the kernel prior gives, a delta, or two equal neighbours in a
            row, as many papers do since a delta explains the coarsest data well and is hard to leave.
        decay: the regularizers' weights are divided by it at each finer level.
        margin: while it is looked for, the kernel is larger by as many pixels along each side, at the finest level;
            in the end the window of the asked size that holds most of it is kept. A kernel that just fits into its
            frame must otherwise also lie right in it, which it hardly does at the coarse levels.
    """

    needs: ClassVar[Mapping[str, type]] = {"image_prior": Resizable, "kernel_prior": Resizable}

    @validated
    def __init__(
        self,
        *,
        inner: Annotated[Solver[Any], Field(description="solves each level", examples=["joint-adam"])],
        ratio: Annotated[float, Field(ge=0.3, le=0.95, description="size of a level against the next finer")] = 0.5
        ** 0.5,
        smallest: Annotated[PositiveInt, Field(ge=3, description="kernel's longer side at the coarsest level, px")] = 5,
        begin: Annotated[
            Literal["prior", "delta", "two-taps"], Field(description="the kernel at the coarsest level")
        ] = "prior",
        decay: Annotated[float, Field(ge=1, description="weights are divided by it at each finer level")] = 1.0,
        margin: Annotated[int, Field(ge=0, description="px by which the kernel is larger while it is found")] = 0,
    ) -> None:
        self.inner = inner
        self.ratio = ratio
        self.smallest = smallest
        self.begin = begin
        self.decay = decay
        self.margin = margin
        self.iterations = inner.iterations

    def check(self, problem: Problem) -> None:
        """Refuse what it, or the inner solver, cannot solve.

        Raises:
            AssemblyError: an ability is missing.
            InputError: a prior cannot be made as small as the coarsest level asks.
        """
        super().check(problem)
        self.inner.check(problem)
        self._check_coarsest(problem)
        if self.begin != "prior" and not isinstance(problem.kernel_prior, Assignable):
            raise AssemblyError(
                f"pyramid cannot begin with '{self.begin}', since {type(problem.kernel_prior).__name__} cannot be set "
                "to a kernel; set solver.params.begin=prior"
            )
        if self.margin > 0 and not all(isinstance(p, Assignable) for p in (problem.image_prior, problem.kernel_prior)):
            raise AssemblyError(
                "pyramid with a margin ends by cutting image and kernel, which priors take that can be set to a value; "
                "set solver.params.margin=0"
            )

    def _check_coarsest(self, problem: Problem) -> None:
        level = self.levels(problem) - 1
        try:
            self.inner.check(self.problem_at(level, problem, problem, 0))
        except InputError as error:
            height, width = self.data_size(problem, level)
            raise InputError(
                f"pyramid, at its coarsest level, data of {height}x{width} pixels: {error}; or end it earlier, by a "
                "larger solver.params.smallest"
            ) from error

    def levels(self, problem: Problem) -> int:
        """How many sizes there are, the problem's own included."""
        count, side = 1, max(problem.kernel_prior.shape[-2:]) + self.margin
        while side * self.ratio**count >= self.smallest and min(self.data_size(problem, count)) >= MINIMUM:
            count += 1
        return count

    def steps(self, problem: Problem) -> int:
        """The inner solver's, at every level."""
        return self.levels(problem) * self.inner.steps(problem)

    def data_size(self, problem: Problem, level: int) -> Size:
        """Size of the data at a level."""
        height, width = size_of(problem.data)
        return round(height * self.ratio**level), round(width * self.ratio**level)

    def start(self, problem: Problem) -> PyramidState:
        """The coarsest level."""
        level = self.levels(problem) - 1
        coarse = self.problem_at(level, problem, problem, 0)
        if self.begin != "prior":
            coarse = replace(coarse, kernel_prior=beginning(coarse.kernel_prior, self.begin, problem.data))
        return PyramidState(solver=self, whole=problem, level=level, problem=coarse, inner=self.inner.start(coarse))

    def step(self, problem: Problem, state: PyramidState) -> PyramidState:
        """One step of the inner solver; a level that is done hands over to the next finer one first."""
        if self._done(state) and state.level > 0:
            state.refine()
        with threads_for(state.problem):
            state.inner = self.inner.step(state.problem, state.inner)
        state.inner.iteration += 1
        state.losses.append(state.inner.losses[-1])
        # Done before the last step of all: here or at a coarser level the inner solver has converged.
        early = state.inner.converged or state.iteration + 1 < self.steps(problem)
        state.converged = state.level == 0 and self._done(state) and early
        return state

    def _done(self, state: PyramidState) -> bool:
        return state.inner.converged or state.inner.iteration >= self.inner.steps(state.problem)

    def problem_at(self, level: int, whole: Problem, source: Problem, source_level: int) -> Problem:
        """The problem at a level.

        Args:
            level: 0 for the problem's own size.
            whole: the problem at its own size, whose data are shrunk.
            source: the problem whose priors go on.
            source_level: the level of that.
        """
        scale = self.ratio ** (level - source_level)  # of the content: sizes are rounded, see `shrink`
        data = whole.data if level == 0 else shrink(whole.data, self.ratio**level).clamp(0, 1)
        kernel_shape = self.kernel_shape(whole, level)
        image_shape = whole.operator.image_shape(shape_of(data), kernel_shape)
        factor = self.decay ** (self.levels(whole) - 1 - level)
        return replace(
            whole,
            data=data,
            image_prior=resized(source.image_prior, image_shape, scale),
            kernel_prior=resized(source.kernel_prior, kernel_shape, scale),
            regularizers=[replace(term, weight=term.weight / factor) for term in whole.regularizers],
        )

    def kernel_shape(self, whole: Problem, level: int) -> Shape:
        """Shape at a level: at the finest its own and the margin, odd sides of at least 3 pixels at the others."""
        batch, _, *own = whole.kernel_prior.shape
        sides = [side + self.margin for side in own]
        if level == 0:
            return batch, 1, sides[0], sides[1]
        height, width = (max(3, round(side * self.ratio**level) // 2 * 2 + 1) for side in sides)
        return batch, 1, height, width


P = TypeVar("P", ImagePrior, OperatorParameterPrior)


def resized(prior: P, shape: Shape, scale: float) -> P:
    """The prior on another grid; raises `AssemblyError` where it cannot."""
    if tuple(prior.shape) == tuple(shape) and scale == 1:
        return prior
    found = prior.resized(shape, scale) if isinstance(prior, Resizable) else None
    if not isinstance(found, ImagePrior | OperatorParameterPrior):
        raise AssemblyError(f"pyramid needs priors that can be resized, and {type(prior).__name__} cannot")
    return cast(P, found)


def fitted(image: Tensor, kernel: Tensor, image_size: Size, kernel_size: Size) -> tuple[Tensor, Tensor]:
    """Image (B, C, *) and kernel (B, 1, *) cut to smaller sizes where the kernel is, so that both still fit the data.

    Of the windows that hold all but a thousandth of what any window holds, the one nearest to the middle is kept.
    """
    if size_of(kernel) == kernel_size:
        return image, kernel
    mass = F.avg_pool2d(kernel, kernel_size, stride=1, divisor_override=1)
    rows, columns = (torch.arange(n, device=mass.device) - (n - 1) / 2 for n in size_of(mass))
    far = rows[:, None].square() + columns.square()
    enough = mass >= (1 - 1e-3) * mass.amax((-2, -1), keepdim=True)
    chosen = torch.where(enough, far, torch.inf).flatten(1).argmin(1).tolist()
    corners = [divmod(index, mass.shape[-1]) for index in chosen]
    ends = [(mass.shape[-2] - 1 - row, mass.shape[-1] - 1 - column) for row, column in corners]
    cut = windows(kernel, corners, kernel_size)
    return windows(image, ends, image_size), cut / cut.sum((-2, -1), keepdim=True)


def windows(value: Tensor, corners: list[Size], size: Size) -> Tensor:
    """Of each of (B, C, H, W) the window of a size at its own corner."""
    cut = [
        one[..., row : row + size[0], column : column + size[1]]
        for one, (row, column) in zip(value, corners, strict=True)
    ]
    return torch.stack(cut)


def beginning(prior: OperatorParameterPrior, kind: str, like: Tensor) -> OperatorParameterPrior:
    """The kernel prior giving a delta at the centre, or half of it and half of its right neighbour."""
    kernel = torch.zeros(prior.shape).to(like)
    row, column = centre(size_of(kernel))
    kernel[..., row, column : column + (2 if kind == "two-taps" else 1)] = 1
    return kernel_prior_of(prior, kernel / kernel.sum((-2, -1), keepdim=True))
