"""Checks of edge predictors."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor

from ..numerics.geometry import Size
from ..solvers.map.interfaces import EdgeSelection
from .common import Settings, assert_documented, assert_random_state_untouched, assert_unchanged, build, drawn
from .operators import demand

__all__ = ["check_edge_selection"]

DATA_SIZE: Size = (22, 18)
KERNEL_SIZES: Sequence[Size] = ((5, 5), (4, 6), (1, 3), (1, 1))
"""Odd, even, flat and none."""


def check_edge_selection(component: type[EdgeSelection], params: Settings | None = None) -> None:
    """Every property of an edge predictor: documented, pure, each image by itself, finite, of the right shapes."""
    assert_documented(component)
    predictor = build(component, {}, params)
    for kernel_size in KERNEL_SIZES:
        for channels in (1, 3):
            image, data = drawn_pair(channels, kernel_size)
            assert_shapes(predictor, image, data, kernel_size)
            assert_each_by_itself(predictor, image, data, kernel_size)
    image, data = drawn_pair(2, KERNEL_SIZES[0])
    assert_shapes(predictor, image.double(), data.double(), KERNEL_SIZES[0])
    assert_pure(predictor, image, data, KERNEL_SIZES[0])
    assert_finite_when_flat(predictor, KERNEL_SIZES[0])


def drawn_pair(channels: int, kernel_size: Size) -> tuple[Tensor, Tensor]:
    """Two random images and data for a valid convolution."""
    (height, width), (h, w) = DATA_SIZE, kernel_size
    return drawn((2, channels, height + h - 1, width + w - 1), 1), drawn((2, channels, height, width), 2)


def assert_shapes(predictor: EdgeSelection, image: Tensor, data: Tensor, kernel_size: Size) -> None:
    """At any iteration: sharp as large as the image, blurred as the data, finite, of the data's type, with one S."""
    name = type(predictor).__name__
    for iteration in (0, 1, 50):
        sharp, blurred = predictor(image, data, kernel_size, iteration)
        demand(
            sharp.shape[-2:] == image.shape[-2:], f"{name} gives sharp of {tuple(sharp.shape)}, not the image's size"
        )
        demand(blurred.shape[-2:] == data.shape[-2:], f"{name} gives blurred of {tuple(blurred.shape)}, not the data's")
        demand(sharp.shape[:2] == blurred.shape[:2], f"{name} gives sharp and blurred of different batch or S")
        for value in (sharp, blurred):
            demand(value.dtype == data.dtype, f"{name} gives {value.dtype} for {data.dtype}")
            demand(bool(value.isfinite().all()), f"{name} gives NaN or infinite values at iteration {iteration}")


def assert_each_by_itself(predictor: EdgeSelection, image: Tensor, data: Tensor, kernel_size: Size) -> None:
    """An image of a batch gives what it gives alone."""
    batch = predictor(image, data, kernel_size, 1)
    alone = [predictor(image[[i]], data[[i]], kernel_size, 1) for i in range(len(data))]
    for whole, parts in zip(batch, zip(*alone, strict=True), strict=True):
        close = torch.allclose(whole, torch.cat(parts), atol=1e-6)  # the last bit may depend on vectorisation
        demand(close, f"{type(predictor).__name__} mixes the images of a batch")


def assert_pure(predictor: EdgeSelection, image: Tensor, data: Tensor, kernel_size: Size) -> None:
    """Two calls and one of a deep copy give the same, change neither arguments nor predictor, and draw no numbers."""
    name, given = type(predictor).__name__, (image.clone(), data.clone())
    with assert_unchanged(predictor), assert_random_state_untouched(f"calling {name}"):
        first = [value.clone() for value in predictor(image, data, kernel_size, 2)]
        predictor(image, data, kernel_size, 0)
        again = predictor(image, data, kernel_size, 2)
    demand(torch.equal(image, given[0]) and torch.equal(data, given[1]), f"{name} changes its arguments")
    others = (again, copy.deepcopy(predictor)(image, data, kernel_size, 2))
    same = all(torch.equal(a, b) for other in others for a, b in zip(first, other, strict=True))
    demand(same, f"two calls of {name}, or one of its deep copy, give different values")


def assert_finite_when_flat(predictor: EdgeSelection, kernel_size: Size) -> None:
    """An image without edges gives finite values, and the same shapes."""
    image, data = drawn_pair(1, kernel_size)
    for value in (0.0, 0.5):
        assert_shapes(predictor, torch.full_like(image, value), torch.full_like(data, value), kernel_size)
