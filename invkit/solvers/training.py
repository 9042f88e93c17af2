"""Helpers of the solvers that train priors with Adam."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..core.interfaces import OperatorParameterPrior
from ..numerics.conjugate_gradients import LinearMap

__all__ = ["cloned", "descend", "device_adam", "load_optimizer_state", "set_rates", "trainable"]


def trainable(prior: nn.Module) -> list[nn.Parameter]:
    """Return the parameters of a prior that require gradients."""
    return [parameter for parameter in prior.parameters() if parameter.requires_grad]


@torch.enable_grad()
def descend(prior: OperatorParameterPrior, slope: LinearMap, *, iterations: int, rate: float) -> None:
    """Train a prior, in place, to lower a function of its value by a fresh Adam.

    Args:
        prior: trained; nothing happens if it has nothing to train.
        slope: the gradient of the function at a value.
        iterations: of Adam.
        rate: its learning rate, which falls to a tenth.
    """
    parameters = trainable(prior)
    if not parameters:
        return
    optimizer = torch.optim.Adam(parameters, lr=rate)
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.1 ** (1 / iterations))
    for _ in range(iterations):
        optimizer.zero_grad()
        value = prior()
        value.backward(slope(value.detach()))
        optimizer.step()
        schedule.step()


def cloned(value: Any) -> Any:
    """Copy nested dictionaries of tensors and numbers; the order of a module's bookkeeping is dropped."""
    if isinstance(value, Mapping):
        return {key: cloned(item) for key, item in value.items()}
    return value.detach().clone() if isinstance(value, Tensor) else value


def load_optimizer_state(optimizer: torch.optim.Adam, saved: Mapping[Any, Any]) -> None:
    """Load moments and step counts, the "state" of ``optimizer.state_dict()``; groups and rates stay as they are.

    Raises:
        ValueError: a moment has not the shape of its parameter. The fused Adam would write beyond its memory.
    """
    groups = optimizer.state_dict()["param_groups"]
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    for index, moments in saved.items():
        shapes = {name: tuple(torch.as_tensor(moment).shape) for name, moment in moments.items()}
        wanted = tuple(parameters[index].shape)
        if shapes != {"step": (), "exp_avg": wanted, "exp_avg_sq": wanted}:
            raise ValueError(f"the moments of parameter {index} have shapes {shapes}")
    optimizer.load_state_dict({"state": cloned(saved), "param_groups": groups})


def device_adam(groups: Sequence[tuple[Sequence[nn.Parameter], float]], device: torch.device) -> torch.optim.Adam:
    """Create a fused Adam whose learning rates and step count are tensors on the device, so that a graph can hold it.

    Fused Adam reads parameters, gradients and moments in the order of their memory. Torch guarantees the same order
    for a parameter without gaps and the gradient that ``backward`` leaves (its layout contract); a gradient set by
    hand must keep it. Parameters with gaps and complex parameters are not fused.

    Args:
        groups: parameters and their learning rate.
        device: of the parameters.
    """
    fused = all(each.is_floating_point() and is_dense(each) for parameters, _ in groups for each in parameters)
    return torch.optim.Adam(
        [{"params": [*each], "lr": torch.tensor(rate, device=device), "rate": rate} for each, rate in groups],
        fused=fused,
        capturable=device.type == "cuda",
    )


def is_dense(tensor: Tensor) -> bool:
    """Whether the tensor fills all memory from its first to its last number, in any order."""
    reach = sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.stride(), strict=True))
    return reach == tensor.numel() - 1


def set_rates(optimizer: torch.optim.Adam, rates: Sequence[float]) -> None:
    """Set the learning rate of each group; unchanged rates cause no work on the device."""
    for group, rate in zip(optimizer.param_groups, rates, strict=True):
        if group["rate"] != rate:
            group["rate"] = rate
            group["lr"].fill_(rate)
