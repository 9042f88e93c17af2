"""The options of the commands that restore. Each is declared once, as a field of `RestoreOptions`.

Typer builds a command from a function's signature. `with_options` puts the fields into the signature of a function that
takes a `RestoreOptions`. Several commands thus share the options and have defaults of their own.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass, fields, replace
from functools import cache, partial, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Concatenate, Literal, ParamSpec, get_type_hints

import typer

from ...core.messages import shortened
from .shared import Debug, complete_names, complete_recipes

if TYPE_CHECKING:
    from ...pipeline.options import KernelSize

__all__ = ["RestoreOptions", "input_option", "parse_kernel_size", "parse_uncertainty", "with_options"]

Rest = ParamSpec("Rest")

input_option = partial(typer.Option, rich_help_panel="Input")
method_option = partial(typer.Option, rich_help_panel="Method")
output_option = partial(typer.Option, rich_help_panel="Output")
control_option = partial(typer.Option, rich_help_panel="Run control")


@dataclass(frozen=True, kw_only=True)
class RestoreOptions:
    """What is known of the image, the method, where the files go, and how the run proceeds; see the help texts."""

    kernel_size: Annotated[
        str | None,
        input_option(
            metavar="N|HxW|auto", help="Size of the blur kernel in pixels. Too large is safer than too small."
        ),
    ] = None
    kernel: Annotated[
        Path | None,
        input_option(
            help="The blur kernel (.npy, a grey picture, for a stack a TIFF file of planes), or another known operator "
            "parameter, as a mask."
        ),
    ] = None
    sigma: Annotated[
        float | None,
        input_option(
            min=0, help="Standard deviation of the noise, in the units of the data. Default: estimated from the image."
        ),
    ] = None
    variance: Annotated[
        Path | None,
        input_option(
            help="Variance of the noise of each pixel (a picture, .npy or TIFF), in the units of the data squared, of "
            "pictures of 8 and 16 bits those of [0, 1]; NaN or infinity where a pixel was not measured. Replaces "
            "--sigma."
        ),
    ] = None
    whole_picture: Annotated[
        bool,
        input_option(
            "--whole-picture",
            help="Take the whole picture for the blurred scene: leave out no frames, bars, date stamps, watermarks and "
            "bad pixels, and restore it even if it is sharp. Transparent and unmeasured pixels stay unknown.",
        ),
    ] = False
    white: Annotated[
        float | None,
        input_option(
            min=0,
            help="Value of the data that is taken for white. Default: that of the format; of dim pictures, and of "
            "numbers outside [0, 1] as counts, a value just above the largest. Results are in the data's units.",
        ),
    ] = None
    truth: Annotated[Path | None, input_option(help="The sharp image, to report the PSNR before and after.")] = None
    recipe: Annotated[
        str,
        method_option(
            help="Name of a recipe ('invkit list recipes'), a .toml file, or a run's result.json. auto, for an unknown "
            "kernel: night if light streaks draw it, otherwise best, or fast if --time-limit is too short for best.",
            autocompletion=complete_recipes,
        ),
    ] = "auto"
    settings: Annotated[
        list[str] | None,
        method_option(
            "--set",
            metavar="PLACE=VALUE",
            help="Change a setting of the recipe, as solver.iterations=500. Repeatable.",
        ),
    ] = None
    color: Annotated[
        Literal["luma", "rgb"] | None,
        method_option(
            help="luma restores the luma and keeps the chroma; rgb restores all channels with one kernel. Default: as "
            "the recipe says."
        ),
    ] = None
    seed: Annotated[int, method_option(min=0, help="Seed of all random numbers.")] = 0
    output: Annotated[Path, output_option("--output", "-o", help="Folder for image, kernel, overview and result.json.")]
    overwrite: Annotated[bool, output_option("--overwrite", help="Replace the run in the output folder.")] = False
    uncertainty: Annotated[
        str | None,
        output_option(
            metavar="N|auto",
            help="Also find how sure the result is: the standard deviation of every pixel and of the kernel, from N "
            "samples; auto takes 16, or 4 solves of a recipe with networks. Writes uncertainty.png (a map), "
            "image_deviation.npy and kernel_deviation.npy. About 9 in 10 true pixels lie within 1.64 deviations if the "
            "kernel is right; a wrong kernel is not covered.",
        ),
    ] = None
    as_json: Annotated[
        bool,
        output_option(
            "--json", help="For scripts: print the summary as JSON, and everything else on the standard error."
        ),
    ] = False
    device: Annotated[str, control_option(help="auto, cpu, cuda, cuda:1 or mps.")] = "auto"
    time_limit: Annotated[
        float | None, control_option(min=0, metavar="SECONDS", help="Stop after this time, with the result so far.")
    ] = None
    resume: Annotated[
        bool,
        control_option(
            "--resume",
            help="Continue the run in the output folder. A finished run is extended with --set solver.iterations=N, "
            "if it was started with --extendable.",
        ),
    ] = False
    extendable: Annotated[
        bool,
        control_option("--extendable", help="Keep the last state of the solver, so that --resume can extend the run."),
    ] = False
    checkpoint_every: Annotated[
        float, control_option(min=0, metavar="SECONDS", help="Time between two checkpoints.")
    ] = 30.0
    observe: Annotated[
        list[str] | None,
        control_option(
            metavar="NAME[:KEY=VALUE,...]",
            help="Observe the solve, as snapshots:every=10. Repeatable.",
            autocompletion=complete_names("observers"),
        ),
    ] = None
    debug: Debug = False


def with_options(
    defaults: RestoreOptions, *, required: Collection[str] = (), without: Collection[str] = ()
) -> Callable[[Callable[Concatenate[RestoreOptions, Rest], None]], Callable[..., None]]:
    """Replace the first parameter of a function by one option for each field of `RestoreOptions`.

    Args:
        defaults: the default of each option in this command.
        required: names of fields that have no default in this command.
        without: names of fields that this command does not offer; they keep the values of ``defaults``.

    Returns:
        A decorator. The function that it returns takes the fields by keyword, and Typer reads its signature.
    """
    offered = [field.name for field in fields(defaults) if field.name not in without]

    def option(name: str) -> inspect.Parameter:
        default = inspect.Parameter.empty if name in required else getattr(defaults, name)
        return inspect.Parameter(
            name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=option_annotations()[name]
        )

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        @wraps(function)
        def command(**given: Any) -> None:
            options = replace(defaults, **{name: given.pop(name) for name in offered})
            function(options, **given)

        own = [*inspect.signature(function, eval_str=True).parameters.values()][1:]
        keywords = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in own]
        vars(command)["__signature__"] = inspect.Signature([*keywords, *map(option, offered)])
        return command

    return decorate


@cache
def option_annotations() -> dict[str, Any]:
    """The annotation of each field of `RestoreOptions`; each resolution of all of them takes a millisecond."""
    return get_type_hints(RestoreOptions, include_extras=True)


def parse_kernel_size(text: str | None) -> KernelSize | None:
    """Parse ``31``, ``31x25`` (height x width) or ``auto``; raises `typer.BadParameter`.

    Example:
        >>> parse_kernel_size("31x25")
        (31, 25)
    """
    if text is None or text == "auto":
        return None if text is None else "auto"
    sides = re.fullmatch(r"(-?\d{1,9})(?:x(-?\d{1,9}))?", text.lower())
    if sides is None:
        raise typer.BadParameter(f"'{shortened(text)}' is not N, HxW or auto", param_hint="--kernel-size")
    return int(sides[1]), int(sides[2] or sides[1])


def parse_uncertainty(text: str | None) -> bool | int:
    """Parse a number of samples or ``auto``; None for no uncertainty. Raises `typer.BadParameter`.

    Example:
        >>> parse_uncertainty("32"), parse_uncertainty("auto"), parse_uncertainty(None)
        (32, True, False)
    """
    if text is None or text == "auto":
        return text is not None
    if not re.fullmatch(r"[0-9]{1,5}", text):
        raise typer.BadParameter(f"'{shortened(text)}' is not a number or auto", param_hint="--uncertainty")
    return int(text)
