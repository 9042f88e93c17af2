"""The commands that restore: ``invkit deblur``, ``deconvolve``, ``solve`` and ``rerun``."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .options import RestoreOptions, input_option, parse_kernel_size, parse_uncertainty, with_options
from .shared import BAR_DELAY, complete_recipes, err, print_line

if TYPE_CHECKING:
    from ...core.result import Result
    from ...core.solver import Observer
    from ...pipeline.inputs import ImageInput
    from ...pipeline.job import Job

__all__ = ["deblur_command", "deconvolve_command", "rerun_command", "solve_command"]

TOLD_MEMORY = 10**9  # bytes; a solve that needs more says so before it starts

PhotoArgument = Annotated[Path, typer.Argument(help="The blurry photograph: PNG, JPEG, TIFF, BMP, WebP or NPY.")]
PhotoOrStack = Annotated[
    Path,
    typer.Argument(
        help="The blurry photograph (PNG, JPEG, TIFF, BMP, WebP or NPY), or a stack (TIFF of several pages, or NPY).",
    ),
]
ImageFiles = Annotated[
    list[Path] | None,
    input_option(
        help="The measurement. Default: the file of the recipe or of the earlier run. Repeatable, for several frames."
    ),
]


@with_options(RestoreOptions(output=Path("deblurred")))
def deblur_command(options: RestoreOptions, photo: PhotoArgument) -> None:
    """Restore a blurry photograph and estimate its blur kernel.

    Writes image.png, kernel.png, kernel.npy, overview.png and result.json to the output folder.

    [bold]Examples[/bold]

      invkit deblur photo.jpg --kernel-size 31

      invkit deblur photo.jpg --recipe selfdeblur --set kernel_prior.hidden=2000

      invkit deblur photo.jpg --time-limit 60 --output run1, then the same with --resume
    """
    restore_image(photo, options)


@with_options(RestoreOptions(output=Path("deconvolved")), required=["kernel"], without=["kernel_size"])
def deconvolve_command(options: RestoreOptions, photo: PhotoOrStack) -> None:
    """Restore a blurry photograph, or a stack of planes, whose blur kernel is known.

    Writes the same files as deblur; of a stack image.tif, image.npy and operator_parameter.npy. The recipe must use a
    known kernel. Without --recipe it is sparse-admm, or, for a stack (a TIFF file of several pages),
    stack-richardson-lucy.

    [bold]Examples[/bold]

      invkit deconvolve photo.jpg --kernel deblurred/kernel.npy

      invkit deconvolve photo.jpg --kernel kernel.png --recipe hyper-laplacian --set regularizers.0.weight=0.3

      invkit deconvolve stack.tif --kernel psf.tif
    """
    restore_image(photo, options, nonblind=True)


@with_options(RestoreOptions(output=Path("solved")), without=["recipe"])
def solve_command(
    options: RestoreOptions,
    recipe: Annotated[str, typer.Argument(help="A recipe's .toml file or name.", autocompletion=complete_recipes)],
    image: ImageFiles = None,
) -> None:
    """Solve the inverse problem that a recipe describes.

    Without --image, the measurement is the file that the recipe names, relative to the recipe's folder.

    [bold]Examples[/bold]

      invkit solve denoise-tv --image noisy.png

      invkit solve inpaint-tv --image holes.png --kernel mask.png

      invkit solve multi-frame --image first.png --image second.png --kernel-size 19

      invkit solve blind-tomography --image projections.npy
    """
    restore_image(image_input(image), replace(options, recipe=recipe))


@with_options(
    RestoreOptions(output=Path("rerun")),
    without=["kernel_size", "sigma", "whole_picture", "uncertainty", "white", "recipe", "settings", "color", "seed"],
)
def rerun_command(
    options: RestoreOptions,
    result: Annotated[Path, typer.Argument(help="The result.json of the earlier run.")],
    image: ImageFiles = None,
) -> None:
    """Repeat an earlier run from its result.json, bit for bit.

    The recipe with all settings, kernel size, noise level, colour and seed are those of the earlier run.
    The device is that of the earlier run, unless --device names one.
    With --image, another image is restored in the same way.

    [bold]Examples[/bold]

      invkit rerun deblurred/result.json

      invkit rerun deblurred/result.json --image other.jpg --output other
    """
    with without_collection(), stdout_for_json(options):
        from ...media.output import check_output
        from ...pipeline.api import prepare_rerun

        check_output(options.output, overwrite=options.overwrite, resume=options.resume)
        device = None if options.device == "auto" else options.device
        job = prepare_rerun(
            result,
            image=image_input(image),
            kernel=options.kernel,
            variance=options.variance,
            truth=options.truth,
            device=device,
        )
        observers = named_observers(options, job.facts["seed"])
    run_job(job, options, observers)


@contextmanager
def without_collection() -> Iterator[None]:
    """Collect no garbage inside; later collections, and the one at the end of the process, leave out what exists then.

    For a command, not for a library: the libraries of a command have a million objects, and each collection that
    examines all of them takes 0.1 to 0.3 s. There are several while they are loaded, and one when Python ends.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_enabled:
            gc.enable()


def image_input(files: list[Path] | None) -> ImageInput | None:
    """The file or the files of --image, or None."""
    paths: list[Any] = list(files or [])
    return paths if len(paths) > 1 else next(iter(paths), None)


def restore_image(image: ImageInput | None, options: RestoreOptions, *, nonblind: bool = False) -> None:
    """Check all options, compute, write the results and print a summary.

    Args:
        image: the measurement; None takes the file that the recipe names.
        options: the options of the command.
        nonblind: refuse a recipe that would not use the given kernel.

    Raises:
        InvkitError: an option, the image or the recipe cannot be used; nothing has been written then.
    """
    with without_collection(), stdout_for_json(options):
        from ...media.output import check_output
        from ...pipeline.job import prepare

        check_output(options.output, overwrite=options.overwrite, resume=options.resume)
        observers = named_observers(options, options.seed)
        job = prepare(
            image,
            recipe=options.recipe,
            kernel=options.kernel,
            truth=options.truth,
            kernel_size=parse_kernel_size(options.kernel_size),
            color=options.color,
            overrides=options.settings or (),
            seed=options.seed,
            device=options.device,
            sigma=options.sigma,
            whole_picture=options.whole_picture,
            uncertainty=parse_uncertainty(options.uncertainty),
            white=options.white,
            variance=options.variance,
            nonblind=nonblind,
            time_limit=options.time_limit,
        )
    run_job(job, options, observers)


def stdout_for_json(options: RestoreOptions) -> AbstractContextManager[object]:
    """With --json, what components print meanwhile goes to the standard error, because JSON follows on the output."""
    return redirect_stdout(sys.stderr) if options.as_json else nullcontext()


def named_observers(options: RestoreOptions, seed: int) -> list[Observer]:
    """The observers that --observe names; raises `InvkitError`."""
    if not options.observe:
        return []
    from ...pipeline.observers import observers_of

    return observers_of(options.observe, working_place(options), seed)


def run_job(job: Job, options: RestoreOptions, observers: Sequence[Observer]) -> None:
    """Compute a checked job, write the results and print a summary. After Ctrl-C the exit code is 130, SIGTERM 143.

    Args:
        job: what to compute.
        options: output folder and limits.
        observers: observers of the solve.
    """
    from ...core.memory import memory_needed
    from ...core.solver import deferred_interrupt
    from ...media.output import check_inputs
    from ...media.run_folder import CHECKPOINT

    check_inputs(options.output, job.input_files)
    if "recipe_choice" in job.facts:
        print_line(f"recipe {job.facts['recipe_choice']}", err)
    needed = memory_needed(job.assembly.solver, job.assembly.problem)
    if needed >= TOLD_MEMORY:
        print_line(f"the solve needs about {needed / 1e9:.1f} GB of memory", err)
    with stdout_for_json(options), run_folder(options) as working, deferred_interrupt() as interrupt:
        checkpoint = working / CHECKPOINT
        try:
            result = compute(job, options, observers, checkpoint)
        except KeyboardInterrupt:  # the second Ctrl-C; the solver handles the first
            kept = "; --resume continues from the last checkpoint" if checkpoint.exists() else ""
            print_line(f"stopped without a result{kept}", err)
            raise typer.Exit(130) from None
        with without_collection():
            save(result, options.output, checkpoint, extendable=options.extendable)
    summarize(result, options, resumable=(options.output / CHECKPOINT).exists())
    lacks_samples = options.uncertainty is not None and interrupt.is_set()
    if result.stopped == "interrupted" or lacks_samples:
        raise typer.Exit(interrupt.exit_code)


@contextmanager
def run_folder(options: RestoreOptions) -> Iterator[Path]:
    """The working folder of a run, in the locked output folder, which is removed if an error leaves it empty."""
    from ...media.output import check_output
    from ...media.run_folder import locked_folder, made_folder

    with locked_folder(options.output):
        check_output(options.output, overwrite=options.overwrite, resume=options.resume)  # another run may have ended
        working = working_place(options)
        with made_folder(working, resume=options.resume):
            yield working


def working_place(options: RestoreOptions) -> Path:
    """Where a run keeps its checkpoint and its snapshots."""
    from ...media.run_folder import working_folder

    return working_folder(options.output, overwrite=options.overwrite, resume=options.resume)


def compute(job: Job, options: RestoreOptions, observers: Sequence[Observer], checkpoint: Path) -> Result:
    """Run a job with a progress bar and checkpoints.

    Args:
        job: what to compute.
        options: output folder and limits.
        observers: observers of the solve.
        checkpoint: the file of the checkpoints.
    """
    from ...core.observers.progress import ProgressBar
    from ...core.runtime.workers import dismiss_workers

    result = job.run(
        time_limit=options.time_limit,
        observers=observers,
        progress=lambda title: ProgressBar(title, err, after=BAR_DELAY),
        checkpoint=checkpoint,
        checkpoint_every=options.checkpoint_every,
        resume=options.resume,
        extendable=options.extendable,
    )
    dismiss_workers()  # no other image follows; the workers end while this result is written
    return result


def save(result: Result, output: Path, checkpoint: Path, *, extendable: bool = False) -> None:
    """Write a result beside an older one, and then replace that; a complete run needs its checkpoint no more.

    Args:
        result: of the run.
        output: the folder.
        checkpoint: of the run, in its working folder.
        extendable: keep the checkpoint of a complete run.

    Raises:
        InputError: the result cannot be written; the older one is unchanged.
    """
    from ...media.output import write_with_room
    from ...media.run_folder import replace_run

    write_with_room(result, checkpoint)
    if checkpoint.parent != output:
        replace_run(output, checkpoint.parent)
    if result.is_complete and not extendable:
        (output / checkpoint.name).unlink(missing_ok=True)


def summarize(result: Result, options: RestoreOptions, *, resumable: bool) -> None:
    """Print how a run ended and where its files are; with --json, the content of result.json.

    Args:
        result: the result.
        options: output folder and form of the summary.
        resumable: whether there is a checkpoint to resume from.
    """
    if options.as_json:
        from ...media.output import strict_json

        typer.echo(strict_json(result.summary()), nl=False)
        return
    from ...pipeline.scene import UNKNOWN_SHARE

    ending = result.stopped
    if not result.is_complete:
        ending = f"stopped early ({ending}), result so far{'; --resume continues' if resumable else ''}"
    print_line(f"{ending}: {result.iterations} iterations in {result.seconds:.1f} s")
    if "psnr" in result.details:
        psnr = result.details["psnr"]
        print_line(f"PSNR {psnr['before']:.2f} dB before, {psnr['after']:.2f} dB after")
    if "uncertainty" in result.details:
        found = result.details["uncertainty"]
        print_line(
            f"standard deviation of a pixel {found['mean_image_deviation']:.4g} on average. {found['statement']}"
        )
        if "stopped" in found:
            print_line(f"the samples were stopped early ({found['stopped']}) after {found.get('samples')} of them")
    for notice in result.details.get("notices", ()):
        print_line(f"note: {notice}")
    if set(result.details.get("left_out", ())) - {UNKNOWN_SHARE} or "unchanged" in result.details:
        print_line("note: with --whole-picture, everything is restored")
    for warning in result.details.get("warnings", ()):
        print_line(f"warning: {warning}")
    if result.details.get("warnings"):
        print_line(f"the input is saved beside the result: {options.output / 'photograph.png'}")
    print_line(f"see {options.output / 'overview.png'}")
