"""``invkit animate``: how a run's image and kernel evolved."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .running import err

__all__ = ["add_to"]


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(animate)


def animate(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The --output of a run with --observe snapshots.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="A .gif, .webp or .mp4; replaced if there is one.")
    ] = Path("evolution.gif"),
    seconds: Annotated[float, typer.Option(min=0.04, help="How long it takes, the last picture aside.")] = 6.0,
) -> None:
    """Show how image and kernel of a run evolved, side by side with iteration and loss, as a moving picture.

    An .mp4 needs an encoder, which 'pip install invkit[video]' brings.

    [bold]Examples[/bold]

      invkit deblur photo.jpg --observe snapshots:every=5 --output run1

      invkit animate run1 --output evolution.gif
    """
    from ...media.animation import animate_folder

    with err.status("drawing"):
        path = animate_folder(folder, output, seconds)
    err.print(f"{path.stat().st_size / 1e6:.1f} MB in {path}", markup=False, highlight=False, soft_wrap=True)
