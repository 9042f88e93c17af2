"""The only way from `core` up to `media`: the functions that draw and save results and problems, found by name."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

__all__ = ["present"]

PRESENTATION = "invkit.media.presentation"


def present(name: str) -> Callable[..., Any]:
    """A function of `invkit.media.presentation`; this call imports the module, and nothing in `core` does so before."""
    function: Callable[..., Any] = getattr(import_module(PRESENTATION), name)
    return function
