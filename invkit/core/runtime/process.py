"""What holds for a whole process: how it keeps memory, and where new ones look for modules; without torch.

The C library is kept from giving large blocks of memory back to the system at every iteration. glibc returns each freed
block above a threshold to the system at once; the next iteration asks for it again, and the system clears every page
anew. For the tensors of an image network that is half of the time of an iteration on a CPU, for a photograph of three
megapixels two thirds of the time of a deconvolution. The setting changes no result, costs some peak memory, holds for
the process, and is made after the first step of a solve. ``INVKIT_KEEP_ALLOCATOR=1`` in the
environment leaves the C library as it is; on other systems nothing happens.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

__all__ = ["OPT_OUT", "SAFE_PATH", "keep_large_blocks", "on_safe_path", "print_apart"]

OPT_OUT = "INVKIT_KEEP_ALLOCATOR"
# Numbers and meaning: mallopt(3); the values are the largest a C int holds, bytes.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
NEVER = 2**31 - 1


@cache
def keep_large_blocks() -> bool:
    """Tell glibc to keep freed blocks for reuse; once a process, later calls return the same answer.

    Returns:
        Whether the setting was made: False where there is no glibc, or the environment asks to leave it.
    """
    if os.environ.get(OPT_OUT) or not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):  # another C library
        return False
    return bool(mallopt(M_MMAP_THRESHOLD, NEVER)) and bool(mallopt(M_TRIM_THRESHOLD, NEVER))


SAFE_PATH = {"PYTHONSAFEPATH": "1"}
"""The environment variable by which a new process does not look for modules in the current folder.

Python puts that folder first into the module path of a process that is started with ``-m`` or ``-c``, as workers are. A
file ``random.py`` among somebody's photographs would then be run instead of the module of the standard library. Python
3.10 does not know the variable.
"""


@contextmanager
def on_safe_path() -> Iterator[None]:
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


def print_apart() -> None:
    """Send what this worker prints to its error stream; the asking process owns the output, and may print JSON."""
    if sys.stderr is not None:
        os.dup2(2, 1)
