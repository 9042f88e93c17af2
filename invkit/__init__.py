"""invkit: blind and non-blind inverse problems in imaging, with pluggable priors.

Importing this package imports neither torch nor deepinv; each name below is loaded when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import registry
    from .bridges.reconstructor import as_reconstructor
    from .deblurring import deblur, deconvolve, restore
    from .observers.snapshots import Snapshots
    from .problem import Problem, Term
    from .recipe import Recipe, load_recipe
    from .reports.writing import report
    from .result import Result
    from .solver import Observer, Solver

__all__ = [
    "Observer",
    "Problem",
    "Recipe",
    "Result",
    "Snapshots",
    "Solver",
    "Term",
    "as_reconstructor",
    "deblur",
    "deconvolve",
    "load_recipe",
    "registry",
    "report",
    "restore",
]

__version__ = version("invkit")

_HOME = {
    "Observer": "solver",
    "Problem": "problem",
    "Recipe": "recipe",
    "Result": "result",
    "Snapshots": "observers.snapshots",
    "Solver": "solver",
    "Term": "problem",
    "as_reconstructor": "bridges.reconstructor",
    "deblur": "deblurring",
    "deconvolve": "deblurring",
    "load_recipe": "recipe",
    "report": "reports.writing",
    "restore": "deblurring",
}


def __getattr__(name: str) -> Any:
    if name == "registry":
        return import_module(".registry", __name__)
    if name not in _HOME:
        raise AttributeError(f"module 'invkit' has no attribute '{name}'")
    return getattr(import_module(f".{_HOME[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
