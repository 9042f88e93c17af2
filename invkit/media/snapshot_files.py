"""An observer that writes pictures of image and kernel during a solve."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from torch import Tensor

from ..core.files import write_atomically
from ..core.interfaces import KernelPrior
from ..core.parameters import PositiveInt, validated
from ..core.problem import Problem
from ..core.solver import Observer, State, StopReason
from .images import encode_png, quantised
from .kernels import kernel_picture, planes_picture
from .layouts import channels_last
from .run_folder import SNAPSHOT_FILE, SNAPSHOT_FOLDER

__all__ = ["SnapshotFiles"]


class SnapshotFiles(Observer):
    """Writes pictures of image and kernel to the folder ``snapshots``, during each solve and at its end.

    ``02-00100-kernel.png`` is the kernel of the second solve (a recipe's second stage) after 100 iterations. Another
    operator parameter is named ``operator_parameter``. A new run removes the pictures of an older one.

    Args:
        folder: of the run.
        every: iterations between two pictures.

    Raises:
        OSError: from every method: a picture cannot be written.
    """

    @validated
    def __init__(self, folder: Path, *, every: PositiveInt = 100) -> None:
        self.folder, self.every = folder / SNAPSHOT_FOLDER, every
        self.solves = self.written = 0

    def started(self, problem: Problem, state: State, iterations: int) -> None:
        """Count the solves; the first solve of a new run removes older pictures."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if self.solves == 0 and state.iteration == 0:
            for path in self.folder.iterdir():
                if SNAPSHOT_FILE.fullmatch(path.name):
                    path.unlink()
        self.solves, self.written = self.solves + 1, state.iteration

    def stepped(self, problem: Problem, state: State) -> None:
        """Write if the iteration is a multiple of ``every``."""
        if state.iteration % self.every == 0:
            self._write(problem, state)

    def stopped(self, problem: Problem, state: State, reason: StopReason | None) -> None:
        """Write the last state, unless an error has interrupted its step."""
        if reason is not None and state.iteration != self.written:
            self._write(problem, state)

    def _write(self, problem: Problem, state: State) -> None:
        image, kernel = state.estimate()
        is_kernel = issubclass(problem.operator.parameter_prior, KernelPrior)
        parameter = "kernel" if is_kernel else "operator_parameter"
        for name, content in [*pictures("image", image), *pictures(parameter, kernel)]:
            write_atomically(self.folder / f"{self.solves:02}-{state.iteration:05}-{name}.png", content)
        self.written = state.iteration


def pictures(what: str, values: Tensor) -> Iterator[tuple[str, bytes]]:
    """Name and PNG of each item of a batch (B, C, H, W)."""
    for index, value in enumerate(values.detach().cpu()):
        name = what if len(values) == 1 else f"{what}-{index + 1}"
        if what == "kernel":
            yield name, encode_png(kernel_picture(value[0].double().numpy()))
        elif what == "image" and len(value) in (1, 3):
            yield name, encode_png(quantised(channels_last(value)[0], 8))
        else:
            yield name, encode_png(planes_picture(value.double().numpy()))
