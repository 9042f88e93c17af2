"""Keeps the C library from giving large blocks of memory back to the system at every iteration.

glibc returns each freed block above a threshold to the system at once; the next iteration asks for it again, and the
system clears every page anew. For the tensors of an image network that is half of the time of an iteration on a CPU,
for a photograph of three megapixels two thirds of the time of a deconvolution. The setting changes no result, costs
some peak memory, holds for the process, and is made after the first step of a solve. ``INVKIT_KEEP_ALLOCATOR=1`` in the
environment leaves the C library as it is; on other systems nothing happens.
"""

from __future__ import annotations

import ctypes
import os
import sys
from functools import cache

__all__ = ["OPT_OUT", "keep_large_blocks"]

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
