"""Counts the arithmetic and the memory traffic that a computation cannot do without."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

__all__ = ["Tally", "Work", "bytes_of"]


@dataclass
class Work:
    """What some operations come to.

    Attributes:
        flops: floating-point operations by the precision they are done in, "bfloat16" or "float32"; wider ones count
            as float32, which no machine does more slowly.
        bytes: read and written.
    """

    flops: Counter[str] = field(default_factory=Counter)
    bytes: int = 0


class Tally(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts what torch does while it is entered: convolutions, matrix products and Fourier transforms.

    The formulas of the first two are torch's own (`torch.utils.flop_counter`); a Fourier transform of n numbers counts
    5/2 n log2 n, a complex one twice that. Each of these reads its arguments and writes its result once. All else,
    as normalisations and non-linearities, could be done in passing, and counts for nothing.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.work = Work()

    def taken(self) -> Work:
        """What was counted since the last call."""
        work, self.work = self.work, Work()
        return work

    def __torch_dispatch__(
        self, func: Any, types: Iterable[type], args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Do the operation, and count it where there is a formula."""
        given = kwargs or {}
        result = func(*args, **given)
        formula = FORMULAS.get(func.overloadpacket)
        if formula is not None:
            tensors = list(tensors_in((args, given)))
            self.work.flops[precision(tensors[0].dtype)] += int(formula(*args, **given, out_val=result))
            self.work.bytes += bytes_of((tensors, result))
        return result


def bytes_of(tree: object) -> int:
    """Of all tensors in nested lists, tuples and dictionaries."""
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors_in(tree))


def tensors_in(tree: object) -> Iterable[Tensor]:
    """The tensors of nested lists, tuples and dictionaries."""
    if isinstance(tree, Tensor):
        yield tree
    elif isinstance(tree, list | tuple | dict):
        for item in tree.values() if isinstance(tree, dict) else tree:
            yield from tensors_in(item)


def precision(dtype: torch.dtype) -> str:
    """What operations on numbers of that type count as."""
    return "bfloat16" if dtype in (torch.bfloat16, torch.float16) else "float32"


def real_transform(values: Tensor, axes: list[int], *others: Any, out_val: Tensor) -> float:
    """Of real numbers to complex ones or back; the real side is the longer."""
    sizes = [max(values.shape[axis], out_val.shape[axis]) for axis in axes]
    return 2.5 * max(values.numel(), out_val.numel()) * math.log2(math.prod(sizes) or 1)


def complex_transform(values: Tensor, axes: list[int], *others: Any, out_val: Tensor) -> float:
    """Of complex numbers to complex ones."""
    return 2 * real_transform(values, axes, out_val=out_val)


FORMULAS: dict[Any, Callable[..., float]] = {
    **flop_registry,
    torch.ops.aten._fft_r2c: real_transform,
    torch.ops.aten._fft_c2r: real_transform,
    torch.ops.aten._fft_c2c: complex_transform,
}
