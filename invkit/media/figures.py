"""What a person looks at first: blurry and restored picture, kernel and loss, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from io import BytesIO
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from .kernels import mosaic
from .layouts import Array, channels_last

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ..core.result import Result

__all__ = ["kernel_stack", "new_figure", "overview"]

WIDTH = 11.0  # inches, of the figure
STAGE_COLORS = ("#1f5a96", "#c8601a", "#3a7d44", "#8a3f8f", "#6b6b6b")
LOWER = 3.4  # inches, of the row with kernel and loss
GAP = 0.1  # inches, around each of them
TALLEST = 9.0  # inches, of the row with the pictures
SHARPEST = 1600  # pixels of a picture that a screen can show
TITLE: dict[str, Any] = {"fontsize": 12, "loc": "left"}
SMALL = 9


def overview(result: Result) -> Figure:
    """One figure of a result; of a batch the first.

    Works without a display and leaves Matplotlib's global state alone: show it in a notebook by naming it, or write
    it with ``figure.savefig``.
    """
    before = "Blurry" if result.has_kernel else "Before"
    pictures = [(before, result.blurry)] if result.blurry is not None else []
    shown = [(title, channels_last(image)) for title, image in (*pictures, ("Restored", result.image))]
    height = picture_height([batch.shape[1:3] for _, batch in shown])
    figure = new_figure(height + LOWER + 0.4)
    grid = figure.add_gridspec(2, 1, height_ratios=[height, LOWER])
    upper, lower = grid[0].subgridspec(1, len(shown)), grid[1].subgridspec(1, 2, width_ratios=[1, 1.6])
    for column, (title, batch) in enumerate(shown):
        draw_picture(figure.add_subplot(upper[column]), batch, title)
    draw_kernel(figure.add_subplot(lower[0]), kernel_stack(result.kernel), result.has_kernel)
    draw_loss(figure.add_subplot(lower[1]), result)
    return figure


def new_figure(height: float) -> Figure:
    """An empty figure of so many inches, `WIDTH` wide, that a notebook shows when it is named."""
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    return shown_figure()(figsize=(WIDTH, height), layout=ConstrainedLayoutEngine(h_pad=GAP, w_pad=GAP))


@cache
def shown_figure() -> type[Figure]:
    """Matplotlib's figure, with a picture of itself: notebooks know how to show one only where pyplot was imported."""
    from matplotlib.figure import Figure

    class ShownFigure(Figure):
        def _repr_png_(self) -> bytes:
            buffer = BytesIO()
            self.savefig(buffer, format="png")
            return buffer.getvalue()

    return ShownFigure


def picture_height(shapes: Sequence[tuple[int, ...]]) -> float:
    """Inches that the row of pictures takes at their aspect ratio, within reason."""
    width = WIDTH / len(shapes)
    return float(np.clip(max(width * height / columns for height, columns in shapes) + 0.3, 2.0, TALLEST))


def draw_picture(axes: Axes, batch: npt.NDArray[Any], title: str) -> None:
    """The first picture of (B, H, W, C), named with its size."""
    height, width = batch.shape[1:3]
    axes.imshow(drawable(batch[0]), interpolation="antialiased")
    axes.set_axis_off()
    axes.set_title(titled(title, len(batch)), **TITLE)
    axes.set_title(f"{width} × {height}", loc="right", fontsize=SMALL, color="0.4")  # noqa: RUF001  a true times sign


def titled(title: str, count: int) -> str:
    """The title, saying when it is one of several."""
    return title if count == 1 else f"{title} (first of {count})"


def drawable(picture: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """(H, W, C) -> (H, W, 3) or (H, W, 4) in [0, 1]: clipped, integers divided by the largest of their type.

    Grey is repeated, other numbers of channels are averaged.
    """
    white = 1.0 if picture.dtype.kind == "f" else float(np.iinfo(picture.dtype).max)
    values: npt.NDArray[Any] = np.clip(np.nan_to_num(shrunk(picture).astype(np.float32) / white), 0, 1)
    channels = values.shape[-1]
    if channels in (3, 4):
        return values
    grey = values[..., :1] if channels <= 2 else values.mean(axis=-1, keepdims=True)
    return np.concatenate([grey] * 3 + ([values[..., 1:]] if channels == 2 else []), axis=-1)


def shrunk(picture: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """A large picture averaged over squares: drawing all of it would take long and show no more."""
    step = -(-max(picture.shape[:2]) // SHARPEST)
    height, width = (side // step * step for side in picture.shape[:2])
    if step == 1 or not height or not width:
        return picture
    squares = picture[:height, :width].reshape(height // step, step, width // step, step, -1)
    return np.asarray(squares.mean(axis=(1, 3), dtype=np.float32))


def kernel_stack(kernel: Array) -> npt.NDArray[np.float64]:
    """Kernels of any layout, (h, w) to (B, 1, h, w), as (B, h, w) float64."""
    values = np.asarray(kernel.detach().cpu().double() if not isinstance(kernel, np.ndarray) else kernel)
    return np.asarray(values.reshape(-1, *values.shape[-2:]), dtype=np.float64)


def draw_kernel(axes: Axes, planes: npt.NDArray[np.float64], are_kernels: bool = True) -> None:
    """The kernels, each weight a square, or the planes of another unknown, with a bar that tells their values."""
    height, width = planes.shape[1:]
    most = float(np.abs(planes).max())
    grid = mosaic(planes, np.nan)
    if are_kernels:
        drawn = axes.imshow(grid, cmap="gray", vmin=0, interpolation="nearest")
    else:
        signed = bool((planes < 0).any())
        colors: dict[str, Any] = {"cmap": "RdBu_r", "vmin": -most} if signed else {"cmap": "gray", "vmin": 0}
        drawn = axes.imshow(grid, vmax=most or 1, aspect=tidy(grid.shape), interpolation="nearest", **colors)
    what = ("Kernel" if len(planes) == 1 else f"{len(planes)} kernels") if are_kernels else "Unknown"
    axes.set_title(f"{what}, {width} × {height}{' pixels' if are_kernels else ''}", **TITLE)  # noqa: RUF001
    axes.set(xticks=[], yticks=[])
    bar = axes.figure.colorbar(drawn, ax=axes, fraction=0.05, pad=0.03)
    bar.ax.tick_params(labelsize=SMALL)
    bar.ax.ticklabel_format(style="sci", scilimits=(-2, 2))
    bar.ax.yaxis.get_offset_text().set_fontsize(SMALL)
    bar.outline.set_visible(False)


def tidy(shape: tuple[int, ...]) -> Literal["equal", "auto"]:
    """The aspect of a pixel: that of a square, but of a plane of a few long rows one that fills the axes."""
    height, width = shape[:2]
    return "equal" if max(height, width) < 8 * min(height, width) else "auto"


def stage_spans(result: Result) -> list[tuple[str, int, int]]:
    """Of each stage that was not skipped its name, and where in the history it begins and ends."""
    stages = result.details.get("stages") or [{"name": "", "iterations": len(result.history)}]
    ends = list(accumulate(stage["iterations"] for stage in stages))
    spans = zip(stages, [0, *ends], ends, strict=False)
    return [(stage["name"], first, last) for stage, first, last in spans if last > first]


def draw_loss(axes: Axes, result: Result) -> None:
    """The loss of every iteration, on a logarithmic scale where all of it is positive."""
    losses = np.asarray(result.history, dtype=np.float64)
    axes.set_title("Loss", **TITLE)
    how = "" if result.stopped == "finished" else f", {result.stopped}"
    axes.set_title(
        f"{result.iterations} iterations, {result.seconds:.0f} s{how}", loc="right", fontsize=SMALL, color="0.4"
    )
    axes.set_xlabel("iteration", fontsize=SMALL + 1)
    axes.tick_params(labelsize=SMALL, which="both")
    axes.spines[["top", "right"]].set_visible(False)
    if not losses.size:
        axes.text(0.5, 0.5, "no iteration was made", ha="center", va="center", transform=axes.transAxes, color="0.4")
        axes.set(xticks=[], yticks=[])
        return
    for color, (name, first, last) in zip(STAGE_COLORS, stage_spans(result), strict=False):
        own = losses[first:last]
        axes.plot(
            np.arange(first, first + own.size) + 1,
            own,
            linewidth=0.9,
            color=color,
            marker="." if own.size == 1 else "",
            label=name,
        )
    if len(axes.lines) > 1:  # each stage has an objective of its own
        axes.legend(fontsize=SMALL, frameon=False)
    axes.grid(which="major", linewidth=0.4, color="0.85")
    if bool((losses > 0).all()):
        axes.set_yscale("log")
