"""The commands ``invkit bench table`` and ``invkit bench plot``: tables and figures of the results of a suite."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

import typer

from ...core.errors import InputError
from .shared import err, out, print_line

if TYPE_CHECKING:
    from ...benchmark.records import SuiteResults

__all__ = ["comma_separated", "plot_command", "table_command"]

TableFormat: TypeAlias = Literal["md", "csv", "latex", "html", "json"]
TABLE_SUFFIXES: dict[str, TableFormat] = {
    ".md": "md",
    ".csv": "csv",
    ".tex": "latex",
    ".html": "html",
    ".json": "json",
}

ResultsFolder = Annotated[Path, typer.Argument(metavar="DIR", help="The --output of 'invkit bench run'.")]


def table_command(
    folder: ResultsFolder,
    kind: Annotated[
        TableFormat | None,
        typer.Option("--format", help="Default: the suffix of --output decides, otherwise a table for the terminal."),
    ] = None,
    metrics: Annotated[
        str | None, typer.Option(metavar="A,B,...", help="Labels of the metrics, in this order; default: all.")
    ] = None,
    by: Annotated[
        str | None, typer.Option(metavar="GROUP", help="One column for each value of a group, for example category.")
    ] = None,
    published: Annotated[
        bool, typer.Option("--published", help="Show published results too, with their sources.")
    ] = False,
    interval: Annotated[
        Literal["cases", "seeds", "none"], typer.Option(help="Whether the 95 % intervals are over cases or seeds.")
    ] = "cases",
    each: Annotated[bool, typer.Option("--each", help="One line for each job, as CSV.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="For scripts: the same as --format json.")] = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write to a file instead of the terminal.")
    ] = None,
) -> None:
    """Show the results of a suite as tables. The suite need not be finished.

    CSV and JSON have one line for each dataset, recipe, metric and group, with all statistics. CSV with --each has one
    line for each job. LaTeX needs booktabs.

    [bold]Examples[/bold]

      invkit bench table benchmarked/levin --published

      invkit bench table benchmarked/lai --by category --output lai.html

      invkit bench table benchmarked/levin --json
    """
    from ...benchmark.formats import as_job_lines, as_terminal
    from ...benchmark.records import read_results
    from ...benchmark.tables import tables_of
    from ...core.files import save_file

    kind = "json" if as_json else kind or (format_of(output) if output is not None else None)
    if each and (kind not in (None, "csv") or by or published):
        raise typer.BadParameter("--each writes CSV of single jobs; leave out --by, --published and other formats")
    suite, labels = read_results(folder), comma_separated(metrics)
    options: dict[str, Any] = {"metrics": labels, "by": by, "published": published}
    if kind is None and not each:
        tables = tables_of(suite, interval=interval, **options)
        out.print(as_terminal(suite.title, tables, out.width))
        print_line(suite.progress())
        return
    text = as_job_lines(suite, labels) if each else file_text(suite, kind or "csv", options | {"interval": interval})
    if output is None:
        typer.echo(text, nl=False)
        return
    save_file(output, text)
    print_line(f"{suite.progress()}; see {output}", err)


def file_text(suite: SuiteResults, kind: TableFormat, options: dict[str, Any]) -> str:
    """The tables in a format.

    Args:
        suite: the results.
        kind: the format.
        options: keywords of `invkit.benchmark.tables.tables_of`.
    """
    from ...benchmark.formats import STATISTICS_HEADS, as_csv, as_page, statistics_lines
    from ...benchmark.tables import tables_of
    from ...media.output import strict_json

    lines = statistics_lines(suite, **{key: options[key] for key in ("metrics", "by", "published")})
    if kind == "csv":
        return as_csv(STATISTICS_HEADS, lines)
    if kind == "json":
        return strict_json(list(lines))
    return as_page(kind, suite.title, tables_of(suite, **options))


def format_of(path: Path) -> TableFormat:
    """The format of a file by its suffix; raises `InputError`."""
    if path.suffix.lower() not in TABLE_SUFFIXES:
        raise InputError(
            f"the format of {path} is unknown; end its name in {', '.join(TABLE_SUFFIXES)}, or give --format"
        )
    return TABLE_SUFFIXES[path.suffix.lower()]


def comma_separated(text: str | None) -> list[str]:
    """The parts of a comma-separated list; none for an option that is not given.

    Raises:
        InputError: the option is given without a part, which would otherwise mean everything.

    Example:
        >>> comma_separated("psnr, ssim"), comma_separated(None)
        (['psnr', 'ssim'], [])
    """
    parts = [part.strip() for part in (text or "").split(",") if part.strip()]
    if text is not None and not parts:
        raise InputError(f"'{text}' names nothing; write names with commas between them, or leave the option out")
    return parts


def plot_command(
    folder: ResultsFolder,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="DIR", help="Folder for the figures; default: DIR/plots.")
    ] = None,
    kinds: Annotated[
        str | None,
        typer.Option(
            metavar="A,B,...", help="Some of ratios, time, cases, losses, snapshots, kernels, strips; default: all."
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
        str | None, typer.Option(help="The metric of quality; default: the first metric of the suite.")
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
    from ...benchmark.plots import PLOT_KINDS, draw
    from ...benchmark.records import read_results
    from ...benchmark.tables import selected_metrics

    suite, place = read_results(folder), output or folder / "plots"
    quality = selected_metrics(suite, [metric])[0] if metric else None
    chosen = comma_separated(kinds) or list(PLOT_KINDS)
    drawn = draw(suite, place, kinds=chosen, cases=comma_separated(cases), metric=quality, root=data)
    for line in (*drawn.remarks, suite.progress(), f"{len(drawn.files)} figures in {place}"):
        print_line(line)
