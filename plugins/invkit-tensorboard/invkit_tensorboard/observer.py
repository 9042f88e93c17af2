"""The observer that writes TensorBoard's event files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor, nn

from invkit.core.parameters import PositiveInt, validated
from invkit.core.problem import Problem
from invkit.core.solver import Observer, State, StopReason

__all__ = ["TensorBoard"]

FOLDER = "tensorboard"
DRAWABLE = (1, 3)  # channels of a picture
VISIBLE = 128  # pixels: the side that small pictures, as of kernels, are enlarged to


class TensorBoard(Observer):
    """Losses, images and kernels for TensorBoard, in the folder ``tensorboard`` of the run.

    Each solve, as a stage of a recipe, is a run of its own there: ``01``, ``02``, ...

    Args:
        folder: of the run.
        every: iterations between two looks at the losses; each waits for the device, and none of them is left out.
        pictures: iterations between two pictures of image and kernel; the last ones are written in any case.

    Raises:
        ImportError: tensorboard is not installed.
    """

    @validated
    def __init__(
        self,
        folder: Path,
        *,
        every: Annotated[PositiveInt, Field(description="iterations between two looks at the losses")] = 10,
        pictures: Annotated[PositiveInt, Field(description="iterations between two pictures")] = 50,
    ) -> None:
        from torch.utils.tensorboard import SummaryWriter  # here: without it, the solve is refused before it begins

        self.folder, self.every, self.pictures = folder / FOLDER, every, pictures
        self.solves = self.told = self.drawn = 0
        self._make_writer: Any = SummaryWriter
        self._writer: Any = None

    def started(self, problem: Problem, state: State, iterations: int) -> None:
        """Open the files of the next run; of what an earlier one wrote there, only steps done before count."""
        self.solves, self.told, self.drawn = self.solves + 1, state.iteration, state.iteration
        self._writer = self._make_writer(str(self.folder / f"{self.solves:02}"), purge_step=state.iteration + 1)

    def stepped(self, problem: Problem, state: State) -> None:
        """Write what it is time for."""
        if state.iteration % self.every == 0:
            self._tell(state)
        if state.iteration % self.pictures == 0:
            self._draw(state)

    def stopped(self, problem: Problem, state: State, reason: StopReason | None) -> None:
        """Write the rest, but for what a step that an error has cut short may have left."""
        self._tell(state)
        if reason is not None and self.drawn != state.iteration:
            self._draw(state)
        self._writer.close()

    def _tell(self, state: State) -> None:
        fresh = state.losses[self.told : state.iteration]
        values = torch.stack(fresh).tolist() if fresh else []
        for iteration, loss in enumerate(values, start=self.told + 1):
            self._writer.add_scalar("loss", loss, iteration)
        self.told = state.iteration

    def _draw(self, state: State) -> None:
        image, kernel = state.estimate()
        self._writer.add_images("image", drawable(image), state.iteration)
        peak = kernel.amax((-2, -1), keepdim=True)
        self._writer.add_images("kernel", drawable(kernel / peak.where(peak > 0, 1)), state.iteration)
        self.drawn = state.iteration


def drawable(values: Tensor) -> Tensor:
    """Pictures (B, C, H, W) of any C -> (N, 1 or 3, H', W') on the CPU, in [0, 1], small ones enlarged."""
    pictures = values.detach().float().cpu().clamp(0, 1)
    pictures = pictures if pictures.shape[1] in DRAWABLE else pictures.flatten(0, 1)[:, None]
    factor = max(1, round(VISIBLE / max(pictures.shape[-2:])))
    return nn.functional.interpolate(pictures, scale_factor=factor, mode="nearest") if factor > 1 else pictures
