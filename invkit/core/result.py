"""The result of a solve: image, kernel, history, and how the solve ended."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ..numerics.geometry import margins, size_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "GRADIENTS",
    "IMAGE",
    "KERNEL",
    "Array",
    "DataReading",
    "GivesVariances",
    "Result",
    "Snapshot",
    "Uncertain",
    "present",
    "variances_of",
]

Array: TypeAlias = npt.NDArray[Any] | Tensor
KERNEL, GRADIENTS = "kernel", "gradients"  # the names of posterior variances
IMAGE = "image"  # with `KERNEL`, the names of standard deviations

PRESENTED_BY = {
    "animate": "animation",
    "comparison": "figures",
    "overview": "figures",
    "problem_html": "presentation",
    "result_html": "presentation",
    "save_result": "output",
}
"""The functions that save and draw results and problems, and their modules in `invkit.media`."""


def present(name: str) -> Callable[..., Any]:
    """A function of `PRESENTED_BY`: the only way from `core` up to `media`. Its module is imported by this call."""
    function: Callable[..., Any] = getattr(import_module(f"invkit.media.{PRESENTED_BY[name]}"), name)
    return function


class Uncertain(ABC):
    """The ability of a state to give posterior variances: it holds a distribution, not only its most likely value."""

    @abstractmethod
    def variances(self) -> Mapping[str, Tensor]:
        """Return posterior variances by name, >= 0, in squares of the values' units.

        - `KERNEL`: of the entries of the kernel that `State.estimate` gives, (B, 1, h, w);
        - `GRADIENTS`: of the first differences of the latent image at the pixels of the data, (B, 2 C, H, W): those
          down of every channel, then those along.

        A state may give one of them, or none before its first step.
        """


class GivesVariances(ABC):  # noqa: B024 - an ability without a method
    """The ability of a solver to find a distribution of the kernel: its last state gives the variances `KERNEL`."""


def variances_of(state: object) -> dict[str, Tensor]:
    """The posterior variances of a state, on the CPU; empty if it has none."""
    found = state.variances() if isinstance(state, Uncertain) else {}
    return {name: value.detach().cpu() for name, value in found.items()}


@dataclass(frozen=True)
class DataReading:
    """What an operator takes data for, so that a user sees a mistake in them; a result tells it.

    Attributes:
        text: a clause that says it; empty if there is nothing to say.
        doubts: sentences that say why the data may be others than the operator takes them for.
    """

    text: str = ""
    doubts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Snapshot:
    """Image and kernel during a solve.

    Attributes:
        solve: number of the solve, from 1, as a recipe has several stages.
        iteration: number of steps done.
        loss: of the last step.
        image: (B, C, H, W) in [0, 1], on the CPU, as `State.estimate` gives it.
        kernel: (B, 1, h, w), or another operator parameter, on the CPU.
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
            kind (array or tensor) of the input.
        kernel: the operator's parameter, mostly a true-convolution kernel, non-negative and summing to one:
            (B, 1, h, w) from `Solver.solve`; (h, w), or (B, h, w) for several, from `invkit.deblur`.
        history: the loss of every iteration.
        stopped: "finished", "converged", "interrupted", "time limit" or "observer".
        iterations: number of steps, over all resumed runs.
        seconds: that they took.
        blurry: the image before the solve, in the same layout: the blurry input, or the operator's initial image if
            the data are no picture; or None.
        details: recipe, options, seed, versions, device, noise level and the like, JSON-serialisable.
        bits: bits per sample in which `save` writes the image.
        icc_profile: colour profile that `save` writes with it, or None.
        has_kernel: whether ``kernel`` holds blur kernels, and not another operator parameter.
        white: the value of the image that is drawn as white; 1 for pictures, and about the largest value of an image
            whose data are no picture and have any units.
        black: the value of the image that is drawn as black.
        is_stack: whether the image is a stack of planes, (D, H, W).
        variances: posterior variances by name, >= 0, of methods that estimate a distribution; others have none.
            "kernel": of every entry of ``kernel``, in its layout. "gradients": of the first differences of the latent
            image at the pixels of the data, (2 C, H, W), those down of every channel, then those along; a batch comes
            first, always from `Solver.solve`. If a later stage deconvolves, they are those of the stage that found the
            kernel, on the data that it saw (the luma, or a window).
        deviations: standard deviations by name, if they were asked for (``uncertainty=True``): "image" in the layout
            and units of ``image``, without opacity, NaN where the input was kept; "kernel" in the layout of ``kernel``,
            unless that was given. They are about the values returned: the square includes the squared distance from
            the mean of the samples. ``details["uncertainty"]`` says how they were found and what they cover.
        snapshots: image and kernel during the solve, if requested by ``observers=[invkit.Snapshots(every=10)]``.

    Example:
        >>> result = Result(np.eye(8), np.full((3, 3), 1 / 9), (1.0, 0.5), "finished", iterations=2, seconds=0.1)
        >>> result.is_complete, result.summary()["kernel_size"]
        (True, [3, 3])
        >>> "<img" in result._repr_html_()
        True
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
    white: float = 1.0
    black: float = 0.0
    is_stack: bool = False
    variances: Mapping[str, Array] = field(default_factory=dict)
    deviations: Mapping[str, Array] = field(default_factory=dict)
    snapshots: tuple[Snapshot, ...] = ()

    @property
    def is_complete(self) -> bool:
        """Whether the solve reached its end, and was not stopped by Ctrl-C, a time limit or an observer."""
        return self.stopped in ("finished", "converged")

    def framed(self, data: Tensor) -> Tensor:
        """The part of the image of `Solver.solve` that lies under the data.

        The image of a valid convolution is larger than the data by the kernel's size minus one. An image of any other
        size is returned as it is.

        Args:
            data: of the problem, (B, C, H', W').

        Example:
            >>> image, kernel, data = torch.rand(1, 1, 12, 13), torch.full((1, 1, 5, 4), 0.05), torch.rand(1, 1, 8, 10)
            >>> Result(image, kernel, (1.0,), "finished", iterations=1, seconds=0.1).framed(data).shape
            torch.Size([1, 1, 8, 10])
        """
        image, (height, width), (h, w) = torch.as_tensor(self.image), size_of(data), np.shape(self.kernel)[-2:]
        if size_of(image) != (height + h - 1, width + w - 1):
            return image
        (top, _), (left, _) = margins((h, w))
        return image[..., top : top + height, left : left + width]

    def save(self, directory: str | Path, *, overwrite: bool = False) -> Path:
        """Write image.png, kernel.png, kernel.npy, overview.png and result.json; each file is whole or absent.

        Another operator parameter than a kernel is written to operator_parameter.png and operator_parameter.npy.
        Posterior variances, if there are any, are written to kernel_variance.npy and gradients_variance.npy, standard
        deviations to image_deviation.npy, kernel_deviation.npy and, as a map, uncertainty.png.

        Returns:
            The directory.

        Raises:
            InputError: the directory cannot be written, or holds another run and ``overwrite`` is False.
        """
        saved: Path = present("save_result")(self, Path(directory), overwrite=overwrite)
        return saved

    def plot(self) -> Figure:
        """Blurry and restored image, kernel and loss in one Matplotlib figure, which is not shown yet."""
        figure: Figure = present("overview")(self)
        return figure

    def compare(self, truth: str | Path | Array, kernel: str | Path | Array | None = None) -> Figure:
        """Blurry, restored and true image with PSNR and SSIM, the errors and the kernels, in a figure not shown yet.

        PSNR and SSIM are those of the luma, aligned as in Levin's protocol: at the shift of least squared error, up to
        5 pixels.

        Args:
            truth: the sharp image, a file or an array in a layout of `invkit.deblur`, of about the size of ``image``.
            kernel: the true kernel, (h, w), or its file; drawn beside the estimate.

        Raises:
            InputError: the truth or the kernel cannot be read, or the truth has other channels than the image.
        """
        figure: Figure = present("comparison")(self, truth, kernel)
        return figure

    def animate(self, path: str | Path, *, seconds: float = 6.0) -> Path:
        """Write an animation of image and kernel with iteration and loss, as .gif, .webp or .mp4.

        Args:
            path: of the file; an existing one is replaced.
            seconds: duration without the last picture, which is shown for two more seconds.

        Returns:
            The path.

        Raises:
            InputError: there are no snapshots, ``seconds`` is not positive, the suffix is unknown, the encoder for
                .mp4 is missing (the extra named video), or the file cannot be written.
        """
        written: Path = present("animate")(self, Path(path), seconds)
        return written

    def _repr_html_(self) -> str:
        """Pictures and figures for notebooks."""
        html: str = present("result_html")(self)
        return html

    def summary(self) -> dict[str, Any]:
        """The content of result.json."""
        return {
            "stopped": self.stopped,
            "iterations": self.iterations,
            "seconds": round(self.seconds, 3),
            **({"kernel_size": list(np.shape(self.kernel)[-2:])} if self.has_kernel else {}),
            **self.details,
            "loss_history": list(self.history),
        }
