"""What a solve gives back: pictures, kernel, history, and how it ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt
from torch import Tensor

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Array", "Result"]

Array: TypeAlias = npt.NDArray[Any] | Tensor


@dataclass(frozen=True)
class Result:
    """The outcome of a solve.

    Attributes:
        image: the restored image in [0, 1]: (B, C, H, W) from `Solver.solve`; from `invkit.deblur` in the layout and
            kind (array or tensor) of the image that was given.
        kernel: the operator's unknown, in most a true-convolution kernel, >= 0 and summing to one: (B, 1, h, w) from
            `Solver.solve`, or (h, w), of several kernels (B, h, w), from `invkit.deblur`.
        history: the loss of every iteration.
        stopped: "finished", "converged", "interrupted" or "time limit".
        iterations: steps done, over all resumed runs.
        seconds: time spent in them.
        blurry: what there was to see before, in the image's layout: the blurry picture, of data that are none the
            operator's first image of them; or None.
        details: what else is worth keeping (recipe, seed, versions, device, noise level, ...), JSON-serialisable.
        bits: bits per sample in which `save` writes the image.
        icc_profile: colour profile that `save` writes with it, or None.
        holds_kernels: whether ``kernel`` is one or several, and not another unknown.
    """

    image: Array
    kernel: Array
    history: tuple[float, ...]
    stopped: str
    iterations: int
    seconds: float
    blurry: Array | None = None
    details: Mapping[str, Any] = field(default_factory=dict)
    bits: int = 8
    icc_profile: bytes | None = None
    holds_kernels: bool = True

    @property
    def is_complete(self) -> bool:
        """Whether it was solved to its end, and neither Ctrl-C nor a time limit came before."""
        return self.stopped in ("finished", "converged")

    def save(self, directory: str | Path, *, overwrite: bool = False) -> Path:
        """Write image.png, kernel.png, kernel.npy, overview.png and result.json; each file is whole or absent.

        What is no kernel is in unknown.png and unknown.npy.

        Returns:
            The directory.

        Raises:
            InputError: it cannot be written, or holds another run and ``overwrite`` is False.
        """
        from .media.output import save_result

        return save_result(self, Path(directory), overwrite=overwrite)

    def plot(self) -> Figure:
        """Blurry and restored image, kernel and loss in one Matplotlib figure, not yet shown."""
        from .media.figures import overview

        return overview(self)

    def summary(self) -> dict[str, Any]:
        """What result.json holds."""
        return {
            "stopped": self.stopped,
            "iterations": self.iterations,
            "seconds": round(self.seconds, 3),
            **({"kernel_size": list(np.shape(self.kernel)[-2:])} if self.holds_kernels else {}),
            **self.details,
            "loss_history": list(self.history),
        }
