"""Pictures of how image and kernel evolve."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from pydantic import Field
from torch import Tensor

from ..core.files import write_atomically
from ..core.interfaces import KernelPrior
from ..core.parameters import PositiveInt, validated
from ..core.problem import Problem
from ..core.solver import Observer, State, StopReason
from .encoding import encode_png, quantised
from .kernels import kernel_picture, planes_picture
from .layouts import channels_last

__all__ = ["SnapshotFiles"]

FOLDER = "snapshots"
OURS = r"\d{2,}-\d{5,}-(image|kernel|operator_parameter)(-\d+)?\.png"
BITS = 8
PICTURES = (1, 3)  # channels


class SnapshotFiles(Observer):
    """Pictures of image and kernel every so many iterations and at the end of each solve, in the folder ``snapshots``.

    ``02-00100-kernel.png`` is the kernel of the second solve, as of a recipe's second stage, after 100 iterations; an
    unknown that is no kernel is called so. A new run removes the pictures of an older one.

    Args:
        folder: of the run.
        every: iterations between two pictures.

    Raises:
        OSError: from every method: a picture cannot be written.
    """

    @validated
    def __init__(
        self, folder: Path, *, every: Annotated[PositiveInt, Field(description="iterations between two pictures")] = 100
    ) -> None:
        self.folder, self.every = folder / FOLDER, every
        self.solves = self.written = 0

    def started(self, problem: Problem, state: State, iterations: int) -> None:
        """Make room: the first solve of a new run removes older pictures."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if self.solves == 0 and state.iteration == 0:
            for path in self.folder.iterdir():
                if re.fullmatch(OURS, path.name):
                    path.unlink()
        self.solves, self.written = self.solves + 1, state.iteration

    def stepped(self, problem: Problem, state: State) -> None:
        """Write when the iteration is a multiple of ``every``."""
        if state.iteration % self.every == 0:
            self._write(problem, state)

    def stopped(self, problem: Problem, state: State, reason: StopReason | None) -> None:
        """Write the last, but for that of a step that an error has cut short."""
        if reason is not None and state.iteration != self.written:
            self._write(problem, state)

    def _write(self, problem: Problem, state: State) -> None:
        image, kernel = state.estimate()
        is_kernel = issubclass(problem.operator.parameter_prior, KernelPrior)
        for name, picture in [
            *pictures("image", image),
            *pictures("kernel" if is_kernel else "operator_parameter", kernel),
        ]:
            write_atomically(self.folder / f"{self.solves:02}-{state.iteration:05}-{name}.png", picture)
        self.written = state.iteration


def pictures(what: str, values: Tensor) -> Iterator[tuple[str, bytes]]:
    """Name and content of a picture for each of a batch (B, C, H, W)."""
    for index, value in enumerate(values.detach().cpu()):
        name = what if len(values) == 1 else f"{what}-{index + 1}"
        if what == "kernel":
            yield name, encode_png(kernel_picture(value[0].double().numpy()))
        elif what == "image" and len(value) in PICTURES:
            yield name, encode_png(quantised(channels_last(value)[0], BITS))
        else:
            yield name, encode_png(planes_picture(value.double().numpy()))
