"""Projection onto the probability simplex, the set of vectors that are non-negative and sum to one."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["nearest_on_simplex"]


def nearest_on_simplex(points: Tensor) -> Tensor:
    """The nearest point of the simplex to each row, (B, n) -> (B, n), by sorting (Held, Wolfe, Crowder 1974).

    Example:
        >>> nearest_on_simplex(torch.tensor([[0.9, 0.3, -1.0]]))
        tensor([[0.8000, 0.2000, 0.0000]])
    """
    # Entries below the largest one minus 1 become zero. Clamping them first keeps the sums exact.
    shifted = (points - points.amax(1, keepdim=True)).clamp(min=-1)
    ordered = shifted.sort(1, descending=True).values
    excess = ordered.cumsum(1) - 1
    count = torch.arange(1, points.shape[1] + 1, device=points.device, dtype=points.dtype)
    support = (ordered * count > excess).sum(1, keepdim=True)
    projected = (shifted - excess.gather(1, support - 1) / support).clamp(min=0)
    return projected / projected.sum(1, keepdim=True)
