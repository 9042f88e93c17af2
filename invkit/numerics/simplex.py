"""The nearest point of the simplex: what is non-negative and sums to one."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["nearest_on_simplex"]


def nearest_on_simplex(points: Tensor) -> Tensor:
    """The nearest point of the simplex to each row, (B, n) -> (B, n), by sorting (Held, Wolfe, Crowder 1974)."""
    # Nothing lower than the largest entry less one can stay positive; clamping keeps the sums exact.
    shifted = (points - points.amax(1, keepdim=True)).clamp(min=-1)
    ordered = shifted.sort(1, descending=True).values
    excess = ordered.cumsum(1) - 1
    count = torch.arange(1, points.shape[1] + 1, device=points.device, dtype=points.dtype)
    support = (ordered * count > excess).sum(1, keepdim=True)
    projected = (shifted - excess.gather(1, support - 1) / support).clamp(min=0)
    return projected / projected.sum(1, keepdim=True)
