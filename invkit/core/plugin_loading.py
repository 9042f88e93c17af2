"""Import of a plugin's component: its requirements are checked first, and its import is timed."""

from __future__ import annotations

import time
import warnings
from importlib.metadata import EntryPoint, PackageNotFoundError, distribution, entry_points, version
from typing import Any

__all__ = ["entry_point_name", "requirements_of", "timed_import", "unmet_requirement"]

SLOW_IMPORT_SECONDS = 2.0


def entry_point_name(family: str, component: type) -> str | None:
    """The name under which an installed distribution registers a class in a family; None if none does."""
    value = f"{component.__module__}:{component.__qualname__}"
    return next((point.name for point in entry_points(group=f"invkit.{family}") if point.value == value), None)


def unmet_requirement(name: str) -> str | None:
    """The requirement of a distribution on invkit that the running version does not meet, and what to do; or None."""
    from packaging.utils import canonicalize_name

    installed = version("invkit")
    for requirement in requirements_of(name):
        is_ours = canonicalize_name(requirement.name) == "invkit"
        applies = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
        if is_ours and applies and not requirement.specifier.contains(installed, prereleases=True):
            return (
                f"it requires invkit{requirement.specifier}, and {installed} is installed; install a version of {name} "
                f"for this one, or the invkit it was written for"
            )
    return None


def requirements_of(name: str) -> list[Any]:
    """The requirements that a distribution declares; none if it is missing or they cannot be read."""
    from packaging.requirements import InvalidRequirement, Requirement

    try:
        return [Requirement(line) for line in distribution(name).requires or ()]
    except (PackageNotFoundError, InvalidRequirement):
        return []


def timed_import(point: EntryPoint, owner: str) -> object:
    """Import what an entry point names; raises whatever the plugin raises.

    Args:
        point: the entry point.
        owner: the plugin's distribution, for the warning.

    Warns:
        RuntimeWarning: the import takes more than `SLOW_IMPORT_SECONDS`.
    """
    started = time.perf_counter()
    component: object = point.load()
    seconds = time.perf_counter() - started
    if seconds > SLOW_IMPORT_SECONDS:
        warnings.warn(
            f"importing '{point.name}' of {owner} took {seconds:.1f} s; its authors can avoid this by importing large "
            "libraries inside the functions that use them",
            RuntimeWarning,
            stacklevel=2,
        )
    return component
