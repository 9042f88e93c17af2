"""An observer that writes image and kernel during a solve."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from torch import Tensor

from ..core.files import write_atomically
from ..core.interfaces import KernelPrior
from ..core.parameters import PositiveInt, validated
from ..core.problem import Problem
from ..core.solver import Observer, State, StopReason
from .images import encode_npy, encode_png, quantised
from .kernels import kernel_picture, planes_picture
from .layouts import channels_last
from .run_folder import SNAPSHOT_FILE, SNAPSHOT_FOLDER

__all__ = ["SnapshotFiles"]


class SnapshotFiles(Observer):
    """Writes image and kernel to the folder ``snapshots``, during each solve and at its end.

    ``02-00100-kernel.png`` is a picture of the kernel of the second solve (a recipe's second stage) after 100
    iterations, and ``02-00100-kernel.npy`` has its weights, (h, w) float64. Another operator parameter is named
    ``operator_parameter``; its numbers are (C, h, w). A new run removes the files of an older one.

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
        for name, content in [*pictures("image", image), *pictures(parameter, kernel), *numbers(parameter, kernel)]:
            write_atomically(self.folder / f"{self.solves:02}-{state.iteration:05}-{name}", content)
        self.written = state.iteration


def named_items(what: str, values: Tensor) -> Iterator[tuple[str, Tensor]]:
    """Each item (C, H, W) of a batch on the CPU, with its name."""
    for index, value in enumerate(values.detach().cpu()):
        yield what if len(values) == 1 else f"{what}-{index + 1}", value


def numbers(what: str, values: Tensor) -> Iterator[tuple[str, bytes]]:
    """File name and content of the numbers of each item of a batch (B, C, h, w): a kernel is (h, w)."""
    for name, value in named_items(what, values):
        yield f"{name}.npy", encode_npy((value[0] if what == "kernel" else value).double().numpy())


def pictures(what: str, values: Tensor) -> Iterator[tuple[str, bytes]]:
    """File name and PNG of each item of a batch (B, C, H, W)."""
    for item, value in named_items(what, values):
        name = f"{item}.png"
        if what == "kernel":
            yield name, encode_png(kernel_picture(value[0].double().numpy()))
        elif what == "image" and len(value) in (1, 3):
            yield name, encode_png(quantised(channels_last(value)[0], 8))
        else:
            yield name, encode_png(planes_picture(value.double().numpy()))
