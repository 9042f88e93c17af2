"""``invkit plugin``: to begin a distribution of one's own."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .running import out

if TYPE_CHECKING:
    from ..scaffold.names import Names

__all__ = ["plugin_app"]

plugin_app = typer.Typer(no_args_is_help=True, help="Distributions of your own, with components for everybody.")


@plugin_app.command()
def new(
    name: Annotated[str, typer.Argument(help="Of the distribution, as pip will know it: my-prior.")],
    family: Annotated[
        str, typer.Option(help="What it holds: kernel_priors, image_priors, regularizers, fidelities or operators.")
    ] = "kernel_priors",
    component: Annotated[
        str | None, typer.Option(metavar="NAME", help="What recipes call it; default: the distribution's name.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="DIR", help="The folder to write; default: NAME, here.")
    ] = None,
) -> None:
    """Write a package with one component that works, to be changed into yours; and its recipe and tests.

    The component stands in one file, its parameters with their meaning and bounds in its signature. The tests are those
    that invkit's own components have to pass.

    [bold]Examples[/bold]

      invkit plugin new my-prior

      invkit plugin new my-penalty --family regularizers --component log-gradient

      invkit plugin new lab-blur --family operators --output ~/code/lab-blur
    """
    from ..scaffold.names import names_for
    from ..scaffold.writing import package_files, write_package

    names = names_for(name, family, component)
    folder, texts = output or Path(name), package_files(names)
    write_package(folder, texts)
    say(f"{folder / names.package / names.module}.py holds '{names.component}' of {family}; now")
    for command in next_commands(names, folder):
        say(f"  {command}")


def next_commands(names: Names, folder: Path) -> list[str]:
    """What to do with a distribution that has just been written."""
    place = folder.as_posix()
    return [
        f"pip install -e {shlex.quote(f'{place}[test]')}",
        f"pytest {shlex.quote(place)}",
        f"invkit bench run quick --recipes {names.component},fast-map",
        "invkit bench table benchmarked/quick",
        f"invkit deblur photo.jpg --recipe {names.component}",
    ]


def say(line: str) -> None:
    """A line to be copied as it is."""
    out.print(line, markup=False, highlight=False, soft_wrap=True)
