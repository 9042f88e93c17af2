"""The size of a kernel, found by a quick estimate, for recipes that estimate the kernel once."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..numerics.geometry import Size, size_of
from .kernel_frame import KernelFrame, fitted
from .stages import Stage

__all__ = ["SizeProbe"]

PROBE_RECIPE = "fast"  # its first candidate


@dataclass(frozen=True)
class SizeProbe:
    """Estimates a kernel quickly, in a frame that grows until the kernel fits.

    Attributes:
        stage: that estimates the kernel.
        frame: to start with.
        device: where to solve.
    """

    stage: Stage
    frame: KernelFrame
    device: torch.device

    def size(self) -> Size:
        """The size (h, w) of the frame that holds the kernel with a margin.

        Raises:
            DivergedError, OutOfMemoryError: the estimate failed.
        """
        kernels: dict[Size, Tensor] = {}

        def estimate(size: Size) -> tuple[Tensor, bool]:
            assembly = self.stage.assembled(size, None)
            kernels[size] = torch.as_tensor(assembly.solver.solve(assembly.problem.to(self.device)).kernel)
            return kernels[size], False

        return size_of(fitted(kernels[self.frame.fitting(estimate).size], self.frame.limit))
