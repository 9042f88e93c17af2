"""Packages whose components are imported when they are first used, found by invkit's entry points.

``from invkit.solvers import JointAdam`` finds the class wherever its file is, and a new component needs no entry in the
package of its family. To a static type checker such a class is ``Any``; typed code imports it from its module.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from importlib import import_module
from importlib.metadata import distribution
from typing import Any

from .messages import near_names

__all__ = ["lazy_attributes", "lazy_names"]


def lazy_attributes(package: str, others: Mapping[str, str] | None = None) -> Callable[[str], Any]:
    """Return the ``__getattr__`` of a package: it imports a component by the name of its class.

    Args:
        package: name of the package.
        others: further names of the package with the modules that define them.

    Example:
        >>> lazy_attributes("invkit.fidelities")("MSE").__module__
        'invkit.fidelities.norms'
    """

    def attribute(name: str) -> Any:
        homes = {**registered_classes(package), **(others or {})}
        if name in homes:
            return getattr(import_module(homes[name]), name)
        near = near_names(name, homes)
        hint = f"; did you mean {' or '.join(repr(n) for n in near)}?" if near else ""
        raise AttributeError(f"module '{package}' has no attribute '{name}'{hint}")

    return attribute


def lazy_names(package: str, others: Mapping[str, str] | None = None) -> Callable[[], list[str]]:
    """Return the ``__dir__`` of a package: it lists the names that `lazy_attributes` imports.

    Args:
        package: name of the package.
        others: further names of the package with the modules that define them.

    Example:
        >>> lazy_names("invkit.fidelities")()
        ['GaussianPoisson', 'Huber', 'L1', 'MSE', 'Poisson', 'SSIM']
    """
    return lambda: sorted({*registered_classes(package), *(others or {})})


@cache
def registered_classes(package: str) -> Mapping[str, str]:
    """Map each class below a package that invkit's entry points name to its module."""
    points = distribution("invkit").entry_points
    return {p.attr: p.module for p in points if p.attr and p.module.startswith(f"{package}.")}
