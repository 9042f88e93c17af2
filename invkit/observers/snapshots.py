"""Keeps how image and kernel evolve."""

from __future__ import annotations

from torch import Tensor

from ..problem import Problem
from ..solver import Observer, State

__all__ = ["Snapshots"]


class Snapshots(Observer):
    """Keeps a copy of image and kernel every so many iterations.

    Attributes:
        taken: iteration -> (image (B, C, H, W), kernel (B, 1, h, w)), on the CPU.
    """

    def __init__(self, every: int = 100) -> None:
        if every < 1:
            raise ValueError(f"snapshots are taken every 1 or more iterations, not every {every}")
        self.every = every
        self.taken: dict[int, tuple[Tensor, Tensor]] = {}

    def stepped(self, problem: Problem, state: State) -> None:
        """Keep a copy when the iteration is a multiple of ``every``."""
        if state.iteration % self.every == 0:
            image, kernel = state.estimate()
            self.taken[state.iteration] = (image.detach().cpu().clone(), kernel.detach().cpu().clone())
