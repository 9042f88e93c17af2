"""The command line. A command's module is imported when the command is used, so that it starts quickly."""

from __future__ import annotations

import sys
import warnings
from importlib import import_module
from importlib.metadata import version
from io import TextIOWrapper
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_group

from ...core.errors import InvkitError
from .shared import Debug, Debugging, err, print_line

__all__ = ["COMMANDS", "LazyCommand", "LazyGroup", "app", "main"]

COMMANDS = {
    "Restore": {
        "deblur": ("restore:deblur_command", "Restore a blurry photograph and estimate its blur kernel."),
        "deconvolve": (
            "restore:deconvolve_command",
            "Restore a blurry photograph, or a stack of planes, whose blur kernel is known.",
        ),
        "solve": ("restore:solve_command", "Solve the inverse problem that a recipe describes."),
        "rerun": ("restore:rerun_command", "Repeat an earlier run from its result.json, bit for bit."),
    },
    "Present results": {
        "report": ("results:report_command", "Write runs or a benchmark to one self-contained HTML page."),
        "animate": ("results:animate_command", "Animate how the image and the kernel of a run evolved."),
    },
    "Components and recipes": {
        "list": ("components:list_command", "List the registered components, of one family or of all."),
        "describe": ("components:describe_command", "Describe a component and the parameters that a recipe can set."),
        "recipe": ("components:recipe_app", "Show recipes, to copy and edit."),
        "schema": ("components:schema_command", "Print the JSON schema of recipe files, for editors."),
        "plugin": ("components:plugin_app", "Write your own components, as a package that pip installs."),
    },
    "Data and benchmarks": {
        "data": ("data:data_app", "List the datasets, fetch them, and print where they are."),
        "bench": ("bench:bench_app", "Try recipes on datasets, and make tables and figures of it."),
    },
    "This installation": {
        "doctor": ("doctor:doctor_command", "Check this installation and deblur a small image with it."),
        "ui": ("ui:ui", "Restore photographs on a web page of this computer."),
    },
}
"""The commands of each panel of ``invkit --help``: where each is (module:name in this package), and its help line."""


class LazyCommand(TyperCommand):
    """A command of which only the name and one line of help are known until it is loaded.

    Args:
        name: of the command.
        place: where it is, as in `COMMANDS`; a function, or a Typer app for a group of commands.
        help_line: shown by ``invkit --help``.
        panel: of ``invkit --help``.
    """

    def __init__(self, name: str, place: str, help_line: str, panel: str) -> None:
        super().__init__(name, help=help_line, rich_help_panel=panel)
        self.place = place

    def load(self) -> Any:
        """Import the command, and return it as Typer's own command or group."""
        module, _, attribute = self.place.partition(":")
        found = getattr(import_module(f".{module}", __package__), attribute)
        parent = typer.Typer(rich_markup_mode="rich")
        if isinstance(found, typer.Typer):
            parent.add_typer(found, name=self.name)
        else:
            parent.command(self.name)(found)
        return get_group(parent).commands[str(self.name)]


class LazyGroup(TyperGroup):
    """The group of `COMMANDS`. Its help and its completion load no command; using a command loads that one."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        for panel, commands in COMMANDS.items():
            self.commands.update({name: LazyCommand(name, *known, panel) for name, known in commands.items()})

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """Load the command that the first argument names."""
        name, command, rest = super().resolve_command(ctx, args)
        return name, command.load() if isinstance(command, LazyCommand) else command, rest


app = typer.Typer(
    cls=LazyGroup,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Blind and non-blind inverse problems in imaging, with pluggable priors.\n\n"
    "Try [bold]invkit deblur photo.jpg[/bold], then change one setting: "
    "[bold]invkit deblur photo.jpg --recipe pan-l0 --set next=wiener[/bold].",
    epilog="Environment: INVKIT_DATA is the folder of all data; INVKIT_DISABLE_PLUGINS=1 disables plugins. Exit codes: "
    "0, success; 1, a check or a job failed; 2, invalid input; 130, interrupted by Ctrl-C; "
    "143, interrupted by SIGTERM. An interrupted run keeps its result so far.",
)


def _version(value: bool) -> None:
    if value:
        print_line(f"invkit {version('invkit')}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version.", callback=_version, is_eager=True)
    ] = False,
    debug: Debug = False,
) -> None:
    """Hold the options that precede a command."""


def main() -> None:
    """Run a command. An invalid input gives one sentence and exit code 2; --debug shows the traceback instead."""
    escape_unprintable()
    warnings.showwarning = _show_warning
    try:
        app()
    except (InvkitError, OSError) as error:
        if Debugging.on:
            raise
        err.print("[red]error:[/red]", end=" ")
        print_line(str(error), err)
        sys.exit(2)


def escape_unprintable() -> None:
    """Escape the characters that a standard stream cannot encode; they would end the command."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _show_warning(message: Warning | str, *_: object, **__: object) -> None:
    """Print a warning as a sentence, without its source line."""
    err.print("[yellow]warning:[/yellow]", end=" ")
    print_line(str(message), err)
