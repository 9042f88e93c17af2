"""Tables and figures of a finished suite from the command line: ``invkit bench table`` and ``invkit bench plot``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

import typer

from ...core.errors import InputError
from .shared import err, out

if TYPE_CHECKING:
    from ...benchmark.records import Store

__all__ = ["add_to"]

Format: TypeAlias = Literal["md", "csv", "latex", "html", "json"]
SUFFIXES: dict[str, Format] = {".md": "md", ".csv": "csv", ".tex": "latex", ".html": "html", ".json": "json"}

Folder = Annotated[Path, typer.Argument(metavar="DIR", help="The --output of 'invkit bench run'.")]


def add_to(app: typer.Typer) -> None:
    """Add the commands to the ``bench`` group."""
    app.command()(table)
    app.command()(plot)


def table(
    folder: Folder,
    kind: Annotated[
        Format | None, typer.Option("--format", help="Default: by the suffix of --output, else for the terminal.")
    ] = None,
    metrics: Annotated[
        str | None, typer.Option(metavar="A,B,...", help="Labels of the metrics, in this order; default: all.")
    ] = None,
    by: Annotated[
        str | None, typer.Option(metavar="GROUP", help="A column for each value of a group of the cases, as category.")
    ] = None,
    published: Annotated[
        bool, typer.Option("--published", help="Show beside them what others have published, with its source.")
    ] = False,
    interval: Annotated[
        Literal["cases", "seeds", "none"], typer.Option(help="What the 95 % confidence intervals are over.")
    ] = "cases",
    each: Annotated[bool, typer.Option("--each", help="One line for each job instead, as CSV.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="For scripts: the same as --format json.")] = False,
    output: Annotated[Path | None, typer.Option("--output", "-o", metavar="FILE", help="Instead of printing.")] = None,
) -> None:
    """Show the results of a suite as tables, whether it is finished or not.

    CSV and JSON have one line for each dataset, recipe, metric and group, with every statistic; CSV with --each one for
    each job; LaTeX needs booktabs.

    [bold]Examples[/bold]

      invkit bench table benchmarked/levin --published

      invkit bench table benchmarked/lai --by category --output lai.html

      invkit bench table benchmarked/levin --json
    """
    from ...benchmark.records import read_store

    kind = "json" if as_json else kind or (format_of(output) if output is not None else None)
    if each and (kind not in (None, "csv") or by or published):
        raise typer.BadParameter("--each is CSV of single jobs, without --by and --published; leave them out")
    store = read_store(folder)
    if kind is None and not each:
        show(store, names(metrics), by, published, interval)
        return
    text = each_job(store, names(metrics)) if each else written(store, kind, names(metrics), by, published, interval)
    if output is None:
        typer.echo(text, nl=False)
        return
    save(output, text)
    err.print(f"{store.progress()}; see {output}", markup=False, highlight=False, soft_wrap=True)


def show(
    store: Store, metrics: list[str], by: str | None, published: bool, interval: Literal["cases", "seeds", "none"]
) -> None:
    """Print tables for reading."""
    from ...benchmark.render import as_terminal
    from ...benchmark.tables import tables_of

    tables = tables_of(store, metrics=metrics, by=by, published=published, interval=interval)
    out.print(as_terminal(store.title, tables, out.width))
    out.print(store.progress(), markup=False, highlight=False)


def each_job(store: Store, metrics: list[str]) -> str:
    """One line for each job."""
    from ...benchmark.job_lines import as_job_lines

    return as_job_lines(store, metrics=metrics)


def written(
    store: Store,
    kind: Format | None,
    metrics: list[str],
    by: str | None,
    published: bool,
    interval: Literal["cases", "seeds", "none"],
) -> str:
    """The tables in a format."""
    from ...benchmark.long_table import as_csv, long_lines
    from ...benchmark.render import as_html, as_latex, as_markdown
    from ...benchmark.tables import tables_of
    from ...media.output import strict_json

    if kind is None or kind == "csv":
        return as_csv(store, metrics=metrics, by=by, published=published)
    if kind == "json":
        return strict_json(list(long_lines(store, metrics=metrics, by=by, published=published)))
    writers = {"md": as_markdown, "latex": as_latex, "html": as_html}
    tables = tables_of(store, metrics=metrics, by=by, published=published, interval=interval)
    return writers[kind](store.title, tables)


def format_of(path: Path) -> Format:
    """The format of a file by its suffix; raises `InputError`."""
    if path.suffix.lower() not in SUFFIXES:
        raise InputError(f"the format of {path} is not known; end it in {', '.join(SUFFIXES)}, or give --format")
    return SUFFIXES[path.suffix.lower()]


def save(path: Path, text: str) -> None:
    """Write a file, whole or not at all; raises `InputError`."""
    from ...core.files import write_atomically

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, text.encode())
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror or error}; choose another place") from error


def names(text: str | None) -> list[str]:
    """The names between commas."""
    return [name.strip() for name in (text or "").split(",") if name.strip()]


def plot(
    folder: Folder,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="DIR", help="For the figures; default: DIR/plots.")
    ] = None,
    kinds: Annotated[
        str | None,
        typer.Option(
            metavar="A,B,...", help="Of ratios, time, cases, losses, snapshots, kernels, strips; default: all."
        ),
    ] = None,
    cases: Annotated[
        str | None,
        typer.Option(
            metavar="A,B,...|all",
            help="Cases whose pictures are shown; default: the first, the worst, the median and the best.",
        ),
    ] = None,
    metric: Annotated[
        str | None, typer.Option(help="The metric that stands for quality; default: the suite's first.")
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(envvar="INVKIT_DATA", help="The folder of all data, to show blurry and sharp pictures too."),
    ] = None,
) -> None:
    """Draw figures of the results of a suite, each as PNG and SVG.

    [bold]Examples[/bold]

      invkit bench plot benchmarked/levin

      invkit bench plot benchmarked/levin --kinds strips,kernels --cases im1_kernel4,im4_kernel8
    """
    from ...benchmark.plots import KINDS, draw
    from ...benchmark.records import read_store
    from ...benchmark.tables import chosen_metrics

    store = read_store(folder)
    quality = chosen_metrics(store, [metric])[0] if metric else None
    place = output or folder / "plots"
    drawn = draw(store, place, kinds=names(kinds) or KINDS, cases=names(cases), metric=quality, root=data)
    lines = [*drawn.remarks, store.progress(), f"{len(drawn.files)} figures in {place}"]
    for line in lines:
        out.print(line, markup=False, highlight=False, soft_wrap=True)
