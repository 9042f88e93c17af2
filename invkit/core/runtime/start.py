"""How processes are started: without the current folder in their module path.

Python puts the current folder first into the module path of a process that is started with ``-m`` or ``-c``, as worker
processes are. A file ``random.py`` among somebody's photographs would then be run instead of the standard library's
module. Python 3.10 does not know the variable.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["SAFE_PATH", "safe_path"]

SAFE_PATH = {"PYTHONSAFEPATH": "1"}
"""The environment variable, for processes that are started with an environment of their own."""


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
