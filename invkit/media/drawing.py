"""Matplotlib without windows: pictures are drawn by its `Figure`, which needs neither pyplot nor a backend."""

from __future__ import annotations

import os
import sys
from contextlib import suppress

__all__ = ["load_matplotlib"]

BACKEND = "MPLBACKEND"


def load_matplotlib() -> None:
    """Import Matplotlib, also if MPLBACKEND names a backend that is not installed here.

    Notebooks set the variable for every process that they start. The import alone would fail then. A backend that
    is installed remains the choice of pyplot, if the user's program uses it.
    """
    if "matplotlib" in sys.modules:
        return
    backend = os.environ.pop(BACKEND, None)
    try:
        import matplotlib as mpl
    finally:
        if backend is not None:
            os.environ[BACKEND] = backend
    if backend:
        with suppress(ValueError):  # pyplot is not used here
            mpl.rcParams["backend"] = backend
