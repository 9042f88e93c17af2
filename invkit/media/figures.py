"""Figures of a result: before and after, kernel and loss; and the same beside the true image."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, cached_property
from io import BytesIO
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from ..core.errors import InputError
from ..core.result import IMAGE, Array, Result
from ..numerics.registration import Aligned, align
from ..numerics.similarity import SSIM_WINDOW, psnr, ssim
from .colour import to_luma_chroma
from .images import read_image
from .kernels import as_kernel, mosaic, planes_picture, read_kernel, size_text
from .layouts import channels_last, check_image, drawable_batch, to_bchw

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "SCALE_QUANTILE",
    "TITLE",
    "comparison",
    "counted_title",
    "deviation_plane",
    "draw_deviation_panel",
    "draw_kernel_panel",
    "drawable",
    "kernel_stack",
    "load_matplotlib",
    "luma_of",
    "new_figure",
    "overview",
    "picture_of",
    "protocol_margins",
    "row_height",
]

BACKEND = "MPLBACKEND"
FIGURE_WIDTH = 11.0  # inches
LOWER_ROW_HEIGHT = 3.4  # inches, of the row with kernel and loss
HIGHEST_ROW = 9.0  # inches, of the row with the images
PANEL_GAP = 0.1  # inches, around each panel
SCALE_QUANTILE = 0.995  # of a map, at its brightest colour: a few pixels of an edge would darken all the others
SCREEN_PIXELS = 1600  # of a side; a screen shows no more
STAGE_COLORS = ("#1f5a96", "#c8601a", "#3a7d44", "#8a3f8f", "#6b6b6b")
TITLE: dict[str, Any] = {"fontsize": 12, "loc": "left"}
SMALL_FONT = 9
SUBTITLE: dict[str, Any] = {"fontsize": SMALL_FONT, "loc": "right", "color": "0.4"}
LEVIN_BORDER, LEVIN_SHIFT = 15, 5  # pixels: the border that Levin's protocol cuts, the largest shift that it allows


def overview(result: Result) -> Figure:
    """One figure of a result, or of the first image of a batch.

    It needs no display and does not change Matplotlib's global state. A notebook shows it as the value of a cell;
    ``figure.savefig`` writes it.
    """
    shown = [(title, drawable_batch(image, result)) for title, image in before_and_after(result)]
    deviation = result.deviations.get(IMAGE)
    panels = len(shown) + (deviation is not None)
    height = row_height([shown[-1][1].shape[1:3]] * panels if panels > len(shown) else [b.shape[1:3] for _, b in shown])
    figure = new_figure(height + LOWER_ROW_HEIGHT + 0.4)
    grid = figure.add_gridspec(2, 1, height_ratios=[height, LOWER_ROW_HEIGHT])
    upper, lower = grid[0].subgridspec(1, panels), grid[1].subgridspec(1, 2, width_ratios=[1, 1.6])
    for column, (title, batch) in enumerate(shown):
        draw_image_panel(figure.add_subplot(upper[column]), batch, title)
    if deviation is not None:
        draw_deviation_panel(figure.add_subplot(upper[-1]), deviation, result.white)
    draw_kernel_panel(figure.add_subplot(lower[0]), kernel_stack(result.kernel), result.has_kernel)
    draw_loss_panel(figure.add_subplot(lower[1]), result)
    return figure


def draw_deviation_panel(axes: Axes, deviation: Array, white: float) -> None:
    """Draw the standard deviations of an image with a colour bar: dark where it is sure, bright where it is not.

    A large image is averaged over squares. The scale ends at the 99.5th percentile; what is brighter has its colour.

    Args:
        axes: the panel.
        deviation: in the layout of an image; of several channels the root mean square is drawn.
        white: the value of the image that is drawn as white.
    """
    values = deviation_plane(averaged(channels_last(deviation)[0].astype(np.float32)))
    most = float(np.nanquantile(values, SCALE_QUANTILE)) or 1.0
    drawn = axes.imshow(values, cmap="magma", vmin=0, vmax=most, interpolation="antialiased")
    axes.set_axis_off()
    axes.set_title("Standard deviation", **TITLE)
    axes.set_title("white is 1" if white == 1 else "in units of the image", **SUBTITLE)
    bar = axes.figure.colorbar(drawn, ax=axes, location="bottom", fraction=0.05, pad=0.03, extend="max")
    bar.ax.tick_params(labelsize=SMALL_FONT)
    bar.outline.set_visible(False)


def deviation_plane(deviation: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Standard deviations (H, W) or (H, W, C) as (H, W): the root mean square over the channels."""
    return deviation if deviation.ndim == 2 else np.asarray(np.sqrt(np.mean(deviation**2, axis=-1)))


def picture_of(figure: Figure, dots_per_inch: float) -> npt.NDArray[np.uint8]:
    """Draw a figure once, as (H, W, 3); ``savefig`` draws and arranges it twice and takes twice the time."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    figure.set_dpi(dots_per_inch)
    canvas: Any = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3]


def before_and_after(result: Result) -> list[tuple[str, Array]]:
    """The images of a result with their titles."""
    before = [("Blurry" if result.has_kernel else "Before", result.blurry)] if result.blurry is not None else []
    return [*before, ("Restored", result.image)]


def new_figure(height: float) -> Figure:
    """An empty figure of a height in inches that a notebook can show."""
    load_matplotlib()
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    return notebook_figure()(
        figsize=(FIGURE_WIDTH, height), layout=ConstrainedLayoutEngine(h_pad=PANEL_GAP, w_pad=PANEL_GAP)
    )


def load_matplotlib() -> None:
    """Import Matplotlib, also if MPLBACKEND names a backend that is not installed here.

    Notebooks set the variable for every process that they start. The import alone would fail then. A backend that
    is installed remains the choice of pyplot, if the user's program uses it.
    """
    if "matplotlib" in sys.modules:
        return
    backend = os.environ.pop(BACKEND, None)
    try:
        import matplotlib as mpl
    finally:
        if backend is not None:
            os.environ[BACKEND] = backend
    if backend:
        with suppress(ValueError):  # pyplot is not used here
            mpl.rcParams["backend"] = backend


@cache
def notebook_figure() -> type[Figure]:
    """Matplotlib's figure with a PNG of itself, because notebooks can show a figure only if pyplot was imported."""
    from matplotlib.figure import Figure

    class NotebookFigure(Figure):
        def _repr_png_(self) -> bytes:
            buffer = BytesIO()
            self.savefig(buffer, format="png")
            return buffer.getvalue()

    return NotebookFigure


def row_height(shapes: Sequence[tuple[int, ...]]) -> float:
    """Inches that a row of images of these heights and widths takes, within reason."""
    width = FIGURE_WIDTH / len(shapes)
    return float(np.clip(max(width * height / columns for height, columns in shapes) + 0.3, 2.0, HIGHEST_ROW))


def draw_image_panel(axes: Axes, batch: npt.NDArray[Any], title: str, subtitle: str = "") -> None:
    """Draw the first image of a batch.

    Args:
        axes: the panel.
        batch: (B, H, W, C).
        title: stands at the left.
        subtitle: stands at the right; empty for the image's size.
    """
    height, width = batch.shape[1:3]
    axes.imshow(drawable(batch[0]), interpolation="antialiased")
    axes.set_axis_off()
    axes.set_title(counted_title(title, len(batch)), **TITLE)
    axes.set_title(subtitle or size_text(width, height), **SUBTITLE)


def counted_title(title: str, count: int) -> str:
    """The title, with the number of images if the shown one is the first of several."""
    return title if count == 1 else f"{title} (first of {count})"


def drawable(picture: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """(H, W, C) as (H, W, 3) or (H, W, 4) in [0, 1]: clipped, integers divided by the largest of their type.

    Grey is repeated. Other numbers of channels are averaged. A large image is averaged over squares of pixels.
    """
    white = 1.0 if picture.dtype.kind == "f" else float(np.iinfo(picture.dtype).max)
    values: npt.NDArray[Any] = np.clip(np.nan_to_num(averaged(picture).astype(np.float32) / white), 0, 1)
    channels = values.shape[-1]
    if channels in (3, 4):
        return values
    grey = values[..., :1] if channels <= 2 else values.mean(axis=-1, keepdims=True)
    return np.concatenate([grey] * 3 + ([values[..., 1:]] if channels == 2 else []), axis=-1)


def averaged(picture: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """A large image averaged over squares, because all of its pixels would take long to draw and show no more."""
    step = -(-max(picture.shape[:2]) // SCREEN_PIXELS)
    height, width = (side // step * step for side in picture.shape[:2])
    if step == 1 or not height or not width:
        return picture
    squares = picture[:height, :width].reshape(height // step, step, width // step, step, -1)
    return np.asarray(squares.mean(axis=(1, 3), dtype=np.float32))


def kernel_stack(kernel: Array) -> npt.NDArray[np.float64]:
    """Kernels of any layout, (h, w) to (B, 1, h, w), as (B, h, w) float64."""
    values = np.asarray(kernel.detach().cpu().double() if not isinstance(kernel, np.ndarray) else kernel)
    return np.asarray(values.reshape(-1, *values.shape[-2:]), dtype=np.float64)


def draw_kernel_panel(axes: Axes, planes: npt.NDArray[np.float64], are_kernels: bool) -> None:
    """Draw kernels, each weight as a square, or the planes of another operator parameter, with a colour bar.

    Args:
        axes: the panel.
        planes: (B, h, w).
        are_kernels: whether the planes are kernels.
    """
    height, width = planes.shape[1:]
    most = float(np.abs(planes).max())
    grid = mosaic(planes, np.nan)
    colors: dict[str, Any] = {"cmap": "gray", "vmin": 0}
    if not are_kernels:
        signed = {"cmap": "RdBu_r", "vmin": -most} if bool((planes < 0).any()) else {}
        colors |= {"vmax": most or 1, "aspect": pixel_aspect(grid.shape), **signed}
    drawn = axes.imshow(grid, interpolation="nearest", **colors)
    what = ("Kernel" if len(planes) == 1 else f"{len(planes)} kernels") if are_kernels else "Operator parameter"
    axes.set_title(f"{what}, {size_text(width, height)}{' pixels' if are_kernels else ''}", **TITLE)
    axes.set(xticks=[], yticks=[])
    bar = axes.figure.colorbar(drawn, ax=axes, fraction=0.05, pad=0.03)
    bar.ax.tick_params(labelsize=SMALL_FONT)
    bar.ax.ticklabel_format(style="sci", scilimits=(-2, 2))
    bar.ax.yaxis.get_offset_text().set_fontsize(SMALL_FONT)
    bar.outline.set_visible(False)


def pixel_aspect(shape: tuple[int, ...]) -> Literal["equal", "auto"]:
    """The aspect of a pixel: square, but for a plane of a few long rows the aspect that fills the panel."""
    height, width = shape[:2]
    return "equal" if max(height, width) < 8 * min(height, width) else "auto"


def stage_spans(result: Result) -> list[tuple[str, int, int]]:
    """Name, first and last position in the history of each stage that was not skipped."""
    stages = result.details.get("stages") or [{"name": "", "iterations": len(result.history)}]
    ends = list(accumulate(stage["iterations"] for stage in stages))
    spans = zip(stages, [0, *ends], ends, strict=False)
    return [(stage["name"], first, last) for stage, first, last in spans if last > first]


def draw_loss_panel(axes: Axes, result: Result) -> None:
    """Draw the loss of every iteration, on a logarithmic scale if all losses are positive."""
    losses = np.asarray(result.history, dtype=np.float64)
    stopped = "" if result.stopped == "finished" else f", {result.stopped}"
    axes.set_title("Loss", **TITLE)
    axes.set_title(f"{result.iterations} iterations, {result.seconds:.0f} s{stopped}", **SUBTITLE)
    axes.set_xlabel("iteration", fontsize=SMALL_FONT + 1)
    axes.tick_params(labelsize=SMALL_FONT, which="both")
    axes.spines[["top", "right"]].set_visible(False)
    if not losses.size:
        axes.text(0.5, 0.5, "no iterations", ha="center", va="center", transform=axes.transAxes, color="0.4")
        axes.set(xticks=[], yticks=[])
        return
    for color, (name, first, last) in zip(STAGE_COLORS, stage_spans(result), strict=False):
        own = losses[first:last]
        marker = "." if own.size == 1 else ""
        axes.plot(np.arange(first, first + own.size) + 1, own, linewidth=0.9, color=color, marker=marker, label=name)
    if len(axes.lines) > 1:  # each stage has its own objective
        axes.legend(fontsize=SMALL_FONT, frameon=False)
    axes.grid(which="major", linewidth=0.4, color="0.85")
    if bool((losses > 0).all()):
        axes.set_yscale("log")


@dataclass(frozen=True)
class ComparedImage:
    """An image beside the truth.

    Attributes:
        title: of its panel.
        batch: (B, H, W, C).
        reference: the truth, (1, H, W, C).
    """

    title: str
    batch: npt.NDArray[Any]
    reference: npt.NDArray[Any]

    @cached_property
    def aligned(self) -> Aligned:
        """The two crops of luma that are compared; raises `InputError`."""
        estimate, truth = luma_of(self.batch[0], self.title), luma_of(self.reference[0], "the truth")
        border, shift = protocol_margins(truth.shape)
        return align(estimate, truth, border=border, max_shift=shift)

    @property
    def scores(self) -> str:
        """PSNR, and SSIM if its window fits."""
        estimate, truth = self.aligned.estimate, self.aligned.truth
        similarity = f", SSIM {ssim(estimate, truth):.3f}" if min(truth.shape[1:]) >= SSIM_WINDOW else ""
        return f"{psnr(estimate, truth):.2f} dB{similarity}"

    @property
    def errors(self) -> npt.NDArray[Any]:
        """The absolute error of the luma, (h, w)."""
        return np.asarray(np.abs(self.aligned.estimate - self.aligned.truth)[0])


def comparison(result: Result, truth: str | Path | Array, kernel: str | Path | Array | None = None) -> Figure:
    """The figure of `Result.compare`; of a batch the first image.

    Args:
        result: of a solve.
        truth: the sharp image or its file.
        kernel: the true kernel, (h, w), or its file; or None.
    """
    if result.is_stack:
        raise InputError("a stack has no figure of a comparison; its PSNR is computed with truth=... or --truth")
    sharp: Array = read_image(truth, in_units=True).pixels if isinstance(truth, str | Path) else np.asarray(truth)
    sharp = np.abs(sharp) if np.iscomplexobj(sharp) else sharp
    is_number = result.white != 1 and "float" in str(sharp.dtype)  # of an image in units of its own
    peak = (float(sharp.max()) if is_number else 0.0) or 1.0
    sharp = sharp if peak == 1 else sharp / peak
    check_image(sharp, "the truth")
    reference = channels_last(to_bchw(sharp)[0])[:1]
    shown = [ComparedImage(title, channels_last(image, peak), reference) for title, image in before_and_after(result)]
    columns = len(shown) + 1
    figure = new_figure(2 * row_height([reference.shape[1:3]] * columns) + 0.7)
    grid = figure.add_gridspec(2, columns)
    for column, one in enumerate(shown):
        draw_image_panel(figure.add_subplot(grid[0, column]), one.batch, one.title, one.scores)
    draw_image_panel(figure.add_subplot(grid[0, -1]), reference, "Truth")
    draw_error_panels([figure.add_subplot(grid[1, column]) for column in range(len(shown))], shown)
    planes = {"Kernel" if result.has_kernel else "Operator parameter": kernel_stack(result.kernel)}
    if kernel is not None:
        known = (
            read_kernel(kernel)
            if isinstance(kernel, str | Path)
            else as_kernel(kernel_stack(kernel), "the true kernel")
        )
        planes["True kernel"] = known[None]
    cells = grid[1, -1].subgridspec(1, len(planes))
    for column, (title, values) in enumerate(planes.items()):
        axes, aspect = figure.add_subplot(cells[column]), pixel_aspect(values.shape[1:])
        axes.imshow(planes_picture(values), cmap="gray", vmin=0, vmax=255, interpolation="nearest", aspect=aspect)
        axes.set(xticks=[], yticks=[])
        axes.set_title(title, **TITLE)
        axes.set_xlabel(size_text(values.shape[2], values.shape[1]), fontsize=SMALL_FONT, color="0.4")
    return figure


def protocol_margins(shape: tuple[int, ...]) -> tuple[int, int]:
    """Border and largest shift of Levin's protocol in pixels; smaller ones for an image that they would use up."""
    border = min(LEVIN_BORDER, min(shape) // 4)
    return border, min(LEVIN_SHIFT, border)


def luma_of(picture: npt.NDArray[Any], name: str) -> npt.NDArray[Any]:
    """The full-range luma (H, W) of an image (H, W, C) with or without opacity; raises `InputError`."""
    channels = picture.shape[-1]
    if channels > 4:
        raise InputError(f"{name} has {channels} channels; only images of up to 4 channels can be compared")
    if channels <= 2:
        return picture[..., 0]
    return np.asarray(to_luma_chroma(picture[..., :3])[0][..., 0])


def draw_error_panels(panels: Sequence[Axes], shown: Sequence[ComparedImage]) -> None:
    """Draw the errors of each image on one scale, that of the first image."""
    most = float(np.quantile(shown[0].errors, SCALE_QUANTILE)) or 1.0
    for axes, one in zip(panels, shown, strict=True):
        drawn = axes.imshow(one.errors, cmap="magma", vmin=0, vmax=most, interpolation="antialiased")
        axes.set_axis_off()
        axes.set_title(f"Error, {one.title.lower()}", **TITLE)
    bar = panels[-1].figure.colorbar(
        drawn, ax=list(panels), location="bottom", shrink=0.5, aspect=40, pad=0.03, extend="max"
    )
    bar.ax.tick_params(labelsize=SMALL_FONT)
    bar.outline.set_visible(False)
