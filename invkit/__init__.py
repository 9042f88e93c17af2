"""invkit: blind and non-blind inverse problems in imaging, with pluggable priors.

Importing this package imports neither torch nor deepinv; each name below is loaded when it is first used.
"""

from __future__ import annotations

import os
from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .apps.deepinv.reconstructor import as_reconstructor
    from .apps.report.writing import report
    from .core import registry
    from .core.observers.snapshots import Snapshots
    from .core.problem import Problem, Term
    from .core.result import Result
    from .core.solver import Observer, Solver
    from .pipeline.api import deblur, deconvolve, rerun, restore
    from .recipes.model import Recipe, load_recipe

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
    "rerun",
    "restore",
]

__version__ = version("invkit")

_WAITING = {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME"}  # of OpenMP, of GNU's and of LLVM's library

# The threads of torch wait asleep for each other, unless the environment says how they wait. By default, a thread that
# has done its part of an operation keeps its core busy for a millisecond while it waits for the others. If other
# programs need the cores, it thus keeps them from the thread that it waits for. The OpenMP library reads the
# environment when torch is loaded; afterwards, this has no effect.
if not _WAITING & os.environ.keys():
    os.environ["OMP_WAIT_POLICY"] = "PASSIVE"

_HOME = {
    "Observer": "core.solver",
    "Problem": "core.problem",
    "Recipe": "recipes.model",
    "Result": "core.result",
    "Snapshots": "core.observers.snapshots",
    "Solver": "core.solver",
    "Term": "core.problem",
    "as_reconstructor": "apps.deepinv.reconstructor",
    "deblur": "pipeline.api",
    "deconvolve": "pipeline.api",
    "load_recipe": "recipes.model",
    "report": "apps.report.writing",
    "rerun": "pipeline.api",
    "restore": "pipeline.api",
}


def __getattr__(name: str) -> Any:
    if name == "registry":
        return import_module(".core.registry", __name__)
    if name not in _HOME:
        raise AttributeError(f"module 'invkit' has no attribute '{name}'")
    return getattr(import_module(f".{_HOME[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted({*__all__, *(name for name in globals() if name.startswith("__"))})  # not what this module imports
