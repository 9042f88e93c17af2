"""What all commands share: the two consoles, the option ``--debug``, and the names that a shell completes.

Completion reads entry points only. It imports no component, so that the Tab key answers at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from importlib.resources import files as resources
from pathlib import Path
from typing import Annotated, ClassVar, TypeAlias

import typer
from rich.console import Console

from ...core import registry

__all__ = [
    "BAR_DELAY",
    "Debug",
    "Debugging",
    "complete_components",
    "complete_families",
    "complete_last",
    "complete_names",
    "complete_recipes",
    "complete_suites",
    "err",
    "out",
    "print_line",
]

out = Console()
err = Console(stderr=True)
BAR_DELAY = 1.0  # seconds; a progress bar that is shown for less time would only flicker

Completer: TypeAlias = Callable[[str], list[str]]


def print_line(text: str, console: Console = out) -> None:
    """Print a line without markup, colour or wrapping, so that it can be copied."""
    console.print(text, markup=False, highlight=False, soft_wrap=True)


class Debugging:
    """The switch of this process that makes an error show its traceback."""

    on: ClassVar[bool] = False

    @classmethod
    def switch(cls, value: bool) -> bool:
        """Switch it on if ``--debug`` is given, before or after the command's name; returns the value given."""
        cls.on = cls.on or value
        return value


Debug = Annotated[
    bool, typer.Option("--debug", help="Show the traceback of an error.", callback=Debugging.switch, is_eager=True)
]


def complete_recipes(incomplete: str) -> list[str]:
    """Registered recipes, recipe files, and folders that may hold recipe files."""
    return [*starting_with(incomplete, registry.names("recipes")), *matching_files(incomplete, ".toml")]


def complete_suites(incomplete: str) -> list[str]:
    """Bundled benchmark suites, and suite files."""
    folder = resources("invkit") / "benchmark" / "suites"  # importing invkit.benchmark takes long
    bundled = sorted(Path(entry.name).stem for entry in folder.iterdir() if entry.name.endswith(".toml"))
    return [*starting_with(incomplete, bundled), *matching_files(incomplete, ".toml")]


def complete_families(incomplete: str) -> list[str]:
    """Families of components."""
    return starting_with(incomplete, registry.FAMILIES)


def complete_components(ctx: typer.Context, incomplete: str) -> list[str]:
    """Components of the family that precedes on the command line."""
    family = ctx.params.get("family")
    return starting_with(incomplete, registry.names(family)) if family in registry.FAMILIES else []


def complete_names(family: str) -> Completer:
    """A completer for the names of one family."""
    return lambda incomplete: starting_with(incomplete, registry.names(family))


def complete_last(completer: Completer) -> Completer:
    """A completer for the last name of a comma-separated list."""

    def complete(incomplete: str) -> list[str]:
        before, comma, last = incomplete.rpartition(",")
        return [f"{before}{comma}{name}" for name in completer(last)]

    return complete


def starting_with(prefix: str, names: Iterable[str]) -> list[str]:
    """The names that start with a prefix."""
    return [name for name in names if name.startswith(prefix)]


def matching_files(prefix: str, suffix: str) -> list[str]:
    """Files with a suffix, and folders, whose paths start with a prefix; none for an empty prefix."""
    folder, slash, name = prefix.rpartition("/")
    try:
        found = sorted(Path(folder or slash or ".").iterdir()) if prefix else []
    except OSError:
        return []
    fitting = [path for path in found if path.name.startswith(name) and (path.is_dir() or path.suffix == suffix)]
    return [f"{folder}{slash}{path.name}{'/' if path.is_dir() else ''}" for path in fitting]
