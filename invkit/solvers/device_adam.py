"""Adam, all of whose numbers lie where its parameters do, so that its step can be recorded as a graph."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

__all__ = ["device_adam", "set_rates"]


def device_adam(groups: Sequence[tuple[Sequence[nn.Parameter], float]], device: torch.device) -> torch.optim.Adam:
    """Adam with fused arithmetic; learning rates and the count of steps are tensors on the device.

    Fused, it takes parameters, gradients and moments as they lie in memory, one after the other. That they lie alike
    is torch's promise for a gradient that ``backward`` leaves and a parameter without gaps (its layout contract); a
    gradient that was put there by hand must keep it. Parameters with gaps, and complex ones, are not fused.

    Args:
        groups: parameters and their learning rate.
        device: where they lie.
    """
    fused = all(each.is_floating_point() and is_dense(each) for parameters, _ in groups for each in parameters)
    return torch.optim.Adam(
        [{"params": [*each], "lr": torch.tensor(rate, device=device), "rate": rate} for each, rate in groups],
        fused=fused,
        capturable=device.type == "cuda",
    )


def is_dense(tensor: Tensor) -> bool:
    """Whether it is all of the memory from its first number to its last, in whatever order."""
    reach = sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.stride(), strict=True))
    return reach == tensor.numel() - 1


def set_rates(optimizer: torch.optim.Adam, rates: Sequence[float]) -> None:
    """The learning rate of each group from now on; nothing happens on the device where they are what they were."""
    for group, rate in zip(optimizer.param_groups, rates, strict=True):
        if group["rate"] != rate:
            group["rate"] = rate
            group["lr"].fill_(rate)
