"""A slice of the benchmark of stacks: on the bars of a microscope, ours is better than scikit-image's."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

import invkit

ROOT = Path(invkit.__file__).parent.parent


@pytest.fixture
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("stacks_benchmark", ROOT / "benchmarks" / "stacks.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_richardson_lucy_in_the_dark_agrees_with_scikit_image(script: ModuleType) -> None:
    data, kernel, truth = script.dark()
    settings = (*script.AS_THEIRS, "solver.iterations=10")
    ours, theirs = script.ours(data, kernel, *settings), script.theirs(data, kernel, 10)
    assert script.psnr(ours, truth) == pytest.approx(script.psnr(theirs, truth), abs=0.05)  # dB


def test_the_recipe_is_a_decibel_better_than_scikit_image_on_the_bars(script: ModuleType, data_root: Path) -> None:
    data, kernel, truth = script.bars(data_root / "microscopy")
    best = script.psnr(script.theirs(data, kernel, 25), truth)
    assert script.psnr(script.ours(data, kernel, "operator.padding=circular"), truth) > best + 1
