"""The page of measured figures shows what is committed, and does not pass over what should be."""

from __future__ import annotations

import importlib
import json
import shutil
from pathlib import Path

import pytest

import invkit

ROOT = Path(invkit.__file__).parent.parent
ROW = {
    "images": 32,
    "psnr_min": 20.25,
    "ssim": 0.875,
    "error_ratio": 1.5,
    "share_ratio_2": 0.625,
    "cpu_seconds": 1.25,
}
REPORT = {
    "command": "python benchmarks/classical_levin.py",
    "torch": "2.4",
    "processor": "AVX2",
    "sizes": "plus4",
    "summary": [{"recipe": "wiener", "psnr": 31.5, **ROW}, {"recipe": "cho-lee", "psnr": 30.75, **ROW}],
}


@pytest.fixture
def page(tmp_path, monkeypatch):
    """The module, over a folder of results that holds a copy of those that are committed without fail."""
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    module = importlib.import_module("measured_page")
    for name in ("levin_small.json", "speed.json", "noise.json"):
        shutil.copy(ROOT / "benchmarks" / "results" / name, tmp_path)
    monkeypatch.setattr(module, "RESULTS", tmp_path)
    return module


def test_classical_results_are_shown_once_there_are_any(page, tmp_path):
    assert "Classical" not in page.measured_page()
    (tmp_path / "classical_levin.json").write_text(json.dumps(REPORT))
    (tmp_path / "classical_levin_true.json").write_text(json.dumps(REPORT | {"sizes": "true"}))
    shown = page.measured_page()
    assert "| [`wiener`](recipes.md#wiener) | 31.50 | 20.25 | 0.8750 | 1.50 | 62% | 1.25 |" in shown
    assert "| [`cho-lee`](recipes.md#cho-lee) | 30.75 | 30.57 | 20.25 |" in shown  # with what was published
    assert shown.index("with generous kernel sizes") < shown.index("with the true kernel sizes")


def test_a_committed_result_that_is_missing_is_an_error_that_says_what_writes_it(page, tmp_path):
    (tmp_path / "speed.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"speed\.json is missing; .* python benchmarks/speed\.py"):
        page.measured_page()
