"""What a graph of a device cannot hold: whatever lets the host wait for the device, or copies between the two."""

from __future__ import annotations

import sysconfig
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

__all__ = ["HostAccess"]

READS = {"tolist", "numpy", "__array__", "cpu"}  # as `torch.tensor` of numbers on the device, which copies them there
FACTORIES = {"arange", "empty", "eye", "full", "hann_window", "linspace", "ones", "rand", "randn", "tensor", "zeros"}
WAITS = {
    *("_local_scalar_dense", "allclose", "bincount", "equal", "is_nonzero", "masked_select", "nonzero"),
    *("_unique2", "unique_consecutive", "unique_dim", "unique_dim_consecutive"),
}
OTHERS = (str(Path(torch.__file__).parent), sysconfig.get_path("stdlib"), __file__)


class HostAccess:
    """Notes, while it is entered, what a graph could not hold, and lets it happen.

    On a CPU nothing is copied from device to device; there it notes what would be for a tensor of a GPU: reading values
    into Python, and making a tensor without saying on which device.

    Args:
        device: of the tensors that a step works on.

    Attributes:
        found: each thing once, with its place, as "nonzero in prior.py, line 12".
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.found: list[str] = []
        self._entered = ExitStack()

    def __enter__(self) -> HostAccess:
        """Begin to watch."""
        self._entered.enter_context(_Functions(self))
        self._entered.enter_context(_Operations(self))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Watch no more."""
        self._entered.close()

    def note(self, what: str) -> None:
        """Keep it, with the place that is at fault."""
        words = f"{what} in {place()}"
        if words not in self.found:
            self.found.append(words)


class _Functions(TorchFunctionMode):
    """Sees what is called in Python: some reads never get further on a CPU."""

    def __init__(self, of: HostAccess) -> None:
        super().__init__()
        self.of = of

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        given, name = kwargs or {}, getattr(func, "__name__", "")
        if name in READS or (name == "tensor" and given.get("device") is not None):
            self.of.note(name)
        elif name in FACTORIES and given.get("device") is None and self.of.device.type == "cpu":
            self.of.note(f"{name} without a device")
        return func(*args, **given)


class _Operations(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Sees what torch computes, also in the backward pass."""

    def __init__(self, of: HostAccess) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.of = of

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        result, name = func(*args, **(kwargs or {})), func.overloadpacket.__name__
        if func.namespace == "aten" and (name in WAITS or SOMETIMES.get(name, never)(args, result, self.of.device)):
            self.of.note(name)
        return result


def place() -> str:
    """File and line of the innermost call that is neither torch's nor Python's."""
    frames = [frame for frame in traceback.extract_stack() if not frame.filename.startswith(OTHERS)]
    return f"{Path(frames[-1].filename).name}, line {frames[-1].lineno}" if frames else "torch"


def never(args: Sequence[Any], result: Any, device: torch.device) -> bool:
    """The rule of most operations."""
    return False


def to_another(args: Sequence[Any], result: Any, device: torch.device) -> bool:
    """A copy of a tensor on another device."""
    source = args[1] if len(args) > 1 and isinstance(args[1], Tensor) else args[0]
    return bool(source.device.type != result.device.type)


def by_a_mask(args: Sequence[Any], result: Any, device: torch.device) -> bool:
    """Indexing by booleans, of which the host must know how many are true."""
    return any(isinstance(index, Tensor) and index.dtype in (torch.bool, torch.uint8) for index in args[1])


def put_by_a_mask(args: Sequence[Any], result: Any, device: torch.device) -> bool:
    """The same on the left of an equals sign, unless it is one number that is put there."""
    return by_a_mask(args, result, device) and bool(args[2].numel() != 1)


def by_counts(args: Sequence[Any], result: Any, device: torch.device) -> bool:
    """Repeating by counts that only the device knows."""
    return len(args) < 2 or isinstance(args[1], Tensor)


SOMETIMES: dict[str, Callable[[Sequence[Any], Any, torch.device], bool]] = {
    "_to_copy": to_another,
    "copy_": to_another,
    "index": by_a_mask,
    "index_put": put_by_a_mask,
    "index_put_": put_by_a_mask,
    "repeat_interleave": by_counts,
}
