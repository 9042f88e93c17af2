"""``invkit data``: the datasets there are, where they are, and how to get them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Column, Table

from ...core import registry
from .completion import names_of
from .running import err, out

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...core.evaluation import Source
    from ...core.interfaces import Dataset, Downloadable

__all__ = ["data_app"]

data_app = typer.Typer(no_args_is_help=True, help="Datasets: which there are, where they are, how to get them.")

Name = Annotated[
    str, typer.Argument(help="A dataset's name ('invkit data list').", autocompletion=names_of("datasets"))
]
Data = Annotated[
    Path | None,
    typer.Option(
        "--data", metavar="DIR", help="The folder of all data; default: INVKIT_DATA, else one in the user's cache."
    ),
]


@data_app.command("list")
def list_datasets(
    data: Data = None,
    as_json: Annotated[bool, typer.Option("--json", help="For scripts.")] = False,
) -> None:
    """List the registered datasets, with how many cases are present.

    [bold]Examples[/bold]

      invkit data list

      invkit data list --data /data --json
    """
    from ..inventory import dataset_facts

    rows = [dataset_facts(name, data) for name in registry.names("datasets")]
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
        return
    table = Table("name", "title", "cases", Column("where", overflow="fold"), "licence")
    for row in rows:
        table.add_row(*(escape("" if value is None else str(value)) for value in row.values()))
    out.print(table)


@data_app.command()
def fetch(
    name: Name,
    given: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="FOLDER|ARCHIVE|URL",
            help="What you have downloaded yourself, or an archive's address; files are known by their contents.",
        ),
    ] = None,
    data: Data = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Fetch files anew that are there, but not as they should be.")
    ] = False,
) -> None:
    """Download a dataset from its makers, check every file by SHA-256, and put it in the folder of all data.

    A download that was stopped goes on from where it was.

    [bold]Examples[/bold]

      invkit data fetch levin

      invkit data fetch lai --from ~/Downloads/datasets.zip
    """
    from ...datasets.fetching import absent

    component, folder = downloadable(name, data)
    sources = component.sources()
    wanted = absent(sources, folder, replace=replace)
    check_by_hand(name, component, wanted, given)
    number = fetched(component, folder, sources, sum(source.size for source in wanted), given, replace)
    done = f"{number} files fetched" if number else f"nothing to fetch, its {len(sources)} files are there"
    say(f"{component.title}: {done}; it is in {folder}")
    say(f"licence: {component.licence}; to cite: {component.citation}")


@data_app.command()
def where(
    name: Annotated[
        str | None,
        typer.Argument(help="A dataset's name; none: the folder of all data.", autocompletion=names_of("datasets")),
    ] = None,
    data: Data = None,
) -> None:
    """Print the folder of all data, or of one dataset, whether it exists or not.

    [bold]Examples[/bold]

      invkit data where

      ls "$(invkit data where levin)"
    """
    if name is None:
        from ...datasets.places import data_folder

        typer.echo(data_folder(data))
        return
    typer.echo(downloadable(name, data)[1])


def downloadable(name: str, data: Path | None) -> tuple[type[Downloadable], Path]:
    """The class of a dataset that can be fetched, and its folder.

    Raises:
        UnknownNameError, PluginError: as `registry.load`.
        InputError: there is nothing to fetch for it.
    """
    from ...core.errors import InputError
    from ...core.interfaces import Downloadable
    from ...datasets.places import data_folder

    component = registry.load("datasets", name)
    if not issubclass(component, Downloadable):
        raise InputError(f"the dataset '{name}' has no files of its own to fetch; 'invkit describe datasets {name}'")
    return component, data_folder(data) / component.folder


def check_by_hand(name: str, component: type[Dataset], wanted: Sequence[Source], given: str | None) -> None:
    """Where files must be got by hand and are not given, say how; raises `InputError`."""
    from ...core.errors import InputError
    from ...datasets.by_hand import ByHand

    lacking = [source for source in wanted if not source.url]
    if given is None and lacking and issubclass(component, ByHand):
        raise InputError(
            f"{len(lacking)} files of '{name}' cannot be fetched by a script. {component.instructions} Then run "
            f"'invkit data fetch {name} --from FOLDER', or with the archive as it is; files are known by their "
            "contents, whatever they are called"
        )


def fetched(
    component: type[Downloadable], folder: Path, sources: Sequence[Source], size: int, given: str | None, replace: bool
) -> int:
    """Fetch with a progress bar; returns the number of files. Ctrl-C ends the command with what came kept."""
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    from ...datasets.fetching import fetch

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    bar = Progress(*columns, TimeRemainingColumn(), console=err, transient=True, disable=not err.is_terminal)
    task = bar.add_task(escape(component.folder), total=size)
    try:
        with bar:
            return fetch(sources, folder, given=given, replace=replace, watch=lambda count: bar.advance(task, count))
    except KeyboardInterrupt:
        say("stopped; what has arrived is kept, and the same command goes on from there", to_error=True)
        raise typer.Exit(130) from None


def say(text: str, *, to_error: bool = False) -> None:
    """A line of plain text, not wrapped."""
    (err if to_error else out).print(text, markup=False, highlight=False, soft_wrap=True)
