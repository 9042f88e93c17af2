"""The command line: thin, and quick to start; what computes is imported when it is asked for."""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TextIO

import typer
from rich.markdown import Markdown
from rich.markup import escape
from rich.table import Table

from . import __version__, registry
from .bench_commands import bench_app
from .data_commands import data_app
from .errors import InvkitError
from .plugin_commands import plugin_app
from .running import Run, err, out

if TYPE_CHECKING:
    from .choices import KernelSize

__all__ = ["app", "main"]

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Blind and non-blind inverse problems in imaging, with pluggable priors.\n\n"
    "Try [bold]invkit deblur photo.jpg[/bold], then change one word: "
    "[bold]invkit deblur photo.jpg --recipe pan-l0 --set then=wiener[/bold].",
)
recipe_app = typer.Typer(no_args_is_help=True, help="Look at recipes, to copy and edit.")
app.add_typer(recipe_app, name="recipe")
app.add_typer(data_app, name="data")
app.add_typer(bench_app, name="bench")
app.add_typer(plugin_app, name="plugin")
_debug = False


def _set_debug(value: bool) -> bool:
    global _debug  # noqa: PLW0603 - one switch of the process, read by main() after the command has failed
    _debug = _debug or value
    return value


def _version(value: bool) -> None:
    if value:
        out.print(f"invkit {__version__}", highlight=False)
        raise typer.Exit


Debug = Annotated[
    bool, typer.Option("--debug", help="Show the traceback of an error.", callback=_set_debug, is_eager=True)
]
Output = Annotated[Path, typer.Option("--output", "-o", help="Folder for image, kernel, overview and result.json.")]
Size = Annotated[
    str | None,
    typer.Option(metavar="N|HxW|auto", help="Size of the blur kernel in pixels; too large beats too small."),
]
Colors = Annotated[
    Literal["luma", "rgb"] | None,
    typer.Option(help="Restore the luma and keep the chroma, or all channels with one kernel; default: the recipe's."),
]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="PLACE=VALUE", help="Change the recipe: solver.params.iterations=500. Repeatable."),
]
Seed = Annotated[int, typer.Option(min=0, help="Seed of every random number.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps.")]
TimeLimit = Annotated[
    float | None, typer.Option(min=0, metavar="SECONDS", help="Stop after this time with the result so far.")
]
Resume = Annotated[bool, typer.Option("--resume", help="Continue the run of the output folder.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the run of the output folder.")]
Sigma = Annotated[
    float | None, typer.Option(min=0, help="Std of the noise in [0, 1] units; default: estimated from the image.")
]
Truth = Annotated[Path | None, typer.Option(help="The sharp image, to report PSNR before and after.")]
SaveEvery = Annotated[
    float, typer.Option("--checkpoint-every", min=0, metavar="SECONDS", help="Time between two checkpoints.")
]
Observe = Annotated[
    list[str] | None,
    typer.Option(
        "--observe", metavar="NAME[:KEY=VALUE,...]", help="Watch the solve, as snapshots:every=10. Repeatable."
    ),
]
KernelFile = Annotated[
    Path | None,
    typer.Option(
        "--kernel", help="A kernel (.npy or picture), or what else is known, as a mask, for recipes that take it."
    ),
]


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version.", callback=_version, is_eager=True)
    ] = False,
    debug: Debug = False,
) -> None:
    """Hold the options that stand before a command."""


@app.command()
def deblur(
    photo: Annotated[Path, typer.Argument(help="The blurry photograph: PNG, JPEG, TIFF, BMP, WebP or NPY.")],
    recipe: Annotated[
        str,
        typer.Option(
            help="A recipe's name ('invkit list recipes'), a .toml file or a run's result.json; auto: best, or fast "
            "where --time-limit is too short for it."
        ),
    ] = "auto",
    kernel_size: Size = None,
    kernel: KernelFile = None,
    output: Output = Path("deblurred"),
    color: Colors = None,
    settings: Settings = None,
    seed: Seed = 0,
    device: Device = "auto",
    sigma: Sigma = None,
    truth: Truth = None,
    time_limit: TimeLimit = None,
    checkpoint_every: SaveEvery = 30.0,
    observe: Observe = None,
    resume: Resume = False,
    overwrite: Overwrite = False,
    debug: Debug = False,
) -> None:
    """Restore a blurry photograph and estimate the kernel that blurred it.

    Writes image.png, kernel.png, kernel.npy, overview.png and result.json to the output folder.

    [bold]Examples[/bold]

      invkit deblur photo.jpg --kernel-size 31

      invkit deblur photo.jpg --recipe selfdeblur --set kernel_prior.params.hidden=2000

      invkit deblur photo.jpg --time-limit 60 --output run1, then the same with --resume
    """
    size = parse_kernel_size(kernel_size)
    choices: dict[str, Any] = {"kernel_size": size, "color": color, "seed": seed, "device": device}
    choices |= {"overrides": settings or [], "sigma": sigma, "kernel": kernel, "truth": truth}
    run = Run(output, time_limit, checkpoint_every, resume, overwrite, observe or ())
    run.go(photo, recipe, choices)


@app.command()
def deconvolve(
    photo: Annotated[Path, typer.Argument(help="The blurry photograph: PNG, JPEG, TIFF, BMP, WebP or NPY.")],
    kernel: Annotated[Path, typer.Option(help="The kernel that blurred it: .npy, or a grey picture.")],
    recipe: Annotated[str, typer.Option(help="As for deblur; its kernel must be known.")] = "sparse-admm",
    output: Output = Path("deconvolved"),
    color: Colors = None,
    settings: Settings = None,
    seed: Seed = 0,
    device: Device = "auto",
    sigma: Sigma = None,
    truth: Truth = None,
    time_limit: TimeLimit = None,
    checkpoint_every: SaveEvery = 30.0,
    observe: Observe = None,
    resume: Resume = False,
    overwrite: Overwrite = False,
    debug: Debug = False,
) -> None:
    """Restore a blurry photograph whose kernel is known.

    Writes the same files as deblur.

    [bold]Examples[/bold]

      invkit deconvolve photo.jpg --kernel deblurred/kernel.npy

      invkit deconvolve photo.jpg --kernel kernel.png --recipe hyper-laplacian --set regularizers.0.weight=0.3
    """
    choices: dict[str, Any] = {"kernel": kernel, "nonblind": True, "color": color, "seed": seed, "device": device}
    choices |= {"overrides": settings or [], "sigma": sigma, "truth": truth}
    run = Run(output, time_limit, checkpoint_every, resume, overwrite, observe or ())
    run.go(photo, recipe, choices)


@app.command()
def solve(
    recipe: Annotated[str, typer.Argument(help="A recipe's .toml file or name.")],
    image: Annotated[
        list[Path] | None,
        typer.Option(help="What was measured; default: the recipe's measurement. Repeatable, for several frames."),
    ] = None,
    kernel_size: Size = None,
    kernel: KernelFile = None,
    output: Output = Path("solved"),
    color: Colors = None,
    settings: Settings = None,
    seed: Seed = 0,
    device: Device = "auto",
    sigma: Sigma = None,
    truth: Truth = None,
    time_limit: TimeLimit = None,
    checkpoint_every: SaveEvery = 30.0,
    observe: Observe = None,
    resume: Resume = False,
    overwrite: Overwrite = False,
    debug: Debug = False,
) -> None:
    """Solve the inverse problem of any recipe, for the measurement it names or the one given.

    Files named in a recipe are looked for beside it.

    [bold]Examples[/bold]

      invkit solve denoise-tv --image noisy.png

      invkit solve inpaint-tv --image holes.png --kernel mask.png

      invkit solve multi-frame --image first.png --image second.png --kernel-size 19

      invkit solve blind-tomography --image projections.npy
    """
    size = parse_kernel_size(kernel_size)
    choices: dict[str, Any] = {"kernel_size": size, "color": color, "seed": seed, "device": device}
    choices |= {"overrides": settings or [], "sigma": sigma, "kernel": kernel, "truth": truth}
    run = Run(output, time_limit, checkpoint_every, resume, overwrite, observe or ())
    several: list[Any] = list(image or [])
    run.go(several if len(several) > 1 else several[0] if several else None, recipe, choices)


@app.command("list")
def list_components(
    family: Annotated[str | None, typer.Argument(help="operators, image_priors, kernel_priors, ...")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For scripts.")] = False,
    check: Annotated[bool, typer.Option("--check", help="Load each one and say what fails (exit code 1).")] = False,
    debug: Debug = False,
) -> None:
    """List the registered components, of one family or of all."""
    families = [family] if family else list(registry.FAMILIES)
    rows = [vars(entry) for each in families for entry in registry.entries(each)]
    if check:
        from .schema import problem_of

        rows = [row | {"problem": problem_of(registry.Entry(**row))} for row in rows]
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
    else:
        _print_rows(rows, check)
    if any(row.get("problem") for row in rows):
        raise typer.Exit(1)


@app.command()
def describe(
    family: Annotated[str, typer.Argument(help="The family, as 'kernel_priors'.")],
    name: Annotated[str, typer.Argument(help="The component, as 'softmax-fcn'.")],
    as_json: Annotated[bool, typer.Option("--json", help="For scripts.")] = False,
    debug: Debug = False,
) -> None:
    """Show what a component is, where it is from, and every parameter that a recipe may set."""
    if family == "recipes" and not as_json:
        show(name)
        return
    from .schema import describe as described

    facts = described(family, name)
    if as_json:
        typer.echo(json.dumps(facts, indent=2))
        return
    out.print(f"{facts['name']} of {family}, {facts['class']} ({facts['distribution']})\n", markup=False)
    out.print(Markdown(facts["about"]))
    table = Table("parameter", "type", "default", "meaning", title="parameters")
    for parameter, schema in facts["parameters"].items():
        required = parameter in facts["required"]
        default = "[bold]required[/bold]" if required else escape(json.dumps(schema.get("default")))
        table.add_row(parameter, escape(type_words(schema)), default, escape(schema.get("description", "")))
    out.print(table if facts["parameters"] else "It has no parameters.")


@app.command()
def schema() -> None:
    """Print the JSON schema of recipe files, for editors."""
    from .schema import recipe_schema

    typer.echo(json.dumps(recipe_schema(), indent=2))


@recipe_app.command()
def show(name: Annotated[str, typer.Argument(help="A recipe's name.")], debug: Debug = False) -> None:
    """Print a recipe's TOML, to copy and edit: invkit recipe show selfdeblur > mine.toml."""
    from .recipe import recipe_text

    typer.echo(recipe_text(name))


def parse_kernel_size(text: str | None) -> KernelSize | None:
    """``31``, ``31x25`` (height x width) or ``auto``; raises `typer.BadParameter`."""
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


def type_words(schema: dict[str, Any]) -> str:
    """A parameter's type and bounds in words, from its JSON schema."""
    if "x-family" in schema:
        return f"a component of {schema['x-family']}"
    if "x-family" in schema.get("items", ()):
        return f"a list of components of {schema['items']['x-family']}"
    if "anyOf" in schema:
        return " or ".join(type_words(option) for option in schema["anyOf"])
    if "enum" in schema:
        return ", ".join(map(str, schema["enum"]))
    signs = {"exclusiveMinimum": ">", "minimum": ">=", "exclusiveMaximum": "<", "maximum": "<="}
    bounds = [f"{sign} {schema[key]}" for key, sign in signs.items() if key in schema and abs(schema[key]) < 2**53]
    kind = "none" if schema.get("type") == "null" else str(schema.get("const", schema.get("type", "any")))
    return " ".join([kind, *bounds])


def main() -> None:
    """Run a command; an error of the user's is one sentence and exit code 2, never a traceback unless --debug."""
    warnings.showwarning = _show_warning
    try:
        app()
    except (InvkitError, OSError) as error:
        if _debug:
            raise
        err.print("[red]error:[/red]", end=" ")
        err.print(str(error), markup=False, highlight=False, soft_wrap=True)
        sys.exit(2)


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """A warning as a sentence, without the line of the program that gave it."""
    err.print("[yellow]warning:[/yellow]", end=" ")
    err.print(str(message), markup=False, highlight=False, soft_wrap=True)


def _print_rows(rows: list[dict[str, Any]], check: bool) -> None:
    table = Table("family", "name", "from", *(["check"] if check else []))
    for row in rows:
        origin = f"{row['distribution']} {row['version']}".strip()
        cells = [row["family"], row["name"], origin, *([row["problem"] or "ok"] if check else [])]
        table.add_row(*map(escape, cells))
    out.print(table)
