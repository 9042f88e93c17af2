"""How the component of a plugin is imported: what it asks of invkit is looked at first, and how long it takes."""

from __future__ import annotations

import builtins
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import EntryPoint, PackageNotFoundError, distribution, version
from typing import Any

__all__ = ["imported", "unmet_requirement"]

PATIENCE = 2.0  # seconds
LIBRARIES = ("invkit", "torch", "torchvision", "deepinv", "numpy", "scipy", "skimage", "matplotlib", "pydantic")
"""What a plugin may import at no cost of its own: invkit, and what invkit itself uses."""


def unmet_requirement(name: str) -> str | None:
    """What a distribution asks of invkit that the running one does not satisfy, and what to do; None: nothing."""
    from packaging.utils import canonicalize_name

    installed = version("invkit")
    for requirement in requirements_of(name):
        is_ours = canonicalize_name(requirement.name) == "invkit"
        applies = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
        if is_ours and applies and not requirement.specifier.contains(installed, prereleases=True):
            return (
                f"it asks for invkit{requirement.specifier}, and {installed} is installed; get a version of {name} "
                f"for this one (pip install --upgrade {name}), or the invkit it was written for (pip install "
                f"'invkit{requirement.specifier}')"
            )
    return None


def requirements_of(name: str) -> list[Any]:
    """The requirements of a distribution, as it declares them; none of one that is not there or cannot be read."""
    from packaging.requirements import InvalidRequirement, Requirement

    try:
        return [Requirement(line) for line in distribution(name).requires or ()]
    except (PackageNotFoundError, InvalidRequirement):
        return []


def imported(point: EntryPoint, owner: str) -> object:
    """What an entry point names.

    Raises:
        BaseException: whatever the plugin raises.

    Warns:
        RuntimeWarning: importing it takes more than `PATIENCE` seconds beside those that go into `LIBRARIES`.
    """
    with stopwatch() as elapsed:
        component: object = point.load()
    if elapsed.own > PATIENCE:
        warnings.warn(
            f"importing '{point.name}' of {owner} took {elapsed.own:.1f} s beside torch, deepinv and what else invkit "
            "itself imports; its authors can mend that by importing large libraries inside the functions that use them",
            RuntimeWarning,
            stacklevel=2,
        )
    return component


@dataclass
class Elapsed:
    """Seconds of the clock.

    Attributes:
        own: spent beside the import of `LIBRARIES`.
        shared: spent on these, whoever asks for them first.
        inside: whether one of them is being imported.
    """

    own: float = 0.0
    shared: float = 0.0
    inside: bool = False


@contextmanager
def stopwatch() -> Iterator[Elapsed]:
    """Measure what happens inside, the first import of `LIBRARIES` apart: every import statement passes here."""
    elapsed, plain, begun = Elapsed(), builtins.__import__, time.perf_counter()
    builtins.__import__ = counted(plain, elapsed)
    try:
        yield elapsed
    finally:
        builtins.__import__ = plain
        elapsed.own = time.perf_counter() - begun - elapsed.shared


def counted(plain: Callable[..., Any], elapsed: Elapsed) -> Callable[..., Any]:
    """The function behind the import statement, noting the seconds that `LIBRARIES` take."""

    def importing(name: str, *rest: Any, **named: Any) -> Any:
        if elapsed.inside or name.partition(".")[0] not in LIBRARIES:
            return plain(name, *rest, **named)
        begun, elapsed.inside = time.perf_counter(), True
        try:
            return plain(name, *rest, **named)
        finally:
            elapsed.shared += time.perf_counter() - begun
            elapsed.inside = False

    return importing
