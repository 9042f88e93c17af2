"""The options of the commands that restore. Each is declared once, as a field of a dataclass.

Typer builds a command from a function's signature. `with_options` puts the fields of the dataclasses that a function
takes into this signature. Several commands thus share the options and have defaults of their own.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, fields, replace
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_type_hints

import typer

from .shared import Debug, complete_names, complete_recipes

if TYPE_CHECKING:
    from ...pipeline.options import KernelSize

__all__ = ["INPUT", "KernelFile", "RestoreOptions", "RunOptions", "TruthFile", "parse_kernel_size", "with_options"]

INPUT, METHOD, OUTPUT, RUN_CONTROL = "Input", "Method", "Output", "Run control"  # panels of --help

KernelFile = Annotated[
    Path | None,
    typer.Option(
        help="The blur kernel (.npy or a grey picture), or another known operator parameter, as a mask.",
        rich_help_panel=INPUT,
    ),
]
TruthFile = Annotated[
    Path | None, typer.Option(help="The sharp image, to report the PSNR before and after.", rich_help_panel=INPUT)
]


@dataclass(frozen=True, kw_only=True)
class RestoreOptions:
    """What is known about the image, and the method that restores it. The help texts document the fields."""

    kernel_size: Annotated[
        str | None,
        typer.Option(
            metavar="N|HxW|auto",
            help="Size of the blur kernel in pixels. Too large is safer than too small.",
            rich_help_panel=INPUT,
        ),
    ] = None
    kernel: KernelFile = None
    sigma: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="Standard deviation of the noise, in [0, 1] units. Default: estimated from the image.",
            rich_help_panel=INPUT,
        ),
    ] = None
    truth: TruthFile = None
    recipe: Annotated[
        str,
        typer.Option(
            help="Name of a recipe ('invkit list recipes'), a .toml file, or a run's result.json. auto: best, or fast "
            "if --time-limit is too short for best.",
            autocompletion=complete_recipes,
            rich_help_panel=METHOD,
        ),
    ] = "auto"
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="PLACE=VALUE",
            help="Change a setting of the recipe, as solver.iterations=500. Repeatable.",
            rich_help_panel=METHOD,
        ),
    ] = None
    color: Annotated[
        Literal["luma", "rgb"] | None,
        typer.Option(
            help="luma restores the luma and keeps the chroma; rgb restores all channels with one kernel. Default: as "
            "the recipe says.",
            rich_help_panel=METHOD,
        ),
    ] = None
    seed: Annotated[int, typer.Option(min=0, help="Seed of all random numbers.", rich_help_panel=METHOD)] = 0

    @property
    def size(self) -> KernelSize | None:
        """The kernel size, parsed; raises `typer.BadParameter`."""
        return parse_kernel_size(self.kernel_size)


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """Where a run's files go, when it stops, and what observes it. The help texts document the fields."""

    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", help="Folder for image, kernel, overview and result.json.", rich_help_panel=OUTPUT
        ),
    ]
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the run in the output folder.", rich_help_panel=OUTPUT)
    ] = False
    as_json: Annotated[
        bool,
        typer.Option(
            "--json",
            help="For scripts: print the summary as JSON, and everything else on the standard error.",
            rich_help_panel=OUTPUT,
        ),
    ] = False
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.", rich_help_panel=RUN_CONTROL)] = "auto"
    time_limit: Annotated[
        float | None,
        typer.Option(
            min=0,
            metavar="SECONDS",
            help="Stop after this time, with the result so far.",
            rich_help_panel=RUN_CONTROL,
        ),
    ] = None
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Continue the run in the output folder.", rich_help_panel=RUN_CONTROL),
    ] = False
    checkpoint_every: Annotated[
        float,
        typer.Option(min=0, metavar="SECONDS", help="Time between two checkpoints.", rich_help_panel=RUN_CONTROL),
    ] = 30.0
    observe: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME[:KEY=VALUE,...]",
            help="Observe the solve, as snapshots:every=10. Repeatable.",
            autocompletion=complete_names("observers"),
            rich_help_panel=RUN_CONTROL,
        ),
    ] = None
    debug: Debug = False


def with_options(
    *defaults: RestoreOptions | RunOptions, required: Collection[str] = (), without: Collection[str] = ()
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Turn each parameter of a function that takes one of the dataclasses into one option for each of its fields.

    Args:
        defaults: an instance of each of these dataclasses; its values are the defaults of the options.
        required: names of fields that have no default in this command.
        without: names of fields that this command does not offer; they keep the values of the instance.

    Returns:
        A decorator. The function that it returns takes the fields by keyword, and Typer reads its signature.
    """

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        own = inspect.signature(function, eval_str=True).parameters.values()
        groups = {p.name: default for p in own for default in defaults if p.annotation is type(default)}
        options = [o for group in groups.values() for o in field_options(group, required) if o.name not in without]
        plain = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in own if p.name not in groups]

        @wraps(function)
        def command(**given: Any) -> None:
            values = {option.name: given.pop(option.name) for option in options}
            for name, default in groups.items():
                own_values = {f.name: values[f.name] for f in fields(default) if f.name in values}
                given[name] = replace(default, **own_values)
            function(**given)

        vars(command)["__signature__"] = inspect.Signature([*plain, *options])
        return command

    return decorate


def field_options(default: RestoreOptions | RunOptions, required: Collection[str]) -> Iterator[inspect.Parameter]:
    """The fields of a dataclass instance as parameters of a command, with its values as their defaults."""
    annotations = get_type_hints(type(default), include_extras=True)
    for field in fields(default):
        value = inspect.Parameter.empty if field.name in required else getattr(default, field.name)
        annotation = annotations[field.name]
        yield inspect.Parameter(field.name, inspect.Parameter.KEYWORD_ONLY, default=value, annotation=annotation)


def parse_kernel_size(text: str | None) -> KernelSize | None:
    """Parse ``31``, ``31x25`` (height x width) or ``auto``; raises `typer.BadParameter`.

    Example:
        >>> parse_kernel_size("31x25")
        (31, 25)
    """
    if text is None or text == "auto":
        return None if text is None else "auto"
    sides = text.lower().split("x")
    try:
        numbers = [int(side) for side in sides]
    except ValueError:
        numbers = []
    if len(numbers) not in (1, 2):
        raise typer.BadParameter(f"'{text}' is not N, HxW or auto", param_hint="--kernel-size")
    return (numbers[0], numbers[-1])
