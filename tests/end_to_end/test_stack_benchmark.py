"""A slice of the benchmark of stacks: on the bars of a microscope, ours is better than scikit-image's; the weights."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

import invkit
from invkit.recipes.model import load_recipe

ROOT = Path(invkit.__file__).parent.parent


def loaded(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"{name}_benchmark", ROOT / "benchmarks" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def script() -> ModuleType:
    return loaded("stacks")


def test_richardson_lucy_in_the_dark_agrees_with_scikit_image(script: ModuleType) -> None:
    data, kernel, truth = script.dark()
    settings = (*script.AS_THEIRS, "solver.iterations=10")
    ours, theirs = script.ours(data, kernel, *settings), script.theirs(data, kernel, 10)
    assert script.psnr(ours, truth) == pytest.approx(script.psnr(theirs, truth), abs=0.05)  # dB


def test_the_recipe_is_a_decibel_better_than_scikit_image_on_the_bars(script: ModuleType, data_root: Path) -> None:
    data, kernel, truth = script.bars(data_root / "microscopy")
    best = script.psnr(script.theirs(data, kernel, 25), truth)
    assert script.psnr(script.ours(data, kernel, "operator.padding=circular"), truth) > best + 1


def test_the_other_recipes_are_better_than_every_wiener_filter_of_scikit_image(
    script: ModuleType, data_root: Path
) -> None:
    data, kernel, truth = script.bars(data_root / "microscopy")
    best = max(script.psnr(script.their_wiener(data, kernel, balance), truth) for balance in script.BALANCES)
    assert script.psnr(script.ours(data, kernel, recipe="stack-wiener"), truth) > best
    assert script.psnr(script.ours(data, kernel, recipe="stack-tv-admm"), truth) > best + 1.5


@pytest.mark.parametrize("recipe", ["stack-wiener", "stack-tv-admm"])
def test_the_weight_of_a_recipe_is_better_than_half_and_twice_of_it(recipe: str) -> None:
    script = loaded("stack_weights")
    (term,) = load_recipe(recipe).regularizers
    assert term.weight in script.WEIGHTS[recipe]
    stacks = script.cases()
    half, own, twice = (
        sum(
            script.psnr(script.restored(data, kernel, recipe, factor * term.weight), truth)
            for data, kernel, truth in stacks
        )
        for factor in (0.5, 1, 2)
    )
    assert own > max(half, twice)
