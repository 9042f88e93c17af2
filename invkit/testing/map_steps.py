"""Checks of edge selections, kernel estimations and kernel post-processings."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..core.interfaces import KernelPrior
from ..numerics.geometry import Size, shape_of
from ..solvers.map.interfaces import EdgeSelection, KernelEstimation, KernelPostprocessing
from .common import (
    ParameterValues,
    assert_documented,
    assert_images_independent,
    assert_portable,
    assert_pure,
    build,
    demand,
    drawn,
)
from .priors import assert_kernel

__all__ = ["blurred_edges", "check_edge_selection", "check_kernel_estimation", "check_kernel_postprocessing"]

EDGE_DATA_SIZE: Size = (22, 18)
EDGE_KERNEL_SIZES: Sequence[Size] = ((5, 5), (4, 6), (1, 3), (1, 1))
"""Odd, even, flat, and a single pixel."""

REPEATED_ESTIMATIONS = 40  # each from the previous kernel: enough for an estimation that descends only a little
MIN_KERNEL_CORRELATION = 0.95  # of the estimated kernel with the true one
ESTIMATION_TOLERANCE = 1e-4  # rounding of iterations in float32, relative to the largest entry


def check_edge_selection(component: type[EdgeSelection], params: ParameterValues | None = None) -> None:
    """Every property of an edge selection: documented, pure, each image separately, finite, of the right shapes."""
    assert_documented(component)
    selection = build(component, {}, params)
    for kernel_size in EDGE_KERNEL_SIZES:
        for channels in (1, 3):
            image, data = random_image_and_data(channels, kernel_size)
            assert_edges(selection, image, data, kernel_size)
            assert_images_independent(selection, image, data, kernel_size, 1, tolerance=2e-6)
    kernel_size = EDGE_KERNEL_SIZES[0]
    image, data = random_image_and_data(2, kernel_size)
    assert_edges(selection, image.double(), data.double(), kernel_size)
    assert_pure(selection, image, data, kernel_size, 2, between=(image, data, kernel_size, 0))
    for value in (0.0, 0.5):  # an image without edges
        assert_edges(selection, torch.full_like(image, value), torch.full_like(data, value), kernel_size)


def random_image_and_data(channels: int, kernel_size: Size) -> tuple[Tensor, Tensor]:
    """Draw two images, and data for a valid convolution."""
    (height, width), (h, w) = EDGE_DATA_SIZE, kernel_size
    return drawn((2, channels, height + h - 1, width + w - 1), 1), drawn((2, channels, height, width), 2)


def assert_edges(selection: EdgeSelection, image: Tensor, data: Tensor, kernel_size: Size) -> None:
    """At any iteration, sharp has the image's size and blurred the data's; both are finite and have the same S.

    Args:
        selection: the edge selection.
        image: (B, C, H + h - 1, W + w - 1).
        data: (B, C, H, W).
        kernel_size: (h, w).
    """
    name = type(selection).__name__
    for iteration in (0, 1, 50):
        sharp, blurred = selection(image, data, kernel_size, iteration)
        same_size = sharp.shape[-2:] == image.shape[-2:]
        demand(same_size, f"{name} gives sharp of {tuple(sharp.shape)}, not the image's size")
        demand(blurred.shape[-2:] == data.shape[-2:], f"{name} gives blurred of {tuple(blurred.shape)}, not the data's")
        demand(sharp.shape[:2] == blurred.shape[:2], f"{name} gives sharp and blurred of different batch or S")
        for value in (sharp, blurred):
            demand(value.dtype == data.dtype, f"{name} gives {value.dtype} for {data.dtype}")
            demand(bool(value.isfinite().all()), f"{name} gives NaN or infinite values at iteration {iteration}")


def check_kernel_estimation(component: type[KernelEstimation], params: ParameterValues | None = None) -> None:
    """Every property of a kernel estimation: documented, pure, a valid kernel, and close to the true one."""
    assert_documented(component)
    estimation = build(component, {}, params)
    for shape in KernelPrior.examples:
        sharp, blurred, _ = blurred_edges((shape[0], 2, 30, 27), shape[-2:], torch.float32)
        start = normalised_kernel(drawn(tuple(shape), seed=3))
        assert_kernel_from(estimation, sharp, blurred, start)
    assert_recovers_kernel(estimation)
    start = torch.full((1, 1, 3, 4), 1 / 12)  # without edges it still returns a kernel
    assert_kernel(estimation(torch.zeros(1, 2, 12, 13), torch.zeros(1, 2, 10, 10), start), (1, 1, 3, 4))


def check_kernel_postprocessing(component: type[KernelPostprocessing], params: ParameterValues | None = None) -> None:
    """Every property of a kernel post-processing: documented, pure, and its result is a kernel of the same shape."""
    assert_documented(component)
    postprocessing = build(component, {}, params)
    for shape in KernelPrior.examples:
        ragged, delta = normalised_kernel(drawn(tuple(shape), seed=3) ** 4), torch.zeros(shape)
        delta[..., -1, 0] = 1
        for kernel in (ragged, delta, torch.full(shape, 1 / (shape[-2] * shape[-1]))):
            assert_kernel_from(postprocessing, kernel)


def assert_kernel_from(part: nn.Module, *arguments: Tensor) -> None:
    """The result is a kernel of the last argument's shape, pure, each image separately, in the given precision."""
    arguments = tuple(value.float() for value in arguments)
    assert_portable(part, *arguments)
    assert_pure(part, *arguments)
    assert_images_independent(part, *arguments, tolerance=ESTIMATION_TOLERANCE)
    kernel, exact = part(*arguments), part(*(value.double() for value in arguments))
    demand(kernel.dtype == torch.float32, f"{type(part).__name__} gives {kernel.dtype} for float32")
    demand(exact.dtype == torch.float64, f"{type(part).__name__} gives {exact.dtype} for float64")
    assert_kernel(kernel, shape_of(arguments[-1]))


def assert_recovers_kernel(estimation: KernelEstimation) -> None:
    """Repeated estimations from a few edges find the 7x5 kernels that blurred them."""
    sharp, blurred, truth = blurred_edges((2, 2, 40, 37), (7, 5), torch.float32)
    kernel = torch.full_like(truth, 1 / 35)
    for _ in range(REPEATED_ESTIMATIONS):
        kernel = estimation(sharp, blurred, kernel)
    lowest = float(F.cosine_similarity(kernel.flatten(1), truth.flatten(1)).min())
    demand(
        lowest >= MIN_KERNEL_CORRELATION,
        f"{type(estimation).__name__} finds a kernel with a correlation of {lowest:.3f} with the true one, "
        f"less than {MIN_KERNEL_CORRELATION}",
    )


def blurred_edges(
    shape: tuple[int, int, int, int], kernel_size: tuple[int, int], dtype: torch.dtype = torch.float64
) -> tuple[Tensor, Tensor, Tensor]:
    """Return sparse edges, their valid convolution by direct sums, and the kernels.

    Args:
        shape: (B, S, H, W) of the blurred edges.
        kernel_size: (h, w).
        dtype: of all three.

    Returns:
        sharp (B, S, H + h - 1, W + w - 1), blurred (B, S, H, W) and kernels (B, 1, h, w), one stroke each.

    Example:
        >>> sharp, blurred, kernel = blurred_edges((1, 2, 8, 9), (3, 2))
        >>> tuple(sharp.shape), tuple(blurred.shape), tuple(kernel.shape)
        ((1, 2, 10, 10), (1, 2, 8, 9), (1, 1, 3, 2))
    """
    (batch, maps, height, width), (h, w) = shape, kernel_size
    size = (batch, maps, height + h - 1, width + w - 1)
    edges = (drawn(size, seed=1, dtype=torch.float64) - 0.5) * (drawn(size, seed=2, dtype=torch.float64) < 0.3)
    kernels = strokes(batch, kernel_size)
    per_map = kernels.repeat_interleave(maps, 0).flip(-2, -1)
    blurred = F.conv2d(edges.view(1, -1, *size[-2:]), per_map, groups=batch * maps).view(shape)
    return edges.to(dtype), blurred.to(dtype), kernels.to(dtype)


def strokes(batch: int, size: tuple[int, int]) -> Tensor:
    """Return a bent stroke of uneven strength through the middle of each kernel, (B, 1, h, w), float64."""
    kernel = torch.zeros(batch, 1, *size, dtype=torch.float64)
    for item in range(batch):
        for row in range(size[0]):
            column = (row * (row + item) // 3 + item) % size[1]
            kernel[item, 0, row, column] = 1 + (row + item) % 3
    return normalised_kernel(kernel)


def normalised_kernel(kernel: Tensor) -> Tensor:
    """Scale the sum of each kernel to one."""
    return kernel / kernel.sum((1, 2, 3), keepdim=True)
