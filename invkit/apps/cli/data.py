"""``invkit data``: lists the datasets, fetches them, and prints where they are."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Column, Table

from ...core import registry
from .shared import complete_names, err, out, print_line

if TYPE_CHECKING:
    from ...core.evaluation import Dataset, DatasetFile, Downloadable

__all__ = ["data_app", "dataset_facts"]

data_app = typer.Typer(no_args_is_help=True, help="List the datasets, fetch them, and print where they are.")

Name = Annotated[
    str,
    typer.Argument(help="The name of a dataset; see 'invkit data list'.", autocompletion=complete_names("datasets")),
]
Data = Annotated[
    Path | None,
    typer.Option(
        "--data", metavar="DIR", help="The folder of all data. Default: INVKIT_DATA, else a folder in your cache."
    ),
]


@data_app.command("list")
def list_datasets(
    data: Data = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")] = False,
) -> None:
    """List the registered datasets and the number of their cases that are present.

    [bold]Examples[/bold]

      invkit data list

      invkit data list --data /data --json
    """
    rows = [dataset_facts(name, data) for name in registry.names("datasets")]
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
        return
    table = Table("name", "title", "cases", Column("where", overflow="fold"), "licence")
    for row in rows:
        table.add_row(*(escape("" if value is None else str(value)) for value in row.values()))
    out.print(table)


@data_app.command("fetch")
def fetch_dataset(
    name: Name,
    origin: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="FOLDER|ARCHIVE|URL",
            help="A folder or archive that you have downloaded, or the address of an archive. Files are recognised by "
            "their contents.",
        ),
    ] = None,
    data: Data = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace files that differ from those of the dataset.")
    ] = False,
) -> None:
    """Download a dataset from its authors into the folder of all data. Every file is checked by its SHA-256.

    If a download is interrupted, run the command again: complete files are not downloaded twice.

    [bold]Examples[/bold]

      invkit data fetch levin

      invkit data fetch lai --from ~/Downloads/datasets.zip
    """
    from ...datasets.fetching import absent

    component, folder = downloadable(name, data)
    files = component.dataset_files()
    wanted = absent(files, folder, replace=replace)
    check_manual_files(name, component, wanted, origin)
    fetch_with_progress(component.folder, files, folder, wanted, origin)
    done = f"{len(wanted)} files fetched" if wanted else f"all {len(files)} files are already present"
    print_line(f"{component.title}: {done} in {folder}")
    print_line(f"Licence: {component.licence}. Please cite: {component.citation}")


@data_app.command("where")
def print_folder(
    name: Annotated[
        str | None,
        typer.Argument(
            help="The name of a dataset. Default: the folder of all data.", autocompletion=complete_names("datasets")
        ),
    ] = None,
    data: Data = None,
) -> None:
    """Print the folder of all data, or of one dataset, whether it exists or not.

    [bold]Examples[/bold]

      invkit data where

      ls "$(invkit data where levin)"
    """
    from ...datasets.places import data_folder

    typer.echo(data_folder(data) if name is None else downloadable(name, data)[1])


def dataset_facts(name: str, data: Path | None) -> dict[str, Any]:
    """The name, title, number of cases, place and licence of a dataset.

    If the dataset cannot be loaded, the title says why. If it has no cases, ``cases`` is None and ``where`` says what
    to do.
    """
    from ...core.errors import PluginError

    try:
        component: type[Dataset] = registry.load("datasets", name)
        cases, place = presence(name, component, data)
    except PluginError as error:
        return {"name": name, "title": str(error), "cases": None, "where": "", "licence": ""}
    return {"name": name, "title": component.title, "cases": cases, "where": place, "licence": component.licence}


def presence(name: str, component: type[Dataset], data: Path | None) -> tuple[int | None, str]:
    """The number of cases of a dataset, and their place; or None, and how to obtain some.

    Args:
        name: the registered name.
        component: the class.
        data: the folder of all data, or None.
    """
    from ...core.errors import InputError
    from ...core.evaluation import Downloadable
    from ...core.parameters import parameters_of
    from ...datasets.places import data_folder

    required = [key for key, parameter in parameters_of(component).model_fields.items() if parameter.is_required()]
    if required:
        return None, f"set {', '.join(required)}"
    try:
        cases = len(component(data).cases())
    except InputError:
        return None, f"absent: invkit data fetch {name}"
    return cases, str(data_folder(data) / component.folder) if issubclass(component, Downloadable) else "ready"


def downloadable(name: str, data: Path | None) -> tuple[type[Downloadable], Path]:
    """The class of a dataset that can be downloaded, and its folder.

    Raises:
        UnknownNameError, PluginError: as `registry.load`.
        InputError: the dataset has no files of its own.
    """
    from ...core.errors import InputError
    from ...core.evaluation import Downloadable
    from ...datasets.places import data_folder

    component = registry.load("datasets", name)
    if not issubclass(component, Downloadable):
        raise InputError(f"the dataset '{name}' has no files to fetch; see 'invkit describe datasets {name}'")
    return component, data_folder(data) / component.folder


def check_manual_files(
    name: str, component: type[Downloadable], wanted: Sequence[DatasetFile], origin: str | None
) -> None:
    """Explain how to get files that only a person can download, if no copy of them is given; raises `InputError`.

    Args:
        name: the registered name of the dataset.
        component: the class.
        wanted: the files that are absent.
        origin: the copy that is given, or None.
    """
    from ...core.errors import InputError
    from ...core.evaluation import ManuallyDownloadable

    manual = [file for file in wanted if not file.url]
    if origin is None and manual and issubclass(component, ManuallyDownloadable):
        raise InputError(
            f"{len(manual)} files of '{name}' cannot be fetched automatically. {component.instructions} Then run "
            f"'invkit data fetch {name} --from FOLDER', or give the archive itself. Files are recognised by their "
            "contents, whatever their names are"
        )


def fetch_with_progress(
    title: str, files: Sequence[DatasetFile], folder: Path, wanted: Sequence[DatasetFile], origin: str | None
) -> None:
    """Fetch files and show the progress, the speed and the time left.

    Args:
        title: the text beside the progress bar.
        files: all files of the dataset.
        folder: the dataset's folder.
        wanted: the files to fetch; those in the folder that differ are replaced.
        origin: as in `invkit.datasets.fetching.fetch`.
    """
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    from ...datasets.fetching import fetch

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    bar = Progress(*columns, TimeRemainingColumn(), console=err, transient=True, disable=not err.is_terminal)
    task = bar.add_task(escape(title), total=sum(file.size for file in wanted))
    try:
        with bar:
            fetch(files, folder, origin=origin, replace=True, watch=lambda count: bar.advance(task, count))
    except KeyboardInterrupt:
        print_line("Stopped. Complete files are kept; run the same command again to fetch the rest.", err)
        raise typer.Exit(130) from None
