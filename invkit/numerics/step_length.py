"""The length of a gradient step by the change that it makes, not by the gradient's length."""

from __future__ import annotations

from torch import Tensor

from .conjugate_gradients import ratio_or_zero

__all__ = ["changed_by_at_most"]


def changed_by_at_most(share: float, values: Tensor, gradient: Tensor) -> Tensor:
    """Move values against a gradient, as far as the largest change is a share of the largest value.

    ``values - share * max(values) / max |gradient| * gradient``, for each item of a batch alone, as Perrone and Favaro
    move image and kernel. Values without a gradient, or without a positive value, stay.

    Args:
        share: > 0.
        values: (B, C, H, W).
        gradient: of the same shape.

    Example:
        >>> import torch
        >>> changed_by_at_most(0.1, torch.tensor([[[[2.0, 1.0]]]]), torch.tensor([[[[-5.0, 10.0]]]]))
        tensor([[[[2.1000, 0.8000]]]])
    """
    largest = values.amax((1, 2, 3), keepdim=True).clamp(min=0)
    direction = ratio_or_zero(gradient, gradient.abs().amax((1, 2, 3), keepdim=True))  # within [-1, 1]
    return values - share * largest * direction
