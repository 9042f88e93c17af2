"""The number of threads that torch uses, and its other settings, for a limited time.

PyTorch splits every operation among the threads of the process, by default one per core. An operation on 255 x 255
pixels takes some ten microseconds, and the threads wait for each other as long as they save. On two cores the time of
a solve changed by less than a tenth for nearly twice the processor time, and rose eightfold while another process
needed a core. Small images therefore get one thread. The number that torch is set to (by itself, ``OMP_NUM_THREADS``
or ``torch.set_num_threads``) is never exceeded and is restored afterwards. The setting holds for the whole process:
other threads of the program compute with the reduced number in the meantime.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext

import numpy as np
import torch

__all__ = ["at_most_threads", "thread_variables", "threads_worth", "usual_torch_state"]

AUTOCAST_DEVICES = ("cpu", "cuda", "mps", "xpu")
ONE_THREAD_BELOW = 2**17  # image values: on two cores, threads save a fifth of the time at 1.5e5, a tenth at 6.5e4


@contextmanager
def at_most_threads(number: int) -> Iterator[None]:
    """Limit the threads that torch uses, also in Python threads that start inside and have not used torch yet."""
    before = torch.get_num_threads()
    if before <= number:
        yield
        return
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def threads_worth(values: int) -> AbstractContextManager[None]:
    """Use the threads that plain operations on this many values are worth: one for few values, else all."""
    return at_most_threads(1) if values < ONE_THREAD_BELOW else nullcontext()


def thread_variables(threads: int) -> dict[str, str]:
    """The environment variables that make a new process use this many threads, set before it loads torch."""
    return dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(threads))


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
        if torch.empty(0).device.type != "cpu":  # the context costs some microseconds for every new tensor
            stack.enter_context(torch.device("cpu"))
        if default_type is not torch.float32:
            stack.callback(torch.set_default_dtype, default_type)
            torch.set_default_dtype(torch.float32)
        yield
