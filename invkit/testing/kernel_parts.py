"""Checks of kernel steps and kernel clean-ups."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..core.interfaces import KernelPrior
from ..solvers.map.interfaces import KernelEstimation, KernelPostprocessing
from .common import (
    Settings,
    assert_documented,
    assert_portable,
    assert_random_state_untouched,
    assert_unchanged,
    build,
    drawn,
)
from .operators import demand
from .priors import assert_kernel

__all__ = ["blurred_edges", "check_kernel_estimation", "check_kernel_postprocessing"]

CALLS = 40  # each from the kernel of the one before: enough for a step that only descends a little
ALIKE = 0.95  # correlation of a kernel found with the true one
ROUNDING = 1e-4  # of iterations in float32, relative to the largest entry


def check_kernel_estimation(component: type[KernelEstimation], params: Settings | None = None) -> None:
    """Every property of a kernel step: documented, pure, a kernel of the right shape, and close to the true one."""
    assert_documented(component)
    step = build(component, {}, params)
    for shape in KernelPrior.examples:
        sharp, blurred, _ = blurred_edges((shape[0], 2, 30, 27), shape[-2:], torch.float32)
        start = normalised(drawn(tuple(shape), seed=3))
        assert_pure(step, sharp, blurred, start)
        assert_kernel(step(sharp, blurred, start), shape)
    assert_recovers(step)
    assert_bears_no_edges(step)


def check_kernel_postprocessing(component: type[KernelPostprocessing], params: Settings | None = None) -> None:
    """Every property of a kernel clean-up: documented, pure, and what it leaves is a kernel of the same shape."""
    assert_documented(component)
    cleanup = build(component, {}, params)
    for shape in KernelPrior.examples:
        ragged, delta = normalised(drawn(tuple(shape), seed=3) ** 4), torch.zeros(shape)
        delta[..., -1, 0] = 1
        for kernel in (ragged, delta, torch.full(shape, 1 / (shape[-2] * shape[-1]))):
            assert_pure(cleanup, kernel)
            assert_kernel(cleanup(kernel), shape)


def blurred_edges(
    shape: tuple[int, int, int, int], kernel_size: tuple[int, int], dtype: torch.dtype = torch.float64
) -> tuple[Tensor, Tensor, Tensor]:
    """Sparse edges, their valid convolution by direct sums, and the kernels that were used.

    Args:
        shape: (B, S, H, W) of the blurred ones.
        kernel_size: (h, w).
        dtype: of all three.

    Returns:
        sharp (B, S, H + h - 1, W + w - 1), blurred (B, S, H, W) and kernels (B, 1, h, w), a stroke each.
    """
    (batch, maps, height, width), (h, w) = shape, kernel_size
    size = (batch, maps, height + h - 1, width + w - 1)
    edges = (drawn(size, seed=1, dtype=torch.float64) - 0.5) * (drawn(size, seed=2, dtype=torch.float64) < 0.3)
    kernels = strokes(batch, kernel_size)
    per_map = kernels.repeat_interleave(maps, 0).flip(-2, -1)
    blurred = F.conv2d(edges.view(1, -1, *size[-2:]), per_map, groups=batch * maps).view(shape)
    return edges.to(dtype), blurred.to(dtype), kernels.to(dtype)


def strokes(batch: int, size: tuple[int, int]) -> Tensor:
    """A bent stroke of uneven strength through the middle of each kernel, (B, 1, h, w), float64."""
    kernel = torch.zeros(batch, 1, *size, dtype=torch.float64)
    for item in range(batch):
        for row in range(size[0]):
            column = (row * (row + item) // 3 + item) % size[1]
            kernel[item, 0, row, column] = 1 + (row + item) % 3
    return normalised(kernel)


def normalised(kernel: Tensor) -> Tensor:
    """Scaled to sum one."""
    return kernel / kernel.sum((1, 2, 3), keepdim=True)


@contextmanager
def assert_inputs_untouched(name: str, *arguments: Tensor) -> Iterator[None]:
    """What happens inside changes none of the tensors."""
    before = [value.clone() for value in arguments]
    yield
    same = all(torch.equal(old, new) for old, new in zip(before, arguments, strict=True))
    demand(same, f"{name} changes what it was given")


def assert_pure(part: nn.Module, *arguments: Tensor) -> None:
    """The same at every call, of every image by itself, in the given precision; nothing is changed by it."""
    name = type(part).__name__
    arguments = tuple(value.float() for value in arguments)
    assert_portable(part, *arguments)
    with (
        assert_unchanged(part),
        assert_random_state_untouched(f"calling {name}"),
        assert_inputs_untouched(name, *arguments),
    ):
        kernel, again = part(*arguments), part(*arguments)
    demand(torch.equal(kernel, again), f"two calls of {name} give different kernels")
    alone = torch.cat([part(*(value[i : i + 1] for value in arguments)) for i in range(len(kernel))])
    demand(close(kernel, alone), f"{name} mixes the images of a batch")
    exact = part(*(value.double() for value in arguments))
    demand(kernel.dtype == torch.float32, f"{name} gives {kernel.dtype} for float32")
    demand(exact.dtype == torch.float64, f"{name} gives {exact.dtype} for float64")


def close(first: Tensor, second: Tensor) -> bool:
    """Equal but for the rounding of iterations."""
    return bool((first - second).abs().max() <= ROUNDING * first.abs().max())


def assert_recovers(step: KernelEstimation) -> None:
    """Called again and again with a few edges, it finds the 7x5 kernels that blurred them."""
    sharp, blurred, truth = blurred_edges((2, 2, 40, 37), (7, 5), torch.float32)
    kernel = torch.full_like(truth, 1 / 35)
    for _ in range(CALLS):
        kernel = step(sharp, blurred, kernel)
    alike = F.cosine_similarity(kernel.flatten(1), truth.flatten(1))
    name = type(step).__name__
    demand(
        bool((alike >= ALIKE).all()), f"{name} ends {float(alike.min()):.3f} alike the true kernel, less than {ALIKE}"
    )


def assert_bears_no_edges(step: KernelEstimation) -> None:
    """Where nothing is sharp it still gives a kernel."""
    start = torch.full((1, 1, 3, 4), 1 / 12)
    assert_kernel(step(torch.zeros(1, 2, 12, 13), torch.zeros(1, 2, 10, 10), start), (1, 1, 3, 4))
