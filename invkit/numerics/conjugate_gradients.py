"""Conjugate gradients for a batch of independent symmetric linear systems, and what other descents share with them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor

__all__ = [
    "InnerProduct",
    "LinearMap",
    "changed_by_at_most",
    "conjugate_gradients",
    "dot_per_channel",
    "dot_per_image",
    "ratio_or_zero",
]

LinearMap: TypeAlias = Callable[[Tensor], Tensor]
"""A linear map of tensors (B, C, H, W) to tensors of the same shape."""

InnerProduct: TypeAlias = Callable[[Tensor, Tensor], Tensor]
"""Inner products of two tensors (B, C, H, W), one for each independent system; the shape broadcasts to theirs."""

RESIDUAL_CHECK_INTERVAL = 5  # iterations; on an accelerator each check waits for the device


@torch.no_grad()
def conjugate_gradients(
    matrix: LinearMap,
    right: Tensor,
    start: Tensor,
    *,
    iterations: int,
    tolerance: float = 0.0,
    precondition: LinearMap | None = None,
    inner_product: InnerProduct | None = None,
    fused: bool = True,
) -> Tensor:
    """Solve ``matrix(x) = right`` by preconditioned conjugate gradients (Hestenes & Stiefel 1952).

    The inner product defines which values form one system. Each system has its own step lengths and stops on its own.

    Args:
        matrix: a product with a symmetric positive semi-definite matrix.
        right: the right-hand side, (B, C, H, W).
        start: the first solution, (B, C, H, W). It is not changed.
        iterations: the maximum number of iterations. Each one takes one product with the matrix.
        tolerance: a system stops when the norm of its residual is at most this fraction of the norm of ``right``.
            With 0 the residuals are never checked.
        precondition: a product with a symmetric positive definite matrix near the inverse. None: the identity.
        inner_product: `dot_per_image` (the default) or `dot_per_channel`.
        fused: whether updates round once (fused multiply-add) or after the product and after the sum.

    Returns:
        The solution, (B, C, H, W), without gradients.

    Example:
        >>> diagonal = torch.tensor([[[[1.0, 2.0, 4.0]]]])
        >>> right = torch.ones(1, 1, 1, 3)
        >>> conjugate_gradients(lambda x: diagonal * x, right, torch.zeros(1, 1, 1, 3), iterations=3).flatten()
        tensor([1.0000, 0.5000, 0.2500])
    """
    dot = inner_product or dot_per_image
    check_every = 1 if right.device.type == "cpu" else RESIDUAL_CHECK_INTERVAL
    solution, residual = start, right - matrix(start)
    limit = tolerance**2 * dot(right, right)
    direction, energy = torch.zeros_like(residual), torch.zeros_like(limit)
    for iteration in range(iterations):
        squared = dot(residual, residual)
        active = squared > limit
        if tolerance > 0 and iteration % check_every == 0 and not bool(active.any()):
            break
        conditioned = residual if precondition is None else precondition(residual)
        previous, energy = energy, squared if precondition is None else dot(residual, conditioned)
        direction = add_scaled(conditioned, direction, ratio_or_zero(energy, previous), fused)
        product = matrix(direction)
        step = ratio_or_zero(energy, dot(direction, product)) * active
        solution = add_scaled(solution, direction, step, fused)
        residual = add_scaled(residual, product, -step, fused)
    return solution


def add_scaled(total: Tensor, direction: Tensor, step: Tensor, fused: bool) -> Tensor:
    """``total + step * direction``.

    Args:
        total: (B, C, H, W).
        direction: (B, C, H, W).
        step: one number per system; the shape of the inner products.
        fused: whether the result is rounded once, or after the product and after the sum.
    """
    return torch.addcmul(total, direction, step) if fused else total + step * direction


def dot_per_image(first: Tensor, second: Tensor) -> Tensor:
    """The inner product over the channels and pixels of each image: two (B, C, H, W) -> (B, 1, 1, 1)."""
    return (first * second).sum((1, 2, 3), keepdim=True)


def dot_per_channel(first: Tensor, second: Tensor) -> Tensor:
    """The inner product over the pixels of each channel: two (B, C, H, W) -> (B, C, 1, 1)."""
    return torch.einsum("bchw,bchw->bc", first, second)[..., None, None]


def ratio_or_zero(numerator: Tensor, denominator: Tensor) -> Tensor:
    """The quotient of two tensors, the second >= 0; zero where the denominator is not positive."""
    return torch.where(denominator > 0, numerator / denominator, 0.0)


def changed_by_at_most(share: float, values: Tensor, gradient: Tensor) -> Tensor:
    """Move values against a gradient, as far as the largest change is a share of the largest value.

    ``values - share * max(values) / max |gradient| * gradient``, for each item of a batch alone, as Perrone and Favaro
    move image and kernel. Values without a gradient, or without a positive value, stay.

    Args:
        share: > 0.
        values: (B, C, H, W).
        gradient: of the same shape.

    Example:
        >>> changed_by_at_most(0.1, torch.tensor([[[[2.0, 1.0]]]]), torch.tensor([[[[-5.0, 10.0]]]]))
        tensor([[[[2.1000, 0.8000]]]])
    """
    largest = values.amax((1, 2, 3), keepdim=True).clamp(min=0)
    direction = ratio_or_zero(gradient, gradient.abs().amax((1, 2, 3), keepdim=True))  # within [-1, 1]
    return values - share * largest * direction
