"""From coarse to fine: any solver, on successively larger versions of the problem."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar, Literal, TypeVar, cast

import torch
from pydantic import Field
from torch import Tensor, nn

from ..core.errors import AssemblyError, InputError
from ..core.interfaces import Assignable, ImagePrior, OperatorParameterPrior, Resizable
from ..core.parameters import NonNegative, NonNegativeInt, PositiveInt, validated
from ..core.problem import Problem, Term, threads_for
from ..core.result import KERNEL, Uncertain, variances_of
from ..core.solver import Solver, State
from ..numerics.framing import crop_each, cropped_together, heaviest_windows
from ..numerics.geometry import Shape, Size, centre, shape_of, size_of
from ..numerics.resampling import downscale, resample, resample_kernel
from .pixel_state import image_prior_of, kernel_prior_of

__all__ = ["Pyramid"]


@dataclass(kw_only=True)
class PyramidState(State, Uncertain):
    """The current level and the inner solver's state on it.

    Attributes:
        solver: the pyramid that defines the levels.
        whole: the problem at its own size.
        level: the current level; 0 is the finest.
        problem: the problem at this level.
        inner: the inner solver's state on it.
    """

    solver: Pyramid
    whole: Problem
    level: int
    problem: Problem
    inner: State

    def estimate(self) -> tuple[Tensor, Tensor]:
        """Return the current image and kernel, resampled to the finest level's size."""
        image, kernel = self.inner.estimate()
        (height, width), kernel_size = self.whole.image_prior.shape[-2:], self.whole.kernel_prior.shape[-2:]
        if self.level == 0:
            return cropped_together(image, kernel, (height, width), kernel_size)
        finer = resample(image, (height, width), self._scale()).clamp(0, 1)
        return finer, resample_kernel(kernel, kernel_size, self._scale())

    def priors(self, problem: Problem) -> tuple[ImagePrior, OperatorParameterPrior]:
        """Return the inner solver's priors, resized to the finest level's size."""
        image_prior, kernel_prior = self.inner.priors(self.problem)
        if self.level > 0:
            image_prior = resized_prior(image_prior, problem.image_prior.shape, self._scale())
            kernel_prior = resized_prior(kernel_prior, problem.kernel_prior.shape, self._scale())
        elif self.solver.margin > 0:
            image, kernel = self.estimate()
            return image_prior_of(problem.image_prior, image), kernel_prior_of(problem.kernel_prior, kernel)
        return image_prior, kernel_prior

    def variances(self) -> dict[str, Tensor]:
        """Return those of the inner solver's state at the finest level; with a margin, only those of the kernel."""
        found = variances_of(self.inner) if self.level == 0 else {}
        size = self.whole.kernel_prior.shape[-2:]
        if self.solver.margin == 0:
            return found
        if KERNEL not in found:
            return {}
        _, kernel = self.inner.estimate()
        corners = heaviest_windows(kernel, size)
        scale = crop_each(kernel, corners, size).sum((1, 2, 3), keepdim=True).cpu()
        return {KERNEL: crop_each(found[KERNEL], corners, size) / scale.square()}

    def state_dict(self) -> dict[str, Any]:
        """Return the level, the priors with which it started, and the inner solver's state."""
        return super().state_dict() | {
            "level": self.level,
            "image_prior": cloned_state(self.problem.image_prior),
            "kernel_prior": cloned_state(self.problem.kernel_prior),
            "inner": self.inner.state_dict(),
        }

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Load what `state_dict` returned: restart the level, then load the inner solver's state."""
        super().load_state_dict(saved)
        self.level = int(saved["level"])
        restarted = self.solver.problem_at(self.level, self.whole, self.whole, 0)
        # Copies, since at level 0 the priors are the problem's own; in the precision that priors have between levels.
        image_prior = copy.deepcopy(restarted.image_prior).to(self.whole.data)
        kernel_prior = copy.deepcopy(restarted.kernel_prior).to(self.whole.data)
        image_prior.load_state_dict(saved["image_prior"])
        kernel_prior.load_state_dict(saved["kernel_prior"])
        self.problem = replace(restarted, image_prior=image_prior, kernel_prior=kernel_prior)
        self.inner = self.solver.inner.start(self.problem)
        self.inner.load_state_dict(saved["inner"])

    def refine(self) -> None:
        """Start the next finer level from the priors that the inner solver returns."""
        image_prior, kernel_prior = self.inner.priors(self.problem)
        solved = replace(self.problem, image_prior=image_prior, kernel_prior=kernel_prior)
        self.problem = self.solver.problem_at(self.level - 1, self.whole, solved, self.level)
        self.level -= 1
        self.inner = self.solver.inner.start(self.problem)

    def _scale(self) -> float:
        return self.solver.scale(0, self.level, self.whole)


def cloned_state(prior: nn.Module) -> dict[str, Tensor]:
    """Return a copy of a prior's parameters and buffers."""
    return {name: value.clone() for name, value in prior.state_dict().items()}


class Pyramid(Solver[PyramidState]):
    """Solves the problem from coarse to fine; each level starts from the result of the previous one.

    The data of a level are the data downscaled by a power of ``ratio``, or as ``spacing`` says. The kernel's size
    shrinks with them, down to about ``min_kernel_size`` pixels. Priors pass from level to level by `Resizable`: pixels
    are resampled, networks keep their weights. A `Scheduled` regularizer changes per level. The inner solver is
    arbitrary: a pyramid around ``alternating-map`` is the classical MAP method, one around ``joint-adam`` is SelfDeblur
    from coarse to fine.

    Args:
        inner: solver of each level.
        ratio: size of a level relative to the next finer one.
        spacing: "ratio": each level has ``ratio`` times the size of the next finer one. "odd-sides": the kernel's
            longer side is the one of the next finer level times ``ratio``, rounded down to an odd number, at least two
            pixels less, and the data shrink as much as this side. The kernel then fits its frame at each level, and
            small kernels have fewer levels (Perrone & Favaro 2014, with a ratio of 1 / 1.1).
        min_kernel_size: the kernel's longer side at the coarsest level, pixels, or slightly more.
        min_data_side: the data's shorter side at the coarsest level, pixels, or slightly more. Below the default, data
            show no structure.
        initial_kernel: the kernel at the coarsest level. "prior": the kernel of the kernel prior. "delta": one pixel.
            "two-taps": two equal neighbours in a row, as in many papers, since a delta explains the coarsest data well
            and is hard to leave.
        decay: the regularizers' weights are divided by this factor at each finer level; they are given for the
            coarsest level.
        growth: the regularizers' weights are multiplied by this factor at each coarser level; without ``decay`` they
            are given for the finest level, and those of a level do not depend on the number of levels.
        max_weight: ``growth`` raises no weight above this value; None for no limit.
        margin: the estimated kernel is larger than requested by this number of pixels along each side at the finest
            level. In the end the window of the requested size with most of the kernel's mass is kept. Without a margin,
            a kernel that just fits its frame must also be centred in it, which is rarely so at coarse levels.
        frame_shift: pixels by which the kernel's frame may move along each side before a finer level. The frame with
            most of the kernel's mass is taken, and the image moves by as much the other way. A kernel that is estimated
            off its centre is then not cut off.
        side_rounding: whether a kernel's side at a coarser level is rounded to a near odd number, or up to one, as in
            some papers.
        finest_level: the last level that is solved; 0 is the problem's own size. The result of a coarser one is
            resampled. A large kernel in noise is found more reliably there: averaging reduces the noise, and fewer
            unknowns share the edges. If the pyramid has fewer levels, its coarsest one is the last.
    """

    needs: ClassVar = {"image_prior": Resizable, "kernel_prior": Resizable}

    @validated
    def __init__(
        self,
        *,
        inner: Annotated[Solver[Any], Field(examples=["joint-adam"])],
        ratio: Annotated[float, Field(ge=0.3, le=0.95)] = 0.5**0.5,
        spacing: Literal["ratio", "odd-sides"] = "ratio",
        min_kernel_size: Annotated[PositiveInt, Field(ge=3)] = 5,
        min_data_side: PositiveInt = 16,
        initial_kernel: Literal["prior", "delta", "two-taps"] = "prior",
        decay: Annotated[float, Field(ge=1)] = 1.0,
        growth: Annotated[float, Field(ge=1)] = 1.0,
        max_weight: NonNegative | None = None,
        margin: NonNegativeInt = 0,
        frame_shift: NonNegativeInt = 0,
        side_rounding: Literal["near", "up"] = "near",
        finest_level: NonNegativeInt = 0,
    ) -> None:
        self.inner = inner
        self.keeps_large_blocks, self.remedy = inner.keeps_large_blocks, inner.remedy
        self.ratio, self.spacing = ratio, spacing
        self.min_kernel_size = min_kernel_size
        self.min_data_side = min_data_side
        self.initial_kernel = initial_kernel
        self.decay, self.growth = decay, growth
        self.max_weight = math.inf if max_weight is None else max_weight
        self.margin = margin
        self.frame_shift = frame_shift
        self.side_rounding = side_rounding
        self.finest_level = finest_level
        self.iterations = inner.iterations

    def check(self, problem: Problem) -> None:
        """Check the problem for the pyramid and for the inner solver.

        Raises:
            AssemblyError: a component lacks an ability.
            InputError: a prior cannot be made as small as the coarsest level requires.
        """
        super().check(problem)
        self.inner.check(problem)
        self._check_coarsest(problem)
        if self.initial_kernel != "prior" and not isinstance(problem.kernel_prior, Assignable):
            raise AssemblyError(
                f"pyramid cannot start from the kernel '{self.initial_kernel}', since "
                f"{type(problem.kernel_prior).__name__} cannot be set to a kernel; "
                "set initial_kernel=prior"
            )
        for name in ("margin", "frame_shift"):
            priors = (problem.image_prior, problem.kernel_prior)
            if getattr(self, name) > 0 and not all(isinstance(prior, Assignable) for prior in priors):
                raise AssemblyError(
                    f"pyramid with {name} above 0 crops image and kernel, which needs priors that can be set to a "
                    f"value; set {name}=0"
                )

    def _check_coarsest(self, problem: Problem) -> None:
        level = self.levels(problem) - 1
        try:
            self.inner.check(self.problem_at(level, problem, problem, 0))
        except InputError as error:
            height, width = self.data_size(problem, level)
            raise InputError(
                f"pyramid, at its coarsest level, data of {height}x{width} pixels: {error}; for fewer levels, set a "
                "larger min_kernel_size"
            ) from error

    def levels(self, problem: Problem) -> int:
        """Return the number of levels, the finest included."""
        count = 1
        while (
            self.longer_side(count, problem) >= self.min_kernel_size
            and min(self.data_size(problem, count)) >= self.min_data_side
        ):
            count += 1
        return count

    def last_level(self, problem: Problem) -> int:
        """Return the finest level that is solved."""
        return min(self.finest_level, self.levels(problem) - 1)

    def steps(self, problem: Problem) -> int:
        """Return the inner solver's number of steps times the number of levels that are solved."""
        return (self.levels(problem) - self.last_level(problem)) * self.inner.steps(problem)

    def data_size(self, problem: Problem, level: int) -> Size:
        """Return the size of the data at a level."""
        height, width = size_of(problem.data)
        scale = self.scale(level, 0, problem)
        return round(height * scale), round(width * scale)

    def longer_side(self, level: int, problem: Problem) -> float:
        """Return the kernel's longer side at a level, pixels; with the spacing "ratio", before it is rounded."""
        side = max(problem.kernel_prior.shape[-2:]) + self.margin
        if self.spacing == "ratio":
            return float(side * self.ratio**level)
        for _ in range(level):
            side = next_odd_side(side, self.ratio)
        return side

    def scale(self, level: int, source_level: int, problem: Problem) -> float:
        """Return the pixels of a level per pixel of another level.

        Args:
            level: 0 for the problem's own size.
            source_level: the other level.
            problem: the problem at its own size.
        """
        if self.spacing == "ratio":
            return float(self.ratio ** (level - source_level))
        return self.longer_side(level, problem) / self.longer_side(source_level, problem)

    def start(self, problem: Problem) -> PyramidState:
        """Start the coarsest level."""
        level = self.levels(problem) - 1
        coarse = self.problem_at(level, problem, problem, 0)
        if self.initial_kernel != "prior":
            prior = set_to_taps(coarse.kernel_prior, 2 if self.initial_kernel == "two-taps" else 1, problem.data)
            coarse = replace(coarse, kernel_prior=prior)
        return PyramidState(solver=self, whole=problem, level=level, problem=coarse, inner=self.inner.start(coarse))

    def step(self, problem: Problem, state: PyramidState) -> PyramidState:
        """One step of the inner solver; after the last step of a level, on the next finer one."""
        last = self.last_level(problem)
        if self._done(state) and state.level > last:
            state.refine()
        with threads_for(state.problem):
            state.inner = self.inner.step(state.problem, state.inner)
        state.inner.iteration += 1
        state.losses.append(state.inner.losses[-1])
        # Finished before the last possible step: at this or a coarser level the inner solver has converged.
        early = state.inner.converged or state.iteration + 1 < self.steps(problem)
        state.converged = state.level == last and self._done(state) and early
        return state

    def _done(self, state: PyramidState) -> bool:
        return state.inner.converged or state.inner.iteration >= self.inner.steps(state.problem)

    def problem_at(self, level: int, whole: Problem, source: Problem, source_level: int) -> Problem:
        """Return the problem at a level.

        Args:
            level: 0 for the problem's own size.
            whole: the problem at its own size; its data are downscaled.
            source: the problem whose priors are resized.
            source_level: the level of ``source``.
        """
        scale = self.scale(level, source_level, whole)  # of the content: sizes are rounded, see `downscale`
        data = whole.data if level == 0 else downscale(whole.data, self.scale(level, 0, whole)).clamp(0, 1)
        kernel_shape = self.kernel_shape(whole, level)
        image_shape = whole.operator.image_shape(shape_of(data), kernel_shape)
        shift = self.frame_shift if scale > 1 else 0
        image_prior = resized_prior(source.image_prior, widened(image_shape, 2 * shift), scale)
        kernel_prior = resized_prior(source.kernel_prior, widened(kernel_shape, 2 * shift), scale)
        if shift > 0:
            with torch.no_grad():
                image, kernel = cropped_together(image_prior(), kernel_prior(), image_shape[2:], kernel_shape[2:])
            image_prior, kernel_prior = image_prior_of(image_prior, image), kernel_prior_of(kernel_prior, kernel)
        return replace(
            whole,
            data=data,
            image_prior=image_prior,
            kernel_prior=kernel_prior,
            regularizers=self.terms_at(level, whole),
        )

    def terms_at(self, level: int, whole: Problem) -> list[Term]:
        """Return the regularizers with their weights at a level; level 0 is the problem's own size."""
        solved, growth = self.levels(whole) - 1 - level, self.growth**level
        return [
            replace(
                term.at_scale(solved),
                weight=min(term.weight * growth, max(term.weight, self.max_weight)) / self.decay**solved,
            )
            for term in whole.regularizers
        ]

    def kernel_shape(self, whole: Problem, level: int) -> Shape:
        """Return the kernel's shape at a level: at level 0 its own with the margin, else odd sides of at least 3."""
        batch, _, *own = whole.kernel_prior.shape
        sides = [side + self.margin for side in own]
        if level == 0:
            return batch, 1, sides[0], sides[1]
        rounded = round if self.side_rounding == "near" else rounded_up
        height, width = (max(3, rounded(side * self.scale(level, 0, whole)) // 2 * 2 + 1) for side in sides)
        return batch, 1, height, width


def next_odd_side(side: int, ratio: float) -> int:
    """The longer side of a kernel at the next coarser level: odd, about a ratio of this side, and less than it."""
    smaller = (round(side * ratio) + 1) // 2 * 2 - 1
    return smaller if smaller < side else side - 2


def rounded_up(side: float) -> int:
    """The least whole number that is not below a side, up to rounding errors."""
    return math.ceil(side - 1e-9)


def widened(shape: Shape, pixels: int) -> Shape:
    """The shape (B, C, H + pixels, W + pixels)."""
    batch, channels, height, width = shape
    return batch, channels, height + pixels, width + pixels


PriorOfEither = TypeVar("PriorOfEither", ImagePrior, OperatorParameterPrior)


def resized_prior(prior: PriorOfEither, shape: Shape, scale: float) -> PriorOfEither:
    """Return the prior on another grid; raise `AssemblyError` if it cannot be resized.

    Args:
        prior: an image prior or a kernel prior.
        shape: (B, C, H, W) of the new prior.
        scale: new pixels per old pixel.
    """
    if tuple(prior.shape) == tuple(shape) and scale == 1:
        return prior
    found = prior.resized(shape, scale) if isinstance(prior, Resizable) else None
    if not isinstance(found, ImagePrior | OperatorParameterPrior):
        raise AssemblyError(f"pyramid needs priors that can be resized, and {type(prior).__name__} cannot")
    return cast(PriorOfEither, found)


def set_to_taps(prior: OperatorParameterPrior, taps: int, like: Tensor) -> OperatorParameterPrior:
    """Return the kernel prior set to equal neighbours in a row, the first at the centre.

    Args:
        prior: the kernel prior.
        taps: number of neighbours; one for a delta.
        like: gives precision and device.
    """
    kernel = torch.zeros(prior.shape).to(like)
    row, column = centre(size_of(kernel))
    kernel[..., row, column : column + taps] = 1
    return kernel_prior_of(prior, kernel / kernel.sum((-2, -1), keepdim=True))
