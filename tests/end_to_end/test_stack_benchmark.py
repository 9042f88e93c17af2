"""A slice of the benchmark of stacks: on the bars of a microscope, ours is better than scikit-image's."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

import invkit

ROOT = Path(invkit.__file__).parent.parent


@pytest.fixture
def benchmark() -> ModuleType:
    spec = importlib.util.spec_from_file_location("stacks_benchmark", ROOT / "benchmarks" / "stacks.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_richardson_lucy_in_the_dark_agrees_with_scikit_image(benchmark: ModuleType) -> None:
    data, kernel, truth = benchmark.dark()
    settings = (*benchmark.AS_THEIRS, "solver.iterations=10")
    ours, theirs = benchmark.ours(data, kernel, *settings), benchmark.theirs(data, kernel, 10)
    assert benchmark.psnr(ours, truth) == pytest.approx(benchmark.psnr(theirs, truth), abs=0.05)  # dB


def test_the_recipe_is_a_decibel_better_than_scikit_image_on_the_bars(benchmark: ModuleType, data_root: Path) -> None:
    data, kernel, truth = benchmark.bars(data_root / "microscopy")
    best = benchmark.psnr(benchmark.theirs(data, kernel, 25), truth)
    assert benchmark.psnr(benchmark.ours(data, kernel, "operator.padding=circular"), truth) > best + 1
