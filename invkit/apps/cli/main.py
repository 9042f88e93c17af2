"""The command line: thin, and quick to start; what computes is imported when it is asked for."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TextIO

import typer

from ... import __version__
from ...core.errors import InvkitError
from .animate import add_to as add_animate_to
from .bench import bench_app
from .completion import names_of, recipes
from .data import data_app
from .doctor import add_to as add_doctor_to
from .inspect import add_to as add_look_to
from .plugin import plugin_app
from .report import add_to as add_report_to
from .running import Debug, Debugging, Run, err, out
from .ui import ui

if TYPE_CHECKING:
    from ...pipeline.options import KernelSize

__all__ = ["app", "main"]

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Blind and non-blind inverse problems in imaging, with pluggable priors.\n\n"
    "Try [bold]invkit deblur photo.jpg[/bold], then change one word: "
    "[bold]invkit deblur photo.jpg --recipe pan-l0 --set next=wiener[/bold].",
    epilog="Environment: INVKIT_DATA, the folder of all data; INVKIT_DISABLE_PLUGINS=1, to use no plugin. Exit codes: "
    "0, done; 1, something that was looked at or tried failed; 2, a mistake in what was given; 130, interrupted.",
)
app.add_typer(data_app, name="data")
app.add_typer(bench_app, name="bench")
app.add_typer(plugin_app, name="plugin")


def _version(value: bool) -> None:
    if value:
        out.print(f"invkit {__version__}", highlight=False)
        raise typer.Exit


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
        "--observe",
        metavar="NAME[:KEY=VALUE,...]",
        help="Watch the solve, as snapshots:every=10. Repeatable.",
        autocompletion=names_of("observers"),
    ),
]
AsJson = Annotated[
    bool, typer.Option("--json", help="Print the summary as JSON, and all else on the standard error, for scripts.")
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
            "where --time-limit is too short for it.",
            autocompletion=recipes,
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
    as_json: AsJson = False,
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
    run = Run(output, time_limit, checkpoint_every, resume, overwrite, observe or (), as_json)
    run.go(photo, recipe, choices)


@app.command()
def deconvolve(
    photo: Annotated[Path, typer.Argument(help="The blurry photograph: PNG, JPEG, TIFF, BMP, WebP or NPY.")],
    kernel: Annotated[Path, typer.Option(help="The kernel that blurred it: .npy, or a grey picture.")],
    recipe: Annotated[
        str, typer.Option(help="As for deblur; its kernel must be known.", autocompletion=recipes)
    ] = "sparse-admm",
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
    as_json: AsJson = False,
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
    run = Run(output, time_limit, checkpoint_every, resume, overwrite, observe or (), as_json)
    run.go(photo, recipe, choices)


@app.command()
def solve(
    recipe: Annotated[str, typer.Argument(help="A recipe's .toml file or name.", autocompletion=recipes)],
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
    as_json: AsJson = False,
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
    run = Run(output, time_limit, checkpoint_every, resume, overwrite, observe or (), as_json)
    several: list[Any] = list(image or [])
    run.go(several if len(several) > 1 else several[0] if several else None, recipe, choices)


for add_to in (add_look_to, add_report_to, add_animate_to, add_doctor_to):  # behind those that restore
    add_to(app)
app.command()(ui)


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


def main() -> None:
    """Run a command; an error of the user's is one sentence and exit code 2, never a traceback unless --debug."""
    warnings.showwarning = _show_warning
    try:
        app()
    except (InvkitError, OSError) as error:
        if Debugging.on:
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
