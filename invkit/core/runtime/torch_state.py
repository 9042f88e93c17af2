"""What a caller has set in torch and NumPy, out of force while invkit computes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import numpy as np
import torch

__all__ = ["usual_torch_state"]

AUTOCAST_DEVICES = ("cpu", "cuda", "mps", "xpu")


@contextmanager
def usual_torch_state() -> Iterator[None]:
    """Compute with gradients, in float32, on the CPU and with the usual warnings, whatever the caller has set.

    A call of invkit then gives the same bits under ``torch.no_grad``, ``torch.inference_mode``, ``torch.autocast``,
    another default type or device, and ``np.seterr``. All of it is restored afterwards. The default type holds for the
    whole process: other threads see float32 in the meantime. It may decorate a function.

    Example:
        >>> with torch.no_grad(), usual_torch_state():
        ...     torch.is_grad_enabled()
        True
    """
    default_type = torch.get_default_dtype()
    with ExitStack() as stack:
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        stack.enter_context(np.errstate(divide="warn", over="warn", under="ignore", invalid="warn"))
        for device in AUTOCAST_DEVICES:
            if torch.is_autocast_enabled(device):
                stack.enter_context(torch.autocast(device, enabled=False))
        if torch.get_default_device().type != "cpu":  # the context costs some microseconds for every new tensor
            stack.enter_context(torch.device("cpu"))
        if default_type is not torch.float32:
            stack.callback(torch.set_default_dtype, default_type)
            torch.set_default_dtype(torch.float32)
        yield
