"""The commands that present finished runs: ``invkit report`` and ``invkit animate``."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from .shared import BAR_DELAY, err, print_line

__all__ = ["animate_command", "report_command"]

TrackedItem = TypeVar("TrackedItem")


def report_command(
    folders: Annotated[
        list[Path],
        typer.Argument(
            metavar="DIR...", help="Output folders of 'invkit deblur' or similar, or of 'invkit bench run'."
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="The page.")] = Path("report.html"),
    title: Annotated[str | None, typer.Option(help="Title of the page. Default: made from its content.")] = None,
    photo: Annotated[
        list[Path] | None,
        typer.Option(help="The photograph of a run, if it is neither in the run's folder nor beside it. Repeatable."),
    ] = None,
    truth: Annotated[
        Path | None, typer.Option(help="The sharp image of the photograph, for comparison and PSNR curves.")
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(envvar="INVKIT_DATA", help="Folder of all data, for blurry and sharp images of a benchmark."),
    ] = None,
    megabytes: Annotated[
        float, typer.Option(min=1, help="Largest size of the page; its images are reduced to fit.")
    ] = 15.0,
    show: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
) -> None:
    """Write runs or a benchmark to one self-contained HTML page.

    The page has images to compare, kernels, curves and tables. Runs of the same photograph are shown side by side.

    [bold]Examples[/bold]

      invkit report deblurred --photo photo.jpg --open

      invkit report fast best --output fast-and-best.html

      invkit report benchmarked/levin --title "Levin's images"
    """
    from ..report.writing import report

    report(folders, output, title=title, photos=photo or (), truth=truth, data=data, megabytes=megabytes, track=tracked)
    print_line(f"{output}: {output.stat().st_size / 1e6:.1f} MB")
    if show:
        typer.launch(output.resolve().as_uri())


def tracked(items: Sequence[TrackedItem], what: str) -> Iterator[TrackedItem]:
    """Yield the items, with a progress bar on the standard error if they take long."""
    from rich.progress import Progress

    start = time.monotonic()
    with Progress(console=err, disable=not err.is_terminal, transient=True, auto_refresh=False) as bar:
        task = bar.add_task(what, total=len(items), visible=False)
        for item in items:
            yield item
            bar.update(task, advance=1, visible=time.monotonic() - start > BAR_DELAY, refresh=True)


def animate_command(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Output folder of a run with --observe snapshots.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="A .gif, .webp or .mp4 file; an old one is replaced.")
    ] = Path("evolution.gif"),
    seconds: Annotated[float, typer.Option(min=0.04, help="Duration, without the pause on the last frame.")] = 6.0,
) -> None:
    """Animate how the image and the kernel of a run evolved.

    They are shown side by side, with iteration and loss. An .mp4 file needs the extra named video.

    [bold]Examples[/bold]

      invkit deblur photo.jpg --observe snapshots:every=5 --output run1

      invkit animate run1 --output evolution.gif
    """
    from ...media.animation import animate_folder

    with err.status("drawing"):
        path = animate_folder(folder, output, seconds)
    print_line(f"{path.stat().st_size / 1e6:.1f} MB in {path}", err)
