"""Calls of deepinv's physics that leave no trace in them."""

from __future__ import annotations

import inspect
from functools import cache
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn

from ...core.errors import InputError

__all__ = ["as_data", "drawn", "in_one_precision", "like_of", "physics_classes", "throwaway"]


@cache
def physics_classes() -> dict[str, Any]:
    """The physics of deepinv by name, linear or not."""
    from deepinv import physics

    members = inspect.getmembers(physics, inspect.isclass)
    return {name: member for name, member in members if issubclass(member, physics.Physics)}


def throwaway(module: nn.Module, like: Tensor) -> Any:
    """A copy that shares every tensor, but for the precision and device, and whose attributes may be replaced."""
    copied = module.__new__(type(module))
    precision = {name: like.dtype for name, value in vars(module).items() if is_floating(value)}
    copied.__dict__.update(vars(module), **precision)
    for place in ("_parameters", "_buffers"):
        copied.__dict__[place] = {name: cast(value, like) for name, value in vars(module)[place].items()}
    inner = module._modules.items()
    copied.__dict__["_modules"] = {name: None if one is None else throwaway(one, like) for name, one in inner}
    return copied


def cast(value: Tensor | None, like: Tensor) -> Tensor | None:
    """A tensor of a physics on another's device, of floating-point numbers in its precision."""
    if value is None or not (value.is_floating_point() or value.is_complex()):
        return value if value is None else value.to(like.device)
    return value.to(like.device, like.dtype.to_complex() if value.is_complex() else like.dtype)


def is_floating(value: object) -> bool:
    """Whether it is a precision that a physics would cast its data to."""
    return isinstance(value, torch.dtype) and value.is_floating_point


def like_of(module: nn.Module) -> Tensor:
    """A float64 tensor on a module's device, or where that has no such numbers on the CPU."""
    device = next(chain(module.buffers(), module.parameters()), torch.empty(0)).device
    return torch.empty(0, dtype=torch.float64, device="cpu" if device.type == "mps" else device)


def drawn(shape: tuple[int, ...], like: Tensor, seed: int = 0) -> Tensor:
    """Uniform random numbers in [0, 1)."""
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(tuple(shape), generator=generator, dtype=torch.float64).to(like)


def in_one_precision(image: Tensor, kernel: Tensor) -> tuple[Tensor, Tensor]:
    """Both in one precision, float32 at least."""
    dtype = torch.promote_types(torch.promote_types(image.dtype, kernel.dtype), torch.float32)
    return image.to(dtype), kernel.to(dtype)


def as_data(name: str, measured: Any) -> Tensor:
    """What a physics gives as (B, C, H, W); raises `InputError` where that is no real tensor with a batch."""
    if not isinstance(measured, Tensor) or measured.is_complex() or measured.ndim < 2:
        kind = f"{measured.dtype} of shape {tuple(measured.shape)}" if isinstance(measured, Tensor) else type(measured)
        raise InputError(f"deepinv's {name} gives {kind}, and data are one tensor of real numbers for each image")
    batch, *rest = measured.shape
    if len(rest) < 3:
        return measured.reshape(batch, *(1 for _ in range(3 - len(rest))), *rest)
    return measured.flatten(1, -3)
