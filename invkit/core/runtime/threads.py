"""The number of threads that torch uses, for a limited time, and the environment of new processes.

PyTorch splits every operation among the threads of the process, by default one per core. An operation on 255 x 255
pixels takes some ten microseconds, and the threads wait for each other as long as they save. On two cores the time of
a solve changed by less than a tenth for nearly twice the processor time, and rose eightfold while another process
needed a core. Small images therefore get one thread. The number that torch is set to (by itself, ``OMP_NUM_THREADS``
or ``torch.set_num_threads``) is never exceeded and is restored afterwards. The setting holds for the whole process:
other threads of the program compute with the reduced number in the meantime.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch

__all__ = ["SAFE_PATH", "at_most_threads", "safe_path", "thread_variables", "threads_worth"]

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


SAFE_PATH = {"PYTHONSAFEPATH": "1"}
"""The environment variable by which a new process does not look for modules in the current folder.

Python puts that folder first into the module path of a process that is started with ``-m`` or ``-c``, as workers are. A
file ``random.py`` among somebody's photographs would then be run instead of the module of the standard library. Python
3.10 does not know the variable.
"""


@contextmanager
def safe_path() -> Iterator[None]:
    """Processes that start inside do not look for modules in the current folder, nor do the helpers that they need."""
    before = {name: os.environ.get(name) for name in SAFE_PATH}
    os.environ.update(SAFE_PATH)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
