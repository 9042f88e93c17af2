"""The command ``invkit bench speed``."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .bench_output import save_text
from .shared import complete_recipes, out, print_line

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["speed_command"]


def speed_command(
    recipe: Annotated[
        str, typer.Argument(help="A registered recipe, or a .toml file.", autocompletion=complete_recipes)
    ] = "selfdeblur",
    side: Annotated[int, typer.Option(min=16, metavar="N", help="Height and width of the image, pixels.")] = 255,
    kernel: Annotated[int, typer.Option("--kernel-size", min=1, metavar="N", help="Side of the kernel, pixels.")] = 27,
    seconds: Annotated[float, typer.Option(min=0.1, metavar="S", help="Stop the run after S seconds.")] = 30.0,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="PLACE=VALUE", help="Change the recipe. Repeatable.")
    ] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Threads on the processor; default: the choice of torch.")
    ] = None,
    device: Annotated[str, typer.Option(help="As for deblur: auto, cpu, cuda, cuda:1, ...")] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="For scripts: print the values as JSON.")] = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write the values to a JSON file too.")
    ] = None,
) -> None:
    """Measure the seconds of an iteration of a recipe on this machine.

    The recipe restores the bundled photograph in the given size, until it ends or the time is over. The table shows
    the median and the minimum of the seconds of an iteration for each stage of the recipe. Press Ctrl-C to stop
    earlier. The benchmarks in benchmarks/speed compare with plain PyTorch and with the limits of the machine.

    [bold]Examples[/bold]

      invkit bench speed

      invkit bench speed fast --threads 1

      invkit bench speed selfdeblur --set image_prior.params.channels=32 --device cuda --output speed.json
    """
    from ...benchmark.speed import SpeedSetting, time_recipe
    from ...media.output import strict_json

    measured = time_recipe(recipe, SpeedSetting(side, kernel, seconds, device, threads, settings or ()))
    text = strict_json({"command": shlex.join(["invkit", *sys.argv[1:]]), **measured})
    if as_json:
        typer.echo(text, nl=False)
    else:
        setting, machine = measured["setting"], measured["machine"]
        sizes = f"{setting['side']}x{setting['side']} image, {setting['kernel']}x{setting['kernel']} kernel"
        print_line(f"{recipe}: {sizes}; {machine['device']}, {machine['cpu']}, threads: {machine['threads']}")
        out.print(speed_table(measured["stages"]), highlight=False)
        total, peak = f"{measured['seconds']:.1f} s", f"{measured['peak_bytes'] / 1e6:.0f} MB"
        print_line(f"{measured['stopped']} after {total}, peak memory {peak}")
    if output is not None:
        save_text(output, text)


def speed_table(stages: list[dict[str, Any]]) -> Table:
    """The seconds of an iteration of each stage."""
    from rich.table import Table

    table = Table("stage")
    for head in ("iterations", "median, s", "minimum, s"):
        table.add_column(head, justify="right")
    for row in stages:
        values = (f"{row[key]:.3g}" for key in ("median_seconds", "minimum_seconds"))
        table.add_row(row["stage"], str(row["iterations"]), *values)
    return table
