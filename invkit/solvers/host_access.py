"""Detection of work that a graph of a device cannot hold: waiting for the device, or copies to or from it."""

from __future__ import annotations

import sysconfig
import traceback
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

__all__ = ["HostAccess"]

HOST_READS = {"tolist", "numpy", "__array__", "cpu"}
TENSOR_FACTORIES = {
    *("arange", "empty", "eye", "full", "hann_window", "linspace", "ones", "rand", "randn", "tensor", "zeros"),
}
WAITING_OPERATIONS = {
    *("_local_scalar_dense", "allclose", "bincount", "equal", "is_nonzero", "masked_select", "nonzero"),
    *("_unique2", "unique_consecutive", "unique_dim", "unique_dim_consecutive"),
}
LIBRARY_PATHS = (str(Path(torch.__file__).parent), sysconfig.get_path("stdlib"), __file__)


class HostAccess:
    """Records, while it is entered, work that a graph could not hold; the work itself is done as usual.

    A CPU copies nothing between devices. On a CPU it therefore records what a GPU would do: reading values into Python,
    and creating a tensor without a device.

    Args:
        device: of the tensors of a step.

    Attributes:
        found: each finding once, with its location, as "nonzero in prior.py, line 12".
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.found: list[str] = []
        self._entered = ExitStack()

    def __enter__(self) -> HostAccess:
        """Start to observe torch."""
        self._entered.enter_context(_Functions(self))
        self._entered.enter_context(_Operations(self))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop to observe torch."""
        self._entered.close()

    def note(self, what: str) -> None:
        """Record a finding with the location in the code that caused it."""
        finding = f"{what} in {calling_line()}"
        if finding not in self.found:
            self.found.append(finding)


class _Functions(TorchFunctionMode):
    """Observes calls in Python, since some reads never reach an operation on a CPU."""

    def __init__(self, access: HostAccess) -> None:
        super().__init__()
        self.access = access

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        given, name = kwargs or {}, getattr(func, "__name__", "")
        if name in HOST_READS or (name == "tensor" and given.get("device") is not None):  # copies numbers to the device
            self.access.note(name)
        elif name in TENSOR_FACTORIES and given.get("device") is None and self.access.device.type == "cpu":
            self.access.note(f"{name} without a device")
        return func(*args, **given)


class _Operations(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Observes torch's operations, including those of the backward pass."""

    def __init__(self, access: HostAccess) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.access = access

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        result, name = func(*args, **(kwargs or {})), func.overloadpacket.__name__
        if func.namespace == "aten" and needs_host(name, args, result):
            self.access.note(name)
        return result


def calling_line() -> str:
    """Return file and line of the innermost call outside torch and the standard library."""
    frames = [frame for frame in traceback.extract_stack() if not frame.filename.startswith(LIBRARY_PATHS)]
    return f"{Path(frames[-1].filename).name}, line {frames[-1].lineno}" if frames else "torch"


def needs_host(name: str, args: Sequence[Any], result: Any) -> bool:
    """Whether an operation waits for the device, or copies between devices.

    Args:
        name: of the operation in the namespace "aten".
        args: positional arguments.
        result: what it returned.
    """
    if name in ("_to_copy", "copy_"):
        source = args[1] if len(args) > 1 and isinstance(args[1], Tensor) else args[0]
        return bool(source.device.type != result.device.type)
    if name in ("index", "index_put", "index_put_"):  # the host must know how many values a mask selects
        masked = any(isinstance(index, Tensor) and index.dtype in (torch.bool, torch.uint8) for index in args[1])
        return masked and (name == "index" or bool(args[2].numel() != 1))
    if name == "repeat_interleave":  # the host must know the sum of the counts
        return len(args) < 2 or isinstance(args[1], Tensor)
    return name in WAITING_OPERATIONS
