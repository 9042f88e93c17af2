"""``invkit ui``: the web page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ...core.errors import InputError
from .shared import err, print_line

__all__ = ["ui"]

WEB_PACKAGES = ("nicegui", "fastapi", "starlette")  # all come with the extra "ui"


def ui(
    host: Annotated[str, typer.Option(help="Address to listen on. 0.0.0.0 admits the whole network.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port. If it is taken, another one is used. 0: any free port.")
    ] = 8712,
    open_browser: Annotated[bool, typer.Option("--open/--no-open", help="Open the page in a browser.")] = True,
    folder: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder of all files. Default: a folder in the user's data.")
    ] = None,
    max_upload: Annotated[float, typer.Option(min=0.001, metavar="MB", help="The largest file to accept.")] = 50.0,
    max_pixels: Annotated[float, typer.Option(min=0.001, metavar="MP", help="The largest picture to accept.")] = 50.0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps.")] = "auto",
) -> None:
    """Restore photographs on a web page of this computer.

    Drop a photo, choose a recipe, watch image and kernel become sharp, compare and download. A gallery keeps the runs.

    [bold]Examples[/bold]

      invkit ui

      invkit ui --port 9000 --no-open --folder ~/deblurred
    """
    try:
        from ..ui.server import ServerSettings, serve
        from ..ui.uploads import UploadLimits
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in WEB_PACKAGES:
            raise
        raise InputError(
            "invkit ui needs NiceGUI, which is not installed: run pip install -e '.[ui]' in the checkout of invkit"
        ) from error

    folder = (folder or default_folder()).expanduser().absolute()
    settings = ServerSettings(folder, host, port, open_browser, UploadLimits(max_upload, max_pixels), device)
    if not settings.is_private:
        err.print("[yellow]warning:[/yellow]", end=" ")
        print_line(
            f"the host is {host}: everybody who reaches this computer over the network can see all photos, because "
            "there is no password",
            err,
        )
    serve(settings, print_line)
    raise typer.Exit(130)  # only Ctrl-C ends the page


def default_folder() -> Path:
    """The page's folder in the user's data."""
    from platformdirs import user_data_path

    return user_data_path("invkit", appauthor=False) / "ui"
