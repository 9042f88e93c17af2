"""What a solve gives back: pictures, kernel, history, and how it ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt
from torch import Tensor

from .presentation import present

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Array", "Result", "Snapshot"]

Array: TypeAlias = npt.NDArray[Any] | Tensor


@dataclass(frozen=True)
class Snapshot:
    """Image and kernel as they stood on the way.

    Attributes:
        solve: which of several solves, one after the other, counted from 1: a recipe's stages.
        iteration: steps done in it.
        loss: of the last of them.
        image: (B, C, H, W) in [0, 1], on the CPU, as `State.estimate` gives it.
        kernel: (B, 1, h, w), or the operator's other unknown, on the CPU.
    """

    solve: int
    iteration: int
    loss: float
    image: Tensor
    kernel: Tensor


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
        has_kernel: whether ``kernel`` is one or several, and not another unknown.
        snapshots: how image and kernel evolved, where that was asked for: ``observers=[invkit.Snapshots(every=10)]``.
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
    has_kernel: bool = True
    snapshots: tuple[Snapshot, ...] = ()

    @property
    def is_complete(self) -> bool:
        """Whether it was solved to its end, and neither Ctrl-C nor a time limit came before."""
        return self.stopped in ("finished", "converged")

    def save(self, directory: str | Path, *, overwrite: bool = False) -> Path:
        """Write image.png, kernel.png, kernel.npy, overview.png and result.json; each file is whole or absent.

        What is no kernel is in operator_parameter.png and operator_parameter.npy.

        Returns:
            The directory.

        Raises:
            InputError: it cannot be written, or holds another run and ``overwrite`` is False.
        """
        saved: Path = present("save_result")(self, Path(directory), overwrite=overwrite)
        return saved

    def plot(self) -> Figure:
        """Blurry and restored image, kernel and loss in one Matplotlib figure, not yet shown."""
        figure: Figure = present("overview")(self)
        return figure

    def compare(self, truth: str | Path | Array, kernel: Array | None = None) -> Figure:
        """Blurry, restored and true image with their PSNR and SSIM, the errors and the kernels; not yet shown.

        Scores are of the luma, aligned as in Levin's protocol: at the shift of least squared error up to 5 pixels.

        Args:
            truth: the sharp image, a file or of a layout that `invkit.deblur` takes, of about the size of ``image``.
            kernel: the true kernel, (h, w), to be drawn beside the one found.

        Raises:
            InputError: the truth cannot be read, or has other channels than the image.
        """
        figure: Figure = present("comparison")(self, truth, kernel)
        return figure

    def animate(self, path: str | Path, *, seconds: float = 6.0) -> Path:
        """Write how image and kernel evolved, side by side with iteration and loss, as .gif, .webp or .mp4.

        Args:
            path: of the file, which is replaced if there is one.
            seconds: how long it takes, the last picture aside, which stays for two seconds more.

        Returns:
            The path.

        Raises:
            InputError: there are no snapshots, ``seconds`` is not positive, the suffix is another one, an .mp4 lacks
                its encoder (``invkit[video]``), or the file cannot be written.
        """
        written: Path = present("animate")(self, Path(path), seconds)
        return written

    def _repr_html_(self) -> str:
        """Pictures and figures of it, for notebooks."""
        html: str = present("result_html")(self)
        return html

    def summary(self) -> dict[str, Any]:
        """What result.json holds."""
        return {
            "stopped": self.stopped,
            "iterations": self.iterations,
            "seconds": round(self.seconds, 3),
            **({"kernel_size": list(np.shape(self.kernel)[-2:])} if self.has_kernel else {}),
            **self.details,
            "loss_history": list(self.history),
        }
