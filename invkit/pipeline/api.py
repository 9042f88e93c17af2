"""The functions for users who have a picture: `deblur`, `deconvolve`, `restore` and `rerun`."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from ..core.errors import InputError
from ..core.observers.progress import NotebookBar, ProgressBar
from ..core.result import Result
from ..core.solver import Observer
from ..recipes.model import Recipe, load_recipe
from ..recipes.toml import read_result_document
from .earlier_inputs import earlier_input
from .inputs import ArrayOrFile, ImageInput
from .job import Job, prepare, versions
from .options import Color, KernelSize

__all__ = ["deblur", "deconvolve", "prepare_rerun", "progress_bar", "rerun", "restore"]

PROGRESS_DELAY_SECONDS = 1.0  # a bar for a shorter time would only flicker


def deblur(
    image: ImageInput,
    *,
    recipe: str | Path | Recipe | None = None,
    kernel_size: KernelSize | None = None,
    color: Color | None = None,
    overrides: Sequence[str] = (),
    seed: int = 0,
    device: str = "auto",
    sigma: float | None = None,
    whole_picture: bool = False,
    uncertainty: bool | int = False,
    white: float | None = None,
    variance: ArrayOrFile | None = None,
    time_limit: float | None = None,
    progress: bool = True,
    observers: Sequence[Observer] = (),
) -> Result:
    """Restore a blurry image and estimate the kernel that blurred it.

    A recipe may have next stages, each of which starts from the kernel of the one before; the image is that of the
    last stage.

    Args:
        image: a file, a NumPy array (H, W) or (H, W, 3), or a tensor (H, W), (C, H, W) or (B, C, H, W); values in
            [0, 1], unsigned integers of 8 or 16 bits, or numbers in units of their own, as counts, which may be
            negative. Several images of one size, in a list or along a tensor's
            batch, are restored together, each with its own kernel, by recipes without a selection, as ``fast-map``.
        recipe: a registered recipe's name, a ``.toml`` file, a run's ``result.json`` or a `Recipe`. None or "auto"
            means ``night`` if light streaks draw the kernel, otherwise ``best``, or ``fast`` if the time limit is too
            short for it.
        kernel_size: N, (h, w) or "auto", which finds it, pixels. None: the recipe's, which is "auto" unless it names
            one.
        color: of a colour image, restore the "luma" and keep the chroma, or restore the three channels with one
            kernel, "rgb"; applies to the last stage. None: the recipe's, which is "luma" unless it names one.
        overrides: settings as ``"kernel_prior.hidden=2000"`` or ``"image_prior=pixels"``.
        seed: of every random number.
        device: "auto", "cpu", "cuda", "cuda:1", "mps".
        sigma: standard deviation of the noise in [0, 1] units; None to estimate it.
        whole_picture: take the whole picture for the blurred scene; then only masked, transparent and unmeasured pixels
            are unknown. A recipe whose solver cannot leave out masked or unmeasured pixels is refused; transparent ones
            are then filled. Otherwise frames, bars, date stamps, watermarks,
            bad pixels and transparent pixels of a single picture do not enter the estimate, and a picture that is
            sharp already is returned as it was; the result's ``details["notices"]`` say so. Bad pixels are filled, and
            everything else that was left out is kept in the result.
        uncertainty: also find how sure the result is: ``deviations`` of the result are the standard deviations of the
            image and of the kernel. True, or the number of samples (True: 16; of recipes with networks 4, which are
            as many solves). A recipe that cannot say is refused.
        white: value of the data that is taken for white; the image may be brighter only if no format limits it. None:
            that of the format, or, of a dim picture and of numbers outside [0, 1], a value just above the largest.
            Results are in the units of the data.
        variance: of the noise of each pixel, in the units of the data squared: an array (H, W), for all channels, or in
            the layout of the image, or a file (a picture, ``.npy``, TIFF). Of pictures of 8 and 16 bits, the units are
            those of [0, 1]: 2 levels of 8 bits are the variance ``(2 / 255)**2``. NaN, infinity or 1e5 times the
            variance of the precise pixels: the pixel was not measured. The data are weighted by 1 / variance, and the
            noise level is known, so ``sigma`` must be None. Bad pixels are not looked for. Stages that estimate a
            kernel may ignore the weights; a recipe whose last stage would ignore them is refused.
        time_limit: seconds after which the result so far is returned; as `Job.run`.
        progress: show a progress bar for each stage that takes longer than a second.
        observers: of every stage, one after the other.

    Returns:
        The result; ``image`` has the kind, layout and size of the input; ``kernel`` is (h, w), of several images
        (B, h, w).

    Raises:
        InvkitError: the image, an option or the recipe cannot be used; nothing has been computed then.
        DivergedError: the loss became infinite or NaN.

    Example:
        >>> from invkit.datasets.samples import sample_path
        >>> deblur(sample_path("coffee_blurry"), recipe="fast", kernel_size=31).image.shape  # doctest: +SKIP
        (250, 250, 3)
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
        whole_picture=whole_picture,
        uncertainty=uncertainty,
        white=white,
        variance=variance,
        time_limit=time_limit,
    )
    return job.run(time_limit=time_limit, observers=observers, progress=progress_bar if progress else None)


def deconvolve(
    image: ImageInput,
    kernel: ArrayOrFile,
    *,
    recipe: str | Path | Recipe | None = None,
    color: Color | None = None,
    overrides: Sequence[str] = (),
    seed: int = 0,
    device: str = "auto",
    sigma: float | None = None,
    whole_picture: bool = False,
    uncertainty: bool | int = False,
    white: float | None = None,
    variance: ArrayOrFile | None = None,
    time_limit: float | None = None,
    progress: bool = True,
    observers: Sequence[Observer] = (),
) -> Result:
    """Restore a blurry image whose kernel is known.

    Args:
        image: as for `deblur`, or a stack of planes: a TIFF file of several pages, or numbers (D, H, W).
        kernel: the true-convolution kernel, an array or tensor (h, w) or a file of one (``.npy`` or a grey picture),
            of any size up to the image's, odd or even; (B, h, w) for a kernel of each of several images. It need not
            be centred: a kernel off its centre shifts the image. Refused are zeros only, NaN or infinite values, a
            kernel larger than the image, a colour picture, and negative values beyond a hundredth of the largest.
            Corrected with a warning are smaller negative values, which count as zero, and floating-point values whose
            sum differs from one by more than a hundredth, which are scaled. Integers, as of an 8- or 16-bit picture,
            are scaled without a warning.
        recipe: as for `deblur`; its kernel prior must be ``known`` or start from a kernel. None or "auto" means
            ``stack-richardson-lucy`` for a stack (D, H, W) of five planes or more, otherwise ``sparse-admm``.
        color: as for `deblur`; None: the recipe's, for most registered ones "rgb".
        overrides: as for `deblur`.
        seed: as for `deblur`.
        device: as for `deblur`.
        sigma: as for `deblur`.
        whole_picture: as for `deblur`.
        uncertainty: as for `deblur`.
        white: as for `deblur`.
        variance: as for `deblur`; the recipe must weight data.
        time_limit: as for `deblur`.
        progress: as for `deblur`.
        observers: as for `deblur`.

    Returns and raises as `deblur`.

    Warns:
        UserWarning: the kernel was corrected.

    Example:
        >>> import numpy as np
        >>> sharp = np.tile(np.eye(8), (4, 4))
        >>> blurry = 0.5 * (sharp + np.roll(sharp, 1, axis=1))
        >>> deconvolve(blurry, np.array([[0.5, 0.5]]), recipe="wiener").image.shape
        (32, 32)
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
        whole_picture=whole_picture,
        uncertainty=uncertainty,
        white=white,
        variance=variance,
    )
    return job.run(time_limit=time_limit, observers=observers, progress=progress_bar if progress else None)


def restore(
    image: ImageInput | None,
    recipe: str | Path | Recipe,
    *,
    kernel: ArrayOrFile | None = None,
    kernel_size: KernelSize | None = None,
    color: Color | None = None,
    overrides: Sequence[str] = (),
    seed: int = 0,
    device: str = "auto",
    sigma: float | None = None,
    whole_picture: bool = False,
    uncertainty: bool | int = False,
    white: float | None = None,
    variance: ArrayOrFile | None = None,
    time_limit: float | None = None,
    progress: bool = True,
    observers: Sequence[Observer] = (),
) -> Result:
    """Solve the problem of any recipe, blind or not, deblurring or not.

    Args:
        image: the measured data: pictures as for `deblur`; for operators that measure other numbers, (C, H, W) or
            (B, C, H, W), channels first, as an array, a tensor or an .npy file. None: the file that the recipe's
            measurement names.
        recipe: as for `deblur`.
        kernel: (h, w) true-convolution kernel or a file of one, if the recipe's kernel prior starts from a kernel;
            (N, h, w) for several; for another operator its parameter, as a mask (H, W). None: the file that the
            recipe's measurement names, if it does.
        kernel_size: as for `deblur`.
        color: as for `deblur`.
        overrides: as for `deblur`.
        seed: as for `deblur`.
        device: as for `deblur`.
        sigma: as for `deblur`.
        whole_picture: as for `deblur`.
        uncertainty: as for `deblur`.
        white: as for `deblur`.
        variance: as for `deblur`; the recipe must weight data.
        time_limit: as for `deblur`.
        progress: as for `deblur`.
        observers: as for `deblur`.

    Returns:
        The result. If the image has not the shape of the data, ``blurry`` is the operator's initial image. ``kernel``
        is the operator's parameter, without the batch if that is one.

    Raises:
        InvkitError: as `deblur`.

    Example:
        >>> import numpy as np
        >>> noisy = np.random.default_rng(0).normal(np.tri(32), 0.05).clip(0, 1)
        >>> restore(noisy, "denoise-tv", sigma=0.05).image.shape
        (32, 32)
    """
    job = prepare(
        image,
        recipe=recipe,
        kernel=kernel,
        kernel_size=kernel_size,
        color=color,
        overrides=overrides,
        seed=seed,
        device=device,
        sigma=sigma,
        whole_picture=whole_picture,
        uncertainty=uncertainty,
        white=white,
        variance=variance,
    )
    return job.run(time_limit=time_limit, observers=observers, progress=progress_bar if progress else None)


def rerun(
    result: str | Path,
    *,
    image: ImageInput | None = None,
    kernel: ArrayOrFile | None = None,
    variance: ArrayOrFile | None = None,
    device: str | None = None,
    time_limit: float | None = None,
    progress: bool = True,
    observers: Sequence[Observer] = (),
) -> Result:
    """Make the run of a result.json again: to the same bits on the same machine and with the same versions.

    Args:
        result: the run's result.json.
        image: None for the file of the earlier run, whose digest is checked; another image is restored alike.
        kernel: None for the kernel file of the earlier run, if it had one.
        variance: None for the file of variances of the earlier run, if it had one.
        device: None for that of the earlier run.
        time_limit: as for `deblur`.
        progress: as for `deblur`.
        observers: as for `deblur`.

    Returns and raises as `deblur`.

    Raises:
        InputError: the earlier image was an array, is gone or has changed; give it as ``image``.
    """
    job = prepare_rerun(result, image=image, kernel=kernel, variance=variance, device=device)
    return job.run(time_limit=time_limit, observers=observers, progress=progress_bar if progress else None)


def progress_bar(title: str) -> Observer:
    """The progress bar of one stage, on the standard error, or under the cell of a notebook."""
    console = Console(stderr=True)
    if console.is_jupyter:
        return NotebookBar(title, after=PROGRESS_DELAY_SECONDS)
    return ProgressBar(title, console, after=PROGRESS_DELAY_SECONDS)


def prepare_rerun(
    result: str | Path,
    *,
    image: ImageInput | None = None,
    kernel: ArrayOrFile | None = None,
    variance: ArrayOrFile | None = None,
    truth: ArrayOrFile | None = None,
    device: str | None = None,
) -> Job:
    """The job of an earlier run: its recipe with every setting, kernel size, noise level, colour, window and seed.

    On the same machine and with the same versions, its result has the same bits.

    Args:
        result: the run's result.json.
        image: None for the file of the earlier run, whose digest is checked; another image is restored alike.
        kernel: None for the file of the earlier run, if it had one.
        variance: None for the file of the earlier run, if it had one.
        truth: the true image, to report PSNR.
        device: None for that of the earlier run.

    Raises:
        InputError: the file is no result.json, the earlier image was an array, is gone or has changed.
        InvkitError: as `prepare`.

    Warns:
        UserWarning: versions or threads differ from those of the earlier run, or it was stopped before its end.
    """
    document = read_result_document(result)
    options = document.get("options")
    if not isinstance(options, Mapping):
        raise InputError(f"{result} does not hold the options of its run; only results of this version can be rerun")
    if kernel is None and options.get("kernel") is not None:
        kernel = earlier_input(document.get("kernel_given"), "kernel", result)
    if variance is None and options.get("variance") is not None:
        variance = earlier_input(document.get("variance_given"), "variance", result)
    size = options.get("kernel_size") if kernel is None else None  # a given kernel has its own
    job = prepare(
        earlier_input(document.get("image"), "image", result) if image is None else image,
        recipe=load_recipe(result),
        kernel=kernel,
        truth=truth,
        kernel_size=tuple(size) if isinstance(size, list) else size,
        seed=options.get("seed", 0),
        sigma=options.get("sigma"),
        whole_picture=options.get("whole_picture", False),
        uncertainty=options.get("uncertainty", False),
        white=options.get("white"),
        variance=variance,
        device=document.get("device", "auto") if device is None else device,
    )
    for warning in differences(document, job):
        warnings.warn(warning, UserWarning, stacklevel=2)
    return job


def differences(document: Mapping[str, Any], job: Job) -> list[str]:
    """Why the new result may have other bits than the earlier one."""
    found = []
    before, now = document.get("versions"), versions()
    if not isinstance(before, Mapping):
        before = {}
    changed = [f"{name} {before.get(name)}, now {now[name]}" for name in now if before.get(name) != now[name]]
    if changed:
        found.append(f"the earlier run had {'; '.join(changed)}: the bits may differ")
    if document.get("stopped") not in ("finished", "converged"):
        found.append(f"the earlier run was stopped ({document.get('stopped')}); {job.name} now runs to its end")
    return found
