"""Photographs with camera shake, of which nobody knows the truth: their kernels are paths and not points."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import invkit


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "kernel_size", "part"),
    [
        ("fishes", 41, np.s_[100:500, 200:700]),
        ("flower", 25, np.s_[50:450, 50:600]),
        ("house", 51, np.s_[250:850, :]),  # dark, noisy and large: the kernel used to shrink to a point there
    ],
)
def test_the_kernel_of_a_shaken_photograph_is_a_path(
    data_root: Path, name: str, kernel_size: int, part: tuple[slice, slice]
) -> None:
    photo = np.asarray(Image.open(data_root / "real" / f"{name}.jpg").convert("L"))[part]
    kernel = np.asarray(invkit.deblur(photo, recipe="fast", kernel_size=kernel_size, progress=False).kernel)
    row, column = np.unravel_index(kernel.argmax(), kernel.shape)
    peak = kernel[max(0, row - 1) : row + 2, max(0, column - 1) : column + 2].sum()
    rows, columns = np.nonzero(kernel > 0.02 * kernel.max())
    assert peak < 0.8  # .62 at most; all of it where the kernel had shrunk
    assert np.hypot(np.ptp(rows), np.ptp(columns)) > kernel_size / 3
