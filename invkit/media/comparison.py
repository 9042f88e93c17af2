"""A result beside the truth: pictures with their scores, where the errors lie, and the kernels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..core.errors import InputError
from ..numerics.registration import Aligned, align, psnr, ssim
from .colour import to_luma_chroma
from .figures import SMALL, TITLE, draw_picture, kernel_stack, new_figure, picture_height, tidy
from .images import read_image
from .kernels import as_kernel, planes_picture
from .layouts import Array, channels_last, check_image, to_bchw

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ..core.result import Result

__all__ = ["comparison"]

BORDER, SHIFT = 15, 5  # pixels, Levin's protocol
WINDOW = 11  # pixels, of SSIM


@dataclass(frozen=True)
class Compared:
    """A picture, and its luma aligned with that of the truth.

    Attributes:
        title: what it is.
        batch: (1, H, W, C).
        aligned: the two crops that are compared.
    """

    title: str
    batch: npt.NDArray[Any]
    aligned: Aligned

    @property
    def scores(self) -> str:
        """PSNR, and SSIM where its window fits."""
        estimate, truth = self.aligned.estimate, self.aligned.truth
        similarity = f", SSIM {ssim(estimate, truth):.3f}" if min(truth.shape[1:]) >= WINDOW else ""
        return f"{psnr(estimate, truth):.2f} dB{similarity}"

    @property
    def errors(self) -> npt.NDArray[Any]:
        """(h, w), how far the luma is off."""
        return np.asarray(np.abs(self.aligned.estimate - self.aligned.truth)[0])


def comparison(result: Result, truth: str | Path | Array, kernel: Array | None = None) -> Figure:
    """The figure of `Result.compare`; of a batch the first."""
    reference = true_picture(truth)
    before = "Blurry" if result.has_kernel else "Before"
    given = [(before, result.blurry)] if result.blurry is not None else []
    shown = [compared(title, image, reference) for title, image in (*given, ("Restored", result.image))]
    columns = len(shown) + 1
    height = picture_height([reference.shape[1:3]] * columns)
    figure = new_figure(2 * height + 0.7)
    grid = figure.add_gridspec(2, columns)
    for column, one in enumerate(shown):
        axes = figure.add_subplot(grid[0, column])
        draw_picture(axes, one.batch, one.title)
        axes.set_title(one.scores, loc="right", fontsize=SMALL, color="0.4")
    draw_picture(figure.add_subplot(grid[0, -1]), reference, "Truth")
    draw_errors([figure.add_subplot(grid[1, column]) for column in range(len(shown))], shown)
    name = "Kernel" if result.has_kernel else "Unknown"
    kernels = {name: kernel_stack(result.kernel)} | ({} if kernel is None else {"True kernel": true_kernel(kernel)})
    cells = grid[1, -1].subgridspec(1, len(kernels))
    for column, (title, planes) in enumerate(kernels.items()):
        draw_planes(figure.add_subplot(cells[column]), planes, title)
    return figure


def true_picture(truth: str | Path | Array) -> npt.NDArray[Any]:
    """The truth as (1, H, W, C) in [0, 1]; raises `InputError`."""
    image: Array = read_image(truth).pixels if isinstance(truth, str | Path) else truth
    check_image(image, "the truth")
    return channels_last(to_bchw(image)[0])[:1]


def true_kernel(kernel: Array) -> npt.NDArray[np.float64]:
    """A kernel as (1, h, w) that sums to one; raises `InputError`."""
    return as_kernel(kernel_stack(kernel), "the true kernel")[None]


def compared(title: str, image: Array, reference: npt.NDArray[Any]) -> Compared:
    """A picture of any layout beside the truth (1, H, W, C); raises `InputError`."""
    batch = channels_last(image)
    estimate, truth = luma(batch[0], title), luma(reference[0], "the truth")
    border = min(BORDER, min(truth.shape) // 4)  # the protocol's, or less for a picture that it would use up
    return Compared(title, batch, align(estimate, truth, border=border, max_shift=min(SHIFT, border)))


def luma(picture: npt.NDArray[Any], name: str) -> npt.NDArray[Any]:
    """The full-range luma (H, W) of a picture (H, W, C) with or without opacity; raises `InputError`."""
    channels = picture.shape[-1]
    if channels > 4:
        raise InputError(f"{name} has {channels} channels, and pictures of up to 4 can be compared")
    if channels <= 2:
        return picture[..., 0]
    return np.asarray(to_luma_chroma(picture[..., :3])[0][..., 0])


def draw_errors(axes: Sequence[Axes], shown: Sequence[Compared]) -> None:
    """Where each picture is off, on one scale, that of the first."""
    most = float(np.quantile(shown[0].errors, 0.995)) or 1.0  # a few pixels of an edge would darken all else
    for place, one in zip(axes, shown, strict=True):
        drawn = place.imshow(one.errors, cmap="magma", vmin=0, vmax=most, interpolation="antialiased")
        place.set_axis_off()
        place.set_title(f"Error, {one.title.lower()}", **TITLE)
    bar = axes[-1].figure.colorbar(
        drawn, ax=list(axes), location="bottom", shrink=0.5, aspect=40, pad=0.03, extend="max"
    )
    bar.ax.tick_params(labelsize=SMALL)
    bar.outline.set_visible(False)


def draw_planes(axes: Axes, planes: npt.NDArray[np.float64], title: str) -> None:
    """Kernels, or the planes of another unknown, each from black to white."""
    axes.imshow(
        planes_picture(planes), cmap="gray", vmin=0, vmax=255, interpolation="nearest", aspect=tidy(planes.shape[1:])
    )
    axes.set(xticks=[], yticks=[])
    axes.set_title(title, **TITLE)
    axes.set_xlabel(f"{planes.shape[2]} × {planes.shape[1]}", fontsize=SMALL, color="0.4")  # noqa: RUF001
