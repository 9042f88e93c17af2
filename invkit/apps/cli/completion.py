"""What the shell offers when Tab is pressed: names from the registry, of which nothing is imported."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import typer

from ...core import registry

__all__ = ["components", "families", "names_of", "recipes", "several", "suites"]

Offer = Callable[[str], list[str]]


def recipes(incomplete: str) -> list[str]:
    """Registered recipes, and the files and folders that may hold others."""
    return [*beginning(registry.names("recipes"), incomplete), *files(incomplete, ".toml")]


def suites(incomplete: str) -> list[str]:
    """Suites of the benchmark that come with invkit, and files."""
    from importlib.resources import files as resources

    place = resources("invkit") / "benchmark" / "suites"  # the benchmark itself takes long to import
    bundled = sorted(Path(entry.name).stem for entry in place.iterdir() if entry.name.endswith(".toml"))
    return [*beginning(bundled, incomplete), *files(incomplete, ".toml")]


def families(incomplete: str) -> list[str]:
    """Families of components."""
    return beginning(registry.FAMILIES, incomplete)


def components(ctx: typer.Context, incomplete: str) -> list[str]:
    """Components of the family that stands before on the line."""
    family = ctx.params.get("family")
    return beginning(registry.names(family), incomplete) if family in registry.FAMILIES else []


def names_of(family: str) -> Offer:
    """What offers the names of one family."""
    return lambda incomplete: beginning(registry.names(family), incomplete)


def several(offer: Offer) -> Offer:
    """What offers the last name of a list with commas."""

    def last(incomplete: str) -> list[str]:
        before, comma, begun = incomplete.rpartition(",")
        return [f"{before}{comma}{name}" for name in offer(begun)]

    return last


def beginning(names: Iterable[str], begun: str) -> list[str]:
    """The names that begin so."""
    return [name for name in names if name.startswith(begun)]


def files(begun: str, suffix: str) -> list[str]:
    """Files of a suffix, and folders to look further in, whose paths begin so; none before anything is typed."""
    folder, slash, name = begun.rpartition("/")
    try:
        found = sorted(Path(folder or slash or ".").iterdir()) if begun else []
    except OSError:
        return []
    fitting = [path for path in found if path.name.startswith(name) and (path.is_dir() or path.suffix == suffix)]
    return [f"{folder}{slash}{path.name}{'/' if path.is_dir() else ''}" for path in fitting]
