"""``invkit ui``: the web page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ...core.errors import InputError
from .shared import err, out

__all__ = ["ui"]

HOME = "127.0.0.1"
PORT = 8712


def ui(
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 lets the whole network in.")] = HOME,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port; another one where it is taken. 0: any that is free.")
    ] = PORT,
    open_browser: Annotated[bool, typer.Option("--open/--no-open", help="Show the page in a browser.")] = True,
    folder: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder for all its files; default: one in the user's data.")
    ] = None,
    max_upload: Annotated[float, typer.Option(min=0.001, metavar="MB", help="The largest file that is taken.")] = 50.0,
    max_pixels: Annotated[
        float, typer.Option(min=0.001, metavar="MP", help="The largest picture that is taken.")
    ] = 50.0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps.")] = "auto",
) -> None:
    """Restore photographs on a web page of this computer.

    Drop a photo, choose a recipe, watch image and kernel become sharp, compare, download. Runs are kept in a gallery.

    [bold]Examples[/bold]

      invkit ui

      invkit ui --port 9000 --no-open --folder ~/deblurred
    """
    try:
        from ..ui.serving import Settings, serve
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "nicegui":
            raise
        raise InputError("invkit ui needs NiceGUI, which is not installed: pip install 'invkit[ui]'") from error
    from ..ui.limits import Limits

    where = (folder or own_folder()).expanduser().absolute()
    settings = Settings(where, host, port, open_browser, Limits(max_upload, max_pixels), device)
    if not settings.is_private:
        say_warning(
            f"at {host} everybody who reaches this computer by the network sees all photos; there is no password"
        )
    serve(settings, lambda line: out.print(line, markup=False, highlight=False, soft_wrap=True))


def own_folder() -> Path:
    """The page's folder in the user's data."""
    from platformdirs import user_data_path

    return user_data_path("invkit", appauthor=False) / "ui"


def say_warning(words: str) -> None:
    """A warning on the standard error."""
    err.print("[yellow]warning:[/yellow]", end=" ")
    err.print(words, markup=False, highlight=False, soft_wrap=True)
