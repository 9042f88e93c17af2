"""``invkit doctor``: whether this installation works."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Column, Table

from .running import err, out

if TYPE_CHECKING:
    from ..doctor import Finding

__all__ = ["add_to"]

MARKS = {"ok": "[green]ok[/green]", "note": "[yellow]note[/yellow]", "broken": "[red]broken[/red]"}


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(doctor)


def doctor(
    data: Annotated[
        Path | None,
        typer.Option(
            "--data", metavar="DIR", help="The folder of all data; default: INVKIT_DATA, else one in the user's cache."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For scripts, on the standard output.")] = False,
) -> None:
    """Look at the installation, and deblur a small picture with it; exit code 1 if anything is broken.

    Versions, devices and threads, plugins and those that fail, which data are present and how to get the others,
    folders and the room in them, and a self-test of a few seconds.

    [bold]Examples[/bold]

      invkit doctor

      invkit doctor --json > doctor.json, to be sent with a question
    """
    from ..doctor import examine

    with err.status("looking") as status:
        found = list(examine(data, lambda section: status.update(f"looking at {section}")))
    broken = [finding for finding in found if finding.state == "broken"]
    if as_json:
        typer.echo(json.dumps({"works": not broken, "findings": [asdict(finding) for finding in found]}, indent=2))
    else:
        out.print(as_table(found))
        out.print(f"{len(broken)} broken; see above" if broken else "everything that was looked at works")
    if broken:
        raise typer.Exit(1)


def as_table(found: Sequence[Finding]) -> Table:
    """The findings by section, for reading."""
    table = Table("", "", Column("found", overflow="fold"), "", Column("what to do", overflow="fold"), box=None)
    section = ""
    for finding in found:
        first = "" if finding.section == section else f"[bold]{escape(finding.section)}[/bold]"
        section = finding.section
        table.add_row(first, escape(finding.name), escape(finding.said), MARKS[finding.state], escape(finding.remedy))
    return table
