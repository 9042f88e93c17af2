"""The overview draws every kind of result, at the right aspect, and leaves Matplotlib's global state alone."""

from __future__ import annotations

import dataclasses
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
import torch
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from narrow import array

from invkit.core.result import Array, Result
from invkit.media.figures import SCREEN_PIXELS, drawable, overview, row_height


def result(image: Array | None = None, **changes: Any) -> Result:
    noise = np.random.default_rng(0)
    image = noise.random((24, 36, 3)).astype(np.float32) if image is None else image
    kernel = noise.random((7, 9))
    whole = Result(
        image=image,
        kernel=kernel / kernel.sum(),
        history=tuple(np.geomspace(1, 1e-4, 30)),
        stopped="finished",
        iterations=30,
        seconds=4.2,
        blurry=image,
    )
    return dataclasses.replace(whole, **changes)


def drawn(figure: Figure) -> np.ndarray:
    """The pixels of a figure, (H, W, 4)."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # type: ignore[no-untyped-call]
    return np.asarray(canvas.buffer_rgba())  # type: ignore[no-untyped-call]


def shown_in(axes: Axes) -> np.ndarray:
    """The values of its first picture."""
    return array(axes.get_images()[0].get_array())


def words(figure: Figure) -> list[str]:
    return [axes.get_title(where) for axes in figure.axes for where in ("left", "right")]


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(1).random(shape).astype(np.float32)


IMAGES: dict[str, Array] = {
    "grey": noise(24, 36),
    "grey and alpha": noise(24, 36, 2),
    "rgb": noise(24, 36, 3),
    "rgba": noise(24, 36, 4),
    "8 bit": (255 * noise(24, 36, 3)).astype(np.uint8),
    "tensor grey": torch.from_numpy(noise(24, 36)),
    "tensor rgb": torch.from_numpy(noise(3, 24, 36)),
    "tensor of seven channels": torch.from_numpy(noise(7, 24, 36)),
    "batch": torch.from_numpy(noise(4, 3, 24, 36)),
    "needs gradient": torch.from_numpy(noise(1, 1, 24, 36)).requires_grad_(),
}


@pytest.mark.parametrize("case", IMAGES)
def test_every_kind_of_image_is_drawn(case: str) -> None:
    figure = overview(result(IMAGES[case]))
    assert np.ptp(drawn(figure)) > 0
    assert shown_in(figure.axes[0]).shape[:2] == (24, 36)
    assert ("Restored (first of 4)" in words(figure)) == (case == "batch")
    assert "36 × 24" in words(figure)  # noqa: RUF001


def test_the_first_of_a_batch_is_shown() -> None:
    batch = torch.from_numpy(noise(4, 3, 24, 36))
    shown = shown_in(overview(result(batch)).axes[0])
    np.testing.assert_allclose(shown, np.moveaxis(batch[0].numpy(), 0, -1))


def test_without_a_blurry_picture() -> None:
    figure = overview(result(blurry=None))
    assert "Blurry" not in words(figure)
    assert "Restored" in words(figure)
    drawn(figure)


@pytest.mark.parametrize(
    ("history", "scale"),
    [
        ((), "linear"),
        ((0.5,), "log"),
        ((0.5, 0.1), "log"),
        ((0.5, 0.0, -0.2), "linear"),
        ((0.5, float("nan"), 0.1), "linear"),
    ],
)
def test_the_loss_curve(history: tuple[float, ...], scale: str) -> None:
    figure = overview(result(history=history, iterations=len(history), stopped="interrupted"))
    axes = next(a for a in figure.axes if a.get_title("left") == "Loss")
    assert axes.get_yscale() == scale
    assert axes.get_title("right") == f"{len(history)} iterations, 4 s, interrupted"
    assert [len(np.asarray(line.get_xdata())) for line in axes.lines] == ([len(history)] if history else [])
    drawn(figure)


@pytest.mark.parametrize("kernel", [noise(7, 9), torch.from_numpy(noise(3, 1, 7, 9)), np.ones((1, 1, 1, 1))])
def test_the_kernel_tells_its_size_and_is_drawn_in_squares(kernel: torch.Tensor | np.ndarray) -> None:
    figure = overview(result(kernel=kernel))
    axes = next(a for a in figure.axes if "ernel" in a.get_title("left"))
    height, width = kernel.shape[-2:]
    assert f"{width} × {height} pixels" in axes.get_title("left")  # noqa: RUF001
    several = kernel.ndim == 4 and len(kernel) == 3
    assert axes.get_title("left").startswith("3 kernels" if several else "Kernel")
    assert axes.get_images()[0].get_interpolation() == "nearest"
    drawn(figure)


def test_the_planes_of_another_unknown_are_drawn_about_zero() -> None:
    figure = overview(replace(result(kernel=noise(6, 7, 9) - 0.5), has_kernel=False))
    axes = next(a for a in figure.axes if a.get_title("left").startswith("Operator parameter"))
    low, high = axes.get_images()[0].get_clim()
    assert low == -high
    drawn(figure)


def test_pictures_keep_their_aspect() -> None:
    figure = overview(result(noise(100, 40)))
    drawn(figure)
    box = figure.axes[0].get_window_extent()
    assert box.height / box.width == pytest.approx(100 / 40, rel=0.02)  # whole pixels of the canvas


@pytest.mark.parametrize("shape", [(1, 5000), (5000, 1), (1, 1)])
def test_no_shape_makes_the_figure_absurd(shape: tuple[int, int]) -> None:
    assert 2 <= row_height([shape]) <= 9


def test_a_large_picture_is_averaged() -> None:
    ramp = np.linspace(0, 1, 3 * SCREEN_PIXELS)[None, :, None] * np.ones((4, 1, 3))
    small = drawable(ramp)
    assert small.shape == (1, SCREEN_PIXELS, 3)
    np.testing.assert_allclose(small.mean(), 0.5, atol=1e-6)


def test_matplotlib_is_left_as_it_was() -> None:
    before, loaded = dict(mpl.rcParams), "matplotlib.pyplot" in sys.modules
    drawn(overview(result()))
    assert dict(mpl.rcParams) == before
    assert ("matplotlib.pyplot" in sys.modules) == loaded


def test_a_comparison_takes_truth_and_kernel_as_files(tmp_path: Path) -> None:
    image, kernel = np.random.default_rng(0).uniform(size=(40, 44)), np.full((3, 5), 1 / 15)
    np.save(tmp_path / "sharp.npy", image)
    np.save(tmp_path / "kernel.npy", kernel)
    figure = Result(image, kernel, (1.0,), "finished", 1, 0.1).compare(tmp_path / "sharp.npy", tmp_path / "kernel.npy")
    assert "True kernel" in {axes.get_title("left") for axes in figure.axes}
