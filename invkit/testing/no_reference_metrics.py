"""Checks of scores."""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from ..core.evaluation import NoReferenceMetric
from .common import Settings, assert_documented, assert_random_state_untouched, assert_unchanged, build, drawn
from .operators import demand

__all__ = ["check_no_reference_metric"]

NUMBERS = (1, 2, 5)
SIZES = ((40, 33), (6, 7))
"""Of the images: usual, and smaller than a border may be."""


def check_no_reference_metric(component: type[NoReferenceMetric], params: Settings | None = None) -> None:
    """Every property of a score: documented, pure, finite, one number for each, in whatever order they are given."""
    assert_documented(component)
    score = build(component, {}, params)
    for number in NUMBERS:
        for channels, size in zip((1, 3), SIZES, strict=True):
            assert_numbers(score, *restorations(number, channels, size))
    assert_pure(score)
    assert_order_free(score)
    assert_finite_when_flat(score)


def restorations(number: int, channels: int, size: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor]:
    """Random data (1, C, H, W), images (N, C, H, W) and kernels (N, 1, 5, 4)."""
    kernels = drawn((number, 1, 5, 4), 3) ** 4
    return (
        drawn((1, channels, *size), 1),
        drawn((number, channels, *size), 2),
        kernels / kernels.sum(dim=(-2, -1), keepdim=True),
    )


def assert_numbers(score: NoReferenceMetric, data: Tensor, images: Tensor, kernels: Tensor) -> None:
    """One finite number for each restoration."""
    name, given = type(score).__name__, score(data, images, kernels)
    demand(tuple(given.shape) == (len(images),), f"{name} gives {tuple(given.shape)} for {len(images)} restorations")
    demand(bool(given.isfinite().all()), f"{name} gives NaN or infinite values")


def assert_pure(score: NoReferenceMetric) -> None:
    """Two calls and one of a deep copy give the same, change neither arguments nor score, and draw no numbers."""
    name, given = type(score).__name__, restorations(3, 1, SIZES[0])
    kept = [value.clone() for value in given]
    with assert_unchanged(score), assert_random_state_untouched(f"calling {name}"):
        first, again = score(*given).clone(), score(*given)
    demand(all(map(torch.equal, given, kept)), f"{name} changes its arguments")
    same = torch.equal(first, again) and torch.equal(first, copy.deepcopy(score)(*given))
    demand(same, f"two calls of {name}, or one of its deep copy, give different values")


def assert_order_free(score: NoReferenceMetric) -> None:
    """Restorations in another order have the same scores."""
    data, images, kernels = restorations(5, 1, SIZES[0])
    order = torch.tensor([3, 0, 4, 1, 2])
    moved, expected = score(data, images[order], kernels[order]), score(data, images, kernels)[order]
    demand(torch.allclose(moved, expected, atol=1e-5), f"{type(score).__name__} depends on the order of restorations")


def assert_finite_when_flat(score: NoReferenceMetric) -> None:
    """Images without edges, and kernels of one pixel, have finite scores."""
    data, images, kernels = restorations(3, 1, SIZES[0])
    points = torch.zeros_like(kernels)
    points[..., 2, 2] = 1
    assert_numbers(score, torch.full_like(data, 0.5), torch.full_like(images, 0.5), points)
