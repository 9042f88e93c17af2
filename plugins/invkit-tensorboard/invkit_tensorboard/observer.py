"""The observer that writes event files of TensorBoard."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from invkit.core.parameters import PositiveInt, validated
from invkit.core.problem import Problem
from invkit.core.solver import Observer, State, StopReason

__all__ = ["TensorBoard"]

FOLDER = "tensorboard"
DRAWABLE_CHANNELS = (1, 3)
MIN_DRAWN_SIDE = 128  # pixels, to which small images such as kernels are enlarged


class TensorBoard(Observer):
    """Write losses, images and kernels for TensorBoard to the subfolder ``tensorboard`` of a run's folder.

    Each solve, for example a stage of a recipe, is a separate TensorBoard run: ``01``, ``02``, ...

    Args:
        folder: folder of the run.
        every: iterations between two readings of the losses. A reading waits for the device. All losses are written.
        pictures: iterations between two images of image and kernel; the last ones are always written.

    Raises:
        ImportError: tensorboard is not installed.
    """

    @validated
    def __init__(self, folder: Path, *, every: PositiveInt = 10, pictures: PositiveInt = 50) -> None:
        from torch.utils.tensorboard import (
            SummaryWriter,  # here, so that a missing tensorboard is reported before the solve
        )

        self.folder, self.every, self.pictures = folder / FOLDER, every, pictures
        self.solves = self.written = self.drawn = 0
        self._make_writer: Any = SummaryWriter
        self._writer: Any = None

    def started(self, problem: Problem, state: State, iterations: int) -> None:
        """Open the files of the next run; a resumed solve discards steps that an earlier process wrote later.

        Args:
            problem: not used.
            state: at the start, or where a resumed solve continues.
            iterations: not used.
        """
        self.solves, self.written, self.drawn = self.solves + 1, state.iteration, state.iteration
        self._writer = self._make_writer(str(self.folder / f"{self.solves:02}"), purge_step=state.iteration + 1)

    def stepped(self, problem: Problem, state: State) -> None:
        """Write losses and images when they are due."""
        if state.iteration % self.every == 0:
            self._write_losses(state)
        if state.iteration % self.pictures == 0:
            self._write_images(state)

    def stopped(self, problem: Problem, state: State, reason: StopReason | None) -> None:
        """Write the remaining losses, and the last images unless an error interrupted a step.

        Args:
            problem: not used.
            state: the last state.
            reason: why the solve stopped; None after an error.
        """
        self._write_losses(state)
        if reason is not None and self.drawn != state.iteration:
            self._write_images(state)
        self._writer.close()

    def _write_losses(self, state: State) -> None:
        fresh = state.losses[self.written : state.iteration]
        values = torch.stack(fresh).tolist() if fresh else []
        for iteration, loss in enumerate(values, start=self.written + 1):
            self._writer.add_scalar("loss", loss, iteration)
        self.written = state.iteration

    def _write_images(self, state: State) -> None:
        image, kernel = state.estimate()
        self._writer.add_images("image", drawable(image), state.iteration)
        peak = kernel.amax((-2, -1), keepdim=True)
        self._writer.add_images("kernel", drawable(kernel / peak.where(peak > 0, 1)), state.iteration)
        self.drawn = state.iteration


def drawable(values: Tensor) -> Tensor:
    """Map images (B, C, H, W) of any C to (N, 1 or 3, H', W') on the CPU, in [0, 1]; small ones are enlarged."""
    pictures = values.detach().float().cpu().clamp(0, 1)
    pictures = pictures if pictures.shape[1] in DRAWABLE_CHANNELS else pictures.flatten(0, 1)[:, None]
    factor = max(1, round(MIN_DRAWN_SIDE / max(pictures.shape[-2:])))
    return nn.functional.interpolate(pictures, scale_factor=factor, mode="nearest") if factor > 1 else pictures
