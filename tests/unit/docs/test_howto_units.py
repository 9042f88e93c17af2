"""The code of the how-to on units runs, and does what the page says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import invkit

ROOT = Path(invkit.__file__).parent.parent
BLOCKS = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "howto" / "units.md").read_text(encoding="utf-8"), re.S)


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draw = np.random.default_rng(0)
    kernel = np.outer(np.hanning(9), np.hanning(9))
    np.save(tmp_path / "psf.npy", kernel / kernel.sum())
    np.save(tmp_path / "counts.npy", draw.poisson(4000, (40, 40)))
    np.save(tmp_path / "galaxies.npy", 0.01 * draw.standard_normal((5, 41, 41)))
    np.save(tmp_path / "psfs.npy", np.stack([kernel / kernel.sum()] * 5))
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("data")
def test_the_examples_run() -> None:
    names: dict[str, Any] = {"np": np, "invkit": invkit}
    shapes = []
    for block in BLOCKS:
        exec(block, names)
        shapes.append(names["result"].image.shape)
    assert shapes == [(40, 40), (5, 1, 41, 41)]
