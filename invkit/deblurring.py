"""From a photograph to its restoration: the way through the whole house for people who just have a picture."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from . import choices
from .assembly import Assembly
from .chain import Outcome
from .choices import Choices, Color, KernelSize, Picture
from .doubts import doubts
from .errors import InputError, OutOfMemoryError
from .geometry import size_of, visible_part
from .media.colour import from_luma_chroma, to_luma_chroma
from .media.images import Layout, Photo, from_bchw
from .metrics.aligned import aligned_psnr
from .observers.checkpoint import Checkpointer, describe_run, load_checkpoint
from .observers.progress import ProgressBar
from .recipe import Recipe, is_out_of_memory
from .result import Array, Result
from .solver import Observer
from .stages import Stage, Watch, check_stages, plan, with_colors
from .starts import solve_stages

__all__ = ["Job", "deblur", "deconvolve", "prepare", "progress_bar", "restore"]

SHOWN_AFTER = 1.0  # seconds: a bar for less would only flicker


def deblur(
    image: Picture,
    *,
    recipe: str | Path | Recipe | None = None,
    kernel_size: KernelSize | None = None,
    color: Color | None = None,
    overrides: Sequence[str] = (),
    seed: int = 0,
    device: str = "auto",
    sigma: float | None = None,
    time_limit: float | None = None,
    progress: bool = True,
) -> Result:
    """Restore a blurry image and estimate the kernel that blurred it.

    A recipe may go on (``then``) with another one from the kernel found; the image is that of the last.

    Args:
        image: a file, a NumPy array (H, W), (H, W, 3) or a tensor (H, W), (C, H, W), (1, C, H, W); in [0, 1], or
            8 or 16 bit unsigned integers.
        recipe: a registered recipe's name, a ``.toml`` file or a `Recipe`; None or "auto" takes ``best``, or ``fast``
            where the time limit is too short for it.
        kernel_size: N, (h, w) or "auto" (`choices.auto_kernel_size`), pixels; too large is safer than too small. None:
            what the recipe says, which is "auto" unless it names one.
        color: of a colour image, restore the "luma" and keep the chroma, or the three channels with one kernel, "rgb",
            in the last stage of the recipe; None: what the recipe says, which is "luma" unless it names one.
        overrides: settings as ``"kernel_prior.params.hidden=2000"`` or ``"image_prior=pixels"``.
        seed: of every random number.
        device: "auto", "cpu", "cuda", "cuda:1", "mps".
        sigma: standard deviation of the noise in [0, 1] units; None to estimate it.
        time_limit: seconds after which the result so far is returned; as `Job.run`.
        progress: show a progress bar for each stage that takes longer than a second.

    Returns:
        The result; ``image`` is of the kind, layout and size of what was given, ``kernel`` is (h, w).

    Raises:
        InvkitError: the image, an option or the recipe cannot be used; nothing has been computed then.
        DivergedError: the solve did not stay finite.
    """
    job = prepare(
        image,
        recipe=recipe,
        kernel_size=kernel_size,
        color=color,
        overrides=overrides,
        seed=seed,
        device=device,
        sigma=sigma,
        time_limit=time_limit,
    )
    return job.run(time_limit=time_limit, progress=progress_bar if progress else None)


def deconvolve(
    image: Picture,
    kernel: Picture,
    *,
    recipe: str | Path | Recipe = "sparse-admm",
    color: Color | None = None,
    overrides: Sequence[str] = (),
    seed: int = 0,
    device: str = "auto",
    sigma: float | None = None,
    time_limit: float | None = None,
    progress: bool = True,
) -> Result:
    """Restore a blurry image whose kernel is known.

    Args:
        image: as for `deblur`.
        kernel: the true-convolution kernel, an array or tensor (h, w) or a file of one (``.npy`` or a grey picture),
            of any size up to the image's, odd or even. It need not be centred: a kernel off its centre moves the
            image. Refused: all zero, NaN or infinite, larger than the image, a picture in colour, negative values
            beyond a hundredth of the largest. Mended with a warning: smaller negative values, which count as zero;
            floating-point values whose sum is off one by more than a hundredth, which are scaled. Integers, as of
            an 8- or 16-bit picture, are scaled without one.
        recipe: as for `deblur`; its kernel prior must be ``known`` or start from a kernel.
        color: as for `deblur`; None: what the recipe says, for the registered ones mostly "rgb".
        overrides: as for `deblur`.
        seed: as for `deblur`.
        device: as for `deblur`.
        sigma: as for `deblur`.
        time_limit: as for `deblur`.
        progress: as for `deblur`.

    Returns and raises as `deblur`.

    Warns:
        UserWarning: the kernel was mended.
    """
    job = prepare(
        image,
        recipe=recipe,
        kernel=kernel,
        nonblind=True,
        color=color,
        overrides=overrides,
        seed=seed,
        device=device,
        sigma=sigma,
    )
    return job.run(time_limit=time_limit, progress=progress_bar if progress else None)


def restore(
    image: Picture | None,
    recipe: str | Path | Recipe,
    *,
    kernel: Picture | None = None,
    overrides: Sequence[str] = (),
    seed: int = 0,
    device: str = "auto",
    sigma: float | None = None,
    time_limit: float | None = None,
    progress: bool = True,
) -> Result:
    """Solve the problem of any recipe, blind or not, deblurring or not.

    Args:
        image: as for `deblur`; None takes the file that the recipe's measurement names.
        recipe: as for `deblur`.
        kernel: (h, w) true-convolution kernel or a file of one, where the recipe's kernel prior starts from a kernel;
            None takes the file that the recipe's measurement names, if it does.
        overrides: as for `deblur`.
        seed: as for `deblur`.
        device: as for `deblur`.
        sigma: as for `deblur`.
        time_limit: as for `deblur`.
        progress: as for `deblur`.

    Returns and raises as `deblur`.
    """
    job = prepare(image, recipe=recipe, kernel=kernel, overrides=overrides, seed=seed, device=device, sigma=sigma)
    return job.run(time_limit=time_limit, progress=progress_bar if progress else None)


def progress_bar(title: str) -> Observer:
    """The bar of one stage, on the standard error."""
    return ProgressBar(title, after=SHOWN_AFTER)


@dataclass(frozen=True)
class Job:
    """A restoration with everything decided and checked, and nothing computed yet.

    Attributes:
        name: of the recipe.
        assembly: problem and solver of the first stage, and the recipe of all of them, resolved.
        stages: the recipe, and those that go on from the kernel found.
        picture: the whole image that was given, (B, C, H, W) in [0, 1].
        layout: how to give the image back.
        photo: the file it came from, with the depth, alpha and colour profile to put back but without its pixels;
            None for an array.
        device: where the solve runs.
        identity: all that determines the result, by which a checkpoint is recognised.
        truth: the sharp image (B, C, H, W), to report PSNR before and after, or None.
        facts: kernel size, noise level, seed and the like, for the result's details.
        inputs: the files that it was made from.
    """

    name: str
    assembly: Assembly
    stages: tuple[Stage, ...]
    picture: Tensor
    layout: Layout
    photo: Photo | None
    device: torch.device
    identity: Mapping[str, Any]
    truth: Tensor | None
    facts: Mapping[str, Any]
    inputs: tuple[Path, ...]

    def run(
        self,
        *,
        time_limit: float | None = None,
        observers: Sequence[Observer] = (),
        progress: Callable[[str], Observer] | None = None,
        checkpoint: Path | None = None,
        checkpoint_every: float = 30.0,
        resume: bool = False,
    ) -> Result:
        """Solve, stage after stage, and put the picture together again.

        A stage that was stopped early, by the time limit or by Ctrl-C, leaves the stages between it and the last
        unsolved; the last is solved from the kernel so far if its kernel is known, so that there is an image.

        Args:
            time_limit: seconds after which the result so far is returned; the last of several stages gets 30 seconds
                or half of the limit, whichever is more, even if nothing is left of it.
            observers: watchers of every stage, one after the other.
            progress: makes a further watcher for each stage, from a title.
            checkpoint: file to save the state of the first stage in, None for none; of a recipe that has several to
                start from, none is saved.
            checkpoint_every: seconds between two saves.
            resume: continue the first stage from that file; later ones are solved again.

        Raises:
            InputError: there is nothing to resume from, or it is of another run.
            OutOfMemoryError, DivergedError: the solve failed.
        """
        check_time(time_limit)
        if resume and self.stages[0].starts:
            raise InputError(f"{self.name} begins from several starts, of which nothing is saved to resume; start anew")
        if resume and checkpoint is None:
            raise InputError("resume needs the checkpoint file to resume from")
        saved = load_checkpoint(checkpoint, self.identity, self.device) if resume and checkpoint is not None else None
        savers = [] if checkpoint is None else [Checkpointer(checkpoint, self.identity, checkpoint_every)]
        watch = Watch(observers, savers, progress, time_limit)
        with explained_memory():
            return self._finish(solve_stages(self.stages, self.assembly, self.device, watch, saved))

    def _finish(self, outcome: Outcome) -> Result:
        solved, (stage, _) = outcome.result(), outcome.last
        image, kernel = torch.as_tensor(solved.image), torch.as_tensor(solved.kernel)
        plane = visible_part(image, size_of(stage.data), size_of(kernel))
        whole = plane if stage.chroma is None else from_luma_chroma(plane, stage.chroma)
        details = {**self.facts, "color": shown_color(stage), **solved.details}
        if self.truth is not None:
            details["psnr"] = {"before": psnr(self.picture, self.truth), "after": psnr(whole, self.truth)}
        if self.stages[0].starts or not self.stages[0].recipe.is_nonblind:
            found = doubts(self.picture, whole.clamp(0, 1), kernel[0, 0], details.get("starts", ()))
            details |= {"doubts": found} if found else {}
        kernel = kernel[0, 0].double()
        kernel = kernel / kernel.sum()  # float32 sums to one within 1e-6 only
        return replace(
            solved,
            image=self._given_back(whole.clamp(0, 1).float()),
            kernel=kernel if self.layout.kind == "tensor" else kernel.numpy(),
            blurry=self._given_back(self.picture),
            details=details,
            bits=self.layout.bits if self.photo is None else self.photo.bits,
            icc_profile=None if self.photo is None else self.photo.icc_profile,
        )

    def _given_back(self, picture: Tensor) -> Array:
        array = from_bchw(picture, self.layout)
        return array if self.photo is None else self.photo.put_back(np.asarray(array))


def prepare(
    image: Picture | None = None,
    *,
    recipe: str | Path | Recipe | None = None,
    kernel: Picture | None = None,
    truth: Picture | None = None,
    kernel_size: KernelSize | None = None,
    color: Color | None = None,
    overrides: Sequence[str] = (),
    seed: int = 0,
    device: str = "auto",
    sigma: float | None = None,
    nonblind: bool = False,
    time_limit: float | None = None,
) -> Job:
    """Check everything, of every stage, and build the problem; arguments as for `deblur` and `restore`.

    ``truth``, the sharp image of the same size, makes the result report PSNR before and after (Levin's protocol).
    ``nonblind`` refuses a recipe that would not use the kernel. ``time_limit`` is only what "auto" picks a recipe by.

    Raises:
        InvkitError: one of them cannot be used.
    """
    named = {"kernel_size": kernel_size, "color": color, "seed": seed, "device": device, "sigma": sigma}
    chosen = Choices.checked(overrides, named)
    where = choices.choose_device(chosen.device)
    recipe, reason, taken = choices.decided(recipe, image, kernel, time_limit)
    method, folder = choices.find_recipe(recipe)
    method = method.with_overrides(chosen.overrides) if chosen.overrides else method
    if nonblind:
        choices.check_nonblind(method)
    measured, start = measurement(method, folder, image, kernel)
    picture, layout, photo = taken or choices.take(measured)
    sharp = None if truth is None else choices.take_truth(truth, picture)
    kernel_given = None if start is None else choices.take_kernel(start)
    if kernel_given is not None:
        choices.check_takes_kernel(method)
    wanted = chosen.kernel_size or method.measurement.kernel_size
    asked = (1, 1) if method.kernel_prior is None and not method.starts else wanted
    size = choices.check_kernel_size(asked, picture, kernel_given)
    stages = plan(method, picture, chosen)
    if kernel_given is not None:
        stages = (stages[0].knowing(kernel_given), *stages[1:])
    with explained_memory():
        assembly = check_stages(stages, size, kernel_given, where)
    assembly = replace(assembly, recipe=with_colors(assembly.recipe, stages))
    facts = {
        **({"recipe_picked": reason} if reason else {}),
        "image": choices.digest(measured),
        "image_size": list(picture.shape[-2:]),
        "kernel_given": choices.digest(start),
        "recipe": assembly.recipe,
        "seed": seed,
        "color": shown_color(stages[-1]),
        "noise_sigma": stages[0].sigma,
        "noise_sigma_from": "estimated" if chosen.sigma is None else "given",
        "device": str(where),
        "versions": versions(),
    }
    settings = {"seed": seed, "kernel_size": list(size), "sigma": stages[0].sigma}
    identity = describe_run(assembly.recipe, stages[0].data, kernel_given, settings)
    inputs = tuple(Path(given) for given in (measured, start, truth) if isinstance(given, str | Path))
    return Job(method.name, assembly, stages, picture, layout, photo, where, identity, sharp, facts, inputs)


def measurement(
    method: Recipe, folder: Path, image: Picture | None, kernel: Picture | None
) -> tuple[Picture, Picture | None]:
    """Image and kernel as given, or else the files that the recipe names, relative to its folder.

    Raises:
        InputError: there is no image.
    """
    named = method.measurement
    if image is None:
        if named.image is None:
            raise InputError("no image is given, and the recipe names none (measurement.image); give one with --image")
        image = folder / named.image
    if kernel is None and named.kernel is not None:
        kernel = folder / named.kernel
    return image, kernel


def check_time(limit: object) -> None:
    """Refuse a time limit that is no positive number; raises `InputError`."""
    if limit is not None and not (isinstance(limit, int | float) and limit > 0):
        raise InputError(f"the time limit must be a positive number of seconds, got {limit!r}")


def shown_color(stage: Stage) -> str:
    """What a stage restores of its picture: "luma", "rgb" or, where there is no colour, "grey"."""
    return "luma" if stage.chroma is not None else "rgb" if stage.data.shape[1] == 3 else "grey"


def psnr(picture: Tensor, truth: Tensor) -> float:
    """Shift-aligned PSNR of the luma of one picture, in dB (Levin's protocol)."""
    luma, reference = (to_luma_chroma(x)[0] if x.shape[1] == 3 else x for x in (picture, truth))
    border = min(15, min(truth.shape[-2:]) // 4)  # the protocol's, or less for a picture that it would use up
    return aligned_psnr(luma[0, 0], reference[0, 0], border=border, max_shift=min(5, border))


@contextmanager
def explained_memory() -> Iterator[None]:
    """Say what to change when memory runs out."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error) or isinstance(error, OutOfMemoryError):
            raise
        raise OutOfMemoryError(
            "the problem does not fit in memory; crop the image, set a smaller network "
            "(image_prior.params.channels=16), or solver.params.precision=bfloat16"
        ) from error


def versions() -> dict[str, str]:
    """What a result depends on beside its recipe."""
    packages = {name: version(name) for name in ("invkit", "torch", "deepinv", "numpy")}
    return {"python": platform.python_version(), "platform": platform.platform(), **packages}
