"""``invkit report``: runs and benchmarks as one HTML page."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from .running import err, out

__all__ = ["add_to"]

T = TypeVar("T")
SHOWN_AFTER = 2.0  # seconds: a bar for less would only flicker


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(report)


def report(
    folders: Annotated[
        list[Path],
        typer.Argument(
            metavar="DIR...", help="The --output of 'invkit deblur' and the like, or of 'invkit bench run'."
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="The page.")] = Path("report.html"),
    title: Annotated[str | None, typer.Option(help="Of the page; default: what is in it.")] = None,
    photo: Annotated[
        list[Path] | None,
        typer.Option(help="What a run was made from, if it lies neither in its folder nor beside it. Repeatable."),
    ] = None,
    truth: Annotated[
        Path | None, typer.Option(help="The sharp image of a run's photograph, to compare with, and for PSNR curves.")
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(envvar="INVKIT_DATA", help="The folder of all data, for a benchmark's blurry and sharp pictures."),
    ] = None,
    megabytes: Annotated[
        float, typer.Option(min=1, help="How large the page may become; pictures lose resolution beyond.")
    ] = 15.0,
    show: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
) -> None:
    """Put runs, or a benchmark, on one HTML page that needs nothing else: pictures to compare, kernels, curves, tables.

    Runs of the same photograph are shown beside each other.

    [bold]Examples[/bold]

      invkit report deblurred --photo photo.jpg --open

      invkit report fast best --output fast-and-best.html

      invkit report benchmarked/levin --title "Levin's images"
    """
    from ..report.writing import report as write

    write(folders, output, title=title, photos=photo or (), truth=truth, data=data, megabytes=megabytes, track=tracked)
    out.print(f"{output}: {output.stat().st_size / 1e6:.1f} MB", markup=False, highlight=False, soft_wrap=True)
    if show:
        typer.launch(output.resolve().as_uri())


def tracked(items: Sequence[T], what: str) -> Iterator[T]:
    """The items, with a bar on the standard error once they have taken two seconds."""
    from rich.progress import Progress

    begun = time.monotonic()
    with Progress(console=err, disable=not err.is_terminal, transient=True, auto_refresh=False) as bar:
        task = bar.add_task(what, total=len(items), visible=False)
        for item in items:
            yield item
            bar.update(task, advance=1, visible=time.monotonic() - begun > SHOWN_AFTER, refresh=True)
