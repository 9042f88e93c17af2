"""From a photograph to its restoration: the way through the whole house for people who just have a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from ..core.observers.notebook import NotebookBar
from ..core.observers.progress import ProgressBar
from ..core.result import Result
from ..core.solver import Observer
from ..recipes.model import Recipe
from .inputs import Measured, Picture
from .job import prepare
from .options import Color, KernelSize

__all__ = ["deblur", "deconvolve", "progress_bar", "restore"]

SHOWN_AFTER = 1.0  # seconds: a bar for less would only flicker


def deblur(
    image: Measured,
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
    observers: Sequence[Observer] = (),
) -> Result:
    """Restore a blurry image and estimate the kernel that blurred it.

    A recipe may go on (``next``) with another one from the kernel found; the image is that of the last.

    Args:
        image: a file, a NumPy array (H, W), (H, W, 3) or a tensor (H, W), (C, H, W), (B, C, H, W); in [0, 1], or
            8 or 16 bit unsigned integers. Several of one size, in a list or along a tensor's batch, are restored
            together, each with a kernel of its own, by recipes that compare no kernels, as ``fast-map``.
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
        observers: watchers of every stage, one after the other.

    Returns:
        The result; ``image`` is of the kind, layout and size of what was given, ``kernel`` is (h, w), of several
        pictures (B, h, w).

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
    return job.run(time_limit=time_limit, observers=observers, progress=progress_bar if progress else None)


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
    observers: Sequence[Observer] = (),
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
        observers: as for `deblur`.

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
    return job.run(time_limit=time_limit, observers=observers, progress=progress_bar if progress else None)


def restore(
    image: Measured | None,
    recipe: str | Path | Recipe,
    *,
    kernel: Picture | None = None,
    kernel_size: KernelSize | None = None,
    color: Color | None = None,
    overrides: Sequence[str] = (),
    seed: int = 0,
    device: str = "auto",
    sigma: float | None = None,
    time_limit: float | None = None,
    progress: bool = True,
    observers: Sequence[Observer] = (),
) -> Result:
    """Solve the problem of any recipe, blind or not, deblurring or not.

    Args:
        image: what was measured: pictures as for `deblur`, or where the recipe's operator measures other numbers,
            (C, H, W) or (B, C, H, W), channels first, in an array, a tensor or an .npy file. None takes the file that
            the recipe's measurement names.
        recipe: as for `deblur`.
        kernel: (h, w) true-convolution kernel or a file of one, where the recipe's kernel prior starts from a kernel,
            (N, h, w) of several; of another operator what its unknown is, as a mask (H, W). None takes the file that
            the recipe's measurement names, if it does.
        kernel_size: as for `deblur`.
        color: as for `deblur`.
        overrides: as for `deblur`.
        seed: as for `deblur`.
        device: as for `deblur`.
        sigma: as for `deblur`.
        time_limit: as for `deblur`.
        progress: as for `deblur`.
        observers: as for `deblur`.

    Returns:
        The result; where the image has not the shape of the data, ``blurry`` is the operator's first image of them.
        ``kernel`` is the operator's unknown, without its batch where that is one.

    Raises:
        InvkitError: as `deblur`.
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
    )
    return job.run(time_limit=time_limit, observers=observers, progress=progress_bar if progress else None)


def progress_bar(title: str) -> Observer:
    """The bar of one stage, on the standard error, or in a notebook under its cell."""
    console = Console(stderr=True)
    if console.is_jupyter:
        return NotebookBar(title, after=SHOWN_AFTER)
    return ProgressBar(title, console, after=SHOWN_AFTER)
