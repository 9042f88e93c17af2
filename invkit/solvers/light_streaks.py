"""Blur kernels drawn by the light streaks of night photographs."""

from __future__ import annotations

from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from ..core.interfaces import Assignable, Blur
from ..core.parameters import PositiveFraction, validated
from ..core.problem import Problem
from ..core.solver import Solver
from ..numerics.geometry import size_of
from .alternating_map import MAPState
from .map.interfaces import KernelPostprocessing
from .map.streak_kernel import streak_kernel
from .pixel_state import check_terms, starting_point

__all__ = ["LightStreaks"]


class LightStreaks(Solver[MAPState]):
    """Takes the kernel from light streaks, which small lamps draw in a shaken night photograph, in one step.

    The image of a small lamp on dark surroundings is the kernel itself (Hu, Cho, Wang, Yang, "Deblurring Low-light
    Images with Light Streaks", CVPR 2014). The paper uses streaks as constraints while it estimates kernel and image.
    Here several streaks are found and compared, and the kernel is their robust mean:

    1. Small bright shapes, isolated on darker surroundings, that fit into twice the kernel's frame.
    2. The largest group of shapes that are the same up to shift and brightness, with preference for long thin ones.
    3. Their mean in linear light, aligned to fractions of a pixel, without background and saturated pixels.

    The image stays the data. If there are no such streaks, the step raises `NotApplicableError`, and a recipe with
    several candidates skips this one.

    Args:
        gamma: exponent that makes the data linear; 2.2 for photographs.
        saturation: value of the data, with their gamma, from which pixels are saturated.
        similarity: the least normalised cross-correlation of two streaks of the same shape.
        min_streaks: the least number of streaks of the same shape.
        kernel_postprocessing: corrects the kernel; None for no correction.
    """

    iterations = 1
    needs: ClassVar = {"operator": Blur, "image_prior": Assignable, "kernel_prior": Assignable}

    @validated
    def __init__(
        self,
        *,
        gamma: Annotated[float, Field(gt=0, le=5)] = 2.2,
        saturation: PositiveFraction = 0.98,
        similarity: PositiveFraction = 0.9,
        min_streaks: Annotated[int, Field(ge=2)] = 3,
        kernel_postprocessing: KernelPostprocessing | None = None,
    ) -> None:
        self.gamma = gamma
        self.saturation = saturation
        self.similarity = similarity
        self.min_streaks = min_streaks
        self.kernel_postprocessing = kernel_postprocessing

    def check(self, problem: Problem) -> None:
        """Raise `AssemblyError` for a problem with a regularizer, which would be ignored."""
        super().check(problem)
        check_terms(problem, "light-streaks", ("image", "kernel"))

    def start(self, problem: Problem) -> MAPState:
        """Take image and kernel that the priors give."""
        image, kernel = starting_point(problem)
        return MAPState(image=image, kernel=kernel)

    @torch.no_grad()
    def step(self, problem: Problem, state: MAPState) -> MAPState:
        """Measure the kernel of every picture of the batch; raises `NotApplicableError` if one has no streaks."""
        kernel = torch.stack([self._kernel_of(data, state.kernel) for data in problem.data]).to(state.kernel)
        state.kernel = kernel if self.kernel_postprocessing is None else self.kernel_postprocessing(kernel)
        state.losses.append(problem.objective(state.image, state.kernel, state.iteration).sum())
        state.converged = True
        return state

    def _kernel_of(self, data: Tensor, kernel: Tensor) -> Tensor:
        """Return the kernel (1, h, w) of data (C, H, W)."""
        found = streak_kernel(
            data.clamp(0, 1).float().cpu().numpy(),
            size_of(kernel),
            gamma=self.gamma,
            saturation=self.saturation,
            similarity=self.similarity,
            count=self.min_streaks,
        )
        return torch.from_numpy(found)[None]
